"""The rules that fix the gauge, and their errors."""

import numpy as np
import pytest

from nircam_flats import CleanestExposures, InvalidInputError, SkyDecomposition, SmoothResponse


@pytest.mark.parametrize("make", [lambda: SmoothResponse(degree=0), lambda: CleanestExposures(n=0)])
def test_settings(make):
    with pytest.raises(InvalidInputError, match="needs"):
        make()


def test_statements_and_reprs():
    assert repr(SmoothResponse(degree=2)) == "SmoothResponse(degree=2)"
    assert "polynomial of degree 2" in SmoothResponse(degree=2).statement
    assert "2 cleanest exposures hold none" in CleanestExposures(n=2).statement


def test_the_constant_is_honest(make_scene):
    """The mean light, in units of what was injected, against the claimed error of the gauge."""
    pulls = []
    for seed in range(6):
        scene = make_scene(noise=0.03, seed=200 + seed)
        parts = SkyDecomposition.from_frames(scene.frames())
        evidence = parts.evidence
        injected = scene.wisp * scene.response
        mesh = injected.reshape(32, 8, 32, 8).mean(axis=(1, 3)) * scene.strengths.mean()
        bright = mesh > 0.03
        found = np.sum(evidence.varying[bright] * mesh[bright]) / np.sum(mesh[bright] ** 2)
        white = np.sqrt(np.sum((evidence.varying_err * mesh)[bright] ** 2)) / np.sum(mesh[bright] ** 2)
        pulls.append((found - 1) / np.hypot(evidence.constant_err, white))
    assert np.sqrt(np.mean(np.square(pulls))) < 1.6


def test_a_user_may_write_one(make_scene):
    class Told(SmoothResponse):
        """The amount of light is known from elsewhere."""

        statement = "somebody said so"

        def fit(self, regression, light, misfit):
            import attrs

            return attrs.evolve(super().fit(regression, light, misfit), constant_err=0.01)

    parts = SkyDecomposition.from_frames(make_scene().frames(), gauge=Told())
    assert "somebody said so" in parts.verdict
    assert parts.identifiability.gauge == "Told(degree=3)"
