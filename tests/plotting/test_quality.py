"""Contours, maps of errors and counts, profiles, sky levels."""

import attrs
import numpy as np
import pytest
from matplotlib.figure import Figure

from nircam_flats.kernels import box_medians
from nircam_flats.plotting import draw_change, draw_contours, draw_map, draw_sky_levels


@pytest.fixture
def ax():
    return Figure().subplots()


@pytest.fixture
def b1(made):
    return made.products[1]


class TestContours:
    def test_per_cent_and_dashed_below_one(self, ax):
        surface = 1 + 0.025 * np.linspace(-1, 1, 64) * np.ones((64, 1))
        contours = draw_contours(surface, ax=ax)
        np.testing.assert_allclose(contours.levels, [-2, -1, 0, 1, 2])
        assert {text.get_text() for text in contours.labelTexts} == {"-2 %", "-1 %", "0 %", "+1 %", "+2 %"}
        dashed = [style[1] is not None for style in contours.get_linestyles()]
        assert dashed == [True, True, False, False, False]
        assert contours.get_paths()[2].vertices[:, 0] == pytest.approx(31.5, abs=0.01)

    def test_large_surfaces_are_thinned_out_in_place(self, ax):
        surface = 1 + 0.025 * np.linspace(-1, 1, 512) * np.ones((512, 1))
        assert draw_contours(surface, ax=ax).get_paths()[2].vertices[:, 0] == pytest.approx(255.5, abs=0.1)

    def test_a_constant_surface_has_none(self, ax):
        assert draw_contours(np.ones((8, 8)), ax=ax) is None


class TestMap:
    def test_colours_run_over_what_is_there(self, ax):
        data = np.linspace(1, 3, 10_000).reshape(100, 100)
        data[0, 0] = np.nan
        artist = draw_map(data, ax=ax, title="t", label="frames")
        assert artist.get_clim() == pytest.approx((1.01, 2.99), abs=0.001)
        assert artist.cmap.name == "cividis"
        assert ax.get_title() == "t"
        assert ax.figure.axes[1].get_ylabel() == "frames"

    @pytest.mark.parametrize("data", [np.full((8, 8), 3), np.full((8, 8), np.nan)], ids=["constant", "nothing"])
    def test_no_range_and_no_values(self, ax, data):
        low, high = draw_map(data, ax=ax).get_clim()
        assert high > low


class TestChange:
    @pytest.mark.parametrize(("along", "axis", "name"), [("columns", 0, "x [px]"), ("rows", 1, "y [px]")])
    def test_before_and_after(self, ax, b1, along, axis, name):
        before, _ = draw_change(b1.grey, b1.fit, ax=ax, along=along)
        assert (ax.get_xlabel(), ax.get_ylabel()) == (name, "departure from flat [%]")
        np.testing.assert_allclose(before.get_xdata(), [15.5, 47.5, 79.5, 111.5])
        ramp = 1 + 0.001 * np.arange(4).repeat(32)
        data = np.where(b1.grey.good, ramp if axis == 0 else ramp[:, np.newaxis], np.nan)
        before, after = draw_change(attrs.evolve(b1.grey, data=data), b1.fit, ax=ax, along=along)
        np.testing.assert_allclose(before.get_ydata(), [-0.15, -0.05, 0.05, 0.15], atol=1e-4)
        residual = 100 * np.nanmean(box_medians(b1.fit.residual, 32)[0], axis=axis)
        np.testing.assert_allclose(after.get_ydata(), residual - residual.mean(), atol=1e-5)
        assert before.get_linestyle() != after.get_linestyle()

    def test_what_was_not_measured_is_left_open(self, ax, b1):
        data = b1.grey.data.copy()
        data[:, :32] = np.nan
        before, _ = draw_change(attrs.evolve(b1.grey, data=data), b1.fit, ax=ax)
        assert list(np.isnan(before.get_ydata())) == [True, False, False, False]


class TestSkyLevels:
    def test_a_symbol_for_each_filter_at_the_number_of_the_row(self, ax, b1):
        drawn = draw_sky_levels(b1.grey.exposures, ax=ax)
        assert [item.get_label() for item in drawn] == ["F115W", "F200W"]
        numbers = [item.lines[0].get_xdata() for item in drawn]
        assert sorted(np.concatenate(numbers)) == list(range(1, 13))
        for item, found in zip(drawn, numbers, strict=True):
            level = b1.grey.exposures["level"][found - 1].to_value("MJy / sr")
            np.testing.assert_array_equal(item.lines[0].get_ydata(), level)
        assert ax.get_ylabel() == "sky level [MJy/sr]"
        assert ax.get_ylim()[0] == 0
        assert len({item.lines[0].get_marker() for item in drawn}) == 2

    def test_left_out_ones_have_no_symbol(self, ax, b1):
        exposures = b1.grey.exposures.copy()
        exposures["used"][:] = [False] * 3 + [True] * 9
        drawn = draw_sky_levels(exposures, ax=ax)
        assert min(np.concatenate([item.lines[0].get_xdata() for item in drawn])) == 4
