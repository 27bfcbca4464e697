"""The rules that fix the gauge, and their errors."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from nircam_flats import CleanestExposures, InvalidInputError, SkyDecomposition, SmoothResponse
from nircam_flats.scattered import gauge
from nircam_flats.scattered._light import errors_of_light
from nircam_flats.scattered._posterior import separate, without_strays
from nircam_flats.scattered.gauge import GaugeFit


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


def meshes_of(seed, n_frames=6, side=48, spread=0.2, patch=0.0, patch_varies=False):
    """Frames on a mesh: a response that no cubic is, light from side to side, white noise and stripes; the response.

    A patch in a corner is response, or light that varies as the other.
    """
    rng = np.random.default_rng(seed)
    y, x = np.indices((side, side)) / side
    structure = gaussian_filter(rng.standard_normal((side, side)), 5, mode="reflect")
    response = 1 + 0.02 * (x - 0.5) * (y - 0.3) + 8e-4 * structure / structure.std()
    light = np.exp(-0.5 * ((y - 0.4) / 0.07) ** 2) * (1 + 0.6 * np.sin(9 * x + 5 * y))
    light = 0.08 * np.where(light > 0.005, light, 0)
    stripes = 2e-3 * rng.standard_normal((n_frames, side, 1))
    noise = 4e-3 * rng.standard_normal((n_frames, side, side))
    strengths = rng.uniform(1 - spread, 1 + spread, n_frames)[:, None, None]
    corner = patch * np.exp(-0.5 * ((side - 1 - y * side) ** 2 + (side - 1 - x * side) ** 2) / 1.5**2)
    shown = 1 + strengths * corner if patch_varies else 1 + corner
    meshes = response * shown * (1 + strengths * light) + stripes + noise
    return meshes, response


def test_the_error_of_the_surface_is_honest():
    """Its modes tell how far off it is on average beneath the light, and the jackknife over frames counts them."""
    pulls, ratios = [], []
    for seed in range(5):
        meshes, response = meshes_of(seed)
        found = separate(meshes, np.full(len(meshes), 4e-3), SmoothResponse())
        fit, beneath = found.gauge, found.outline & ~found.free
        np.testing.assert_allclose(np.sum(fit.surface_modes**2, axis=0), fit.surface_err**2, rtol=1e-6)
        ratio = fit.surface / response
        off = np.mean(ratio[beneath]) - np.mean(ratio[~found.outline])
        modes = fit.surface_modes[:, beneath].mean(axis=1) - fit.surface_modes[:, ~found.outline].mean(axis=1)
        pulls.append(off / np.sqrt(np.sum(modes**2)))
        influences, _ = errors_of_light(found, SmoothResponse(), 32, (48 * 32, 48 * 32))
        variance = 6 / 5 * np.sum(influences.astype(float) ** 2, axis=0)
        assert np.mean(variance[beneath]) > np.mean(fit.surface_err[beneath] ** 2)
        counted = 6 / 5 * np.sum(influences[:, beneath].mean(axis=1, dtype=float) ** 2)
        ratios.append(counted / np.sum(fit.surface_modes[:, beneath].mean(axis=1) ** 2))
    assert 0.4 < np.sqrt(np.mean(np.square(pulls))) < 1.7
    assert np.median(ratios) > 0.9


def test_the_surface_follows_a_response_beyond_the_cubic(monkeypatch):
    """Better than one whose terms of higher degrees are as good as zero."""
    wave = 1e-3 * np.polynomial.legendre.legval(np.linspace(-1, 1, 48), [0, 0, 0, 0, 1])

    def left(seed):
        meshes, response = meshes_of(seed)
        found = separate(meshes * (1 + wave), np.full(len(meshes), 4e-3), SmoothResponse())
        return np.std(found.gauge.surface / (response * (1 + wave)))

    free = [left(seed) for seed in range(3)]
    monkeypatch.setattr(gauge, "STRUCTURE", 1e-5)
    assert np.max(np.divide(free, [left(seed) for seed in range(3)])) < 0.9


@pytest.mark.parametrize(("blob", "kept"), [(0.0, False), (0.02, True)])
def test_what_a_surface_follows_is_no_light(blob, kept):
    """A strip that was taken for light is given back, a blob that no surface follows stays."""
    meshes, _ = meshes_of(0)
    y, x = np.indices(meshes.shape[1:])
    meshes = meshes * (1 + blob * np.exp(-0.5 * ((y - 42) ** 2 + (x - 20) ** 2) / 3**2))
    found = separate(meshes, np.full(len(meshes), 4e-3), SmoothResponse())
    strip = y >= 38
    light = np.where(strip, 0.004, found.light)
    outline = without_strays(found.regression, SmoothResponse(), light, found.outline | strip, found.misfit)
    assert outline[found.outline & ~strip].all()
    assert outline[strip].any() == kept


@pytest.mark.parametrize(("varies", "spread"), [(False, 0.2), (False, 0.9), (True, 0.9)])
def test_a_faint_patch_apart_from_the_light_has_to_vary_with_it(varies, spread):
    """As light it would be subtracted, although it may be response, such as the patches in the corners of B4."""
    meshes, _ = meshes_of(1, spread=spread, patch=0.03, patch_varies=varies)
    found = separate(meshes, np.full(len(meshes), 4e-3), SmoothResponse())
    corner = found.light[-4:, -4:]
    assert (corner > 0.01).any() == varies
    assert found.light[:-8].max() > 0.05


def test_one_mode_by_default():
    err = np.full((4, 4), 0.1)
    fit = GaugeFit(constant=1, constant_err=0.1, surface=np.ones((4, 4)), surface_err=err)
    np.testing.assert_array_equal(fit.surface_modes, err[None])


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
