"""Series of delta skyflats: as if stacked at once, only what is new is masked, and what changes is found."""

import numpy as np
import pytest
from astropy import units as u
from astropy.time import Time
from matplotlib import pyplot as plt

from nircam_flats import (
    DeadPixelMap,
    DeltaSkyflat,
    Exposure,
    ExposureSet,
    InvalidInputError,
    MaskStrategy,
    SkyflatSeries,
    SkyflatTrend,
)
from nircam_flats.kernels import box_means
from nircam_flats.skyflat.series import ORIGIN
from nircam_flats.testing import assert_same

SHAPE = (192, 224)
LENGTH = 90 * u.day
DRIFT = 0.008
"""A year, of the coefficient of x."""
STEP = 0.008
"""Of the coefficient of y, at the sixth epoch."""
DEAD = (100, 70)


class Counted(MaskStrategy):
    """Masks nothing; counts its calls."""

    calls = 0
    cache_key = "counted for the series"

    def find(self, data, good):
        Counted.calls += 1
        return np.zeros(data.shape, bool)


def exposure_of(epoch, number, *, drift=DRIFT, step=STEP, filter="F200W", detector="B1"):
    """An exposure in the middle of an epoch of a detector that drifts along x and jumps along y; one pixel dies."""
    rng = np.random.default_rng([epoch, number])
    start = ORIGIN + (epoch + 0.5) * LENGTH + number * u.hour
    y, x = (2 * (np.indices(SHAPE)[axis] + 0.5) / SHAPE[axis] - 1 for axis in (0, 1))
    flat = 1 + drift * (epoch + 0.5) * 90 / 365.25 * x + step * (epoch >= 5) * y
    flat[DEAD] = 0.3 if epoch >= 3 else 1.0
    flat[20, 30] = 0.2  # dead from the first
    return Exposure(
        data=rng.normal(0.3, 0.006, SHAPE) * flat,
        detector=detector,
        filter=filter,
        name=f"jw{epoch:02d}{number:03d}_{filter}".lower(),
        start=start,
        end=start + 10 * u.min,
        steps={"S_FLAT": "COMPLETE", "S_PHOTOM": "COMPLETE"},
        flat_name="ground.fits",
        exposure_type="NRC_IMAGE",
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Five exposures in each of eight epochs, in files."""
    folder, paths = tmp_path_factory.mktemp("series"), []
    for epoch in range(8):
        for number in range(5):
            exposure = exposure_of(epoch, number)
            paths.append(folder / f"{exposure.name}_cal.fits")
            exposure.write(paths[-1])
    return paths


@pytest.fixture(scope="module")
def series(files):
    return SkyflatSeries.from_exposures(ExposureSet.read(files), masks=Counted())


class TestAdd:
    def test_only_what_is_new_is_masked(self, files, series, tmp_path):
        shorter = SkyflatSeries.from_exposures(ExposureSet.read(files[:33]), masks=Counted(), store=tmp_path)
        calls, old = Counted.calls, {path.name for path in (tmp_path / "frames").iterdir()}
        longer = shorter.add(ExposureSet.read(files[33:]))
        assert Counted.calls == calls + 7
        assert len({path.name for path in (tmp_path / "frames").iterdir()} - old) == 2 * 7
        assert len(shorter) == 6
        assert len(longer) == 8
        for before, after in zip(shorter.epochs, longer.epochs[:6], strict=True):
            assert before is after
        for one, other in zip(longer.epochs, series.epochs, strict=True):
            assert_same(one, other)

    def test_in_any_order_and_one_by_one(self, files, series):
        grown = SkyflatSeries.from_exposures(ExposureSet.read(files[20:38]), masks=Counted())
        for path in (files[39], files[38]):
            grown = grown.add(ExposureSet.read(path))
        grown = grown.add(ExposureSet.read(files[:20]))
        for one, other in zip(grown.epochs, series.epochs, strict=True):
            assert_same(one, other)

    def test_what_is_there_already_is_left_out(self, files, series):
        again = series.add(ExposureSet.read(files[:3]))
        assert len(again.frames) == 40
        assert [item.reason for item in again.frames.excluded] == ["is in the series already"] * 3

    def test_a_later_session_takes_up_the_store(self, files, tmp_path):
        first = SkyflatSeries.from_exposures(ExposureSet.read(files[:35]), masks=Counted(), store=tmp_path)
        calls = Counted.calls
        again = SkyflatSeries.from_exposures(ExposureSet.read(files), masks=Counted(), store=tmp_path)
        assert Counted.calls == calls + 5
        for one, other in zip(first.epochs, again.epochs[:7], strict=True):
            assert_same(one, other)

    def test_another_detector_is_refused(self, series):
        with pytest.raises(InvalidInputError, match="one detector"):
            series.add(exposure_of(9, 0, detector="B2"))


class TestSpans:
    @pytest.mark.parametrize("span", [(7, 23), (0, 40), (38, 40)])
    @pytest.mark.parametrize("stored", [True, False])
    def test_as_if_stacked_at_once(self, files, tmp_path, span, stored):
        exposures = ExposureSet.read(files)
        store = tmp_path if stored else None
        series = SkyflatSeries.from_exposures(exposures[:20], masks=Counted(), store=store).add(exposures[20:])
        first, last = span
        end = exposures[last].start if last < 40 else None
        found = series.between(exposures[first].start, end)
        expected = DeltaSkyflat.from_exposures(exposures[first:last], masks=Counted())
        for name in ("data", "err", "n_used", "influences", "scatter"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
        assert list(found.exposures["name"]) == list(expected.exposures["name"])

    def test_thin_spans_and_epochs(self, files):
        exposures = ExposureSet.read(files)
        series = SkyflatSeries.from_exposures(exposures[:13], masks=Counted())
        assert list(series.table["n_exposures"]) == [5, 5, 3]
        assert list(series.table["combined"]) == [True, True, False]
        assert series.table["start"][0] == "2022-07-12"
        with pytest.raises(InvalidInputError, match=r"at least 2 exposures of NRCB1; from .* there are 1"):
            series.between(exposures[12].start)

    def test_exposures_without_a_date(self, files):
        exposures = ExposureSet.read(files[:8])
        undated = Exposure(
            data=np.ones(SHAPE), detector="B1", filter="F200W", name="no date", exposure_type="NRC_IMAGE"
        )
        series = SkyflatSeries.from_exposures(exposures + ExposureSet.from_exposures(undated), masks=Counted())
        (left_out,) = series.frames.excluded
        assert (left_out.name, len(series.frames)) == ("no date", 8)
        assert "when an exposure began" in left_out.reason
        with pytest.raises(InvalidInputError, match="there is none"):
            SkyflatSeries.from_exposures(ExposureSet.from_exposures(undated))

    @pytest.mark.parametrize("settings", [{"length": 0 * u.day}, {"min_exposures": 1}])
    def test_settings(self, files, settings):
        with pytest.raises(InvalidInputError, match="positive length and min_exposures from 2 on"):
            SkyflatSeries.from_exposures(ExposureSet.read(files[:5]), **settings)


class TestTrends:
    def test_drift_and_step_are_recovered(self, series):
        trend = series.coefficient_trend(degree=2)
        assert trend.names == ("P1(x) P0(y)", "P0(x) P1(y)", "P2(x) P0(y)", "P1(x) P1(y)", "P0(x) P2(y)")
        slope, err = trend.slope[0].to_value(1 / u.yr), trend.slope_err[0].to_value(1 / u.yr)
        assert abs(slope - DRIFT) < 4 * err
        assert err < DRIFT / 30
        (change,) = trend.changes()
        assert change["name"] == "P0(x) P1(y)"
        assert abs(change["step"] - STEP) < 4 * change["step_err"]
        assert (change["after"], change["before"]) == tuple(trend.dates[4:6].strftime("%Y-%m-%d"))

    def test_boxes(self, series):
        trend = series.box_trend()
        assert trend.mesh_shape == (6, 7)
        x = (2 * (32 * (np.arange(7) + 0.5)) / SHAPE[1] - 1)[None]
        slopes = trend.slope.to_value(1 / u.yr).reshape(6, 7)
        np.testing.assert_allclose(slopes.mean(axis=0), (DRIFT * x)[0], atol=4e-4)
        changes = trend.changes()
        assert 0 < len(changes) < 30
        assert set(changes["before"]) == {trend.dates[5].strftime("%Y-%m-%d")}

    def test_errors_are_honest(self, series):
        """Coefficients that do not change scatter by their errors."""
        trend = series.coefficient_trend(degree=3)
        quiet = [index for index, name in enumerate(trend.names) if name not in ("P1(x) P0(y)", "P0(x) P1(y)")]
        pulls = (trend.values - trend.values.mean(axis=0))[:, quiet] / trend.errors[:, quiet]
        assert 0.8 < np.sqrt(np.mean(pulls**2) * 8 / 7) < 1.2

    def test_errors_of_boxes_are_honest(self, series):
        y, x = (2 * (np.indices(SHAPE)[axis] + 0.5) / SHAPE[axis] - 1 for axis in (0, 1))
        squares = []
        for number, epoch in enumerate(series.epochs):
            flat = 1 + DRIFT * (number + 0.5) * 90 / 365.25 * x + STEP * (number >= 5) * y
            true = box_means(flat.astype(np.float32), 32)
            squares.append([(epoch.mesh - true / np.median(true)) ** 2, epoch.errors**2])
        found, claimed = np.mean(squares, axis=(0, 2, 3))
        assert np.sqrt(found / claimed) == pytest.approx(1, abs=0.12)

    def test_new_dead_pixels(self, series):
        table = series.new_dead_pixels(DeadPixelMap.from_delta)
        (row,) = table
        assert (row["y"].value, row["x"].value) == DEAD
        assert row["last_alive"] == row["first_dead"] == (ORIGIN + 3 * LENGTH).isot[:10]
        assert row["n_epochs"] == 5

    def test_epochs_of_other_filters_are_not_compared(self, files):
        others = [exposure_of(9, number, filter="F150W") for number in range(4)]
        mixed = SkyflatSeries.from_exposures(ExposureSet.read(files[:10]) + ExposureSet.from_exposures(others))
        with pytest.raises(InvalidInputError, match=r"got F150W and F200W: take series.where\(filter=...\)"):
            mixed.box_trend()
        assert len(mixed.where(filter="F200W")) == 2
        with pytest.raises(InvalidInputError, match="needs at least 2 epochs"):
            mixed.where(filter="F150W").coefficient_trend()
        with pytest.raises(InvalidInputError, match="degree of 1 or more"):
            mixed.where(filter="F200W").coefficient_trend(degree=0)


def trend_of(values, errors=None, **facts):
    dates = Time(60000 + 90 * np.arange(len(values)), format="mjd")
    errors = np.ones(np.shape(values)) if errors is None else errors
    names = [f"value {index}" for index in range(np.shape(values)[1])]
    return SkyflatTrend(detector="B1", label="F200W", names=names, dates=dates, values=values, errors=errors, **facts)


class TestChanges:
    def test_quiet_detectors_show_none(self):
        """100 detectors of 20 values: the false alarms are as few as asked for."""
        rng = np.random.default_rng(3)
        quiet = [trend_of(rng.standard_normal((16, 20))) for _ in range(100)]
        assert sum(len(trend.changes(false_alarm=0.01)) > 0 for trend in quiet) <= 5
        assert sum(len(trend.changes(false_alarm=0.9)) > 0 for trend in quiet) > 20

    def test_two_steps_on_a_slope(self):
        times = np.arange(24.0)
        values = 0.5 * times + 20 * (times >= 8) - 30 * (times >= 17)
        values = values[:, None] + np.random.default_rng(4).standard_normal((24, 1))
        changes = trend_of(values).changes()
        assert sorted(np.round(changes["step"] / 10)) == [-3, 2]
        assert (np.abs(changes["step"] - np.where(changes["step"] > 0, 20, -30)) < 4 * changes["step_err"]).all()

    def test_errors_that_are_too_small_are_made_larger(self):
        rng = np.random.default_rng(5)
        trend = trend_of(5 * rng.standard_normal((20, 30)))
        assert trend.scatter == pytest.approx(5, rel=0.15)
        assert len(trend.changes()) == 0

    def test_gaps(self):
        values = np.zeros((10, 2))
        values[6:, 0] = 30
        values[[1, 5], 0] = np.nan
        values[1:, 1] = np.nan
        trend = trend_of(values)
        (change,) = trend.changes()
        assert (change["after"], change["before"]) == tuple(trend.dates[[4, 6]].strftime("%Y-%m-%d"))
        assert np.isnan(trend.slope[1])
        assert list(trend.table["n_epochs"]) == [8, 1]

    def test_bad_input(self):
        with pytest.raises(InvalidInputError, match="false_alarm between 0 and 1; got 2"):
            trend_of(np.zeros((4, 1))).changes(false_alarm=2)
        with pytest.raises(InvalidInputError, match="must have the shape"):
            trend_of(np.zeros((4, 2)), np.zeros((3, 2)))
        with pytest.raises(InvalidInputError, match="dates in order"):
            SkyflatTrend(
                detector="B1",
                label="grey",
                names=["a"],
                dates=Time([2, 1], format="mjd"),
                values=np.zeros((2, 1)),
                errors=np.ones((2, 1)),
            )


class TestPlots:
    def test_lines(self):
        values = np.where(np.arange(8)[:, None] < 5, 0.0, [0.1, 0.0])
        trend = trend_of(values, np.full((8, 2), 0.001))
        _, ax = plt.subplots()
        artists = trend.plot(ax)
        assert [artist.get_label() for artist in artists] == ["value 0", "value 1"]
        assert ax.get_ylabel() == "coefficient less its mean [%]"
        assert ax.get_title() == "NRCB1 F200W"
        assert len([line for line in ax.lines if line.get_linestyle() == "--"]) == 1
        plt.close()

    def test_map(self):
        values = np.outer(np.arange(4), np.arange(6) / 90 * 365.25)
        artist = trend_of(values, mesh_shape=(2, 3)).plot()
        assert "change in a year" in artist.axes.get_title()
        shown = np.asarray(artist.get_array()).ravel()
        np.testing.assert_allclose(shown / shown[1], [0, 1, 2, 3, 4, 5], atol=1e-6)
        plt.close()
