"""Figures of claw forecasts: on the axes given, with labels, limits, and what they should show."""

import numpy as np
import pytest
from astropy import units as u
from matplotlib.figure import Figure

from nircam_flats import ClawForecast, ClawSusceptibilityZone, PlannedPointing


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
