"""Mosaics: every pixel of the sky in its place, with both flats."""

import sys

import attrs
import numpy as np
import pytest
from matplotlib.figure import Figure

from nircam_flats import InvalidInputError, Mosaic, plotting
from nircam_flats.testing import assert_same
from nircam_flats.validation.mosaic import _of_boxes

pytest.importorskip("reproject", reason="the extra 'mosaic' is not installed")


@pytest.fixture(scope="module")
def mosaic(star_field, old_flat, true_flat):
    return Mosaic.from_exposures(star_field, old=old_flat, new=true_flat)


def test_wcs_of_boxes_leads_where_that_of_pixels_does(star_field):
    wcs = star_field[0].wcs
    boxes = _of_boxes(wcs, 8)
    x, y = np.meshgrid([0, 5.25, 30], [0, 17.5, 40])
    there = boxes.pixel_to_world(x, y)
    assert there.separation(wcs.pixel_to_world(8 * x + 3.5, 8 * y + 3.5)).arcsec.max() < 1e-6
    assert np.abs(np.subtract(boxes.world_to_pixel(there), (x, y))).max() < 1e-3


def test_every_exposure_is_there(mosaic):
    assert mosaic.n_used.max() == 6
    assert mosaic.n_used.min() == 0
    np.testing.assert_array_equal(np.isfinite(mosaic.new), mosaic.n_used > 0)
    assert np.nanmedian(mosaic.new) == pytest.approx(1, abs=0.05)  # a field full of stars


def test_bright_source_is_in_its_place(mosaic, star_field):
    exposure = star_field[0]
    y, x = np.unravel_index(np.nanargmax(np.where(exposure.good, exposure.data, np.nan)), exposure.shape)
    column, row = np.rint(mosaic.wcs.world_to_pixel(exposure.wcs.pixel_to_world(x, y))).astype(int)
    assert np.nanmax(mosaic.new[row - 2 : row + 3, column - 2 : column + 3]) > 1.5


def test_new_flat_is_flatter(star_program, old_flat, true_flat):
    empty = attrs.evolve(star_program, effects=attrs.evolve(star_program.effects, sources=False), n_dithers=2)
    mosaic = Mosaic.from_exposures(empty.exposures(), old=old_flat, new=true_flat, box_size=16)
    assert np.nanmedian(mosaic.new) == pytest.approx(1, abs=0.003)
    old, new = (np.ptp(np.nanpercentile(image, [5, 95])) for image in (mosaic.old, mosaic.new))
    assert old > 0.03
    assert new < 0.4 * old


def test_files(mosaic, tmp_path):
    mosaic.write(tmp_path / "mosaic.fits")
    assert_same(Mosaic.read(tmp_path / "mosaic.fits"), mosaic)


def test_missing_extra_names_the_remedy(monkeypatch, star_field, old_flat, true_flat):
    monkeypatch.setitem(sys.modules, "reproject", None)
    with pytest.raises(InvalidInputError, match=r"pip install 'nircam_flats\[mosaic\]'"):
        Mosaic.from_exposures(star_field, old=old_flat, new=true_flat)


def test_exposure_without_wcs_is_left_out(star_field, old_flat, true_flat):
    blind = attrs.evolve(star_field[0], sci_header=None)
    found = Mosaic.from_exposures([blind, star_field[1]], old=old_flat, new=true_flat, box_size=16)
    assert list(found.exposures["used"]) == [True, False]
    assert "no usable WCS" in found.exposures["reason"][1]
    with pytest.raises(InvalidInputError, match=r"got none; left out: .*no usable WCS"):
        Mosaic.from_exposures([blind], old=old_flat, new=true_flat)


def test_plots(mosaic):
    ax = Figure().subplots()
    artist = mosaic.plot(ax, flat="old", half_range=0.05)
    assert artist.axes is ax
    assert ax.get_title() == "old flat"
    assert {text.get_text() for text in ax.texts} == {"N", "E"}
    figure = plotting.before_after(mosaic.old, mosaic.new, north_up=True, half_range=0.05)
    old, new = (axes.images[0] for axes in figure.axes[:2])
    assert old.get_clim() == new.get_clim() == pytest.approx((0.95, 1.05))
    assert len(figure.axes) == 3  # one colour bar
    assert figure.axes[2].get_ylabel() == "sky brightness / sky level"
