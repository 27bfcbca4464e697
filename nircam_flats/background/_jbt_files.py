"""The files of the JWST Backgrounds Tool: one binary file for each pixel of the sky, and two curves as text.

A binary file is little-endian: ``f8`` right ascension and declination of the pixel (deg), its unit vector, the light
that is not zodiacal at each wavelength; ``i4`` for each of 366 days of the year (1 January is day 0) the number of its
record, -1 where the field is not visible; then for each visible day, ``f8``, zodiacal and stray light at each
wavelength.
"""

import warnings
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy_healpix import HEALPix
from attrs import field, frozen

from nircam_flats._fields import HoldsArrays, image
from nircam_flats.exceptions import InvalidInputError

__all__ = ["GRID", "FieldRecord", "file_name", "pixel_of", "read_curve", "read_field"]

GRID = HEALPix(nside=128, order="ring")
N_DAYS = 366
DAYS_BYTES = N_DAYS * 4
N_HEAD = 5
POSITION_TOLERANCE = 1e-4 * u.deg
MOST_WAVELENGTHS = 2000
BRIGHTEST = 1e6
"""MJy/sr, ten thousand times what any part of the sky has."""


@frozen(kw_only=True, eq=False)
class FieldRecord(HoldsArrays):
    """What one binary file holds.

    Attributes
    ----------
    pixel
        HEALPix number.
    other
        Light that is not zodiacal, MJy/sr, at each wavelength.
    days
        Days of the year on which the field is visible.
    zodiacal, stray
        MJy/sr, shape (days, wavelengths).
    """

    pixel: int = field()
    other: np.ndarray = image(np.float64, ndim=1)
    days: np.ndarray = image(np.int64, ndim=1)
    zodiacal: np.ndarray = image(np.float64)
    stray: np.ndarray = image(np.float64)


def pixel_of(coordinate):
    """Return the number of the pixel that a direction (ICRS) lies in."""
    return int(GRID.lonlat_to_healpix(coordinate.ra, coordinate.dec))


def file_name(pixel):
    """Return the name of the file of a pixel."""
    return f"sl_pix_{pixel:06d}.bin"


def read_field(path, n_wavelengths):
    """Return the `FieldRecord` in a file.

    Raises
    ------
    InvalidInputError
        If it is not whole, is laid out for another number of wavelengths, or holds another pixel than its name says.
    """
    path = Path(path)
    if not path.is_file():
        raise InvalidInputError(f"{path}: needed a file of the JWST Backgrounds Tool; nothing is there")
    content = path.read_bytes()
    number = _day_numbers(content, n_wavelengths)
    if number is None or len(content) != _size(number, n_wavelengths):
        raise InvalidInputError(f"{path}: {_what_is_wrong(content, number, n_wavelengths)}")
    days = np.flatnonzero(number >= 0)
    head = np.frombuffer(content, "<f8", N_HEAD + n_wavelengths)
    light = np.frombuffer(content, "<f8", offset=_records_start(n_wavelengths))
    for values in (head[N_HEAD:], light):
        if not ((values >= 0) & (values < BRIGHTEST)).all():
            raise InvalidInputError(
                f"{path}: needed light from 0 to {BRIGHTEST:g} MJy/sr; got {values.min():.3g} to {values.max():.3g}: "
                "the file is damaged, fetch it again"
            )
    records = light.reshape(len(days), 2, n_wavelengths)[number[days]]
    return FieldRecord(
        pixel=_checked_pixel(head[:N_HEAD], path),
        other=head[N_HEAD:],
        days=days,
        zodiacal=records[:, 0],
        stray=records[:, 1],
    )


def _day_numbers(content, n_wavelengths):
    """The record of each day if the content can be laid out for so many wavelengths; None otherwise."""
    start = 8 * (N_HEAD + n_wavelengths)
    if len(content) < start + DAYS_BYTES:
        return None
    number = np.frombuffer(content, "<i4", N_DAYS, start)
    visible = number[number >= 0]
    right = (number >= -1).all() and np.array_equal(np.sort(visible), np.arange(visible.size))
    return number if right else None


def _records_start(n_wavelengths):
    return 8 * (N_HEAD + n_wavelengths) + DAYS_BYTES


def _size(number, n_wavelengths):
    """Bytes of a whole file with these records."""
    return _records_start(n_wavelengths) + 16 * n_wavelengths * np.count_nonzero(number >= 0)


def _what_is_wrong(content, number, n_wavelengths):
    for other in range(1, MOST_WAVELENGTHS):
        found = _day_numbers(content, other)
        if found is not None and (found >= 0).any() and len(content) == _size(found, other):
            return (
                f"needed a file with {n_wavelengths} wavelengths, as std_spectrum_wavelengths.txt lists; got one laid "
                f"out for {other}, of another version of the cache: take both from one version"
            )
    if number is None:
        return f"needed the layout of the JWST Backgrounds Tool; got {len(content)} bytes that have another"
    needed = _size(number, n_wavelengths)
    state = "truncated" if len(content) < needed else "longer"
    return (
        f"needed {needed} bytes for {np.count_nonzero(number >= 0)} visible days and {n_wavelengths} wavelengths; got "
        f"{len(content)}, the file is {state}: fetch it again"
    )


def _checked_pixel(head, path):
    ra, dec = head[:2] * u.deg
    if not (np.isfinite(head).all() and abs(dec) <= 90 * u.deg):
        raise InvalidInputError(f"{path}: needed the direction of a pixel first; got {head[:2]}")
    pixel = int(GRID.lonlat_to_healpix(ra, dec))
    lon, lat = GRID.healpix_to_lonlat(pixel)
    off = max(abs((lon - ra).wrap_at(180 * u.deg)) * np.cos(dec), abs(lat - dec))
    if off > POSITION_TOLERANCE:
        raise InvalidInputError(
            f"{path}: needed the centre of a HEALPix pixel (NSIDE 128, ring); got ({ra:.5f}, {dec:.5f}), {off:.2g} off "
            "the nearest: this is of another version of the cache"
        )
    digits = path.stem.removeprefix("sl_pix_")
    if digits.isdigit() and int(digits) != pixel:
        raise InvalidInputError(f"{path}: needed pixel {int(digits)}, as the name says; got pixel {pixel}: rename it")
    return pixel


def read_curve(path, n_columns):
    """Return the columns of a text file of numbers, shape (n_columns, rows), the first rising.

    Raises
    ------
    InvalidInputError
        If it is no such file.
    """
    path = Path(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there is nothing in it; we say so ourselves
            values = np.loadtxt(path, delimiter="," if path.suffix == ".csv" else None, ndmin=2).T
    except (OSError, ValueError) as error:
        raise InvalidInputError(
            f"{path}: needed a text file with {n_columns} columns of numbers; got {error}"
        ) from None
    if len(values) != n_columns or values.shape[1] < 2 or not (np.diff(values[0]) > 0).all():
        raise InvalidInputError(
            f"{path}: needed {n_columns} columns of numbers, the first rising; got shape {values.T.shape}"
        )
    if not np.isfinite(values).all():
        raise InvalidInputError(f"{path}: needed finite numbers; got {np.count_nonzero(~np.isfinite(values))} others")
    return values
