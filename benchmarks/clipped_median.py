"""The clipped median of one masked frame: the sky level.

python benchmarks/clipped_median.py
"""

import numpy as np
from _bench import Case, main
from astropy.stats import sigma_clipped_stats
from source_mask import frame

import nircam_flats as nf
from nircam_flats.kernels import clipped_statistics


def masked():
    """Return a frame, NaN where bad or masked."""
    data, good = frame()
    return np.where(nf.Segmentation()(data, good), np.float32(np.nan), data)


def plain(data):
    mean, median, std = sigma_clipped_stats(
        data[np.isfinite(data)], sigma=3, maxiters=5, cenfunc="median", stdfunc="std"
    )
    return median, mean, std


def same(theirs, ours):
    """The median must be the same; mean and standard deviation to the digits that float32 sums have."""
    if theirs[0] != np.float32(ours[0]):
        raise ValueError(f"medians differ: {theirs[0]} and {ours[0]}")
    return f"same median; std differs by {abs(theirs[2] / ours[2] - 1):.0e}"


def cases():
    yield Case(
        label="2048 x 2048",
        prepare=masked,
        baseline=plain,
        ours=clipped_statistics,
        same=same,
        n_bytes=lambda data: data.nbytes,
        target=5,
        baseline_repeats=3,
    )


if __name__ == "__main__":
    main("clipped median", __doc__, cases)
