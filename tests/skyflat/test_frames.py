"""Frames: masked, divided by their level, and what cannot be used left out with its reason."""

import re

import attrs
import numpy as np
import pytest
from astropy import units as u
from astropy.stats import sigma_clipped_stats

from nircam_flats import (
    ExposureSet,
    FitError,
    InvalidInputError,
    MaskReason,
    MaskStrategy,
    NormalizedFrame,
    NormalizedFrames,
    Segmentation,
    SourceMask,
    testing,
)
from nircam_flats.kernels import expand_mesh
from nircam_flats.skyflat import BoxMasks, FrameLight


class Bright(MaskStrategy):
    """Every pixel above twice the median."""

    def find(self, data, good):
        return data > 2 * np.abs(np.nanmedian(data))


def in_memory(frame):
    """The frame with what a store keeps of it read."""
    return attrs.evolve(frame, values=frame.pixels[:], masked=frame.masked[:])


def same_frames(one, other):
    for frame, twin in zip(one.frames, other.frames, strict=True):
        testing.assert_same(in_memory(frame), in_memory(twin))
    assert [(item.name, item.reason) for item in one.excluded] == [(item.name, item.reason) for item in other.excluded]


def with_bad(exposures, **changes):
    """The exposures with a seventh that is spoilt."""
    bad = attrs.evolve(exposures[0], name="spoilt", start=None, end=None, **changes)
    return ExposureSet.from_exposures([*exposures, bad])


class TestOneFrame:
    def test_values_are_data_over_level(self, make_exposure):
        exposure = make_exposure(sources=[(30, 40, 5)])
        frame = NormalizedFrame.from_exposure(exposure, masks=Bright())
        masked = SourceMask.from_exposure(exposure, Bright()).masked
        assert masked[30, 40]
        assert masked[:4].all()
        np.testing.assert_array_equal(np.isnan(frame.values), masked)
        level = sigma_clipped_stats(exposure.data[~masked].astype(float), maxiters=5)[1]
        assert frame.level.value == pytest.approx(level, rel=1e-6)
        np.testing.assert_allclose(frame.values[~masked], exposure.data[~masked] / level, rtol=1e-6)
        assert frame.noise == frame.level.scatter / frame.level.value
        for fact in ("name", "detector", "filter", "flat_name", "start", "end"):
            assert getattr(frame, fact) is getattr(exposure, fact)

    def test_the_level_is_the_injected_one(self, make_exposure, flat):
        frame = NormalizedFrame.from_exposure(make_exposure(sky=0.3, sources=[(30, 40, 5)]), masks=Bright())
        assert frame.level.value == pytest.approx(0.3 * np.median(flat[4:]), rel=0.002)
        assert frame.level.unit == u.MJy / u.sr

    def test_a_correction_changes_level_and_mask_but_not_the_values(self, make_exposure, flat, make_correction):
        exposure = make_exposure(noise=0.004)
        step = np.where(np.arange(88) < 44, 1, 3) * np.ones((72, 1))
        exposure = attrs.evolve(exposure, data=exposure.data * step)
        corrected = NormalizedFrame.from_exposure(exposure, masks=Bright(), correction=make_correction(flat * step))
        assert np.isfinite(corrected.values[4:]).all()
        assert corrected.level.value == pytest.approx(0.3, rel=1e-3)
        assert corrected.noise == pytest.approx(0.004, rel=0.05)
        np.testing.assert_allclose(corrected.values[4:], exposure.data[4:] / corrected.level.value, rtol=1e-5)
        plain = NormalizedFrame.from_exposure(exposure, masks=Bright())
        assert np.isnan(plain.values[4:]).mean() > 0.1 or plain.level.value > 0.4

    def test_preprocess_comes_first(self, make_exposure):
        exposure = make_exposure()
        frame = NormalizedFrame.from_exposure(exposure, preprocess=lambda one: attrs.evolve(one, data=2 * one.data))
        plain = NormalizedFrame.from_exposure(exposure)
        assert frame.level.value == pytest.approx(2 * plain.level.value, rel=1e-6)
        np.testing.assert_allclose(frame.values, plain.values, rtol=1e-5)

    def test_contract(self, make_exposure):
        testing.check_value(NormalizedFrame.from_exposure(make_exposure()))


class TestMasks:
    @pytest.fixture
    def masked(self, exposures):
        """The pixels that `Bright` masks in each exposure, by name."""
        return {one.name: SourceMask.from_exposure(one, Bright()).masked for one in exposures}

    def test_all_ways_to_say_the_same(self, exposures, masked):
        expected = NormalizedFrames.from_exposures(exposures, masks=Bright())
        for masks in (
            masked,
            {name: SourceMask.from_array(flags, MaskReason.REGION) for name, flags in masked.items()},
            lambda exposure: masked[exposure.name],
            lambda exposure: SourceMask.from_exposure(exposure, Bright()),
            [Bright()],
            [Bright(), {}, lambda exposure: np.zeros(exposure.shape, bool)],
        ):
            same_frames(NormalizedFrames.from_exposures(exposures, masks=masks), expected)

    def test_segmentation_unless_said_otherwise(self, exposures):
        expected = NormalizedFrames.from_exposures(exposures, masks=Segmentation())
        same_frames(NormalizedFrames.from_exposures(exposures), expected)
        assert "masks=Segmentation(" in str(expected.history)

    def test_an_exposure_that_the_mapping_has_not_is_masked_where_it_is_bad(self, exposures):
        frames = NormalizedFrames.from_exposures(exposures, masks={exposures[0].name: np.zeros((72, 88), bool)})
        for frame, exposure in zip(frames.frames, exposures, strict=True):
            np.testing.assert_array_equal(np.isnan(frame.values), ~exposure.good)

    def test_a_list_masks_what_any_of_its_items_masks(self, exposures, masked):
        other = np.zeros((72, 88), bool)
        other[50:60, :10] = True
        name = exposures[1].name
        frames = NormalizedFrames.from_exposures(exposures, masks=(Bright(), {name: other}))
        np.testing.assert_array_equal(np.isnan(frames.frames[1].values), masked[name] | other)
        np.testing.assert_array_equal(np.isnan(frames.frames[2].values), masked[exposures[2].name])
        unmasked = NormalizedFrames.from_exposures(exposures, masks=[])
        assert np.isfinite(unmasked.frames[0].values[4:]).all()

    @pytest.mark.parametrize("masks", [np.zeros((72, 88), bool), "Segmentation", Segmentation, [Bright(), 3]])
    def test_other_things_are_refused(self, exposures, masks):
        with pytest.raises(InvalidInputError, match=r"masks must be a MaskStrategy, a mapping .*; got"):
            NormalizedFrames.from_exposures(exposures, masks=masks)

    def test_the_history_names_them_on_one_short_line(self, exposures, masked):
        def near_the_edge(exposure):
            return np.zeros(exposure.shape, bool)

        frames = NormalizedFrames.from_exposures(exposures, masks=[Bright(), masked, near_the_edge])
        line = str(frames.history)
        assert "masks=[Bright(), 6 masks by name, " in line
        assert "near_the_edge]" in line
        assert "\n" not in line
        assert " at 0x" not in line
        assert len(line) < 250

    def test_boxes_are_taken_away_later(self, exposures):
        frames = NormalizedFrames.from_exposures(exposures, masks={})
        name = exposures[3].name
        light = BoxMasks({name: np.array([[0, 1, 0], [0, 0, 0], [0, 0, 1]], bool)}, frames.shape)
        later = frames.without(light)
        for frame, before in zip(later.frames, frames.frames, strict=True):
            expected = np.isnan(before.values) | (light[name].masked if frame.name == name else False)
            np.testing.assert_array_equal(np.isnan(frame.rows(slice(30, 70))), expected[30:70])
            np.testing.assert_array_equal(np.isnan(frame.mesh), expected[4::32, 4::32])
            assert (frame.key == before.key) == (frame.name != name)
            np.testing.assert_array_equal(np.isnan(frame.values), expected)
            assert frame.level == before.level
        assert len(later.history.steps) == len(frames.history.steps) + 1


class TestLeftOut:
    """What is wrong with one exposure costs that exposure only; it is named, with the reason."""

    @pytest.mark.parametrize(
        ("changes", "masks", "reason"),
        [
            ({"data": np.full((72, 88), np.nan)}, None, "at least one good pixel is needed; all are bad"),
            ({"data": np.full((72, 88), np.inf)}, None, "at least one good pixel is needed; all are bad"),
            ({"dq": np.ones((72, 88), np.uint32)}, None, "at least one good pixel is needed; all are bad"),
            ({}, "all", "at least one pixel that is good and not masked; all 6336 are out"),
            ({}, "most", "at most 80% of the good pixels may be masked .*; got 82.4%"),
            ({"data": np.random.default_rng(1).normal(-0.1, 0.01, (72, 88))}, None, "must be positive; got -0.1"),
            (
                {"data": np.zeros((72, 88))},
                None,
                "must be positive; got 0 MJy / sr",
            ),
            ({"data": np.full((72, 88), 0.3)}, None, "must show some noise; got 0.3 MJy / sr in all pixels"),
            ({}, "wrong shape", r"its mask must have its shape, \(72, 88\); got \(2, 2\)"),
            ({}, "numbers", "3 dimensions|SourceMask.flags must be an array with 2 dimensions"),
            ({"exposure_type": "NRC_GRISM"}, None, "EXP_TYPE must be NRC_IMAGE"),
            ({"steps": {"S_FLAT": "COMPLETE", "S_BKDSUB": "COMPLETE"}}, None, "S_BKDSUB must not be COMPLETE"),
        ],
        ids=lambda item: item if isinstance(item, str) and " " not in item else "",
    )
    def test_reason(self, exposures, changes, masks, reason):
        rows = np.arange(72)[:, None] * np.ones(88)
        bad_masks = {
            None: {},
            "all": {"spoilt": rows >= 0},
            "most": {"spoilt": rows >= 16},
            "wrong shape": {"spoilt": np.zeros((2, 2), bool)},
            "numbers": {"spoilt": np.zeros((1, 2, 2))},
        }
        frames = NormalizedFrames.from_exposures(with_bad(exposures, **changes), masks=[Bright(), bad_masks[masks]])
        ((name, text),) = [(item.name, item.reason) for item in frames.excluded]
        assert name == "spoilt"
        assert "spoilt" not in text
        assert re.search(reason, text), text
        good = NormalizedFrames.from_exposures(exposures, masks=Bright())
        for frame, twin in zip(frames.frames, good.frames, strict=True):
            testing.assert_same(frame, twin)

    def test_masks_of_four_fifths_are_still_accepted(self, exposures):
        rows = np.arange(72)[:, None] * np.ones(88)
        masks = {exposures[0].name: rows >= 4 + 0.21 * 68}
        assert len(NormalizedFrames.from_exposures(exposures, masks=masks)) == 6

    def test_what_preprocess_refuses(self, exposures):
        def preprocess(exposure):
            if exposure.name.endswith("2_nrcb4"):
                raise InvalidInputError("too striped")
            return exposure

        frames = NormalizedFrames.from_exposures(exposures, preprocess=preprocess)
        assert [(item.name, item.reason) for item in frames.excluded] == [(exposures[2].name, "too striped")]
        assert "preprocess" in str(frames.history)

    def test_what_was_left_out_before_stays_listed(self, exposures):
        fewer = exposures.exclude(np.arange(6) == 1, "too bright")
        frames = NormalizedFrames.from_exposures(fewer)
        assert [item.reason for item in frames.excluded] == ["too bright"]

    def test_a_file_that_vanished(self, exposures, tmp_path):
        paths = [tmp_path / f"{one.name}_cal.fits" for one in exposures]
        for one, path in zip(exposures, paths, strict=True):
            attrs.evolve(one, program="01063").write(path)
        headers = ExposureSet.read(paths)
        paths[4].unlink()
        frames = NormalizedFrames.from_exposures(headers)
        assert [item.name for item in frames.excluded] == [exposures[4].name]
        assert "nothing there" in frames.excluded[0].reason
        assert str(tmp_path) not in frames.excluded[0].reason


class TestSetWide:
    """What is wrong with the set as a whole raises."""

    def test_several_detectors(self, exposures, make_exposure):
        mixed = ExposureSet.from_exposures([*exposures, make_exposure(7, detector="B3")])
        with pytest.raises(InvalidInputError, match="needed exposures of one detector; got NRCB3, NRCB4"):
            NormalizedFrames.from_exposures(mixed)

    def test_several_flats_in_a_filter(self, exposures, make_exposure):
        mixed = ExposureSet.from_exposures([*exposures, make_exposure(7, flat_name="other.fits")])
        with pytest.raises(InvalidInputError, match=r"must be divided by one flat .*9002.fits \(3 .*other.fits \(1"):
            NormalizedFrames.from_exposures(mixed)

    def test_a_single_exposure(self, exposures):
        with pytest.raises(InvalidInputError, match="at least two exposures that can be used; got 1 of 1"):
            NormalizedFrames.from_exposures(exposures[:1])

    def test_nothing_left(self, exposures):
        with pytest.raises(InvalidInputError, match=r"none is left: jw\S+: .*positive.*; jw\S+: "):
            NormalizedFrames.from_exposures(
                exposures, preprocess=lambda exposure: attrs.evolve(exposure, data=-exposure.data)
            )

    def test_a_correction_of_another_detector_or_shape(self, exposures, flat, make_correction):
        with pytest.raises(InvalidInputError, match="a fit of the exposures' detector NRCB4; got one of NRCB3"):
            NormalizedFrames.from_exposures(exposures, correction=make_correction(flat, "B3"))
        with pytest.raises(InvalidInputError, match=r"shape of the exposures, \(72, 88\); got \(88, 72\)"):
            NormalizedFrames.from_exposures(exposures, correction=make_correction(flat.T))

    def test_settings_that_are_none(self, exposures):
        with pytest.raises(InvalidInputError, match=r"correction must be a FlatModelFit, .*; got str"):
            NormalizedFrames.from_exposures(exposures, correction="fit.fits")
        with pytest.raises(InvalidInputError, match=r"memory_limit must be an amount of memory, 1 \* u.GiB, say"):
            NormalizedFrames.from_exposures(exposures, memory_limit=100)

    def test_a_correction_that_lacks_a_filter(self, exposures, flat, make_correction):
        with pytest.raises(InvalidInputError, match="a fit for each filter of the exposures, F150W, F200W; F150W has"):
            NormalizedFrames.from_exposures(exposures, correction={"F200W": make_correction(flat)})
        wrong = {"F200W": make_correction(flat), "F150W": make_correction(flat, "B3")}
        with pytest.raises(InvalidInputError, match="a fit of the exposures' detector NRCB4; got one of NRCB3"):
            NormalizedFrames.from_exposures(exposures, correction=wrong)

    def test_shapes_that_preprocess_made_different(self, exposures):
        def cut(exposure):
            keep = slice(None) if exposure.name.endswith("0_nrcb4") else slice(0, 60)
            return attrs.evolve(exposure, data=exposure.data[keep], dq=exposure.dq[keep])

        with pytest.raises(InvalidInputError, match=r"frames of one shape; got \[\(60, 88\), \(72, 88\)\]"):
            NormalizedFrames.from_exposures(exposures, preprocess=cut)


class TestCollection:
    @pytest.fixture
    def frames(self, exposures):
        return NormalizedFrames.from_exposures(exposures, masks=Bright())

    def test_facts(self, frames, exposures):
        assert len(frames) == 6
        assert frames.shape == (72, 88)
        assert [item.name for item in frames.filters] == ["F150W", "F200W"]
        assert frames.flat_names == {
            "F200W": "jwst_nircam_flat_9002.fits",
            "F150W": "jwst_nircam_flat_9001.fits",
        }
        assert [frame.name for frame in frames.frames] == [one.name for one in exposures]

    def test_where(self, frames, exposures):
        assert [frame.name for frame in frames.where(filter="F150W").frames] == [one.name for one in exposures[3:]]
        with pytest.raises(InvalidInputError, match="have no frame in F115W; they have F150W, F200W"):
            frames.where(filter="F115W")

    def test_table(self, frames):
        table = frames.table
        assert table["level"].unit == u.MJy / u.sr
        np.testing.assert_allclose(
            table["level"].to_value("MJy/sr"), [frame.level.value for frame in frames.frames], rtol=1e-12
        )
        assert list(table["filter"]) == ["F200W"] * 3 + ["F150W"] * 3
        assert table["start"][0] == "2022-05-01T10:00:00.123"
        assert np.all(table["noise"] > 0)
        assert np.all((table["masked_fraction"] > 0) & (table["masked_fraction"] < 0.05))

    @pytest.mark.parametrize("kept", [False, True], ids=["in memory", "in a store"])
    def test_each_filter_is_divided_by_its_own_correction(self, exposures, flat, make_correction, kept, tmp_path):
        """Also out of a store in which frames with another correction are."""
        store = tmp_path / "store" if kept else None
        fits = {"F200W": make_correction(flat), "F150W": make_correction(2 * flat)}
        frames = NormalizedFrames.from_exposures(exposures, masks=Bright(), correction=fits, store=store)
        one = NormalizedFrames.from_exposures(exposures, masks=Bright(), correction=fits["F200W"], store=store)
        ratios = [
            single.level.value / frame.level.value for single, frame in zip(one.frames, frames.frames, strict=True)
        ]
        np.testing.assert_allclose(ratios, [1] * 3 + [2] * 3, rtol=1e-6)
        both = dict.fromkeys(fits, fits["F200W"])
        same_frames(NormalizedFrames.from_exposures(exposures, masks=Bright(), correction=both, store=store), one)

    def test_what_filters_show_beyond_the_mean_of_all_frames(self, frames_of):
        """A gradient in one filter of three; the third has too few frames to tell its own."""
        rng = np.random.default_rng(4)
        shape, filters = (288, 288), ["F200W"] * 5 + ["F150W"] * 4 + ["F115W"] * 3
        x = (np.arange(shape[1]) + 0.5) / shape[1] - 0.5
        flats = {name: (1 + 0.06 * x**2) * (1 + 0.04 * x * (name == "F200W")) for name in filters}
        values = np.stack([flats[name] * rng.normal(1, 0.01, shape) for name in filters])
        frames = frames_of(list(values), filters, 0.01)
        found = frames.departures
        assert set(found) == {"F200W", "F150W"}
        middle = (np.arange(9) + 0.5) / 9 - 0.5
        for name, part in (("F200W", 7 / 12), ("F150W", -5 / 12)):
            departure = found[name][:, 1:-1] - 1  # at the edges boxes are smoothed on one side only
            np.testing.assert_allclose(departure, 0.04 * part * middle[None, 1:-1] * np.ones((9, 1)), atol=0.0012)
        assert frames.where(filter="F200W").departures == {}

    def test_bands_are_rows_of_the_stack(self, frames):
        stack = frames.band(slice(64, 96))
        assert stack.values.shape == (6, 8, 88)
        for number, frame in enumerate(frames.frames):
            np.testing.assert_array_equal(stack.values[number], frame.values[64:])
            assert stack.noise[number] == frame.noise

    def test_balance_takes_the_scales_of_frames_and_the_shapes_of_filters_away(self, make_frames, flat):
        """Frames of wrong level, and a filter with another gradient: balanced, all show the same, also in bands."""
        rng = np.random.default_rng(4)
        x = np.linspace(-0.5, 0.5, 88)
        scales = np.array([1.02, 0.98, 1.0, 1.01, 0.99, 1.0])
        own = np.where(np.arange(6) < 3, 0.02, -0.02)[:, None, None] * x
        values = scales[:, None, None] * flat * (1 + own) * rng.normal(1, 0.002, (6, 72, 88))
        frames = make_frames(values, np.full(6, 0.002), ["F200W"] * 3 + ["F150W"] * 3)
        balanced = frames.balanced()
        stack = balanced.band(slice(0, 72)).values
        assert np.ptp(np.median(values / flat, axis=(1, 2))) > 0.03
        assert np.ptp(np.median(stack / flat, axis=(1, 2))) < 0.002
        before, after = (np.ptp(np.median(each / flat, axis=1), axis=0)[10:-10].max() for each in (values, stack))
        assert after < 0.6 * before  # smooth over 7 boxes, of which such a small frame has 3
        np.testing.assert_array_equal(balanced.band(slice(32, 64)).values, stack[:, 32:64])

    def test_the_same_for_any_executor(self, exposures, frames, run_elsewhere):
        bad = with_bad(exposures, data=np.full((72, 88), 0.3))
        expected = NormalizedFrames.from_exposures(bad, masks=Segmentation())
        for executor in run_elsewhere:
            same_frames(NormalizedFrames.from_exposures(bad, masks=Segmentation(), executor=executor), expected)

    def test_contract(self, frames):
        testing.check_value(frames)

    def test_each_frame_has_a_name_of_its_own(self, frames):
        one = frames.frames[0]
        with pytest.raises(InvalidInputError, match=r"needs a name for each exposure, .*; 2 are called ''"):
            NormalizedFrames(detector=frames.detector, frames=[attrs.evolve(one, name="")] * 2)

    def test_frames_are_of_one_detector_and_shape(self, frames):
        one, other = frames.frames[:2]
        small = attrs.evolve(other, values=other.values[:32, :32])
        with pytest.raises(InvalidInputError, match=r"with one shape; got .* with shape .*, .* with shape"):
            NormalizedFrames(detector=frames.detector, frames=[one, small])
        with pytest.raises(InvalidInputError, match="needs frames of NRCA1 with one shape; got"):
            NormalizedFrames(detector="A1", frames=[one])

    def test_what_fails_for_an_exposure_costs_that_exposure(self, exposures):
        def failing(exposure):
            if exposure.name == exposures[1].name:
                raise FitError("no stripes found")
            return exposure

        frames = NormalizedFrames.from_exposures(exposures, preprocess=failing)
        assert [(item.name, item.reason) for item in frames.excluded] == [(exposures[1].name, "no stripes found")]
        assert len(frames) == len(exposures) - 1

    def test_exposures_in_other_units_are_left_out(self, exposures):
        other = attrs.evolve(exposures[0].load(), unit="kJy/sr", name="other", start=None, end=None)
        frames = NormalizedFrames.from_exposures(ExposureSet.from_exposures([*exposures, other]))
        (left_out,) = frames.excluded
        assert left_out.name == "other"
        assert "in MJy / sr; got" in left_out.reason


class TestLight:
    @pytest.fixture
    def frames(self, exposures):
        return NormalizedFrames.from_exposures(exposures, masks=lambda exposure: None)

    @pytest.fixture
    def light(self, frames):
        mesh = np.linspace(0, 0.05, 9).reshape(3, 3)
        return {frames.frames[0].name: FrameLight(mesh=mesh, box_size=32)}

    def test_is_subtracted_from_the_frames_it_is_in(self, frames, light):
        first, second = frames.minus(light).frames[:2]
        expected = frames.frames[0].values - light[first.name].rows(first.shape)
        np.testing.assert_allclose(first.values, expected, atol=1e-6)
        np.testing.assert_array_equal(second.values, frames.frames[1].values)
        assert first.mesh[0, 2] == pytest.approx(frames.frames[0].mesh[0, 2] - 0.0125, abs=0.004)
        assert first.key != frames.frames[0].key

    def test_replaces_other_light(self, frames, light):
        again = frames.minus(light).minus({})
        np.testing.assert_array_equal(again.frames[0].values, frames.frames[0].values)

    def test_is_divided_by_the_balance_like_the_frame(self, frames, light):
        balanced = frames.minus(light).balanced()
        one = balanced.frames[0]
        divisor = expand_mesh(one.balance.divisor, 32, one.shape)
        rows = slice(8, 40)
        np.testing.assert_allclose(balanced.band(rows).values[0], (one.values / divisor)[rows], rtol=1e-5)

    def test_masks_do_not_see_it(self, exposures):
        y, x = np.indices(exposures[0].shape)
        glow = np.exp(-0.5 * ((y - 36) ** 2 + (x - 44) ** 2) / 12**2).astype(np.float32)
        bright = attrs.evolve(exposures[0].load(), data=exposures[0].load().data * (1 + 0.2 * glow))
        both = ExposureSet.from_exposures([bright, exposures[1].load()])
        light = FrameLight(mesh=0.2 * glow[4::8, 4::8], box_size=8)
        seen = NormalizedFrames.from_exposures(both).frames[0].level
        known = NormalizedFrames.from_exposures(both, light={bright.name: light}).frames[0].level
        assert known.masked_fraction < seen.masked_fraction - 0.05
