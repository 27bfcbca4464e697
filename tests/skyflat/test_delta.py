"""Delta skyflats: the injected change comes back, within its error, with an account of every exposure."""

import attrs
import numpy as np
import pytest
from astropy import units as u
from astropy.stats import mad_std
from astropy.table import QTable
from astropy.time import Time

from nircam_flats import (
    CombineStrategy,
    DeltaSkyflat,
    ExposureSet,
    FrameStack,
    InvalidInputError,
    NormalizedFrames,
    Segmentation,
    SigmaClippedMean,
    SigmaClippedMedian,
    testing,
)
from nircam_flats.kernels import box_influences
from nircam_flats.provenance import History


class Last(CombineStrategy):
    """The last frame, as it is."""

    def combine(self, stack):
        seen = np.isfinite(stack.values[-1])
        return stack.values[-1], np.full(seen.shape, stack.noise[-1]), seen


@pytest.fixture
def delta(exposures):
    return DeltaSkyflat.from_exposures(exposures)


class TestRecovery:
    """What was injected comes back within its error; the scale of a flat is a convention and taken out."""

    def test_the_flat_comes_back(self, exposures, flat, make_correction):
        """As in the second pass: the correction flattens the data, so that their scatter is noise alone."""
        delta = DeltaSkyflat.from_exposures(exposures, masks=Segmentation(), correction=make_correction(flat))
        assert not delta.good[:4].any()
        assert delta.good[4:].mean() > 0.999
        ratio = (delta.data / flat)[delta.good]
        ratio /= np.median(ratio)
        assert mad_std(ratio) == pytest.approx(np.median(delta.err[delta.good]), rel=0.05)
        pulls = (ratio - 1) / (delta.err / flat)[delta.good]
        assert 0.9 < mad_std(pulls) < 1.1
        assert np.abs(ratio - 1).max() < 6 * 0.01 / np.sqrt(3)  # no trace of the sources, five times the sky

    @pytest.mark.parametrize("strategy", [SigmaClippedMedian(), SigmaClippedMean()], ids=repr)
    @pytest.mark.parametrize("balance", [True, False])
    def test_errors_are_honest_where_frames_differ_and_are_masked(self, make_frames, flat, strategy, balance):
        rng = np.random.default_rng(5)
        noise = np.where(np.arange(14) % 2, 0.02, 0.035)
        values = flat * (1 + noise[:, None, None] * rng.standard_normal((14, *flat.shape)))
        values[rng.random(values.shape) < 0.25] = np.nan
        delta = DeltaSkyflat.from_frames(make_frames(values, noise), strategy=strategy, balance=balance)
        pulls = (delta.data / flat - 1) / (delta.err / flat)
        assert 0.9 < mad_std(pulls[delta.good]) < 1.1

    def test_balance_mends_levels(self, make_frames, flat):
        """Frames of wrong level, masked here and there: without balance the stack shows where."""
        rng = np.random.default_rng(6)
        scales = np.where(np.arange(8) < 4, 1.02, 0.98)[:, None, None]
        values = scales * flat * rng.normal(1, 0.005, (8, *flat.shape))
        values[:4, :, :44] = np.nan
        frames = make_frames(values, np.full(8, 0.005))
        for balance, least, most in ((True, 0, 0.004), (False, 0.015, 0.03)):
            ratio = DeltaSkyflat.from_frames(frames, balance=balance).data / flat
            assert least <= abs(np.median(ratio[:, 44:]) - np.median(ratio[:, :44])) < most


class TestCombination:
    @pytest.mark.parametrize("height", [20, 128, 129, 300])
    def test_bands_make_no_difference(self, make_frames, height):
        """Whatever the height, the bands that are combined at once give what the whole stack gives."""
        rng = np.random.default_rng(height)
        values = rng.normal(1, 0.03, (9, height, 37)).astype(np.float32)
        values[rng.random(values.shape) < 0.2] = np.nan
        noise = np.linspace(0.02, 0.04, 9)
        delta = DeltaSkyflat.from_frames(make_frames(values, noise), balance=False)
        data, err, n_used = SigmaClippedMedian()(FrameStack(values=values, noise=noise))
        np.testing.assert_array_equal(delta.data, data)
        np.testing.assert_array_equal(delta.err, err)
        np.testing.assert_array_equal(delta.n_used, n_used)
        assert delta.influences.shape == (9, -(-height // 32), 2)
        influences = box_influences(values, data, noise, delta.box_size, median_err=err)
        np.testing.assert_array_equal(delta.influences, influences)

    def test_n_used_counts_the_frames(self, make_frames):
        values = np.random.default_rng(7).normal(1, 0.01, (6, 40, 50))
        values[:4, :, :10] = np.nan
        values[:, :, 10:20] = np.nan
        values[0, :, 20:30] = np.inf
        delta = DeltaSkyflat.from_frames(make_frames(values, np.full(6, 0.01)), balance=False)
        expected = np.repeat([2, 0, 5, 6, 6], 10) * np.ones((40, 1), int)
        np.testing.assert_array_equal(delta.n_used, expected)
        np.testing.assert_array_equal(delta.good, expected > 0)
        for image in (delta.data, delta.err):
            np.testing.assert_array_equal(np.isnan(image), expected == 0)

    def test_a_strategy_of_the_user(self, exposures):
        frames = NormalizedFrames.from_exposures(exposures)
        delta = DeltaSkyflat.from_frames(frames, strategy=Last(), balance=False)
        np.testing.assert_array_equal(delta.data, frames.frames[-1].values)
        np.testing.assert_array_equal(delta.n_used, np.isfinite(frames.frames[-1].values))
        assert "combine: strategy=Last(), frames=6" in str(delta.history)

    def test_of_exposures_in_one_step(self, exposures):
        frames = NormalizedFrames.from_exposures(exposures, masks={})
        expected = DeltaSkyflat.from_frames(frames, strategy=SigmaClippedMean())
        found = DeltaSkyflat.from_exposures(exposures, strategy=SigmaClippedMean(), masks={})
        testing.assert_same(found, expected)

    def test_the_same_for_any_executor(self, exposures, delta, run_elsewhere):
        for executor in run_elsewhere:
            testing.assert_same(DeltaSkyflat.from_exposures(exposures, executor=executor), delta)

    def test_one_frame_is_not_enough(self, make_frames):
        with pytest.raises(InvalidInputError, match=r"NRCB4 needs at least 2 exposures .*; got 1: frame 0"):
            DeltaSkyflat.from_frames(make_frames(np.ones((1, 40, 40)), [0.01]))

    def test_one_frame_of_a_filter_is_not_enough(self, exposures, make_exposure):
        more = ExposureSet.from_exposures([*exposures[:3], make_exposure(8, filter="F150W")])
        frames = NormalizedFrames.from_exposures(more)
        assert len(DeltaSkyflat.from_frames(frames).influences) == 4
        with pytest.raises(InvalidInputError, match="at least 2 exposures"):
            DeltaSkyflat.from_frames(frames.where(filter="F150W"))


class TestFacts:
    def test_grey_and_one_filter(self, exposures, delta):
        assert delta.is_grey
        assert delta.label == "grey"
        assert [item.name for item in delta.filters] == ["F150W", "F200W"]
        assert delta.flat_names == {"F200W": "jwst_nircam_flat_9002.fits", "F150W": "jwst_nircam_flat_9001.fits"}
        one = DeltaSkyflat.from_exposures(exposures.where(filter="F200W"))
        assert not one.is_grey
        assert one.label == "F200W"
        assert list(one.flat_names) == ["F200W"]

    def test_dates(self, exposures, delta, make_exposure):
        assert delta.first_date == exposures[0].start
        assert delta.last_date == exposures[5].end
        some = [make_exposure(0, start=None), make_exposure(1, end=None), make_exposure(2)]
        delta = DeltaSkyflat.from_exposures(ExposureSet.from_exposures(some))
        assert (delta.first_date, delta.last_date) == (some[1].start, some[2].end)
        none = [attrs.evolve(one, start=None, end=None) for one in some]
        delta = DeltaSkyflat.from_exposures(ExposureSet.from_exposures(none))
        assert delta.first_date is delta.last_date is None

    def test_every_exposure_is_accounted_for(self, exposures, make_exposure):
        dark = make_exposure(9, sky=-0.1, start=None)
        subtracted = make_exposure(10, steps={"S_FLAT": "COMPLETE", "S_BKDSUB": "COMPLETE"})
        delta = DeltaSkyflat.from_exposures(ExposureSet.from_exposures([*exposures, dark, subtracted]))
        table = delta.exposures
        assert isinstance(table, QTable)
        assert list(table["used"]) == [True] * 6 + [False] * 2
        assert list(table["name"][:6]) == [one.name for one in exposures]
        rows = {row["name"]: row for row in table[6:]}
        assert "must be positive; got -0.1" in rows[dark.name]["reason"]
        assert "S_BKDSUB" in rows[subtracted.name]["reason"]
        assert list(table["reason"][:6]) == [""] * 6
        assert table["level"].unit == u.MJy / u.sr
        assert np.isfinite(table["level"][:6]).all()
        assert np.isnan(table["level"][6:]).all()
        assert len(delta.influences) == 6

    def test_history(self, delta):
        lines = str(delta.history).splitlines()
        assert lines[0].startswith("mask and normalise: masks=Segmentation(")
        assert lines[-1] == "combine: strategy=SigmaClippedMedian(max_iterations=5, n_sigma=3.0), frames=6"

    def test_contract(self, delta):
        testing.check_value(delta)
        assert not delta.good.flags.writeable


class TestFiles:
    def test_reads_back_what_it_wrote(self, delta, tmp_path):
        delta.write(tmp_path / "delta.fits")
        testing.assert_same(DeltaSkyflat.read(tmp_path / "delta.fits"), delta)

    def test_also_with_exposures_left_out_and_nothing_known(self, make_exposure, tmp_path):
        some = [make_exposure(i, start=None, end=None, flat_name=None) for i in range(3)]
        some.append(make_exposure(5, sky=-1, start=Time("2022-05-01T00:00:00"), flat_name=None))
        delta = DeltaSkyflat.from_exposures(ExposureSet.from_exposures(some))
        assert delta.flat_names == {"F200W": None}
        delta.write(tmp_path / "delta.fits")
        testing.assert_same(DeltaSkyflat.read(tmp_path / "delta.fits"), delta)

    def test_dates_to_the_microsecond(self, delta, tmp_path):
        delta = attrs.evolve(delta, first_date=Time("2022-05-01T10:00:00.123456"))
        delta.write(tmp_path / "delta.fits")
        back = DeltaSkyflat.read(tmp_path / "delta.fits")
        assert abs(back.first_date - delta.first_date) < 1 * u.ns

    def test_a_history_of_any_setting(self, delta, tmp_path):
        history = History().then("combine", strategy="x" * 300, empty="", number=3).then("nothing")
        delta = attrs.evolve(delta, history=history)
        delta.write(tmp_path / "delta.fits")
        testing.assert_same(DeltaSkyflat.read(tmp_path / "delta.fits").history, history)

    def test_never_over_a_file_unless_asked(self, delta, tmp_path):
        path = tmp_path / "delta.fits"
        delta.write(path)
        with pytest.raises(InvalidInputError, match="exists already"):
            delta.write(path)
        delta.write(path, overwrite=True)

    def test_other_files_are_refused(self, exposures, tmp_path):
        path = tmp_path / "some_cal.fits"
        attrs.evolve(exposures[0], program="01063").write(path)
        with pytest.raises(InvalidInputError, match=r"some_cal.fits: needed a DeltaSkyflat written by nircam_flats"):
            DeltaSkyflat.read(path)
