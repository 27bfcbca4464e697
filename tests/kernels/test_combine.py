"""The combination of stacks: astropy's values, whatever the stack looks like, and the error as documented."""

import itertools
import warnings

import numpy as np
import pytest
from astropy.stats import sigma_clip

from nircam_flats.kernels import combine_clipped
from nircam_flats.kernels.combine import LANES, sorting_network

SHAPE = (7, 45)
"""Of a frame: 315 pixels, two and a half tiles of the sorting network."""


def astropy_combination(stack, centre="median", n_sigma=3.0, max_iterations=5):
    """Centre and number of the values that astropy keeps."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of invalid values, and of pixels without any
        values = np.where(np.isfinite(stack), stack, np.nan).astype(float)
        kept = values
        if max_iterations:
            kept = sigma_clip(values, n_sigma, maxiters=max_iterations, axis=0, masked=False)
        kept[~np.isfinite(kept)] = np.nan
        data = np.nanmedian(kept, axis=0) if centre == "median" else np.nanmean(kept, axis=0)
    return data, np.isfinite(kept).sum(axis=0)


def frames(n, seed=1, shape=SHAPE):
    """Frames with sources, hot pixels, masked values, infinities, and pixels that nothing is left of."""
    rng = np.random.default_rng(seed)
    stack = rng.normal(1, 0.03, (n, *shape))
    stack += np.where(rng.random(stack.shape) < 0.08, rng.exponential(0.3, stack.shape), 0)
    stack[rng.random(stack.shape) < 0.002] = 1e7
    stack[rng.random(stack.shape) < 0.25] = np.nan
    stack[rng.random(stack.shape) < 0.02] = np.inf
    stack[rng.random(stack.shape) < 0.02] = -np.inf
    stack[:, 0, :3] = np.nan
    stack[:, 1, :3] = np.inf
    stack[:, 2, :3] = 0.75
    return stack.astype(np.float32)


def test_the_frame_is_no_multiple_of_the_tile():
    n_pixels = SHAPE[0] * SHAPE[1]
    assert n_pixels > LANES
    assert n_pixels % LANES


@pytest.mark.parametrize("n", [1, 2, 3, 5, 12, 20, 33, 60 + 1, 300])
@pytest.mark.parametrize("centre", ["median", "mean"])
def test_equal_to_astropy(n, centre):
    stack = frames(n)
    data, _, n_used = combine_clipped(stack, np.full(n, 0.03), centre=centre)
    expected, n_kept = astropy_combination(stack, centre)
    np.testing.assert_array_equal(n_used, n_kept)
    np.testing.assert_allclose(data, expected, rtol=2e-7, equal_nan=True)
    assert np.isnan(data[:2, :3]).all()
    assert np.all(data[2, :3] == 0.75)
    assert (data.dtype, n_used.dtype) == (np.float32, np.int32)


@pytest.mark.parametrize(("n_sigma", "max_iterations"), [(2.0, 5), (1.5, 1), (3.0, 0), (2.5, 30), (0.5, 5)])
def test_settings(n_sigma, max_iterations):
    stack = frames(25)
    settings = {"n_sigma": n_sigma, "max_iterations": max_iterations}
    data, _, n_used = combine_clipped(stack, np.full(25, 0.03), **settings)
    expected, n_kept = astropy_combination(stack, **settings)
    np.testing.assert_array_equal(n_used, n_kept)
    np.testing.assert_allclose(data, expected, rtol=2e-7, equal_nan=True)


@pytest.mark.parametrize(
    "change",
    [
        lambda stack: stack.astype(float),
        lambda stack: stack.astype(">f4"),
        lambda stack: np.asfortranarray(stack),
        lambda stack: np.repeat(stack, 2, axis=2)[:, :, ::2],
        lambda stack: np.ascontiguousarray(stack[:, ::-1])[:, ::-1],
    ],
    ids=["float64", "big-endian", "Fortran", "strided", "reversed"],
)
def test_any_layout(change):
    stack = frames(12)
    given = change(stack)
    before = given.copy()
    for found, expected in zip(
        combine_clipped(given, np.full(12, 0.03)), combine_clipped(stack, np.full(12, 0.03)), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(given, before)


@pytest.mark.parametrize("shape", [(1, 1), (1, LANES - 1), (1, LANES), (2, LANES), (3, 43), (129,)])
def test_any_shape(shape):
    stack = frames(9, shape=(3, 300)).reshape(9, -1)[:, : np.prod(shape)].reshape(9, *shape)
    data, err, n_used = combine_clipped(stack, np.full(9, 0.03))
    assert data.shape == err.shape == n_used.shape == shape
    np.testing.assert_allclose(data, astropy_combination(stack)[0], rtol=2e-7, equal_nan=True)


@pytest.mark.parametrize("n", [1, 2, 3, 12, 15])
@pytest.mark.parametrize("scale", [1e-42, 1e-30, 1e30], ids=["denormal", "small", "large"])
@pytest.mark.parametrize("centre", ["median", "mean"])
def test_any_scale(n, scale, centre):
    """Down to the smallest numbers, and up to where squares do not fit in float32."""
    stack = frames(n, shape=(3, 50))
    stack = np.where(np.abs(stack) < 1e6, stack, np.float32(np.nan)) * np.float32(scale)
    data, err, n_used = combine_clipped(stack, np.full(n, 0.03 * scale), centre=centre)
    expected, n_kept = astropy_combination(stack, centre)
    np.testing.assert_array_equal(n_used, n_kept)
    np.testing.assert_allclose(data, expected, rtol=2e-7, atol=2e-45, equal_nan=True)
    np.testing.assert_array_equal(np.isfinite(err), n_used > 0)


def test_one_value_far_from_the_rest_takes_no_digits():
    """The sums of a tile lose what is small; the clipping notices and takes them anew."""
    stack = np.random.default_rng(4).normal(1, 0.03, (30, 4, 50)).astype(np.float32)
    stack[7] = 1e30
    stack[8, 1:] = -1e12
    data, _, n_used = combine_clipped(stack, np.full(30, 0.03))
    expected, n_kept = astropy_combination(stack)
    np.testing.assert_array_equal(n_used, n_kept)
    np.testing.assert_allclose(data, expected, rtol=2e-7)


@pytest.mark.parametrize("level", [0.1, -0.3, 1e7])
@pytest.mark.parametrize("n", [4, 11])
def test_constant_stacks(n, level):
    data, err, n_used = combine_clipped(np.full((n, 3, 50), level, np.float32), np.full(n, 0.03))
    assert np.all(data == np.float32(level))
    assert np.all(n_used == n)
    assert np.all(err > 0)


def plain_error(stack, noise, data, n_used, prior, centre):
    """The error, spelled out pixel by pixel; what was kept is the ``n_used`` values next to the centre."""
    err = np.full(data.shape, np.nan)
    for place in np.ndindex(data.shape):
        values, n = stack[:, *place].astype(float), n_used[place]
        if n == 0:
            continue
        bottom, top = kept_range(values[np.isfinite(values)], n)
        kept = (values >= bottom) & (values <= top)
        sigma = noise[kept]
        chi2 = np.sum(((values[kept] - data[place]) / sigma) ** 2)
        as_mean = centre == "mean" or n <= 2
        plain = np.sqrt(np.sum(sigma**2)) / n if as_mean else np.sqrt(n) / np.sum(1 / sigma)
        expected = n - 2 + plain**2 * np.sum(1 / sigma**2)
        err[place] = plain * np.sqrt((prior + chi2) / (prior + expected))
    return err


def kept_range(values, n):
    kept = sigma_clip(values, 3.0, maxiters=5, masked=False)
    kept = kept[np.isfinite(kept)]
    assert kept.size == n
    return kept.min(), kept.max()


@pytest.mark.parametrize("centre", ["median", "mean"])
@pytest.mark.parametrize("prior", [0.5, 10.0])
def test_error_is_that_of_the_documentation(centre, prior):
    stack = frames(15, shape=(4, 40))
    noise = np.linspace(0.02, 0.05, 15)
    data, err, n_used = combine_clipped(stack, noise, prior=prior, centre=centre)
    expected = plain_error(stack, noise, data, n_used, prior, centre)
    np.testing.assert_allclose(err, expected, rtol=1e-4, equal_nan=True)


def test_error_of_equal_frames_is_that_of_their_mean():
    stack = np.random.default_rng(2).normal(1, 0.03, (16, 100, 100)).astype(np.float32)
    _, err, _ = combine_clipped(stack, np.full(16, 0.03), n_sigma=10, prior=1e9)
    np.testing.assert_allclose(err, 0.03 / 4, rtol=1e-4)


def test_a_noisy_pixel_has_a_larger_error():
    stack = np.random.default_rng(3).normal(1, 0.03, (40, 20, 20))
    stack[:, 5:15, 5:15] = 1 + 3 * (stack[:, 5:15, 5:15] - 1)
    _, err, _ = combine_clipped(stack, np.full(40, 0.03))
    assert 2.3 < np.median(err[5:15, 5:15]) / np.median(err[:5]) < 3.0  # 3 but for the weight of the frames' noise


@pytest.mark.parametrize("n", [*range(1, 13), 16, 17])
def test_network_sorts_zeros_and_ones(n):
    """A network that sorts all sequences of zeros and ones sorts everything (Knuth, theorem 5.3.4Z)."""
    if n > 12:
        sequences = np.random.default_rng(n).integers(0, 2, (5000, n))
    else:
        sequences = np.array(list(itertools.product([0, 1], repeat=n)), int).reshape(-1, n)
    for a, b in sorting_network(n):
        low, high = np.minimum(sequences[:, a], sequences[:, b]), np.maximum(sequences[:, a], sequences[:, b])
        sequences[:, a], sequences[:, b] = low, high
    assert np.all(np.diff(sequences, axis=1) >= 0)


@pytest.mark.parametrize("n", [23, 64, 65, 100, 200, 255])
def test_network_sorts_numbers(n):
    values = np.random.default_rng(n).permuted(np.tile(np.arange(n), (50, 1)), axis=1)
    for a, b in sorting_network(n):
        swap = values[:, a] > values[:, b]
        values[swap, a], values[swap, b] = values[swap, b], values[swap, a]
    assert np.all(values == np.arange(n))
