"""A cubic through a full frame with bad pixels, against `astropy.modeling`.

python benchmarks/polynomial.py
"""

import numpy as np
from _bench import Case, main
from astropy.modeling.fitting import LinearLSQFitter
from astropy.modeling.polynomial import Polynomial2D

import nircam_flats as nf

SHAPE = (2048, 2048)


def image():
    """Return a delta skyflat made up of a cubic, noise and one bad pixel in fifty: data, err, good."""
    rng = np.random.default_rng(1)
    y, x = ((np.indices(SHAPE) + 0.5) / 1024 - 1).astype(np.float32)
    data = 1 + 0.03 * x - 0.02 * y * x + 0.01 * y**3 + 0.01 * rng.standard_normal(SHAPE, np.float32)
    return data, np.full(SHAPE, 0.01, np.float32), rng.random(SHAPE) > 0.02


def plain(work):
    data, _, good = work
    y, x = (np.indices(SHAPE) + 0.5) / 1024 - 1
    return LinearLSQFitter()(Polynomial2D(3), x[good], y[good], data[good].astype(float))(x, y)


def same(theirs, ours):
    difference = np.abs(theirs - ours).max()
    if difference > 1e-6:
        raise ValueError(f"surfaces differ by {difference:.1e}")
    return f"largest difference {difference:.0e}"


def cases():
    yield Case(
        label="degree 3, 2048 x 2048",
        prepare=image,
        baseline=plain,
        ours=lambda work: nf.Polynomial2D(degree=3)(*work),
        same=same,
        n_bytes=lambda work: work[0].nbytes + work[1].nbytes + work[2].nbytes,
        target=50,
    )


if __name__ == "__main__":
    main("polynomial", __doc__, cases)
