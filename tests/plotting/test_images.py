"""Figures of flats: colours centred on no change, on the axes given, with labels."""

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib import rcParams
from matplotlib.figure import Figure

from nircam_flats.plotting import detector_figure, draw_flat


@pytest.fixture
def no_pyplot(monkeypatch):
    """Nothing may touch what pyplot holds for everybody, or the settings."""
    before = dict(rcParams)
    for name in ("gca", "gcf", "figure", "subplots"):
        monkeypatch.setattr(plt, name, lambda *args, **settings: pytest.fail("pyplot was used"))
    yield
    assert dict(rcParams) == before


@pytest.fixture
def ax(no_pyplot):
    return Figure().subplots()


@pytest.fixture
def flat():
    x = np.indices((40, 60))[1]
    return (1 + 0.02 * (x - 29.5) / 29.5).astype(np.float32)


def test_no_change_is_white(ax, flat):
    artist = draw_flat(flat, ax=ax)
    assert artist.norm(1.0) == 0.5
    assert artist.cmap(artist.norm(1.0))[:3] == pytest.approx((0.97, 0.97, 0.97), abs=0.01)
    assert artist.norm.halfrange == pytest.approx(0.02, rel=0.05)
    blue, red = artist.cmap(artist.norm(0.98)), artist.cmap(artist.norm(1.02))
    assert blue[2] > 2 * blue[0]
    assert red[0] > 2 * red[2]


def test_the_image_lies_as_the_pixels_do(ax, flat):
    artist = draw_flat(flat, ax=ax)
    np.testing.assert_array_equal(artist.get_array(), flat)
    assert artist.origin == "lower"
    assert tuple(artist.get_extent()) == (-0.5, 59.5, -0.5, 39.5)
    assert ax.get_aspect() == 1
    assert (ax.get_xlim(), ax.get_ylim()) == ((-0.5, 59.5), (-0.5, 39.5))


def test_large_images_are_shown_as_medians_of_boxes(ax):
    data = np.ones((1030, 1103), np.float32)
    data[:, 550:] = 1.05
    data[5, 5] = 100
    artist = draw_flat(data, ax=ax)
    shown = artist.get_array()
    assert shown.shape == (206, 221)  # boxes of 5 px, the last ones cut
    assert shown[1, 1] == 1
    assert shown[0, -1] == np.float32(1.05)
    assert tuple(artist.get_extent()) == (-0.5, 221 * 5 - 0.5, -0.5, 206 * 5 - 0.5)
    assert ax.get_xlim() == (-0.5, 1102.5)


def test_labels(ax, flat):
    draw_flat(flat, ax=ax, title="NRCB1", label="response")
    assert (ax.get_title(), ax.get_xlabel(), ax.get_ylabel()) == ("NRCB1", "x [px]", "y [px]")
    (bar,) = (other for other in ax.figure.axes if other is not ax)
    assert bar.get_ylabel() == "response"


def test_unmeasured_pixels_are_grey(ax, flat):
    flat[:10] = np.nan
    artist = draw_flat(flat, ax=ax)
    assert np.ma.getmaskarray(artist.get_array())[:10].all()
    assert ax.get_facecolor()[:3] == (0.6, 0.6, 0.6)


def test_nothing_measured_is_drawn_too(ax):
    assert draw_flat(np.full((8, 8), np.nan), ax=ax).norm.halfrange == pytest.approx(0.1)
    assert draw_flat(np.ones((8, 8)), ax=ax).norm.halfrange > 0


def test_artist_options_win(ax, flat):
    artist = draw_flat(flat, ax=ax, cmap="PuOr", alpha=0.5)
    assert (artist.cmap.name, artist.get_alpha()) == ("PuOr", 0.5)


def test_without_axes_the_current_ones_are_drawn_on(flat):
    figure, current = plt.subplots()
    try:
        assert draw_flat(flat).axes is current
    finally:
        plt.close(figure)


def test_delta_and_surface_share_colours_and_the_residual_has_its_own(made, no_pyplot):
    for products in made.products:
        figure = products.figure()
        assert type(figure) is Figure
        delta, surface, residual = (axes for axes in figure.axes if axes.get_title())
        limits = [axes.images[0].get_clim() for axes in (delta, surface, residual)]
        assert limits[0] == limits[1]
        assert sum(limits[0]) == pytest.approx(2)
        assert sum(limits[2]) == pytest.approx(0, abs=1e-12)
        spread = np.abs(products.fit.surface - 1).max()
        assert spread * 0.9 < limits[0][1] - 1 < spread * 1.5
        np.testing.assert_array_equal(delta.images[0].get_array(), np.ma.masked_invalid(products.grey.data))
        np.testing.assert_array_equal(surface.images[0].get_array(), products.fit.surface)
        assert residual.images[0].get_array()[64, 64] == products.fit.residual[64, 64]


def test_titles_say_what_is_shown(made, no_pyplot):
    along = made.products[0]
    figure = along.figure()
    assert figure.get_suptitle() == "NRCALONG grey (F277W + F444W)"
    assert [axes.get_title() for axes in figure.axes if axes.get_title()] == [
        "delta skyflat, 12 exposures",
        "surface: MedianFilter(box_size=None, filter_size=8, trend=3)",
        "residual",
    ]
    bars = [axes.get_ylabel() for axes in figure.axes if not axes.get_title()]
    assert bars == ["relative response", "relative response", "delta skyflat / surface − 1"]
    assert detector_figure(along.by_filter["F277W"], along.fit).get_suptitle() == "NRCALONG F277W"


def test_products_plot_themselves(made, ax):
    artist = made.products[1].fit.plot(ax=ax)
    assert artist.axes is ax
    assert ax.get_title() == "NRCB1 grey: MedianFilter(box_size=None, filter_size=12, trend=3)"
    assert made.products[1].grey.plot(ax=Figure().subplots()).axes.get_title() == "NRCB1 grey: delta skyflat"
