"""Masks that say why, and their way to regions and back."""

import numpy as np
import pytest
from astropy import units as u
from regions import CirclePixelRegion, CircleSkyRegion, PixCoord, RectanglePixelRegion, Regions
from scipy.ndimage import binary_fill_holes, distance_transform_edt

from nircam_flats import (
    DQ,
    Exposure,
    InvalidInputError,
    MaskReason,
    MaskStrategy,
    Segmentation,
    SourceMask,
    testing,
)
from nircam_flats.simulation import Effects, SimulatedProgram

SHAPE = (60, 80)


class Bright(MaskStrategy):
    """Every pixel above 2."""

    def find(self, data, good):
        return data > 2


@pytest.fixture
def exposure():
    """A sky at 1 with a source at 3; one pixel lost, one flagged, one flagged although fine."""
    data = np.random.default_rng(1).normal(1, 0.01, SHAPE)
    data[20:30, 40:50] = 3
    data[25, 45] = np.nan
    dq = np.zeros(SHAPE, np.uint32)
    dq[5, 5] = DQ.DO_NOT_USE
    dq[6, 6] = DQ.JUMP_DET
    return Exposure(data=data, dq=dq, detector="B4", filter="F200W")


@pytest.fixture
def blobs():
    """A random mask of blobs of all shapes: some touch the edge, some only by corners, some have holes."""
    rng = np.random.default_rng(2)
    return distance_transform_edt(rng.random(SHAPE) > 0.02) < rng.uniform(0.5, 5, SHAPE)


def reasons(mask, place):
    return MaskReason(int(mask.flags[place]))


def test_each_pixel_says_why(exposure):
    mask = SourceMask.from_exposure(exposure, Bright())
    assert reasons(mask, (22, 42)) == MaskReason.SOURCE
    assert reasons(mask, (25, 45)) == reasons(mask, (5, 5)) == MaskReason.DATA_QUALITY
    assert reasons(mask, (6, 6)) == reasons(mask, (0, 0)) == 0
    assert mask.masked.sum() == 101
    assert mask.fraction == pytest.approx(101 / 4800)


def test_the_default_strategy_is_segmentation(exposure):
    testing.assert_same(SourceMask.from_exposure(exposure), SourceMask.from_exposure(exposure, Segmentation()))


def test_a_correction_divides_before_sources_are_sought(exposure):
    class Fit:
        surface = np.ones(SHAPE, np.float32)

    Fit.surface[20:30, 40:50] = 3
    Fit.surface[40:45, 40:45] = 0.1
    mask = SourceMask.from_exposure(exposure, Bright(), correction=Fit)
    assert not mask.masked[22, 42]
    assert mask.masked[40:45, 40:45].all()


def test_an_exposure_without_a_good_pixel():
    exposure = Exposure(data=np.full(SHAPE, np.nan), detector="B4", filter="F200W")
    with pytest.raises(InvalidInputError, match="Segmentation needs at least one good pixel"):
        SourceMask.from_exposure(exposure)


def test_or_keeps_all_reasons():
    one, other = np.zeros((2, *SHAPE), bool)
    one[:2], other[1:3] = True, True
    both = SourceMask.from_array(one) | SourceMask.from_array(other, MaskReason.EXTENDED)
    assert [reasons(both, (row, 0)) for row in range(4)] == [
        MaskReason.SOURCE,
        MaskReason.SOURCE | MaskReason.EXTENDED,
        MaskReason.EXTENDED,
        MaskReason(0),
    ]


def test_or_refuses_other_shapes_and_types():
    mask = SourceMask.from_array(np.eye(3, dtype=bool))
    with pytest.raises(InvalidInputError, match=r"needs equal shapes; got \(3, 3\) and \(2, 2\)"):
        mask | SourceMask.from_array(np.eye(2, dtype=bool))
    with pytest.raises(TypeError):
        mask | np.eye(3, dtype=bool)


@pytest.mark.parametrize("radius", [0, 1, 3.5])
def test_grow(radius):
    seeds = np.zeros(SHAPE, np.uint8)
    seeds[10, 10] = MaskReason.SOURCE
    seeds[30, 30] = MaskReason.REGION
    seeds[50, 50] = MaskReason.DATA_QUALITY  # does not grow: it is no light that spreads
    seeds[10, 11] = MaskReason.DATA_QUALITY
    grown = SourceMask(flags=seeds).grow(radius)
    near = distance_transform_edt(~np.isin(seeds, [MaskReason.SOURCE, MaskReason.REGION])) <= radius
    expected = seeds | np.where(near & ~np.isin(seeds, [1, 4]), np.uint8(MaskReason.GROWN), np.uint8(0))
    np.testing.assert_array_equal(grown.flags, expected)


def test_grow_refuses_negative_radii():
    with pytest.raises(InvalidInputError, match="from 0 to 254"):
        SourceMask.from_array(np.eye(3, dtype=bool)).grow(-2)


def test_from_pixel_regions():
    circle = CirclePixelRegion(PixCoord(30, 20), 5)
    box = RectanglePixelRegion(PixCoord(60.5, 40), 6, 4)
    y, x = np.indices(SHAPE)
    in_circle = (y - 20) ** 2 + (x - 30) ** 2 < 25
    in_box = (np.abs(y - 40) < 2) & (np.abs(x - 60.5) < 3)
    for regions in ([circle, box], (circle, box), Regions([circle, box])):
        mask = SourceMask.from_regions(regions, SHAPE)
        np.testing.assert_array_equal(mask.flags, np.where(in_circle | in_box, MaskReason.REGION, 0))
    np.testing.assert_array_equal(SourceMask.from_regions(circle, SHAPE).masked, in_circle)
    assert not SourceMask.from_regions([], SHAPE).masked.any()


def test_from_sky_regions():
    program = SimulatedProgram(detectors="B4", filters="F200W", shape=SHAPE, effects=Effects.none())
    wcs = program.exposure("B4", "F200W", 0).wcs
    region = CircleSkyRegion(wcs.pixel_to_world(33, 21), 0.25 * u.arcsec)
    masked = SourceMask.from_regions(region, SHAPE, wcs=wcs).masked
    y, x = np.indices(SHAPE)
    separation = wcs.pixel_to_world(x, y).separation(wcs.pixel_to_world(33, 21))
    assert masked.sum() > 100
    differ = masked != (separation < 0.25 * u.arcsec)
    assert np.all(np.abs(separation[differ] - 0.25 * u.arcsec) < 0.01 * u.arcsec)  # a third of a pixel: distortion
    with pytest.raises(InvalidInputError, match=r"needs wcs=\.\.\. for regions on the sky; got none"):
        SourceMask.from_regions([region], SHAPE)


def test_regions_bring_the_mask_back(blobs):
    filled = binary_fill_holes(blobs)
    assert filled.sum() > blobs.sum() > 500
    assert blobs[0].any()
    assert blobs[:, -1].any()
    regions = SourceMask.from_array(blobs).to_regions()
    assert isinstance(regions, Regions)
    np.testing.assert_array_equal(SourceMask.from_regions(regions, SHAPE).masked, filled)


def test_regions_of_single_pixels_and_of_nothing():
    masked = np.zeros(SHAPE, bool)
    masked[7, 3] = masked[0, 0] = masked[-1, -1] = True
    regions = SourceMask.from_array(masked).to_regions()
    assert len(regions) == 3
    np.testing.assert_array_equal(SourceMask.from_regions(regions, SHAPE).masked, masked)
    assert len(SourceMask.from_array(np.zeros(SHAPE, bool)).to_regions()) == 0


def test_regions_survive_a_file(blobs, tmp_path):
    mask = SourceMask.from_array(blobs)
    mask.to_regions().write(tmp_path / "mask.reg", format="ds9")
    back = SourceMask.from_regions(Regions.read(tmp_path / "mask.reg", format="ds9"), SHAPE)
    np.testing.assert_array_equal(back.masked, binary_fill_holes(blobs))


@pytest.mark.parametrize("flags", [np.zeros(4, np.uint8), np.zeros(SHAPE), None])
def test_flags_are_an_image_of_integers(flags):
    with pytest.raises(InvalidInputError, match=r"SourceMask\.flags"):
        SourceMask(flags=flags)


def test_contract(blobs):
    testing.check_value(SourceMask.from_array(blobs))
