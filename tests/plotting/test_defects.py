"""Figures of dead pixels and of filter dependence: what is where, in which colours, with labels."""

import attrs
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from nircam_flats import DeadPixelMap, DeltaSkyflat, InvalidInputError, WavelengthTrend
from nircam_flats.plotting import dead_pixel_cutouts, dead_pixel_figure, filter_grid

DEAD = np.zeros((128, 128), bool)
DEAD[40:45, 80:84] = DEAD[7, 9] = True


@pytest.fixture
def dead():
    return DeadPixelMap.from_image(DEAD, detector="A1")


@pytest.fixture(scope="module")
def dependences(made):
    return [delta.relative_to(item.grey) for item in made.products for delta in item.by_filter.values()]


def test_dead_pixels_lie_where_they_are(dead):
    ax = Figure().subplots()
    artist = dead.plot(ax=ax, s=9)
    assert artist.axes is ax
    np.testing.assert_array_equal(artist.get_offsets(), np.argwhere(DEAD)[:, ::-1])
    assert artist.get_sizes() == [9]
    (circle,) = (patch for patch in ax.patches if isinstance(patch, Circle))
    assert circle.center == pytest.approx((81.5, 42))
    assert (ax.get_title(), ax.get_xlabel()) == ("NRCA1: 21 new dead pixels", "x [px]")
    assert (ax.get_xlim(), ax.get_ylim()) == ((-0.5, 127.5), (-0.5, 127.5))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "new: 21",
        "worse: 0",
        "vignetted: 0",
        "unmeasured: 0.0%",
    ]


def test_what_became_of_dead_pixels_between_epochs(dead):
    later = np.roll(DEAD, 3, axis=0)
    both = dead.compare(DeadPixelMap.from_image(later, detector="A1"))
    ax = Figure().subplots()
    artist = both.plot(ax=ax, s=9)
    np.testing.assert_array_equal(artist.get_offsets(), np.argwhere(later & ~DEAD)[:, ::-1])
    assert ax.get_title() == f"NRCA1: {np.sum(later & ~DEAD)} pixels died between two epochs"
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == [f"{name}: {both.counts[name]}" for name in ("persisting", "undecided", "recovered", "new")]


def test_detectors_lie_as_on_the_sky(dead):
    maps = [attrs.evolve(dead, detector=name) for name in ("A1", "A2", "B1", "BLONG")]
    figure = dead_pixel_figure(maps)
    assert type(figure) is Figure
    a1, a2, b1, blong = (ax.get_position() for ax in figure.axes)
    assert [ax.get_title() for ax in figure.axes] == ["A1: 21", "A2: 21", "B1: 21", "BLONG: 21"]
    assert a1.x0 < b1.x0  # module A is on the side of larger V2, to the left
    for one, other in ((maps[0], maps[1]), (maps[0], maps[2])):
        up = (one.detector.v3_ref < other.detector.v3_ref).item()
        places = {item.detector.label: ax.get_position().y0 for item, ax in zip(maps, figure.axes, strict=True)}
        assert (places[one.detector.label] < places[other.detector.label]) == up
    assert blong.y1 < min(a1.y0, a2.y0, b1.y0)
    assert blong.width > 1.5 * a1.width


@pytest.mark.parametrize("names", [[], ["A1", "A1"]])
def test_one_map_of_each_detector(dead, names):
    with pytest.raises(InvalidInputError, match="dead_pixel_figure needs one map of each of its detectors; got"):
        dead_pixel_figure([attrs.evolve(dead, detector=name) for name in names])


def test_cutouts(dead):
    figure = dead_pixel_cutouts(dead, half_size=10)
    ax, _ = figure.axes
    assert ax.get_title() == "A1: 20 px near x 82, y 42"
    image = ax.images[0].get_array()
    assert image.shape == (21, 21)
    assert (image == 0).sum() == 20
    with pytest.raises(InvalidInputError, match="needs a map with a concentration; that of NRCA1 has none"):
        dead_pixel_cutouts(DeadPixelMap.from_image(np.zeros((64, 64), bool), detector="A1"))


def test_cutouts_show_the_response(dead):
    response = np.where(DEAD, np.float32(0.5), np.float32(1))
    image = dead_pixel_cutouts(attrs.evolve(dead, response=response)).axes[0].images[0]
    assert (image.get_array() == 0.5).sum() == 20
    assert image.get_clim() == (0, 2)


def test_filters_in_rows_detectors_in_columns(dependences):
    figure = filter_grid(dependences)
    panels = [ax for ax in figure.axes if ax.images]
    shown = [ax for ax in panels if ax.get_title()]
    assert {ax.get_title() for ax in shown} == {"B1 F115W", "B1 F200W", "ALONG F277W", "ALONG F444W"}
    assert len({ax.images[0].get_clim() for ax in shown}) == 1
    rows = {ax.get_title().split()[1]: ax.get_subplotspec().rowspan.start for ax in shown}
    assert rows == {"F115W": 0, "F200W": 1, "F277W": 2, "F444W": 3}
    assert len({ax.get_subplotspec().colspan.start for ax in shown}) == 2
    figure = filter_grid(dependences, significance=True, half_range=4)
    assert next(ax for ax in figure.axes if ax.images).images[0].get_clim() == (-4, 4)


def test_each_pair_once(dependences):
    with pytest.raises(InvalidInputError, match="needs one FilterDependence of each detector and filter; got 2 of 1"):
        filter_grid(dependences[:1] * 2)
    with pytest.raises(InvalidInputError, match="got 0 of 0"):
        filter_grid([])


def test_the_trend(dependences):
    pair = [item for item in dependences if item.detector.name == "NRCALONG"]
    ax = Figure().subplots()
    artists = WavelengthTrend.from_dependences(pair).plot(ax=ax)
    assert len(artists) == 2
    assert ax.get_xlabel() == "pivot wavelength [µm]"
    assert ax.get_title() == "NRCALONG: filter / grey"
    np.testing.assert_allclose(artists[0].lines[0].get_ydata(), [100 * item.gradient.x for item in pair])
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert all("% per µm" in text and "±" in text for text in texts)


def test_a_dependence_plots_itself(dependences):
    artist = dependences[0].plot(ax=Figure().subplots())
    assert artist.axes.get_title() == f"{dependences[0].detector}: {dependences[0].label} / grey"
    assert isinstance(dependences[0], type(dependences[-1]))
    assert not isinstance(dependences[0], DeltaSkyflat)
