"""Figures of claw forecasts: on the axes given, with labels, limits, and what they should show."""

from types import SimpleNamespace

import numpy as np
import pytest
from astropy import units as u
from matplotlib.figure import Figure

from nircam_flats import (
    ClawForecast,
    ClawSusceptibilityZone,
    Exposure,
    ExposureSet,
    InvalidInputError,
    PlannedPointing,
    plotting,
)
from nircam_flats.simulation.geometry import FrameGeometry


@pytest.fixture(scope="module")
def forecast():
    place = {"ra": 124.1 * u.deg, "dec": 19.2 * u.deg, "v2": -148 * u.arcsec, "v3": -432 * u.arcsec}
    return ClawForecast.from_pointings(PlannedPointing(**place), filters=["F150W", "F200W"])


@pytest.fixture
def ax():
    return Figure().subplots()


def test_a_line_for_each_module_and_filter(forecast, ax):
    lines = forecast.plot(ax=ax)
    assert [line.get_label() for line in lines] == [
        *("F150W, module A", "F200W, module A"),
        *("F150W, module B", "F200W, module B"),
    ]
    np.testing.assert_array_equal(lines[3].get_ydata(), forecast.flux[1, 1, 0])
    assert lines[0].get_color() == lines[2].get_color() != lines[1].get_color()
    assert lines[0].get_linestyle() != lines[2].get_linestyle()
    assert ax.get_xlim() == (0, 360)
    assert ax.get_xlabel() == "position angle of V3 at the aperture [deg]"
    assert ax.get_ylabel() == "flux in a claw [DN/s/px]"
    assert not ax.patches


def test_limits_and_clear_ranges_are_drawn(forecast, ax):
    limit = 0.02 * u.MJy / u.sr
    lines = forecast.plot(ax=ax, limit=limit, linewidth=3)
    assert {line.get_linewidth() for line in lines} == {3}
    heights = [line.get_ydata()[0] for line in ax.lines if line not in lines]
    assert heights == pytest.approx([0.02 / 2.299, 0.02 / 1.946])
    spans = sorted((patch.get_x(), patch.get_x() + patch.get_width()) for patch in ax.patches)
    clear = forecast.claw_free_angles(limit)
    assert clear.contains(0)  # so one range is drawn as two
    assert len(spans) == len(clear) + 1
    assert sum(end - start for start, end in spans) == pytest.approx(clear.width.to_value(u.deg))


def test_a_zone_is_drawn_as_an_observer_looks_at_it(forecast, ax):
    zone = ClawSusceptibilityZone.default("B")
    stars = forecast.contributions(172 * u.deg, "F200W", "B")
    artist = zone.plot(ax=ax, stars=stars, cmap="viridis")
    assert artist.cmap.name == "viridis"
    left, right = ax.get_xlim()
    assert left > right
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("V2 [deg]", "V3 [deg]", "module B")
    np.testing.assert_allclose(artist.get_array(), zone.intensity_map)
    np.testing.assert_allclose(ax.lines[0].get_xydata(), zone.outline.to_value(u.deg))
    dots = ax.collections[1]
    np.testing.assert_allclose(dots.get_offsets()[0], [stars["v2"][0].value, stars["v3"][0].value])
    assert dots.get_sizes()[0] == dots.get_sizes().max()
    assert ax.texts[0].get_text() == stars["name"][0]


def test_a_zone_is_drawn_without_stars(forecast, ax):
    zone = ClawSusceptibilityZone.default("A")
    zone.plot(ax=ax, stars=forecast.contributions(172 * u.deg, "F200W", "A")[:0])
    assert len(ax.collections) == 1


def turned(roll, *, name, claw=0.0, shape=(256, 256), **facts):
    """An exposure of a sky of 2 MJy/sr at a roll, with a bright lower half and a dead pixel; named."""
    geometry = FrameGeometry(detector="B1", shape=shape)
    data = np.full(shape, 2, np.float32)
    data[:64] *= 1 + claw
    dq = np.zeros(shape, np.uint32)
    data[200, 200], dq[200, 200] = 1e6, 1
    pointing = geometry.pointing(124.1, 19.2, roll)
    usual = {"data": data, "dq": dq, "detector": "B1", "filter": "F200W", "pointing": pointing}
    return Exposure(name=name, **(usual | facts))


class TestSequence:
    def test_exposures_stand_in_the_order_of_their_angles(self):
        rolls = (200.0, 20.0, 120.0)
        exposures = ExposureSet.from_exposures(turned(roll, name=f"at {roll:g}", claw=roll / 1e3) for roll in rolls)
        figure = exposures.plot(half_range=0.3)
        images = [ax.images[0] for ax in figure.axes if ax.images]
        angles = [float(image.axes.get_title().split("°")[0]) for image in images]
        assert angles == sorted(angles)
        brightest = [float(image.get_array().max()) for image in images]
        np.testing.assert_allclose(brightest, [1.02, 1.12, 1.2], rtol=1e-5)
        assert {image.get_clim() for image in images} == {(0.7, 1.3)}
        assert images[0].get_extent() == [-0.5, 255.5, -0.5, 255.5]
        assert figure.axes[-1].get_ylabel() == "sky brightness / sky level"
        assert "position angle of V3" in figure.get_suptitle()

    def test_titles_say_what_was_predicted(self):
        exposures = [turned(roll, name=f"at {roll:g}") for roll in (230.0, 235.0)]
        forecast = ClawForecast.from_pointings(exposures, filters=["F200W"])
        figure = plotting.claw_sequence(exposures, forecast=forecast, half_range=0.1)
        expected = [f"predicted {row['brightness'].value / 2:.1%}" for row in forecast.predicted]
        assert [ax.get_title().split("\n")[1] for ax in figure.axes if ax.images] == expected

    def test_correction_takes_the_flat_out(self):
        surface = np.ones((256, 256), np.float32)
        surface[:64] = 1.1
        exposures = [turned(roll, name=str(roll), claw=0.1) for roll in (20.0, 30.0)]
        figure = plotting.claw_sequence(exposures, correction=SimpleNamespace(surface=surface))
        for image in (ax.images[0] for ax in figure.axes if ax.images):
            np.testing.assert_allclose(image.get_array(), 1, rtol=1e-6)

    def test_what_cannot_be_drawn_is_refused(self):
        one = turned(20.0, name="one")
        with pytest.raises(InvalidInputError, match="one detector; got none"):
            plotting.claw_sequence([])
        with pytest.raises(InvalidInputError, match=r"got NRCB1, NRCB2; choose with exposures\.where"):
            plotting.claw_sequence([one, turned(20.0, name="two", detector="B2")])
        with pytest.raises(InvalidInputError, match="1 have none, the first is lost"):
            plotting.claw_sequence([one, turned(20.0, name="lost", pointing=None)])
        with pytest.raises(InvalidInputError, match="needs exposures with a sky; that of dark is 0"):
            plotting.claw_sequence([one, turned(20.0, name="dark", data=np.zeros((256, 256)))])
