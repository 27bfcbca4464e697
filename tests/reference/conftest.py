"""A ground flat, the change since, a fit that knows it, and an exposure: all of NRCB4, all with known truth."""

from types import SimpleNamespace

import attrs
import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import QTable
from astropy.time import Time

from nircam_flats import DQ, Detector, Exposure, FlatReference, SurfaceCovariance
from nircam_flats.provenance import History

SHAPE = (64, 80)  # not square, so that a transposed axis is seen
GROUND_NAME = "jwst_nircam_flat_9002.fits"
NO_ANSWER = DQ.NO_FLAT_FIELD | DQ.DO_NOT_USE


def border(shape=SHAPE, width=4):
    """Return a boolean image, True on the reference pixels."""
    inside = np.zeros(shape, bool)
    inside[width:-width, width:-width] = True
    return ~inside


@pytest.fixture
def rng():
    return np.random.default_rng(5063)


@pytest.fixture
def ground(rng):
    """A valid ground flat with a border, dead pixels, and usable pixels that are flagged unreliable."""
    data = rng.normal(1, 0.05, SHAPE).astype(np.float32)
    err = rng.uniform(0.001, 0.01, SHAPE).astype(np.float32)
    dq = np.zeros(SHAPE, np.uint32)
    dq[10, 20:24] = NO_ANSWER | DQ.DEAD
    dq[11, 20:24] = DQ.DO_NOT_USE | DQ.OTHER_BAD_PIXEL
    dq[12, 20:24] = DQ.UNRELIABLE_FLAT
    dq[13, 20:24] = DQ.LOW_QE
    dq[border()] = NO_ANSWER | DQ.REFERENCE_PIXEL
    data[DQ.NO_FLAT_FIELD.is_set(dq)] = 1
    return FlatReference(
        data=data,
        err=err,
        dq=dq,
        detector="B4",
        filter="F200W",
        name=GROUND_NAME,
        author="A. Tester",
        description="Ground flat of a test",
        pedigree="GROUND",
        useafter="2014-10-01T00:00:00",
        history=("Made by a test",),
    )


@pytest.fixture
def change():
    """The true change since the ground flat: 8 % across the detector."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return (1 + 0.04 * x / SHAPE[1] - 0.04 * y / SHAPE[0]).astype(np.float32)


@pytest.fixture
def exposure_table():
    """Table of the exposures of the fit, as a delta skyflat has it."""
    return QTable(
        {
            "name": ["jw01_nrcb4", "jw02_nrcb4", "jw03_nrcb4"],
            "filter": ["F200W", "F150W", "F200W"],
            "start": ["2022-04-28T23:59:59.900", "2022-05-01T00:00:00.000", ""],
            "level": [0.3, 0.25, np.nan] * u.MJy / u.sr,
            "used": [True, True, False],
            "reason": ["", "", "S_FLAT must be COMPLETE; got SKIPPED"],
        }
    )


@pytest.fixture
def fit(change, exposure_table):
    """What a fit of exposures in two filters offers to `FlatReference.corrected_by`."""
    return SimpleNamespace(
        surface=change,
        err=np.full(SHAPE, 0.002, np.float32),
        covariance=SurfaceCovariance(
            modes=np.full((2, 2, 3), 0.001), misfit=0.0014, misfit_correlation=[1.0, 0.5], shape=SHAPE, box_size=32
        ),
        detector=Detector.get("B4"),
        flat_names={"F200W": GROUND_NAME, "F150W": "jwst_nircam_flat_9001.fits"},
        exposures=exposure_table,
        first_date=Time("2022-04-28T23:59:59.9"),
        last_date=Time("2022-05-02T00:00:00"),
        history=History().then("combine", frames=12).then("fit", strategy="Polynomial2D(3)"),
    )


@pytest.fixture
def flight(ground, fit):
    return attrs.evolve(ground.corrected_by(fit), name="flight.fits")


@pytest.fixture
def raw(rng):
    """Planes of an exposure before any flat: a bright source on a sky, jumps, a hot and a lost pixel."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    source = 50 * np.exp(-((x - 30) ** 2 + (y - 30) ** 2) / 8)
    data = (rng.normal(0.3, 0.02, SHAPE) + source).astype(np.float32)
    dq = np.zeros(SHAPE, np.uint32)
    dq[20, 10:30] = DQ.JUMP_DET
    dq[21, 10:12] = DQ.DO_NOT_USE | DQ.HOT
    data[22, 10:12] = np.nan
    return {
        "data": data,
        "dq": dq,
        "var_poisson": (np.abs(data) / 100).astype(np.float32),
        "var_rnoise": rng.uniform(1e-4, 4e-4, SHAPE).astype(np.float32),
    }


@pytest.fixture
def calibrate(raw):
    """Function that calibrates the raw exposure with a flat, spelled out pixel by pixel as documented."""

    def calibrate(flat):
        missing = np.isnan(flat.data) | (flat.data == 0) | DQ.NO_FLAT_FIELD.is_set(flat.dq)
        flags = flat.dq | np.where(missing, np.uint32(NO_ANSWER), np.uint32(0))
        divisor = np.where(DQ.DO_NOT_USE.is_set(flags), 1, flat.data.astype(float))
        planes = {
            "data": raw["data"] / divisor,
            "var_poisson": raw["var_poisson"] / divisor**2,
            "var_rnoise": raw["var_rnoise"] / divisor**2,
        }
        planes["var_flat"] = (planes["data"] / divisor) ** 2 * flat.err.astype(float) ** 2
        planes["err"] = np.sqrt(planes["var_poisson"] + planes["var_rnoise"] + planes["var_flat"])
        lost = DQ.DO_NOT_USE.is_set(raw["dq"] | flags)
        lost |= np.any([np.isnan(plane) for plane in planes.values()], axis=0)
        for plane in planes.values():
            plane[lost] = np.nan
        dq = raw["dq"] | flags | np.where(lost, np.uint32(DQ.DO_NOT_USE), np.uint32(0))
        return Exposure(**planes, dq=dq, detector="B4", filter="F200W", name="jw_nrcb4", flat_name=flat.name)

    return calibrate


@pytest.fixture
def flat_file(ground, tmp_path):
    """Function that writes the ground flat, lets ``change(hdus)`` spoil the file, and returns its path."""

    def make(change=lambda hdus: None, name=GROUND_NAME):
        path = tmp_path / name
        ground.write(path)
        with fits.open(path, memmap=False) as hdus:
            spoilt = fits.HDUList([hdu.copy() for hdu in hdus])
        change(spoilt)
        spoilt.writeto(path, overwrite=True)
        return path

    return make
