"""A small cache in the format of the JWST Backgrounds Tool, and the real one where it is."""

import struct

import attrs
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy_healpix import HEALPix

import nircam_flats as nf
from nircam_flats.simulation import Effects, SimulatedProgram

N_GRID = 13
GRID = np.linspace(0.5, 6.5, N_GRID)
PIXEL = 94166
DAYS = (0, 1, 100, 101, 102, 365)


def _write_field(path, pixel=PIXEL, days=DAYS, n=N_GRID):
    """Write a field whose light on day d is d + 1 (zodiacal) and 0.1 (d + 1) (stray), times 1 to 2 along the grid."""
    lon, lat = HEALPix(nside=128, order="ring").healpix_to_lonlat(pixel)
    ramp = np.linspace(1, 2, n)
    number = np.full(366, -1)
    number[list(days)] = np.arange(len(days))
    content = struct.pack("<5d", lon.deg, lat.deg, 0, 0, 0) + struct.pack(f"<{n}d", *(0.01 * ramp))
    content += struct.pack("<366i", *number)
    for day in days:
        content += struct.pack(f"<{2 * n}d", *((day + 1) * ramp), *(0.1 * (day + 1) * ramp))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture(scope="session")
def write_field():
    """Function that writes one field: ``write_field(path, pixel=..., days=..., n=...)``."""
    return _write_field


@pytest.fixture
def cache(tmp_path):
    """A cache of one field, with the two curves and the version beside it."""
    folder = tmp_path / "cache"
    _write_field(folder / f"sl_pix_{PIXEL:06d}.bin")
    np.savetxt(folder / "std_spectrum_wavelengths.txt", GRID)
    np.savetxt(folder / "thermal_curve_test_v1.csv", [[0.5, 0], [3.0, 0], [6.0, 3.0]], delimiter=",", header="micron")
    (folder / "VERSION").write_text("2.0\n")
    return folder


@pytest.fixture(scope="session")
def field():
    """The direction of the middle of that field."""
    return SkyCoord(*HEALPix(nside=128, order="ring").healpix_to_lonlat(PIXEL))


class Typical(nf.BackgroundModel):
    """What the simulation takes for a typical sky."""

    relative_err = 0.2

    def spectrum(self, coordinate, date, wavelength):
        zodiacal = 0.25 * (wavelength / 1.2) ** -0.9
        return {"zodiacal": zodiacal, "thermal": 0.2 * np.exp((wavelength - 4.4) / 0.35)}


@pytest.fixture(scope="session")
def typical():
    return Typical()


@pytest.fixture(scope="session")
def sky():
    """A simulated campaign of three detectors, four exposures in each of two filters."""
    effects = attrs.evolve(Effects(), large_galaxy=False, saturated_star=False, persistence=False, wisps=False)
    return SimulatedProgram(
        detectors=["A1", "B1", "ALONG"],
        filters=["F115W", "F200W", "F444W"],
        n_dithers=2,
        shape=(256, 256),
        seed=4,
        effects=effects,
    )


@pytest.fixture(scope="session")
def exposures(sky):
    return nf.ExposureSet.from_exposures(list(sky.exposures()))
