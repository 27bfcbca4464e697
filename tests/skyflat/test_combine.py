"""Combination strategies: their errors must be what the scatter of their answers is."""

import numpy as np
import pytest
from astropy.stats import mad_std

from nircam_flats import CombineStrategy, FrameStack, InvalidInputError, SigmaClippedMean, SigmaClippedMedian, testing
from nircam_flats._strategy import key_of
from nircam_flats.skyflat.combine import median_error_factors

STRATEGIES = [SigmaClippedMedian, SigmaClippedMean]


def noise_of(kind, n):
    """Noise of n frames: all alike, rising by a factor of two, or two filters that differ by two."""
    return {
        "equal": np.full(n, 0.03),
        "rising": np.linspace(0.02, 0.04, n),
        "two filters": np.where(np.arange(n) < n // 2, 0.02, 0.04),
    }[kind]


def normal_stack(noise, shape=(160, 160), seed=1):
    deviates = np.random.default_rng(seed).standard_normal((len(noise), *shape))
    return FrameStack(values=1 + noise[:, None, None] * deviates, noise=noise)


def test_error_factors_against_chance():
    """Standard deviation of the median of n normal values, drawn 40,000 times."""
    factors = median_error_factors(120)
    rng = np.random.default_rng(2)
    for n in (1, 2, 3, 4, 5, 8, 9, 16, 17, 49, 50, 51, 52, 119, 120):
        medians = np.median(rng.standard_normal((40_000, n)), axis=1)
        assert factors[n] == pytest.approx(medians.std() * np.sqrt(n), rel=0.015), n


def test_error_factors_do_not_depend_on_how_many_are_asked_for():
    np.testing.assert_array_equal(median_error_factors(7), median_error_factors(70)[:8])
    assert np.all(np.diff(median_error_factors(400)[3::2]) > 0)
    assert median_error_factors(400)[-1] == pytest.approx(np.sqrt(np.pi / 2), rel=2e-3)


@pytest.mark.parametrize("n", [4, 5, 8, 12, 18, 40])
@pytest.mark.parametrize("kind", ["equal", "rising", "two filters"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_errors_are_honest(strategy, kind, n):
    """The measure of the project: (found - truth) / err has robust width 0.9 to 1.1."""
    data, err, n_used = strategy()(normal_stack(noise_of(kind, n)))
    pulls = (data - 1) / err
    assert 0.9 < mad_std(pulls) < 1.1
    assert 0.9 < np.std(pulls) < 1.1
    assert np.mean(pulls) == pytest.approx(0, abs=0.03)
    assert n_used.mean() > 0.97 * n


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_errors_of_two_frames_are_honest(strategy):
    noise = np.array([0.01, 0.04])
    data, err, _ = strategy()(normal_stack(noise))
    assert 0.9 < np.std((data - 1) / err) < 1.1


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_errors_of_masked_stacks_are_honest(strategy):
    """Each pixel has another number of frames, and all numbers have honest errors."""
    stack = normal_stack(noise_of("equal", 12), shape=(300, 300))
    values = np.where(np.random.default_rng(3).random(stack.values.shape) < 0.4, np.nan, stack.values)
    data, err, n_used = strategy()(FrameStack(values=values, noise=stack.noise))
    for n in range(4, 12):
        pulls = ((data - 1) / err)[n_used == n]
        assert pulls.size > 500
        assert 0.88 < mad_std(pulls) < 1.12, n


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_noisy_pixel_has_a_larger_error(strategy):
    """Pixels with three times the noise of the frame: their errors grow, and stay honest with many frames."""
    stack = normal_stack(noise_of("equal", 40), shape=(100, 200))
    values = np.array(stack.values)
    values[:, :, :100] = 1 + 3 * (values[:, :, :100] - 1)
    data, err, _ = strategy()(FrameStack(values=values, noise=stack.noise))
    assert np.median(err[:, :100]) > 2.3 * np.median(err[:, 100:])
    assert 0.95 < mad_std(((data - 1) / err)[:, :100]) < 1.25


def test_the_median_is_worse_than_the_mean_by_its_factor():
    stack = normal_stack(noise_of("equal", 9))
    ratio = SigmaClippedMedian()(stack)[1] / SigmaClippedMean()(stack)[1]
    assert np.median(ratio) == pytest.approx(median_error_factors(9)[9], rel=0.01)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_outliers_are_clipped(strategy):
    stack = normal_stack(noise_of("equal", 20), shape=(40, 40))
    values = np.array(stack.values)
    values[3], values[7] = 5, 0  # two bad frames of twenty
    data, _, n_used = strategy()(FrameStack(values=values, noise=stack.noise))
    assert n_used.max() == 18
    assert data.mean() == pytest.approx(1, abs=0.003)
    unclipped, _, n_all = strategy(max_iterations=0)(FrameStack(values=values, noise=stack.noise))
    assert np.all(n_all == 20)
    assert (unclipped.mean() == pytest.approx(1, abs=0.003)) == (strategy is SigmaClippedMedian)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_n_sigma_moves_the_cut(strategy):
    stack = normal_stack(noise_of("equal", 30), shape=(40, 40))
    used = [strategy(n_sigma=n_sigma)(stack)[2].mean() for n_sigma in (1.0, 2.0, 3.0)]
    assert used[0] < used[1] - 3 < used[2] - 3
    assert key_of(strategy(n_sigma=2.0)) != key_of(strategy())
    assert repr(strategy()) == f"{strategy.__name__}(max_iterations=5, n_sigma=3.0)"


@pytest.mark.parametrize("settings", [{"n_sigma": 0}, {"n_sigma": -3}, {"max_iterations": -1}])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_bad_settings(strategy, settings):
    with pytest.raises(InvalidInputError, match=f"{strategy.__name__} needs n_sigma > 0 and max_iterations >= 0; got"):
        strategy(**settings)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_settings_conform(strategy):
    testing.check_combine_strategy(strategy(n_sigma=2.0, max_iterations=1))


class Returns(CombineStrategy):
    """Returns what it was told to."""

    def __init__(self, *answer):
        self.answer = answer if len(answer) != 1 else answer[0]

    def combine(self, stack):
        return self.answer


IMAGE = np.ones((3, 4))
STACK = FrameStack(values=np.ones((2, 3, 4)), noise=[0.1, 0.1])


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ((IMAGE, IMAGE), "must return the three images data, err, n_used; got tuple"),
        ((IMAGE,), "must return the three images data, err, n_used; got ndarray"),
        ((IMAGE, IMAGE[:2], IMAGE), r"must be an array of shape \(3, 4\); got ndarray \(2, 4\)"),
        ((IMAGE, None, IMAGE), r"must be an array of shape \(3, 4\); got NoneType"),
    ],
)
def test_combine_must_return_three_images(answer, text):
    with pytest.raises(InvalidInputError, match=rf"Returns.combine\(stack\) {text}"):
        Returns(*answer)(STACK)


def test_where_nothing_was_used_there_is_no_answer():
    n_used = np.array([[0, 2, 2, 2]] * 3)
    data, err, n_used = Returns(IMAGE, IMAGE, n_used)(STACK)
    np.testing.assert_array_equal(np.isnan(data), n_used == 0)
    np.testing.assert_array_equal(np.isnan(err), n_used == 0)
    assert (data.dtype, err.dtype, n_used.dtype) == (np.float32, np.float32, np.int32)


@pytest.mark.parametrize("facts", [{"values": np.ones((3, 4))}, {"noise": 0.1}, {"noise": [[0.1, 0.2]]}])
def test_stacks_are_checked(facts):
    with pytest.raises(InvalidInputError, match=r"FrameStack\.(values|noise) must be an array with"):
        FrameStack(**({"values": np.ones((2, 3, 4)), "noise": [0.1, 0.1]} | facts))


@pytest.mark.parametrize(("n", "n_noise"), [(0, 0), (2, 1), (2, 3)])
def test_stacks_need_frames_and_their_noise(n, n_noise):
    with pytest.raises(InvalidInputError, match=f"one or more frames, and the noise of each; got {n} .* {n_noise}"):
        FrameStack(values=np.ones((n, 3, 4)), noise=np.full(n_noise, 0.1))
