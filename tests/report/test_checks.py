"""Checks of what a run made."""

import attrs
import numpy as np
import pytest

from nircam_flats.report import checks_of


@pytest.fixture
def b1(made):
    return next(item for item in made.products if item.detector.label == "B1")


def find(products, text, of="NRCB1"):
    (check,) = (item for item in checks_of(products) if text in item.what and item.of == of)
    return check


def flattened(delta, surface):
    """The delta skyflat that the surface describes in full."""
    return attrs.evolve(delta, data=np.where(delta.good, surface, np.float32(np.nan)))


def test_each_flat_and_filter_is_checked(b1):
    of = [item.of for item in checks_of(b1)]
    assert of == ["NRCB1"] * 3 + ["NRCB1 F115W", "NRCB1 F200W"] * 2


def test_a_flat_that_is_missing(b1):
    assert find(b1, "a new flat for each filter").passed
    less = attrs.evolve(b1, flats={"F115W": b1.flats["F115W"]})
    check = find(less, "a new flat for each filter")
    assert not check.passed
    assert check.told == "1 of 2; without: F200W"


def test_a_change_that_is_lost_in_its_error(b1):
    assert find(b1, "5 times the error").passed == (b1.summary["change"] >= 5 * b1.summary["fit_err"])
    sure = attrs.evolve(b1.fit.covariance, modes=b1.fit.covariance.modes * 0, misfit=0.001, outliers=None)
    assert find(attrs.evolve(b1, fit=attrs.evolve(b1.fit, covariance=sure)), "5 times the error").passed
    unsure = attrs.evolve(b1.fit.covariance, misfit=0.1)
    check = find(attrs.evolve(b1, fit=attrs.evolve(b1.fit, covariance=unsure)), "5 times the error")
    assert not check.passed
    assert "(1 sigma)" in check.told


def test_a_surface_that_does_not_describe_the_change(b1):
    for misfit, passes in ((0.0001, True), (0.02, False)):
        covariance = attrs.evolve(b1.fit.covariance, misfit=misfit)
        check = find(attrs.evolve(b1, fit=attrs.evolve(b1.fit, covariance=covariance)), "misfit is at most")
        assert check.passed == passes
        assert f"misfit {misfit:.2%}" in check.told


def test_what_a_flat_leaves(b1):
    flat = {name: flattened(delta, b1.fit.surface) for name, delta in b1.by_filter.items()}
    assert find(attrs.evolve(b1, by_filter=flat), "leaves at most 1%", "NRCB1 F200W").passed
    tilt = flat["F200W"].data * np.linspace(0.98, 1.02, 128, dtype=np.float32)
    bent = flat | {"F200W": attrs.evolve(flat["F200W"], data=tilt)}
    check = find(attrs.evolve(b1, by_filter=bent), "leaves at most 1%", "NRCB1 F200W")
    assert not check.passed
    # Medians of boxes whose middles lie 60 px apart, the first and last 4 px being no part of them.
    assert float(check.told.split()[1].rstrip("%;")) == pytest.approx(100 * 0.04 * 60 / 127, abs=0.05)
    noisy = attrs.evolve(bent["F200W"], influences=100 * bent["F200W"].influences)
    check = find(attrs.evolve(b1, by_filter=bent | {"F200W": noisy}), "leaves at most 1%", "NRCB1 F200W")
    assert check.passed
    assert "noise alone would show" in check.told
    own = {"F200W": attrs.evolve(b1.fit, surface=np.where(np.isfinite(tilt), tilt, 1))}
    assert find(attrs.evolve(b1, by_filter=bent, fits=own), "leaves at most 1%", "NRCB1 F200W").passed


def test_a_flat_against_the_rules(b1):
    assert find(b1, "rules of CRDS", "NRCB1 F200W").passed
    nameless = b1.flats | {"F200W": attrs.evolve(b1.flats["F200W"], author=None)}
    check = find(attrs.evolve(b1, flats=nameless), "rules of CRDS", "NRCB1 F200W")
    assert not check.passed
    assert check.told == "author (AUTHOR) must be given; it is missing"
