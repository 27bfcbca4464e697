"""Exposures and frames made from arrays, whose flat, sky and noise are known."""

from types import SimpleNamespace

import numpy as np
import pytest
from astropy import units as u
from astropy.time import Time

from nircam_flats import DQ, Detector, Exposure, ExposureSet, NormalizedFrame, NormalizedFrames, SkyLevel

SHAPE = (72, 88)  # not square, and no multiple of the bands that are combined at once
FLAT_NAMES = {"F150W": "jwst_nircam_flat_9001.fits", "F200W": "jwst_nircam_flat_9002.fits"}
START = Time("2022-05-01T10:00:00.123456")


def true_flat(shape=SHAPE):
    """A change of 6 % across the frame."""
    y, x = np.indices(shape)
    return (1 + 0.04 * x / shape[1] - 0.03 * (y / shape[0]) ** 2).astype(np.float32)


@pytest.fixture
def flat():
    return true_flat()


@pytest.fixture
def make_exposure():
    """Make an exposure of sky times flat: ``make_exposure(number, sky=..., noise=..., **facts)``."""

    def make(number=0, *, sky=0.3, noise=0.01, sources=(), **facts):
        rng = np.random.default_rng([20, number])
        data = rng.normal(sky, noise * abs(sky), SHAPE)
        y, x = np.indices(SHAPE)
        for y0, x0, height in sources:
            data += height * sky * np.exp(-0.5 * ((y - y0) ** 2 + (x - x0) ** 2) / 1.5**2)
        data = data * true_flat()
        dq = np.zeros(SHAPE, np.uint32)
        dq[:4] = DQ.DO_NOT_USE | DQ.REFERENCE_PIXEL
        filter = facts.get("filter", "F200W")
        defaults = {
            "name": f"jw01063001001_02101_{number:05d}_nrcb4",
            "detector": "B4",
            "filter": filter,
            "data": data,
            "dq": dq,
            "flat_name": FLAT_NAMES[filter],
            "start": START + number * u.min,
            "end": START + (number + 1) * u.min,
        }
        return Exposure(**(defaults | facts))

    return make


@pytest.fixture
def exposures(make_exposure):
    """Six exposures in two filters, with a bright source in each."""
    made = [
        make_exposure(number, sky=0.25 + 0.02 * number, filter=filter, sources=[(20 + 5 * number, 30 + 7 * number, 5)])
        for number, filter in enumerate(["F200W"] * 3 + ["F150W"] * 3)
    ]
    return ExposureSet.from_exposures(made)


@pytest.fixture
def make_correction():
    """Make what `NormalizedFrames` asks of a correction: ``make_correction(surface, detector="B4")``."""

    def make(surface, detector="B4"):
        return SimpleNamespace(
            surface=surface.astype(np.float32), detector=Detector.get(detector), strategy="a made-up fit"
        )

    return make


@pytest.fixture
def make_frames():
    """Make frames from a stack of normalised values: ``make_frames(values, noise, filters=None)``."""

    def make(values, noise, filters=None):
        filters = filters or ["F200W"] * len(values)
        frames = []
        for number, (image, sigma, filter) in enumerate(zip(values, noise, filters, strict=True)):
            level = SkyLevel(value=0.3, err=1e-5, scatter=0.3 * sigma, n_pixels=image.size, masked_fraction=0.1)
            facts = {"detector": "B4", "filter": filter, "flat_name": FLAT_NAMES[filter], "start": None, "end": None}
            frames.append(NormalizedFrame(name=f"frame {number}", level=level, values=image, **facts))
        return NormalizedFrames(detector="B4", frames=frames)

    return make


@pytest.fixture
def frames_of():
    """Make frames of images: ``frames_of(images, filters, noise)``, named frame0, frame1 ..."""

    def make(images, filters, noise):
        level = SkyLevel(value=1.0, err=1e-4, scatter=noise, n_pixels=1000, masked_fraction=0.0)
        facts = {"detector": "B1", "flat_name": None, "start": None, "end": None, "level": level}
        frames = [
            NormalizedFrame(name=f"frame{number}", filter=name, values=values, **facts)
            for number, (values, name) in enumerate(zip(images, filters, strict=True))
        ]
        return NormalizedFrames(detector="B1", frames=frames)

    return make
