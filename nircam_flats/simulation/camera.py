"""From light to a calibrated image: what the detector and the pipeline make of it."""

import numpy as np

from nircam_flats._fields import readonly
from nircam_flats.instrument import DQ, Filter
from nircam_flats.simulation._compiled import expose
from nircam_flats.simulation._levels import EXPOSURE_TIME, GROUP_TIME, READ_NOISE, WELL_DEPTH, electrons_per_mjsr
from nircam_flats.simulation._random import Stream, generator
from nircam_flats.simulation.noise import row_stripes

__all__ = ["calibrated_planes"]

JUMPS = 0.013
"""Part of the pixels that a cosmic ray hits in one exposure."""


def calibrated_planes(
    light, *, sky, wisp, wisp_level, area, response, dq, telegraph, calibration, exposure_time, seed, index, effects
):  # fmt: skip
    """Return the images of a calibrated exposure, by name.

    Parameters
    ----------
    light
        Sources, MJy/sr times ``area``, float32.
    sky
        Brightness of the sky, MJy/sr.
    wisp, wisp_level
        Template (None for no wisp) and its factor, MJy/sr.
    area
        Relative area of the pixels.
    response
        A `Response`.
    dq
        DQ bits that every exposure has.
    telegraph
        Height of the jumps of noisy pixels, in units of the read noise.
    calibration
        PHOTMJSR.
    exposure_time
        Seconds.
    seed, index, effects
        Of the program and the exposure.

    Returns
    -------
    dict
        ``data``, ``err``, ``dq``, ``var_poisson``, ``var_rnoise``, ``var_flat``, ``area``, all read-only.
    """
    detector, shape = response.detector, light.shape
    key = (detector.sca_id, Filter.all().index(response.filter), index)
    electrons = electrons_per_mjsr(detector, response.filter, exposure_time)
    shorter = EXPOSURE_TIME / exposure_time  # the noise of the readout is the same number of electrons
    stripes = np.zeros((shape[0], 1))
    if effects.one_over_f:
        stripes = calibration * shorter * row_stripes(generator(seed, Stream.STRIPES, *key), shape[0])
    deviates = np.zeros((2, 1, 1), np.float32)
    if effects.noise:
        deviates = generator(seed, Stream.NOISE, *key).standard_normal((2, *shape), np.float32)
        _add_jumps(deviates[1], telegraph, generator(seed, Stream.TELEGRAPH, *key))
    dq = dq.copy()
    if effects.bad_pixels:
        _flag_jumps(dq, generator(seed, Stream.JUMPS, *key))
    names = ("data", "err", "var_poisson", "var_rnoise", "var_flat")
    planes = {name: np.empty(shape, np.float32) for name in names}
    saturates = WELL_DEPTH / electrons
    expose(
        light, np.zeros((0, 0), np.float32) if wisp is None else wisp, area,
        response.flight, response.ground, response.ground_err, dq, stripes, *deviates,
        sky, wisp_level, electrons, READ_NOISE * shorter * calibration,
        saturates, saturates * max(exposure_time / GROUP_TIME, 1), effects.noise,
        *planes.values(), np.uint32(DQ.SATURATED), np.uint32(DQ.DO_NOT_USE),
    )  # fmt: skip
    return {name: readonly(plane) for name, plane in (planes | {"dq": dq, "area": area}).items()}


def _add_jumps(deviates, telegraph, rng):
    """Add the telegraph noise of an exposure to the deviates of the read noise, in place.

    A pixel that jumps to its other level and back while the ramp is read tilts the slope, either way, and the more the
    nearer to the middle of the ramp: between nothing and the whole height.
    """
    noisy = np.flatnonzero(telegraph)
    deviates.flat[noisy] += telegraph.flat[noisy] * rng.uniform(-1, 1, noisy.size).astype(np.float32)


def _flag_jumps(dq, rng):
    """Flag the pixels that cosmic rays hit, in place; reference pixels show none."""
    hit = rng.integers(0, dq.size, rng.poisson(JUMPS * dq.size))
    hit = hit[~DQ.REFERENCE_PIXEL.is_set(dq.flat[hit])]
    dq.flat[hit] |= np.uint32(DQ.JUMP_DET)
