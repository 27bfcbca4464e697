"""Claw zones: the packaged fit, the published maps, outlines and regions."""

import sys

import attrs
import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from regions import PolygonSkyRegion

from nircam_flats import Attitude, ClawSusceptibilityZone, InvalidInputError
from nircam_flats.testing import check_value

SHAPE = (176, 301)


@pytest.fixture
def maps(tmp_path):
    """A folder with two maps as they are published: one pixel each, and one in the part set to zero."""
    for module, column in (("a", 100), ("b", 200)):
        values = np.zeros(SHAPE)
        values[120, column], values[20, 20] = 10, 10
        fits.PrimaryHDU(values).writeto(tmp_path / f"rogue_path_nrc{module}.fits")
    return tmp_path


@pytest.mark.parametrize("module", ["A", "B"])
def test_keeps_the_promises_of_a_value(module):
    check_value(ClawSusceptibilityZone.default(module))


def test_zones_lie_where_they_should():
    for module, sign in (("A", -1), ("B", 1)):
        zone = ClawSusceptibilityZone.default(module)
        y, x = np.unravel_index(zone.intensity_map.argmax(), SHAPE)
        v2, v3 = (middles[i] for middles, i in zip(zone.pixel_middles, (x, y), strict=True))
        assert 1 < sign * v2 < 2  # A at negative V2, B at positive
        assert 9.8 < v3 < 10.4
        assert zone.contains(v2 * u.deg, v3 * u.deg)
        assert not zone.contains(-v2 * u.deg, v3 * u.deg)


@pytest.mark.parametrize("module", ["A", "B"])
def test_most_of_the_intensity_is_within_the_outline(module):
    zone = ClawSusceptibilityZone.default(module)
    v2, v3 = np.meshgrid(*zone.pixel_middles)
    inside = zone.contains(v2 * u.deg, v3 * u.deg)
    assert inside.shape == SHAPE
    assert zone.intensity_map[inside].sum() > 0.9 * zone.intensity_map.sum()


@pytest.mark.parametrize("index", [0, 1])
def test_the_packaged_fit_is_near_the_published_map(published_zones, index):
    published = published_zones[index].intensity_map
    fitted = ClawSusceptibilityZone.default("AB"[index]).intensity_map
    bright = published > 0.1 * published.max()
    assert bright.sum() > 1000
    assert np.abs(fitted[bright] / published[bright] - 1).max() < 0.12


def test_published_maps_are_smoothed_and_cut(maps):
    raw = ClawSusceptibilityZone.read(maps, "A", smoothing=0)
    np.testing.assert_array_equal(np.argwhere(raw.intensity_map), [[120, 100]])  # the other is cut
    smooth = ClawSusceptibilityZone.read(maps / "rogue_path_nrca.fits", "A")
    assert smooth.intensity_map.sum() == pytest.approx(10, rel=1e-3)
    assert smooth.intensity_map.max() == pytest.approx(10 / (2 * np.pi * 25), rel=1e-3)
    v2, v3 = -6 + 100.5 * 12 / 301, 5 + 120.5 * 7 / 176
    assert raw.intensity(v2 * u.deg, v3 * u.deg) == 10
    assert raw.intensity((v2 + 0.03) * u.deg, v3 * u.deg) == 0
    bilinear = ClawSusceptibilityZone.read(maps, "A", smoothing=0, interpolation="bilinear")
    assert bilinear.intensity((v2 + 0.25 * 12 / 301) * u.deg, v3 * u.deg) == pytest.approx(7.5)
    assert "raw" in raw.source


def test_an_installed_tool_is_found(maps, monkeypatch, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    data = folder / "jwst_rogue_path_tool" / "data"
    data.mkdir(parents=True)
    (data.parent / "__init__.py").touch()
    for path in maps.iterdir():
        (data / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(sys, "path", [str(folder)])
    assert ClawSusceptibilityZone.from_installed_tool("b", smoothing=0).intensity_map[120, 200] == 10


def test_no_installed_tool_is_told(monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(InvalidInputError, match=r"jwst_rogue_path_tool, which is not installed; install it"):
        ClawSusceptibilityZone.from_installed_tool("A")


def test_outlines_are_closed_polygons():
    full = ClawSusceptibilityZone.default("B").outline
    assert np.all(full[0] == full[-1])
    assert full.unit == u.deg


def test_the_small_outline_lies_within_the_full_one(maps):
    full = ClawSusceptibilityZone.read(maps, "A")
    small = ClawSusceptibilityZone.read(maps, "A", outline="small")
    assert np.all(full.contains(*small.outline.T))
    assert not np.all(small.contains(*full.outline.T))


def test_regions_on_the_sky_hold_what_the_outline_holds():
    zone = ClawSusceptibilityZone.default("A")
    attitude = Attitude.from_v1(359.9 * u.deg, 70 * u.deg, 200 * u.deg)
    region = zone.to_regions(attitude)
    assert isinstance(region, PolygonSkyRegion)
    v2, v3 = attitude.to_telescope(region.vertices.ra, region.vertices.dec)
    np.testing.assert_allclose(np.stack([v2, v3], axis=1).to_value(u.deg), zone.outline[:-1].to_value(u.deg), atol=1e-9)
    flat = zone.to_regions()
    np.testing.assert_array_equal(flat.vertices.x, zone.outline[:-1, 0].to_value(u.deg))


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (np.zeros((301, 176)), r"rogue_path_nrca.fits: a claw map must have shape \(176, 301\).*got \(301, 176\)"),
        (np.full(SHAPE, np.nan), r"rogue_path_nrca.fits: a claw map must be finite; got 52976 pixels"),
        (np.full(SHAPE, -1.0), r"must be finite and not negative"),
        (np.zeros((2, *SHAPE)), r"must hold an image of 2 dimensions; got shape \(2, 176, 301\)"),
    ],
)
def test_a_map_that_is_none_is_refused(tmp_path, values, text):
    fits.PrimaryHDU(values).writeto(tmp_path / "rogue_path_nrca.fits")
    with pytest.raises(InvalidInputError, match=text):
        ClawSusceptibilityZone.read(tmp_path, "A")


def test_a_missing_map_is_told(tmp_path):
    with pytest.raises(InvalidInputError, match=r"rogue_path_nrcb.fits: needed a FITS file; got nothing there"):
        ClawSusceptibilityZone.read(tmp_path, "B")


def test_bad_settings_are_refused(maps):
    with pytest.raises(InvalidInputError, match="smoothing must be 0 px or more; got -1"):
        ClawSusceptibilityZone.read(maps, "A", smoothing=-1)
    with pytest.raises(InvalidInputError, match="interpolation must be 'nearest' or 'bilinear'; got 'cubic'"):
        ClawSusceptibilityZone.read(maps, "A", interpolation="cubic")
    with pytest.raises(InvalidInputError, match="outline must be 'full' or 'small'; got 'tiny'"):
        ClawSusceptibilityZone.read(maps, "A", outline="tiny")
    with pytest.raises(InvalidInputError, match="module must be 'A' or 'B'; got 'C'"):
        ClawSusceptibilityZone.default("C")
    zone = ClawSusceptibilityZone.default("A")
    with pytest.raises(InvalidInputError, match="extent must be four numbers"):
        attrs.evolve(zone, extent=(6, -6, 5, 12))
    with pytest.raises(InvalidInputError, match=r"outline must hold V2 and V3 .* got shape \(2, 2\)"):
        attrs.evolve(zone, outline=np.zeros((2, 2)) * u.deg)
    with pytest.raises(InvalidInputError, match="intensity must be a Quantity"):
        zone.intensity(1.0, 10 * u.deg)
