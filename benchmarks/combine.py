"""Sigma-clipped median of a stack, pixel by pixel, against `astropy.stats.sigma_clipped_stats` with bottleneck.

The stack is float32, 2048 pixels wide, a quarter of it masked as NaN, with some sources left. Astropy is given the NaN
as they are, which is as fast as a mask and needs less memory. It returns mean, median and standard
deviation, ours median, error and number; the medians and the numbers must be the same. Ours works as
`DeltaSkyflat.from_frames` does, band by band in threads, and copies each band. With ``--scaling``, the time per value
is printed for stacks of 20 to 2000 frames instead.
"""

import statistics
import sys
import time
import warnings
from functools import partial

import numpy as np
from _bench import Case, main
from astropy.stats import sigma_clip, sigma_clipped_stats

from nircam_flats import FrameStack, SigmaClippedMedian
from nircam_flats.parallel import map_ordered

WIDTH = 2048
BAND = 128  # rows
SETTINGS = {"axis": 0, "sigma": 3, "maxiters": 5, "cenfunc": "median", "stdfunc": "std"}


def frames(n, n_rows):
    """Sky of 1 +- 0.02 to 0.04, with 3 % of faint sources and 25 % masked."""
    rng = np.random.default_rng(1)
    noise = np.linspace(0.02, 0.04, n, dtype=np.float32)
    values = np.empty((n, n_rows, WIDTH), np.float32)
    for frame, sigma in zip(values, noise, strict=True):
        frame[:] = 1 + sigma * rng.standard_normal(frame.shape, np.float32)
        frame += (rng.random(frame.shape, np.float32) < 0.03) * rng.standard_exponential(frame.shape, np.float32)
        frame[rng.random(frame.shape, np.float32) < 0.25] = np.nan
    return values, noise


def plain(stack):
    """Astropy, on all rows at once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pixels that are NaN in all frames
        return sigma_clipped_stats(stack[0], **SETTINGS)[1]


def combine_band(start, stack, n_rows):
    """One band of rows, as the combination of frames does it."""
    values, noise = stack
    return SigmaClippedMedian()(FrameStack(values=values[:, start : start + n_rows], noise=noise))


def ours(stack):
    """Data, error and number, of all bands."""
    n_rows = stack[0].shape[1]
    band = min(BAND, n_rows // 2)
    bands = map_ordered(partial(combine_band, stack=stack, n_rows=band), range(0, n_rows, band))
    return [np.concatenate(items) for items in zip(*bands, strict=True)]


def same(stack, expected, found):
    """Medians to float32 rounding, and the numbers of values kept of the first rows."""
    np.testing.assert_allclose(found[0], expected, rtol=2e-7, equal_nan=True)
    rows = stack[0][:, :64]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kept = sigma_clip(rows, **SETTINGS, masked=False)
    np.testing.assert_array_equal(found[2][:64], np.isfinite(kept).sum(axis=0))
    return "medians and numbers are the same"


def cases():
    """Report sizes; fewer rows for more frames, so that astropy finishes."""
    for n, n_rows, target in ((20, 1024, 50), (60, 512, 50), (200, 256, 45)):
        prepared = []

        def prepare(n=n, n_rows=n_rows, prepared=prepared):
            prepared[:] = [frames(n, n_rows)]
            return prepared[0]

        yield Case(
            label=f"N = {n}, {n_rows} x {WIDTH} pixels",
            prepare=prepare,
            baseline=plain,
            ours=ours,
            same=lambda theirs, found, prepared=prepared: same(prepared[0], theirs, found),
            n_bytes=lambda stack: stack[0].nbytes,
            target=target,
        )


def print_scaling():
    """Time per value on all cores, for more and more frames of about the same number of values in all."""
    print("frames   rows   ns per value")
    for n in (20, 40, 60, 100, 200, 300, 500, 1000, 2000):
        n_rows = max(2, 4096 // n) // 2 * 2
        stack = frames(n, n_rows)
        times = []
        for _ in range(6):
            started = time.perf_counter()
            ours(stack)
            times.append(time.perf_counter() - started)
        print(f"{n:6d} {n_rows:6d} {statistics.median(times[1:]) / stack[0].size * 1e9:12.2f}", flush=True)


if __name__ == "__main__":
    if "--scaling" in sys.argv:
        print_scaling()
    else:
        main("sigma-clipped median", __doc__, cases)
