"""Verdicts: what is decided is right, and as often decided as the noise allows."""

import numpy as np
import pytest

from nircam_flats import InvalidInputError, LightEvidence, SkyDecomposition
from nircam_flats.scattered.evidence import DECISIVE, decided_share

SHAPE = (64, 64)


def evidence(excess, varying, *, err=0.005, **settings):
    """Evidence on a mesh of 8 x 8 boxes with the same error everywhere."""
    mesh = np.zeros(np.shape(excess) or (8, 8))
    defaults = {
        "excess": mesh + excess,
        "excess_err": mesh,
        "varying": mesh + varying,
        "varying_err": mesh + err,
        "stripe_err": mesh,
        "light": mesh,
        "constant_err": 0.0,
        "box_size": 8,
        "shape": SHAPE,
        "rests_on": "nothing",
    }
    return LightEvidence(**(defaults | settings))


@pytest.fixture
def blob():
    where = np.zeros(SHAPE, bool)
    where[16:32, 24:40] = True  # 4 boxes
    return where


def in_boxes(where, value):
    mesh = np.zeros((8, 8))
    mesh[2:4, 3:5] = value
    return mesh


class TestJudge:
    def test_what_varies_is_light(self, blob):
        verdict = evidence(in_boxes(blob, 0.02), in_boxes(blob, 0.02)).judge(blob)
        assert verdict.kind == "additive"
        assert verdict.fraction == pytest.approx(1)
        assert verdict.fraction_err == pytest.approx(0.005 / 0.02 / 2)
        assert verdict.delta_chi2 == pytest.approx(64)
        assert verdict.expected == pytest.approx(64)
        assert (verdict.x, verdict.y, verdict.n_pixels) == (31.5, 23.5, 256)
        assert str(verdict) == verdict.sentence
        assert "is light: 100% +- 12% of it varies as the light does" in verdict.sentence
        assert verdict.sentence.endswith("that rests on the assumption that nothing.")

    def test_no_region(self, blob):
        with pytest.raises(InvalidInputError, match=r"needs a region of at least one pixel; none is True"):
            evidence(in_boxes(blob, 0.02), 0.0).judge(blob & False)

    def test_what_does_not_vary_is_response(self, blob):
        verdict = evidence(in_boxes(blob, 0.02), 0.0).judge(blob)
        assert verdict.kind == "multiplicative"
        assert verdict.delta_chi2 == pytest.approx(-64)

    def test_noise_leaves_it_undecided(self, blob):
        verdict = evidence(in_boxes(blob, 0.02), in_boxes(blob, 0.02), err=0.02).judge(blob)
        assert verdict.kind == "undecided"
        assert verdict.expected == pytest.approx(4)
        assert "(evidence +4.0, 4.0 expected, 9 needed)" in verdict.sentence

    def test_both_in_one_place_is_undecided(self, blob):
        verdict = evidence(in_boxes(blob, 0.02), in_boxes(blob, 0.012), err=0.001).judge(blob)
        assert verdict.kind == "undecided"
        assert "light and response in one place" in verdict.sentence

    def test_a_dark_structure_is_no_light(self, blob):
        verdict = evidence(in_boxes(blob, -0.02), 0.0).judge(blob)
        assert verdict.kind == "multiplicative"
        assert "light cannot darken" in verdict.sentence
        unsure = evidence(in_boxes(blob, -0.02), 0.0, err=0.1).judge(blob)
        assert (unsure.kind, "9 needed" in unsure.sentence) == ("undecided", True)

    def test_a_dark_structure_that_varies_as_light_is_neither(self, blob):
        verdict = evidence(in_boxes(blob, -0.02), in_boxes(blob, -0.02)).judge(blob)
        assert verdict.kind == "undecided"
        assert "but it is darker" in verdict.sentence

    @pytest.mark.parametrize("varying", [-0.04, 0.06])
    def test_what_varies_like_neither_is_undecided(self, blob, varying):
        verdict = evidence(in_boxes(blob, 0.02), in_boxes(blob, varying)).judge(blob)
        assert verdict.kind == "undecided"
        assert "neither light nor response" in verdict.sentence

    def test_what_does_not_stand_out_is_no_structure(self, blob):
        verdict = evidence(in_boxes(blob, -0.002), 0.0, err=0.001, excess_err=np.full((8, 8), 0.001)).judge(blob)
        assert verdict.kind == "undecided"
        assert "does not stand out" in verdict.sentence

    def test_without_light_that_varies_nothing_is_decided(self, blob):
        unknown = {"err": np.inf, "constant_err": np.inf}
        verdict = evidence(in_boxes(blob, 0.02), np.nan, **unknown).judge(blob)
        assert verdict.kind == "undecided"
        assert verdict.expected == 0
        assert "no light is measured" in verdict.sentence

    def test_light_around_the_structure_is_not_counted(self, blob):
        # A feature of the response beneath smooth light: the feature does not vary, the light seen through it does.
        light, feature = np.full((8, 8), 0.1), in_boxes(blob, 0.02)
        verdict = evidence(0.1 + 1.1 * feature, 0.1 * (1 + feature), light=light).judge(blob)
        assert verdict.kind == "multiplicative"
        assert verdict.fraction == pytest.approx(0, abs=1e-3)
        more = evidence(0.1 + feature, 0.1 + feature, light=light).judge(blob)
        assert more.kind == "additive"
        assert more.fraction == pytest.approx(1, abs=1e-3)

    def test_noise_of_the_excess_does_not_hide_that_it_varies(self):
        rng = np.random.default_rng(1)
        err, truth, everywhere = np.full((8, 8), 0.006), np.full((8, 8), 0.02), np.ones(SHAPE, bool)
        noisy = [
            evidence(truth + 0.006 * rng.standard_normal((8, 8)), truth, excess_err=err).judge(everywhere).fraction
            for _ in range(500)
        ]
        assert np.mean(noisy) == pytest.approx(1, abs=0.01)  # 0.92 if noise counted as power

    def test_light_that_is_continued_has_an_error(self, blob):
        # A ridge as narrow as the hole is not what a thin plate makes of its surroundings.
        y, x = np.indices((24, 24))
        ridge, share = 0.1 * np.exp(-0.5 * ((y - 12) / 2) ** 2), ((abs(y - 12) < 2) & (abs(x - 12) < 2)).astype(float)
        mesh, settings = np.zeros((24, 24)), {"shape": (192, 192), "varying_err": np.full((24, 24), 0.002)}
        settings |= {"excess_err": mesh, "stripe_err": mesh}
        feature = 0.03 * share
        alone = evidence(feature, mesh, light=mesh, **settings).judge_boxes(share)
        verdict = evidence(ridge + feature * (1 + ridge), ridge * (1 + feature), light=ridge, **settings)
        verdict = verdict.judge_boxes(share)
        assert verdict.fraction_err > 2 * alone.fraction_err
        assert abs(verdict.fraction) < 3 * verdict.fraction_err

    def test_stripes_and_the_gauge_make_it_less_sure(self, blob):
        of_light = in_boxes(blob, 0.02)
        sure = evidence(of_light, of_light).judge(blob)
        striped = evidence(of_light, of_light, stripe_err=np.full((8, 8), 0.004)).judge(blob)
        gauged = evidence(of_light, of_light, constant_err=0.2).judge(blob)
        assert striped.fraction_err == pytest.approx(np.hypot(sure.fraction_err, 0.004 / 0.02 / 2))
        assert gauged.fraction_err == pytest.approx(np.hypot(sure.fraction_err, 0.2))

    def test_a_region_of_another_shape(self):
        with pytest.raises(InvalidInputError, match=r"judge\(where\) must be an array of shape \(64, 64\)"):
            evidence(0.0, 0.0).judge(np.ones((8, 8), bool))


def test_map_of_the_evidence(blob):
    found = evidence(in_boxes(blob, 0.02), in_boxes(blob, 0.02))
    assert found.image.shape == SHAPE
    assert found.delta_chi2[2, 3] == pytest.approx(16)
    assert not found.delta_chi2[0].any()
    artist = found.plot()
    assert artist.get_clim() == (-10, 10)


def test_share_that_is_decided():
    rng = np.random.default_rng(3)
    for expected in (4.0, 9.0, 20.0):
        found = expected + 2 * np.sqrt(expected) * rng.standard_normal(20000)
        assert decided_share(expected) == pytest.approx(np.mean(np.abs(found) > DECISIVE), abs=0.01)
    assert decided_share(0.0) == pytest.approx(0, abs=1e-6)


def test_verdicts_on_injected_blobs(make_scene):
    """Twelve blobs of 3 %: decided ones are right, and the fraction pulls are those of the errors."""
    pulls, decided = [], []
    for seed in range(6):
        for kind, fraction in (("additive", 1), ("multiplicative", 0)):
            scene = make_scene(**{kind: (40, 200, 0.03)}, noise=0.02, seed=100 + seed)
            verdict = SkyDecomposition.from_frames(scene.frames()).evidence.judge(scene_blob(scene))
            pulls.append((verdict.fraction - fraction) / verdict.fraction_err)
            if verdict.kind != "undecided":
                decided.append(verdict.kind == kind)
    assert len(decided) >= 8
    assert all(decided)
    assert np.sqrt(np.mean(np.square(pulls))) < 1.7


def scene_blob(scene):
    y, x = np.indices(scene.shape)
    return np.hypot(y - 40, x - 200) < 20
