"""Response and light come apart again, with errors that cover what is left, or it is said that they cannot."""

import attrs
import numpy as np
import pytest
from scipy.ndimage import maximum_filter

from nircam_flats import (
    CleanestExposures,
    DeltaSkyflat,
    ExtendedLight,
    FlatModelFit,
    InvalidInputError,
    SkyDecomposition,
)
from nircam_flats.kernels import box_means, box_medians
from nircam_flats.report import peak_to_peak
from nircam_flats.scattered import light_of, without_light
from nircam_flats.testing import assert_same


@pytest.fixture(scope="module")
def scene(make_scene):
    return make_scene()


@pytest.fixture(scope="module")
def parts(scene):
    return SkyDecomposition.from_frames(scene.frames())


def departures(parts, truth, box_size=16):
    """Medians of found / true - 1 in boxes, and their claimed errors: of the light, which pixels share, and noise."""
    ratio = parts.delta.data / truth
    ratio = ratio / np.nanmedian(ratio) - 1
    found, scatter, kept = box_medians(ratio.astype(np.float32), box_size)
    return found, np.hypot(box_medians(parts.light_err, box_size)[0], 1.25 * scatter / np.sqrt(kept))


def four_boxes_at_the_peak(scene):
    """Boolean image of the box of 8 px that is brightest and three of its neighbours."""
    row, column = np.unravel_index(np.argmax(scene.wisp), scene.shape)
    where = np.zeros(scene.shape, bool)
    where[row // 8 * 8 :, column // 8 * 8 :][:16, :16] = True
    return where


class TestRecovery:
    def test_the_response_is_found_beneath_the_light(self, parts, scene):
        literal = DeltaSkyflat.from_frames(scene.frames())
        assert peak_to_peak(literal.data / scene.response, literal.good, 16) > 0.1
        assert peak_to_peak(parts.delta.data / scene.response, parts.delta.good, 16) < 0.012
        surface = FlatModelFit.from_delta(parts.delta).surface
        assert peak_to_peak(surface / scene.response, parts.delta.good, 16) < 0.004

    def test_errors_cover_what_is_left(self, parts, scene):
        found, err = departures(parts, scene.response)
        inside = box_medians(scene.wisp.astype(np.float32), 16)[0] > 0.02
        assert np.sqrt(np.mean((found[inside] / err[inside]) ** 2)) < 1.3
        assert np.median(err[inside]) < 0.02

    def test_strengths_are_found_up_to_their_mean(self, parts, scene):
        strengths = np.asarray(parts.strengths["strength"])
        pulls = (strengths - scene.strengths / scene.strengths.mean()) / parts.strengths["strength_err"]
        assert strengths.mean() == pytest.approx(1)
        assert np.abs(pulls).max() < 4
        assert np.max(parts.strengths["strength_err"]) < 0.04

    @pytest.mark.parametrize(("stripes", "width"), [(0.0, 1), (0.003, 1), (0.003, 3)])
    def test_errors_of_strengths_count_that_stripes_are_not_known(self, make_scene, stripes, width):
        pulls, errors = [], []
        for seed in range(11, 21):
            scene = make_scene(stripes=stripes, stripe_width=width, noise=0.05, seed=seed)
            table = SkyDecomposition.from_frames(scene.frames()).strengths
            departures = np.asarray(table["strength"]) - scene.strengths / scene.strengths.mean()
            pulls.append(departures / np.asarray(table["strength_err"]) * np.sqrt(len(table) / (len(table) - 1)))
            errors.append(np.median(table["strength_err"]))
        assert 0.75 < np.sqrt(np.mean(np.square(pulls))) < 1.25
        assert np.median(errors) < 0.02

    def test_how_much_of_the_light_a_frame_shows(self, scene):
        frames = scene.frames()
        hidden = np.zeros(scene.shape, bool)
        hidden[:, scene.shape[1] // 2 :] = True
        values = np.where(hidden, np.float32(np.nan), frames.frames[2].values)
        seen = [attrs.evolve(it, values=values) if number == 2 else it for number, it in enumerate(frames.frames)]
        table = SkyDecomposition.from_frames(attrs.evolve(frames, frames=seen)).strengths
        assert table["seen"][2] == pytest.approx(np.sum(scene.wisp[~hidden] ** 2) / np.sum(scene.wisp**2), abs=0.05)
        assert np.delete(np.asarray(table["seen"]), 2) == pytest.approx(1, abs=0.05)

    def test_the_light_is_a_template(self, parts, scene):
        expected = scene.wisp * scene.strengths.mean() * np.mean(parts.strengths["level"].value)
        wisp = parts.wisp
        assert (wisp.detector.label, wisp.filter.name) == ("B4", "F200W")
        assert not wisp.data[~wisp.outline].any()
        assert np.std((wisp.data - expected)[wisp.outline]) < 0.03 * expected.max()
        assert wisp.amplitude_err == pytest.approx(parts.identifiability.constant_err, rel=1e-6)

    def test_a_feature_of_the_response_beneath_the_light_stays_there(self, make_scene):
        scene = make_scene(multiplicative=(240, 200, 0.06), noise=0.02, shape=(512, 512))
        parts = SkyDecomposition.from_frames(scene.frames(), box_size=8)
        found, err = departures(parts, scene.response, 8)
        at = box_medians(scene.response.astype(np.float32), 8)[0] > 1.01
        assert at.sum() >= 8
        assert np.sqrt(np.mean((found[at] / err[at]) ** 2)) < 1.5
        assert np.abs(found[at]).mean() < 0.02
        (feature,) = [one for one in parts.verdicts if one.kind == "multiplicative" and one.excess > 0.02]
        assert np.hypot(feature.x - 200, feature.y - 240) < 10

    @pytest.mark.parametrize("seed", [1, 2])
    def test_errors_count_a_feature_that_the_frames_hardly_show(self, make_scene, seed):
        strengths = [0.85, 1.15, 0.9, 1.1, 1.05, 0.95]
        place = (240, 200, 0.06)
        scene = make_scene(multiplicative=place, strengths=strengths, noise=0.12, shape=(512, 512), seed=seed)
        parts = SkyDecomposition.from_frames(scene.frames(), box_size=8)
        found, err = departures(parts, scene.response, 8)
        at = box_medians((scene.response / make_scene(shape=scene.shape).response).astype(np.float32), 8)[0] > 1.015
        assert np.nanmax(np.abs(found[at])) > 0.03
        assert np.sqrt(np.nanmean((found[at] / err[at]) ** 2)) < 2

    def test_a_box_of_dead_pixels_does_not_make_the_light_around_it_dark(self, scene):
        dead = np.ones(scene.shape, np.float32)
        row, column = np.unravel_index(np.argmax(scene.wisp), scene.shape)
        dead[row // 8 * 8 :, column // 8 * 8 :][:8, :8] = 0.3
        frames = scene.frames()
        frames = attrs.evolve(frames, frames=[scaled(one, dead) for one in frames.frames])
        verdict = SkyDecomposition.from_frames(frames).verdicts[0]
        assert verdict.kind == "additive"
        assert verdict.excess == pytest.approx(0.15, rel=0.2)

    def test_levels_pulled_by_the_light_do_not_matter(self, scene, parts):
        frames = scene.frames()
        pulled = attrs.evolve(frames, frames=[scaled(one, 1 + 0.01 * n) for n, one in enumerate(frames.frames)])
        again = SkyDecomposition.from_frames(pulled)
        np.testing.assert_allclose(again.strengths["strength"], parts.strengths["strength"], atol=0.002)

    def test_the_jackknife_knows_the_light(self, parts, scene):
        assert parts.influences.shape == parts.delta.influences.shape
        inside = box_medians(scene.wisp.astype(np.float32), 32)[0] > 0.02
        of_light = np.sqrt(np.sum(parts.influences**2, axis=0))
        outside = box_means(parts.wisp.outline, 32) == 0
        assert of_light[inside].min() > 5 * of_light[outside].max()


def scaled(frame, factor):
    return attrs.evolve(frame, values=frame.values * np.float32(factor))


class TestGaugeOfCleanestExposures:
    def test_light_that_is_off_in_one_frame_needs_no_smoothness(self, make_scene):
        scene = make_scene(strengths=[0.0, 1.5, 0.8, 1.2, 0.9, 1.6])
        parts = SkyDecomposition.from_frames(scene.frames(), gauge=CleanestExposures())
        assert parts.identifiability.determined
        assert "cleanest exposure holds none of the light" in parts.verdict
        strengths = np.asarray(parts.strengths["strength"])
        assert abs(strengths[0]) < 4 * parts.strengths["strength_err"][0]
        assert peak_to_peak(parts.delta.data / scene.response, parts.delta.good, 16) < 0.02

    def test_negative_strengths_stay_negative(self, make_scene):
        scene = make_scene(strengths=[-0.4, 1.5, 0.8, 1.2, 0.9, 1.6])
        parts = SkyDecomposition.from_frames(scene.frames())
        expected = -0.4 / scene.strengths.mean()
        assert parts.strengths["strength"][0] == pytest.approx(expected, abs=0.1)
        assert parts.strengths["strength_err"][0] > 0


@pytest.fixture(scope="module")
def alike(make_scene):
    scene = make_scene(strengths=np.ones(6))
    return scene, SkyDecomposition.from_frames(scene.frames())


class TestWhatCannotBeTold:
    @pytest.mark.parametrize("gauge", ["smooth", CleanestExposures], ids=str)
    def test_a_gauge_that_is_none(self, make_scene, gauge):
        with pytest.raises(InvalidInputError, match=r"SkyDecomposition needs a Gauge, SmoothResponse\(\), say; got"):
            SkyDecomposition.from_frames(make_scene().frames(), gauge=gauge)

    def test_strengths_that_follow_the_sky_are_said_not_to_tell(self, alike):
        _, parts = alike
        assert not parts.identifiability.determined
        assert parts.wisp is None
        assert "Light and response cannot be told apart" in parts.verdict
        assert "less than 4 times its error" in parts.verdict
        assert "left out of the response" in parts.verdict
        assert {one.kind for one in parts.verdicts} == {"undecided"}

    def test_the_outline_is_left_out_and_the_fit_goes_across(self, alike):
        scene, parts = alike
        assert not parts.delta.good[scene.wisp > 0.02].any()
        assert parts.delta.good[:24].all()
        surface = FlatModelFit.from_delta(parts.delta).surface
        assert peak_to_peak(surface / scene.response, np.ones(scene.shape, bool), 16) < 0.01

    def test_nothing_there(self, make_scene):
        scene = make_scene()
        scene.wisp = np.zeros(scene.shape)
        frames = scene.frames()
        parts = SkyDecomposition.from_frames(frames)
        assert parts.wisp is None
        assert parts.verdicts == ()
        assert parts.light == {}
        assert parts.verdict.startswith("Nothing stands out")
        np.testing.assert_array_equal(parts.delta.data, DeltaSkyflat.from_frames(frames).data)

    def test_light_of_one_field_in_three_is_left_to_its_masks(self, make_scene):
        scene = make_scene(strengths=[1.0, 1.2, 0.9, *np.zeros(6)])
        frames = scene.frames()
        assert not SkyDecomposition.from_frames(frames).outline.any()
        masks = ExtendedLight()(frames)
        bright = scene.wisp > 0.5 * scene.wisp.max()
        for number, frame in enumerate(frames.without(masks).frames):
            masked = np.isnan(frame.values[bright]).mean()
            assert masked > 0.9 if number < 3 else masked == 0

    def test_a_wisp_that_is_masked_everywhere(self, make_scene):
        scene = make_scene()
        parts = SkyDecomposition.from_frames(scene.frames(masked=scene.wisp > 1e-3))
        assert not parts.identifiability.determined
        assert not parts.delta.good[scene.wisp > 0.02].any()

    def test_a_frame_that_is_masked_all_over(self, scene):
        frames = scene.frames()
        nothing = np.full(scene.shape, np.float32(np.nan))
        hidden = [attrs.evolve(it, values=nothing) if number == 2 else it for number, it in enumerate(frames.frames)]
        with pytest.raises(InvalidInputError, match="F200W_2 are masked all over: leave them out"):
            SkyDecomposition.from_frames(attrs.evolve(frames, frames=hidden))

    def test_what_no_frame_saw_has_the_light_of_its_surroundings(self, make_scene):
        """Not 0 with the error of a box that all saw, which would be a hole in the wisp."""
        scene = make_scene()
        hidden = four_boxes_at_the_peak(scene)
        parts = SkyDecomposition.from_frames(scene.frames(masked=hidden))
        light = parts.wisp.data / np.mean(parts.strengths["level"].value)
        truth = scene.wisp * scene.strengths.mean()
        inside = light[hidden].mean() / truth[hidden].mean()
        assert inside == pytest.approx(1, abs=0.25)
        around = maximum_filter(hidden, 33) & ~hidden
        assert np.abs(light - truth)[around].max() < 0.04
        assert (parts.light_err[hidden] > 0.3 * truth[hidden]).mean() > 0.8
        assert np.isnan(parts.evidence.image[hidden]).all()

    def test_few_frames_mean_large_errors(self, make_scene):
        scene = make_scene()
        hidden = four_boxes_at_the_peak(scene)
        frames, masked = scene.frames(), scene.frames(masked=hidden)
        whole = SkyDecomposition.from_frames(frames)
        once = attrs.evolve(frames, frames=(frames.frames[0], *masked.frames[1:]))
        parts = SkyDecomposition.from_frames(once)
        assert parts.light_err[hidden].min() > 1.3 * np.median(whole.evidence.excess_err)

    @pytest.mark.parametrize("box_size", [0, 2.5, 300])
    def test_boxes_of_no_use(self, scene, box_size):
        with pytest.raises(InvalidInputError, match=r"needs a box_size of 1 to 32 pixels, 8 boxes along a side; got"):
            SkyDecomposition.from_frames(scene.frames(), box_size=box_size)

    def test_more_clean_exposures_than_there_are(self, scene):
        with pytest.raises(InvalidInputError, match=r"n of at most the \d+ exposures that show the light; got n=100"):
            SkyDecomposition.from_frames(scene.frames(), gauge=CleanestExposures(n=100))

    def test_fewer_than_three_frames(self, make_scene):
        frames = make_scene(strengths=[1.0, 0.7]).frames()
        with pytest.raises(InvalidInputError, match=r"NRCB4 F200W needs at least 3 frames to see light vary; got 2"):
            SkyDecomposition.from_frames(frames)

    def test_several_filters(self, scene):
        frames = scene.frames()
        both = attrs.evolve(frames, frames=(*frames.frames, *scene.frames("F115W").frames))
        with pytest.raises(InvalidInputError, match=r"one filter, .*; got F115W, F200W: take frames.where"):
            SkyDecomposition.from_frames(both)


class TestLightOfFrames:
    def test_is_that_of_the_decomposition(self, parts, scene):
        light = light_of(scene.frames())
        assert light.keys() == parts.light.keys()
        for name, item in light.items():
            assert_same(item, parts.light[name])

    def test_frames_without_it_are_the_response(self, parts, scene):
        cleaned = parts.taken_out_of(scene.frames())
        ratio = cleaned.frames[1].values / scene.response
        assert np.nanstd(box_medians(ratio.astype(np.float32), 16)[0]) < 0.006

    def test_other_filters_keep_theirs(self, parts, scene):
        others = scene.frames("F115W")
        assert all(frame.light is None for frame in parts.taken_out_of(others).frames)

    def test_frames_that_it_does_not_belong_to(self, make_scene, parts):
        with pytest.raises(InvalidInputError, match=r"needs frames of NRCB4 with shape \(256, 256\); got NRCB4 with"):
            parts.taken_out_of(make_scene(shape=(128, 128)).frames())
        with pytest.raises(InvalidInputError, match=r"taken_out_of needs NormalizedFrames; got str"):
            parts.taken_out_of("x")

    def test_a_frame_that_hardly_shows_the_light_has_no_strength(self, make_scene):
        scene = make_scene()
        frames = scene.frames()
        hidden = scene.wisp > 0.02
        values = np.where(hidden, np.float32(np.nan), frames.frames[2].values * (1 + 0.02 * (scene.wisp > 0.003)))
        seen = [attrs.evolve(it, values=values) if number == 2 else it for number, it in enumerate(frames.frames)]
        frames = attrs.evolve(frames, frames=seen)
        parts = SkyDecomposition.from_frames(frames)
        row = parts.strengths[2]
        assert not row["used"]
        assert "shows less than 20% of the light" in row["reason"]
        assert np.isnan(row["strength"])
        others = np.delete(np.arange(len(scene.strengths)), 2)
        strengths = scene.strengths[others] / scene.strengths[others].mean()
        pulls = (np.asarray(parts.strengths["strength"])[others] - strengths) / parts.strengths["strength_err"][others]
        assert np.abs(pulls).max() < 4
        cleaned = parts.taken_out_of(frames)
        assert np.isnan(cleaned.frames[2].values[scene.wisp > 0.005]).all()
        assert np.isfinite(cleaned.frames[1].values[scene.wisp > 0.005]).mean() > 0.9

    def test_a_grey_delta_counts_the_errors_of_all_filters(self, parts, scene):
        frames = scene.frames()
        both = attrs.evolve(frames, frames=(*frames.frames, *scene.frames("F115W").frames))
        other = SkyDecomposition.from_frames(both.where(filter="F115W"))
        cleaned = other.taken_out_of(parts.taken_out_of(both))
        assert all(frame.light is not None for frame in cleaned.frames)
        plain = DeltaSkyflat.from_frames(cleaned)
        grey = without_light(plain, cleaned, [parts, other])
        inside = scene.wisp > 0.05
        assert peak_to_peak(grey.data / scene.response, grey.good, 16) < 0.012
        np.testing.assert_allclose(grey.err[~parts.wisp.outline], plain.err[~parts.wisp.outline], rtol=0.2)
        assert np.median(grey.err[inside] ** 2 - plain.err[inside] ** 2) > 0


class TestFile:
    @pytest.mark.parametrize("strengths", [None, np.ones(6)], ids=["light", "undecided"])
    def test_reads_back(self, make_scene, tmp_path, strengths):
        scene = make_scene() if strengths is None else make_scene(strengths=strengths)
        parts = SkyDecomposition.from_frames(scene.frames())
        parts.write(tmp_path / "parts.fits")
        assert_same(SkyDecomposition.read(tmp_path / "parts.fits"), parts)

    def test_something_else(self, tmp_path, parts):
        parts.delta.write(tmp_path / "delta.fits")
        with pytest.raises(InvalidInputError, match=r"needed a SkyDecomposition written by nircam_flats"):
            SkyDecomposition.read(tmp_path / "delta.fits")


def test_plot(parts):
    artist = parts.plot()
    assert artist.axes.get_title() == "NRCB4 F200W: flat or light?"
    low, high = artist.get_clim()
    assert low == -high
    assert artist.get_array().max() > 9
