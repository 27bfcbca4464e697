"""Dead pixels that were put in come back, noisy ones do not; classes, concentrations, regions, flags."""

import attrs
import numpy as np
import pytest
from regions import Regions

from nircam_flats import DQ, DeadPixelMap, InvalidInputError, PixelClass, testing


def recall_and_purity(found, truth, measured):
    wanted = truth.dead & measured
    return found[wanted].mean(), truth.dead[found].mean()


class TestRecovery:
    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_in_deep_stacks_all_are_found(self, stack_of, seed):
        made = stack_of(seed)
        found = DeadPixelMap.from_delta(made.grey, frames=made.frames)
        recall, purity = recall_and_purity(found.new, made.truth, made.grey.good)
        assert recall >= 0.99
        assert purity >= 0.99

    @pytest.mark.parametrize("frames", [True, False])
    def test_in_shallow_stacks_those_found_are_dead(self, stack_of, frames):
        """The bare threshold takes hundreds of noisy pixels for dead."""
        n_found, n_right, expected, bare = 0, 0, [], []
        for seed in range(5):
            made = stack_of(seed, n=4)
            found = DeadPixelMap.from_delta(made.grey, frames=made.frames if frames else None)
            n_found += found.new.sum()
            n_right += (found.new & made.truth.dead).sum()
            expected.append(found.expected_purity)
            bare.append(made.truth.dead[made.grey.good & (made.grey.data < 0.8)].mean())
        assert n_right >= 0.99 * n_found - 2  # 5 x 100 pixels: by chance two more may be wrong
        assert n_found > 250
        assert np.mean(expected) > 0.99
        assert np.mean(bare) < 0.75

    def test_probabilities_are_what_they_say(self, stack_of):
        """Of the pixels of about one probability, that part is dead."""
        probability, dead = [], []
        for seed in range(20, 30):
            made = stack_of(seed, n=5, noisy=400, cluster=False, dead=100)
            found = DeadPixelMap.from_delta(made.grey)
            low = found.probability > 0
            probability.append(found.probability[low])
            dead.append(made.truth.dead[low])
        probability, dead = np.concatenate(probability), np.concatenate(dead)
        # Telegraph noise has shorter tails than normal noise of the same scatter: the middle is not told sharply.
        for least, most, off in ((0.0, 0.05, 0.02), (0.3, 0.7, 0.25), (0.98, 1.0, 0.02)):
            between = (probability >= least) & (probability <= most)
            assert between.sum() > 30
            assert dead[between].mean() == pytest.approx(probability[between].mean(), abs=off)

    def test_a_second_look_sees_what_masks_hide(self, stack_of):
        made = stack_of(6, n=4)
        first = DeadPixelMap.from_delta(made.grey)
        second = DeadPixelMap.from_delta(made.grey, frames=made.frames)
        wanted = made.truth.dead & made.grey.good
        assert second.new[wanted].sum() > first.new[wanted].sum()

    def test_no_dead_pixel_is_made_of_noise(self, stack_of):
        made = stack_of(7, n=3, dead=0, noisy=0, cluster=False)
        assert (made.grey.data < 0.8).sum() > 20
        found = DeadPixelMap.from_delta(made.grey)
        assert found.new.sum() == 0
        assert found.uncertain.sum() == (made.grey.data < 0.8).sum()
        assert np.isnan(found.expected_purity)

    def test_a_stack_whose_scatter_was_not_kept(self, stack):
        """Then nothing tells noisy pixels from dead ones but what is usual, and little is sure."""
        unknown = attrs.evolve(stack.grey, scatter=None)
        dead = stack.truth.dead & stack.grey.good
        assert DeadPixelMap.from_delta(unknown).uncertain[dead].mean() > 0.9
        assert DeadPixelMap.from_delta(unknown, purity=0.8).new[dead].mean() > 0.9


class TestClasses:
    def test_known_pixels_are_not_new(self, stack):
        known = np.zeros(stack.grey.data.shape, bool)
        known[90:96, 60:68] = known[0, 0] = True
        found = DeadPixelMap.from_delta(stack.grey, known=known)
        assert not found.new[known].any()
        assert found.worse[90:96, 60:68].sum() == stack.grey.good[90:96, 60:68].sum()  # lower than the flat knows
        assert not found.worse[0, 0]
        assert found.counts["KNOWN"] == 49
        np.testing.assert_array_equal(found.known, known)

    def test_zero_and_one_are_no_measurements(self, stack):
        data = stack.grey.data.copy()
        data[90, 60], data[90, 61], data[90, 62] = 0, 1, np.nan
        found = DeadPixelMap.from_delta(attrs.evolve(stack.grey, data=data))
        assert not found.measured[90, 60:63].any()
        assert not found.new[90, 60:63].any()
        assert found.new[90, 63]

    def test_a_strip_along_an_edge(self, stack_of):
        made = stack_of(4, strip=10)
        found = DeadPixelMap.from_delta(made.grey)
        y, x = np.nonzero(found.vignetted)
        assert 8 <= y.max() <= 9
        assert 63 <= x.max() < 96  # to the end of a piece of 32 px
        assert found.vignetted[:9, :64].mean() > 0.95
        assert not (found.new & found.vignetted).any()
        assert (made.grey.data[found.vignetted] < 0.8).sum() > 300

    @pytest.mark.parametrize("turns", range(4))
    def test_a_strip_along_any_edge(self, stack_of, turns):
        made = stack_of(4, n=6, strip=12, masked=False)
        images = {name: np.rot90(getattr(made.grey, name), turns) for name in ("data", "err", "n_used", "scatter")}
        found = DeadPixelMap.from_delta(attrs.evolve(made.grey, **images))
        assert np.rot90(found.vignetted, -turns)[:11, :64].mean() > 0.95
        assert np.rot90(found.vignetted, -turns)[13:].sum() == 0

    def test_a_concentration_at_the_edge_is_no_strip(self, stack):
        data = stack.grey.data.copy()
        data[:6, 70:90] = 0.5
        assert DeadPixelMap.from_delta(attrs.evolve(stack.grey, data=data)).vignetted.sum() == 0

    def test_every_pixel_has_its_significance(self, stack):
        found = DeadPixelMap.from_delta(stack.grey)
        assert np.median(found.significance[found.new]) > 10
        good = stack.grey.good & ~stack.truth.dead & ~stack.truth.noisy
        assert np.std(found.significance[good]) == pytest.approx(1, abs=0.1)


class TestConcentrations:
    def test_the_cluster_is_found(self, stack):
        (row,) = DeadPixelMap.from_delta(stack.grey, frames=stack.frames).concentrations()
        assert row["n_pixels"] >= 45
        assert row["x"].to_value("pix") == pytest.approx(63.5, abs=0.5)
        assert row["y"].to_value("pix") == pytest.approx(92.5, abs=0.5)
        assert row["response"] == pytest.approx(0.4, abs=0.02)
        assert row["radius"].to_value("pix") < 8

    def test_largest_first_and_linked_by_length(self):
        dead = np.zeros((100, 100), bool)
        dead[10:13, 10:13] = dead[10:13, 16:19] = True  # 4 px apart
        dead[50:55, 50:53] = True
        dead[80, 80] = True
        found = DeadPixelMap.from_image(dead, detector="A1")
        assert list(found.concentrations(linking_length=4, min_pixels=2)["n_pixels"]) == [18, 15]
        assert list(found.concentrations(linking_length=3, min_pixels=1)["n_pixels"]) == [15, 9, 9, 1]
        first = found.concentrations(min_pixels=5)[0]
        assert [first[name] for name in ("x_min", "x_max", "y_min", "y_max")] == [10, 18, 10, 12]
        assert np.isnan(first["response"])

    def test_nothing_gives_an_empty_table(self):
        table = DeadPixelMap.from_image(np.zeros((8, 8), bool), detector="A1").concentrations()
        assert len(table) == 0
        assert "n_pixels" in table.colnames

    def test_regions_for_ds9(self, stack, tmp_path):
        found = DeadPixelMap.from_delta(stack.grey)
        found.to_regions().write(tmp_path / "dead.reg", format="ds9")
        (circle,) = Regions.read(tmp_path / "dead.reg", format="ds9")
        (row,) = found.concentrations()
        assert circle.center.x == pytest.approx(row["x"].value, abs=1e-6)
        assert circle.radius == pytest.approx(row["radius"].value, abs=1e-6)
        assert circle.meta["text"] == f"{row['n_pixels']} px"
        inside = circle.to_mask().to_image(found.new.shape) > 0
        assert found.new[inside].sum() == row["n_pixels"]

    @pytest.mark.parametrize("settings", [{"linking_length": 0}, {"min_pixels": 0}])
    def test_bad_settings(self, settings):
        dead = DeadPixelMap.from_image(np.zeros((8, 8), bool), detector="A1")
        with pytest.raises(InvalidInputError, match="needs linking_length > 0 and min_pixels >= 1; got"):
            dead.concentrations(**settings)


def test_flags_for_a_bad_pixel_mask():
    classes = np.zeros((2, 4), np.uint8)
    classes[0] = [PixelClass.NEW, PixelClass.NEW, PixelClass.WORSE | PixelClass.KNOWN, PixelClass.UNCERTAIN]
    response = np.array([[0.3, 0.6, 0.6, 0.6], [1, 1, 1, 1]])
    known = np.zeros((2, 4), np.uint32)
    known[0, 2], known[1, 0], known[1, 1] = DQ.LOW_QE, DQ.HOT, DQ.DEAD
    dead = DeadPixelMap(
        detector="B1", classes=classes, response=response, err=response, probability=response, known_dq=known
    )
    lost, low = DQ.DEAD | DQ.DO_NOT_USE, DQ.LOW_QE | DQ.DO_NOT_USE
    np.testing.assert_array_equal(dead.dq, [[lost, low, low, 0], [DQ.HOT, lost, 0, 0]])


def test_files(stack, tmp_path):
    found = DeadPixelMap.from_delta(stack.grey, known=stack.truth.noisy)
    found.write(tmp_path / "dead.fits")
    testing.assert_same(DeadPixelMap.read(tmp_path / "dead.fits"), found)
    other = DeadPixelMap.from_image(stack.truth.dead, detector="B1", known=stack.truth.noisy)
    other.write(tmp_path / "other.fits")
    testing.assert_same(DeadPixelMap.read(tmp_path / "other.fits"), other)
    with pytest.raises(InvalidInputError, match="exists already"):
        found.write(tmp_path / "dead.fits")
    stack.grey.write(tmp_path / "grey.fits")
    with pytest.raises(InvalidInputError, match="needed a DeadPixelMap written by nircam_flats; got DeltaSkyflat"):
        DeadPixelMap.read(tmp_path / "grey.fits")


def test_history(stack):
    text = str(DeadPixelMap.from_delta(stack.grey, frames=stack.frames).history)
    assert text.endswith("find dead pixels: looks=at the frames, threshold=0.8, purity=0.998")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threshold": 1.2}, "needs threshold between 0 and 1; got 1.2"),
        ({"purity": 0}, "needs purity between 0 and 1; got 0"),
        ({"known": np.zeros((4, 4), bool)}, r"known must have the shape of the delta skyflat, \(192, 160\)"),
    ],
)
def test_bad_input(stack, settings, message):
    with pytest.raises(InvalidInputError, match=message):
        DeadPixelMap.from_delta(stack.grey, **settings)


def test_nothing_measured(stack):
    nothing = np.full(stack.grey.data.shape, np.nan)
    with pytest.raises(InvalidInputError, match="DeadPixelMap of NRCB1 needs at least one good pixel; all are bad"):
        DeadPixelMap.from_delta(attrs.evolve(stack.grey, data=nothing))


def test_frames_that_are_none(stack):
    with pytest.raises(InvalidInputError, match=r"needs NormalizedFrames as frames; got str"):
        DeadPixelMap.from_delta(stack.grey, frames="frames")


def test_frames_of_another_detector(stack):
    of_a1 = [attrs.evolve(frame, detector="A1") for frame in stack.frames.frames]
    frames = attrs.evolve(stack.frames, detector="A1", frames=of_a1)
    with pytest.raises(InvalidInputError, match=r"needs the frames of NRCB1, .* got those of NRCA1"):
        DeadPixelMap.from_delta(stack.grey, frames=frames)


def test_frames_that_the_delta_skyflat_was_not_made_of(stack):
    frames = attrs.evolve(stack.frames, frames=stack.frames.frames[1:])
    n = len(frames.frames)
    with pytest.raises(InvalidInputError, match=rf"combined of, {n + 1}; got {n}, {n} of them its own"):
        DeadPixelMap.from_delta(stack.grey, frames=frames)


@pytest.mark.parametrize("image", [np.zeros((4, 4)), np.zeros(4, bool), [[True]]])
def test_only_boolean_images_are_maps(image):
    with pytest.raises(InvalidInputError, match="from_image needs a boolean image; got"):
        DeadPixelMap.from_image(image, detector="A1")
