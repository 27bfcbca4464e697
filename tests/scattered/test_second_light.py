"""Light of two parts whose strengths vary independently: both come out, and nothing else is taken for a second part."""

import attrs
import numpy as np
import pytest

from nircam_flats import CleanestExposures, FlatModelFit, InvalidInputError, SkyDecomposition, SmoothResponse
from nircam_flats.kernels import box_medians
from nircam_flats.report import peak_to_peak
from nircam_flats.scattered import _posterior, light_of
from nircam_flats.scattered._posterior import separate
from nircam_flats.testing import assert_same

STRENGTHS = np.array([0.62, 1.31, 0.95, 1.18, 0.74, 1.2, 0.85, 1.15])
BESIDE = np.array([1.3, 0.9, 0.5, 1.5, 1.4, 0.6, 1.2, 0.7])


@pytest.fixture(scope="module")
def make_pair(make_scene):
    def make(**options):
        return make_scene(**{"strengths": STRENGTHS, "beside": BESIDE, "stripes": 0.001} | options)

    return make


@pytest.fixture(scope="module")
def scene(make_pair):
    return make_pair()


@pytest.fixture(scope="module")
def parts(scene):
    return SkyDecomposition.from_frames(scene.frames())


def light_in(scene):
    """The light in each frame, shape (frames, rows, columns)."""
    return np.multiply.outer(scene.strengths, scene.wisp) + np.multiply.outer(scene.beside, scene.second)


def in_boxes(image):
    return box_medians(image.astype(np.float32), 16)[0].astype(float)


def left_in_the_light(parts, scene):
    """rms departure of the response from the truth where there is light, in boxes; and how many boxes are left out."""
    ratio = parts.delta.data / scene.response
    departures = in_boxes(ratio / np.nanmedian(ratio) - 1)[in_boxes(scene.wisp + scene.second) > 0.02]
    return np.sqrt(np.nanmean(departures**2)), np.isnan(departures).sum()


def second_of(scene, fields=None):
    frames = scene.frames()
    noise = [frame.noise for frame in frames.frames]
    return separate(frames.boxed(8).astype(float), noise, SmoothResponse(), fields).regression.second


def with_one_component(frames, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(_posterior, "second_light", lambda *_: None)
        return SkyDecomposition.from_frames(frames)


def test_light_that_varies_in_one_field_alone_is_of_that_field(make_pair):
    """A galaxy that dithers move, say."""
    fields = np.arange(8) % 2
    everywhere, of_one_field = make_pair(), make_pair(beside=np.where(fields, BESIDE, BESIDE[fields == 1].mean()))
    assert second_of(everywhere, fields) is not None
    assert second_of(of_one_field) is not None
    assert second_of(of_one_field, fields) is None


class TestTwoParts:
    def test_the_response_is_cleaner_than_with_one(self, make_pair, monkeypatch):
        left, left_out_of_one = [], 0
        for seed in range(3, 7):
            scene = make_pair(seed=seed)
            frames = scene.frames()
            one, missing = left_in_the_light(with_one_component(frames, monkeypatch), scene)
            parts = SkyDecomposition.from_frames(frames)
            two, left_out = left_in_the_light(parts, scene)
            assert two < 0.0015
            assert left_out == 0
            surface = FlatModelFit.from_delta(parts.delta).surface
            assert peak_to_peak(surface / scene.response, parts.delta.good, 16) < 0.002
            left.append((one, two))
            left_out_of_one += missing
        one, two = np.max(left, axis=0)
        assert two < one / 2
        assert left_out_of_one > 0

    def test_errors_cover_what_is_left(self, parts, scene):
        ratio = parts.delta.data / scene.response
        departures = in_boxes(ratio / np.nanmedian(ratio) - 1)
        err = np.hypot(in_boxes(parts.light_err), 1.25 * scene.noise / 16 / np.sqrt(len(STRENGTHS)))
        inside = in_boxes(scene.wisp + scene.second) > 0.02
        assert np.sqrt(np.mean((departures[inside] / err[inside]) ** 2)) < 1.3
        assert np.median(err[inside]) < 0.01

    def test_strengths_and_shape_are_within_their_errors(self, parts, scene):
        table, level = parts.strengths, np.mean(parts.strengths["level"].value)
        strengths, beside = np.asarray(table["strength"]), np.asarray(table["second"])
        assert (abs(beside.mean()), beside.std()) == pytest.approx((0, 1))
        light = light_in(scene).reshape(len(strengths), -1)
        design = np.column_stack([np.ones(len(strengths)), strengths - 1, beside])
        _, _, shape = np.linalg.lstsq(design, light, rcond=None)[0]  # what varies as `beside` does
        found = parts.second.data / level
        inside = in_boxes(parts.second.outline) == 1
        pulls = (in_boxes(found) - in_boxes(shape.reshape(scene.shape)))[inside] / in_boxes(parts.second.err)[inside]
        assert np.sqrt(np.mean((pulls * level) ** 2)) < 1.3
        assert np.abs(found).max() > 5 * np.median(parts.second.err[parts.second.outline]) / level
        both = np.column_stack([light.mean(axis=0), shape])
        expected = np.linalg.lstsq(both, light.T, rcond=None)[0]
        for true, name in zip(expected, ("strength", "second"), strict=True):
            pulls = (true - np.asarray(table[name])) / np.asarray(table[f"{name}_err"])
            assert np.sqrt(np.mean(pulls**2)) < 1.6
            assert np.max(table[f"{name}_err"]) < 0.1

    def test_each_frame_loses_both(self, parts, scene):
        frames = scene.frames()
        truth = light_in(scene) * scene.response
        inside = parts.second.outline
        for frame, light in zip(frames.frames, truth, strict=True):
            lost = parts.light[frame.name].rows(scene.shape) * frame.level.value
            assert np.std((lost - light)[inside]) < 0.1 * np.std(light[inside])
        assert light_of(frames).keys() == parts.light.keys()
        assert_same(light_of(frames)["F200W_3"], parts.light["F200W_3"])

    def test_it_is_told(self, parts):
        assert "A second light, whose strengths vary beside those of the first, is seen by frames" in parts.verdict
        assert parts.verdicts[0].kind == "additive"
        assert "multiplicative" not in {one.kind for one in parts.verdicts}
        assert parts.history.steps[-1].name == "decompose"

    def test_reads_back(self, parts, tmp_path):
        parts.write(tmp_path / "parts.fits")
        again = SkyDecomposition.read(tmp_path / "parts.fits")
        assert_same(again, parts)
        assert_same(again.second, parts.second)

    def test_cleanest_exposures(self, make_pair):
        strengths, beside = STRENGTHS.copy(), BESIDE.copy()
        strengths[4] = beside[4] = 0
        scene = make_pair(strengths=strengths, beside=beside)
        parts = SkyDecomposition.from_frames(scene.frames(), gauge=CleanestExposures())
        assert parts.second is not None
        assert left_in_the_light(parts, scene)[0] < 0.004

    def test_the_jackknife_knows_it(self, parts):
        inside = in_boxes(parts.second.data) > 0.5 * parts.second.data.max()
        of_light = np.sqrt(np.sum(parts.influences**2, axis=0)).repeat(2, axis=0).repeat(2, axis=1)
        beside = ~in_boxes(parts.second.outline).astype(bool)
        assert np.median(of_light[inside]) > 5 * np.median(of_light[beside])


class TestNoSecond:
    @pytest.mark.parametrize("stripes", [0.0, 0.003])
    @pytest.mark.parametrize("seed", range(1, 7))
    def test_one_shape(self, make_scene, seed, stripes):
        strengths = STRENGTHS if seed % 2 else STRENGTHS[:6]
        parts = SkyDecomposition.from_frames(make_scene(strengths=strengths, stripes=stripes, seed=seed).frames())
        assert parts.second is None
        assert "second" not in parts.strengths.colnames
        assert "second" not in parts.verdict

    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_one_odd_exposure(self, make_scene, seed):
        scene = make_scene(strengths=STRENGTHS, odd=0.05, seed=seed)
        assert SkyDecomposition.from_frames(scene.frames()).second is None

    def test_fewer_than_five_frames(self, make_pair):
        scene = make_pair(strengths=STRENGTHS[:4], beside=BESIDE[:4])
        assert SkyDecomposition.from_frames(scene.frames()).second is None

    def test_strengths_that_follow_the_first(self, make_pair):
        scene = make_pair(beside=STRENGTHS)
        assert SkyDecomposition.from_frames(scene.frames()).second is None


def test_a_gauge_that_gives_no_number_for_it(make_pair):
    class Broken(SmoothResponse):
        def fit(self, regression, light, misfit):
            return attrs.evolve(super().fit(regression, light, misfit), of_second=np.nan)

    with pytest.raises(InvalidInputError, match="must have a finite constant and surface"):
        SkyDecomposition.from_frames(make_pair().frames(), gauge=Broken())
