"""Delta skyflats made from frames whose flat, noise and tilts are known."""

import numpy as np
import pytest

from nircam_flats import DeltaSkyflat, NormalizedFrame, NormalizedFrames, SkyLevel

FLAT_NAME = "jwst_nircam_flat_9002.fits"


def true_flat(shape):
    """A cubic change of about 6 %."""
    y, x = (np.indices(shape) + 0.5) / np.array(shape)[:, None, None] * 2 - 1
    return (1 + 0.02 * x - 0.015 * y + 0.01 * x * y - 0.01 * x**3).astype(np.float32)


@pytest.fixture(scope="session")
def make_delta():
    """Make a delta skyflat: ``make_delta(shape, seed, n=12, noise=0.02, ...)``.

    ``tilt`` is the standard deviation of a random gradient of each frame along x and y, edge to edge, ``stripes`` that
    of an offset of every 32 rows of each frame; ``structure`` multiplies the flat; ``masked`` is the part of the pixels
    that is masked in each frame.
    """

    def make(
        shape=(96, 128),
        seed=1,
        *,
        n=12,
        noise=0.02,
        tilt=0.0,
        stripes=0.0,
        structure=1,
        masked=0.1,
        detector="B4",
        filters=("F200W",),
        balance=False,
    ):
        rng = np.random.default_rng(seed)
        y, x = np.indices(shape) / np.array(shape)[:, None, None] - 0.5
        frames = []
        for number in range(n):
            slopes = tilt * rng.standard_normal(2)
            values = true_flat(shape) * structure * (1 + slopes[0] * x + slopes[1] * y)
            values = values * rng.normal(1, noise, shape)
            values *= 1 + stripes * np.repeat(rng.standard_normal(-(-shape[0] // 32)), 32)[: shape[0], None]
            values[rng.random(shape) < masked] = np.nan
            level = SkyLevel(value=0.3, err=1e-5, scatter=0.3 * noise, n_pixels=values.size, masked_fraction=masked)
            facts = {"flat_name": FLAT_NAME, "start": None, "end": None, "filter": filters[number % len(filters)]}
            frames.append(NormalizedFrame(name=f"{number}", detector=detector, level=level, values=values, **facts))
        return DeltaSkyflat.from_frames(NormalizedFrames(detector=detector, frames=frames), balance=balance)

    return make


@pytest.fixture(scope="session")
def flat_of():
    """The flat that `make_delta` injects, of any shape."""
    return true_flat
