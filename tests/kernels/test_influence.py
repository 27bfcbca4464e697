"""The pull of each frame: as documented, and what the stack truly loses without the frame."""

import numpy as np
import pytest

from nircam_flats import FrameStack, SigmaClippedMean, SigmaClippedMedian
from nircam_flats.kernels import box_influences, combine_clipped


def plain_influences(stack, combined, noise, size, n_sigma=3.0, median_err=None):
    """The definition, box by box and pixel by pixel."""
    n, ny, nx = stack.shape
    out = np.zeros((n, -(-ny // size), -(-nx // size)))
    for by in range(out.shape[1]):
        for bx in range(out.shape[2]):
            box = (slice(by * size, (by + 1) * size), slice(bx * size, (bx + 1) * size))
            values, centre = stack[:, *box].astype(float), combined[box].astype(float)
            seen = np.isfinite(values) & np.isfinite(centre)
            share = np.where(seen, 1 / noise[:, None, None], 0.0)
            total = share.sum(axis=0)
            limit = n_sigma * noise[:, None, None]
            deviation, weight = np.where(seen, values - centre, 0), np.where(total > 0, total, 1)
            if median_err is None:
                pull = np.clip(deviation, -limit, limit) * share / weight
            else:
                err = np.nan_to_num(median_err[box]) / np.sqrt(np.maximum(seen.sum(axis=0), 1))
                pull = np.sign(deviation) * np.minimum(err, 2.5 / weight)
            if (total > 0).any():
                out[:, by, bx] = pull[:, total > 0].mean(axis=1)
    return out


@pytest.fixture
def stack():
    """Seven frames with gaps and sources; not square, no multiple of the box."""
    rng = np.random.default_rng(11)
    values = rng.normal(1, 0.03, (7, 37, 50)).astype(np.float32)
    values[rng.random(values.shape) < 0.02] += 3
    values[rng.random(values.shape) < 0.2] = np.nan
    values[:, :16, 16:32] = np.nan
    values[3, 20:] = np.nan
    return values


@pytest.mark.parametrize("n_sigma", [3.0, 1.5])
@pytest.mark.parametrize("centre", ["median", "mean"])
def test_influences_are_those_of_the_documentation(stack, centre, n_sigma):
    noise = np.linspace(0.02, 0.05, 7)
    combined, err, _ = combine_clipped(stack, noise)
    combined[30, 5] = np.nan
    wide = np.tile(stack, 12), np.tile(combined, 12)  # 600 pixels: more than are worked on at once
    settings = {"n_sigma": n_sigma, "median_err": np.tile(err, 12) if centre == "median" else None}
    found = box_influences(*wide, noise, 16, **settings)
    assert found.shape == (7, 3, 38)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, plain_influences(*wide, noise, 16, **settings), atol=1e-7)
    assert np.all(found[:, 0, 1] == 0)
    assert np.all(found[3, 2] == 0)


@pytest.mark.parametrize("strategy", [SigmaClippedMedian(), SigmaClippedMean()], ids=repr)
@pytest.mark.parametrize("n", [5, 12])
class TestJackknife:
    """What a fit makes of the pulls, ``n / (n - 1)`` times each, over boxes of 16 pixels of frames of white noise."""

    @staticmethod
    def combined(values, noise, strategy):
        n = len(values)
        stack = FrameStack(values=values, noise=noise)
        data, err, _ = strategy(stack)
        median_err = err if strategy.centre == "median" else None
        influences = box_influences(stack.values, data, noise, 16, median_err=median_err)
        return data.reshape(40, 16, 40, 16).mean(axis=(1, 3)), influences * n / (n - 1)

    def test_scatter_of_boxes(self, n, strategy):
        noise = np.linspace(0.02, 0.03, n) if strategy.centre == "median" else np.full(n, 0.02)
        values = 1 + noise[:, None, None] * np.random.default_rng(n).standard_normal((n, 640, 640))
        means, replicates = self.combined(values, noise, strategy)
        predicted = np.sqrt((n - 1) / n * np.mean(np.sum(replicates**2, axis=0)))
        assert predicted == pytest.approx(means.std(), rel=0.1)

    def test_shift_of_one_frame(self, n, strategy):
        """By a tenth of its noise, in every second row of boxes."""
        noise = np.full(n, 0.02)
        values = 1 + 0.02 * np.random.default_rng(n).standard_normal((n, 640, 640))
        shifted = values.copy()
        shifted[1] += 0.002 * (np.arange(640) // 16 % 2)[:, None]
        before, pulls = self.combined(values, noise, strategy)
        after, pulls_after = self.combined(shifted, noise, strategy)
        assert np.all(after[::2] == before[::2])
        difference = np.mean((after - before)[1::2])
        assert np.mean((pulls_after - pulls)[1, 1::2]) == pytest.approx(difference, rel=0.1)


@pytest.mark.parametrize("unequal", [False, True], ids=["equal noise", "unequal noise"])
def test_a_stack_without_a_frame_loses_its_pull(unequal):
    """Each frame is off by a small smooth tilt; leave each out in turn and combine again."""
    rng = np.random.default_rng(12)
    n, size, box = 10, 256, 64
    y, x = np.mgrid[:size, :size] / size - 0.5
    noise = np.where(np.arange(n) % 2, 0.02, 0.03) if unequal else np.full(n, 0.02)
    tilts = rng.normal(0, 0.02, (2, n, 1, 1))
    values = 1 + tilts[0] * x + tilts[1] * y + noise[:, None, None] * rng.standard_normal((n, size, size))
    values = values.astype(np.float32)
    combined = combine_clipped(values, noise)[0]
    influences = box_influences(values, combined, noise, box)
    predicted, lost = np.empty((2, *influences.shape))
    for j in range(n):
        without = combine_clipped(np.delete(values, j, axis=0), np.delete(noise, j))[0]
        lost[j] = (combined - without).reshape(size // box, box, size // box, box).mean(axis=(1, 3))
        others = np.sum(1 / np.delete(noise, j)) / np.sum(1 / noise)  # the rest share the weight of frame j
        predicted[j] = influences[j] / others
    assert np.sum(predicted * lost) / np.sum(predicted**2) == pytest.approx(1, abs=0.06)
    assert np.std(lost - predicted) < 0.25 * np.std(lost)
