"""Stacks of frames with pixels that are dead, noisy and vignetted."""

from types import SimpleNamespace

import numpy as np
import pytest
from astropy import units as u
from astropy.time import Time

from nircam_flats import DeltaSkyflat, NormalizedFrame, NormalizedFrames, SkyLevel

SHAPE = (192, 160)
NOISE = 0.09
SOURCES = 40


def _masked(rng, shape):
    """Disks, as source masks are."""
    y, x = np.indices(shape)
    masked = np.zeros(shape, bool)
    for y0, x0 in rng.uniform((0, 0), shape, (SOURCES, 2)):
        masked |= np.hypot(y - y0, x - x0) < 8
    return masked


def make_stack(seed=1, *, n=12, dead=60, noisy=150, strip=0, cluster=True, masked=True):
    """Frames of one filter, their delta skyflat and the truth: images of the ``response`` and of what is ``noisy``."""
    rng = np.random.default_rng(seed)
    response, jumps = np.ones(SHAPE), np.zeros(SHAPE)
    places = rng.permutation(np.arange(response.size))
    response.flat[places[:dead]] = rng.uniform(0.2, 0.7, dead)
    jumps.flat[places[dead : dead + noisy]] = np.exp(rng.uniform(np.log(3), np.log(12), noisy)) * NOISE
    if cluster:
        response[90:96, 60:68], jumps[90:96, 60:68] = 0.4, 0
    response[:strip, : SHAPE[1] // 2] *= 0.79
    frames = []
    for number in range(n):
        values = response * rng.normal(1, NOISE, SHAPE) + jumps * np.sqrt(3) * rng.uniform(-1, 1, SHAPE)
        hidden = _masked(rng, SHAPE) if masked else np.zeros(SHAPE, bool)
        level = SkyLevel(value=0.3, err=1e-5, scatter=0.3 * NOISE, n_pixels=values.size, masked_fraction=hidden.mean())
        start = Time("2022-05-01T10:00:00") + number * u.h
        facts = {"detector": "B1", "filter": "F200W", "flat_name": "flat.fits", "start": start, "end": start}
        packed = np.packbits(hidden, axis=1)
        frames.append(NormalizedFrame(name=f"{number}", level=level, values=values, masked=packed, **facts))
    frames = NormalizedFrames(detector="B1", frames=frames)
    truth = SimpleNamespace(response=response, dead=(response < 0.75), noisy=jumps > 0)
    return SimpleNamespace(frames=frames, grey=DeltaSkyflat.from_frames(frames, balance=False), truth=truth)


@pytest.fixture(scope="session")
def stack():
    return make_stack()


@pytest.fixture(scope="session")
def stack_of():
    return make_stack
