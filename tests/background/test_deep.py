"""Masks of longer exposures carried over to shorter ones: places, choices, and the sky that is found."""

import attrs
import numpy as np
import pytest
from astropy import units as u
from astropy.wcs import WCS

import nircam_flats as nf
from nircam_flats.background._deep import DeepMask, carried
from nircam_flats.background._measure import _Image
from nircam_flats.simulation import Effects, SimulatedProgram


def wcs_at(x, y, scale=1e-5):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [359.9999, 45]
    wcs.wcs.cdelt = [-scale, scale]
    wcs.wcs.crpix = [x, y]
    return wcs


@pytest.fixture(scope="module")
def faint():
    """Sources, noise and a flat that holds: short exposures (two dithers) of a program."""
    effects = attrs.evolve(Effects.none(), sources=True, noise=True, one_over_f=True)
    return SimulatedProgram(
        detectors=["B1", "A1"],
        n_pointings=1,
        n_dithers=4,
        shape=(256, 256),
        seed=4,
        exposure_time=60 * u.s,
        effects=effects,
    )


def of(program, indices, detector="B1"):
    jobs = [(filter, index) for _, filter in program.modes(detector) for index in indices]
    return nf.ExposureSet.from_exposures(program.exposure(detector, *job) for job in jobs)


def test_a_mask_lands_where_its_sources_are():
    class Deep:
        name, detector, filter = "deep", nf.Detector.get("B1"), nf.Filter.get("F115W")
        wcs, shape = wcs_at(50.5, 40.5), (90, 100)

    masked = np.zeros((90, 100), bool)
    masked[30:35, 60:70] = True
    masks, covers = DeepMask.of(Deep, masked).onto(wcs_at(43.5, 45.5), (70, 80))
    expected, inside = np.zeros((2, 70, 80), bool)
    expected[35:40, 53:63] = True
    inside[5:, :] = True
    np.testing.assert_array_equal(masks, expected)
    np.testing.assert_array_equal(covers, inside)
    assert DeepMask.of(Deep, masked).onto(wcs_at(5000, 45.5), (70, 80)) is None


def test_which_exposures_count(faint):
    f115w, f200w = faint.filters_of("B1")
    exposure = faint.exposure("B1", f115w, 0)
    nothing, everything = np.zeros((256, 256), bool), np.ones((256, 256), bool)
    itself = DeepMask.of(exposure, everything)
    near = DeepMask.of(faint.exposure("B1", f115w, 1), nothing)
    other_filter = DeepMask.of(faint.exposure("B1", f200w, 1), everything)
    other_detector = DeepMask.of(faint.exposure("A1", f115w, 1), everything)
    masked, covered, n = carried(exposure, exposure.good, [itself, near, other_filter, other_detector])
    assert n == 1
    assert not masked.any()
    assert 0.6 < covered.mean() < 1
    masked, covered, n = carried(exposure, exposure.good, [other_filter])
    assert (masked == covered).all()
    assert n == 1
    assert carried(exposure, exposure.good, [itself, other_detector]) == (None, None, 0)
    far = attrs.evolve(near, wcs=wcs_at(0, 0))
    assert carried(exposure, exposure.good, [far]) == (None, None, 0)


def test_sources_that_only_long_exposures_show_do_not_raise_the_sky(faint):
    rng = np.random.default_rng(2)
    place = faint.exposure("B1", "F115W", 0).wcs.all_pix2world([[128, 128]], 0)
    y, x = np.indices(faint.shape)

    def with_a_faint_galaxy(index, noise):
        exposure = faint.exposure("B1", "F115W", index)
        ((at_x, at_y),) = exposure.wcs.all_world2pix(place, 0)
        data = 1 + 0.3 * (np.hypot(x - at_x, y - at_y) < 70) + rng.normal(0, noise, faint.shape)
        return attrs.evolve(exposure, data=data, err=None, var_poisson=None)

    short, long = (
        nf.ExposureSet.from_exposures(with_a_faint_galaxy(index, noise) for index in indices)
        for indices, noise in (((0, 2), 0.6), ((1, 3), 0.03))
    )
    settings = {"model": nf.ZodiacalBackground(), "masks": nf.Segmentation()}
    alone, deep = (
        nf.BackgroundComparison.from_exposures(short, deep=others, **settings).exposures for others in (None, long)
    )
    assert list(alone["n_deep"]) == [0, 0]
    assert list(deep["n_deep"]) == [2, 2]
    assert (alone["measured"].value > 1.03).all()  # the disk covers a fifth of the frame
    np.testing.assert_allclose(deep["measured"].value, 1, atol=0.012)  # three times the error of a level


def test_the_median_of_few_photons_lies_below_their_mean(faint):
    rng, exposure = np.random.default_rng(1), faint.exposure("B1", "F115W", 0)
    photons, read_noise, shape = 4, 1.5, exposure.shape
    data = (rng.poisson(photons, shape) + rng.normal(0, read_noise, shape)) / 100
    variance = np.full(shape, photons / 100**2, np.float32)
    few = attrs.evolve(exposure, data=data, err=None, var_poisson=variance)
    nothing = np.zeros(shape, bool)
    known, unknown = (
        _Image.of(item, None, None).level_outside(nothing) for item in (few, attrs.evolve(few, var_poisson=None))
    )
    assert unknown.value < 0.04 - 5 * unknown.err  # 1/6 of the variance ratio of a pixel: 2.7 per cent
    assert known.value == pytest.approx(0.04, abs=3 * known.err)


def test_deep_exposures_that_cannot_serve(faint):
    short = of(faint, (0,))
    nowhere = attrs.evolve(short[0], sci_header=None)
    with pytest.raises(nf.InvalidInputError, match="no mask can be carried over from it"):
        nf.BackgroundComparison.from_exposures(short, deep=nf.ExposureSet.from_exposures([nowhere]))
    with pytest.raises(nf.InvalidInputError, match="deep of BackgroundComparison must be an ExposureSet; got 3"):
        nf.BackgroundComparison.from_exposures(short, deep=3)
