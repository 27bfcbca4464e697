"""Loops over the neighbourhood of each pixel: smoothing that skips bad pixels, and growing of a mask."""

import numpy as np

from nircam_flats.exceptions import InvalidInputError
from nircam_flats.kernels._njit import njit

__all__ = ["grow", "local_medians", "smooth"]

LARGEST_RADIUS = 254


@njit(nogil=True, cache=True, fastmath={"nsz", "contract", "reassoc"})
def _smooth(data, good, profile, out):
    ny, nx = data.shape
    size = profile.shape[0]
    half = size // 2
    # Horizontal sums of the last `size` rows are kept in a ring; each output row is their vertical sum.
    values = np.zeros((size, nx + 2 * half), np.float32)
    weights = np.zeros((size, nx + 2 * half), np.float32)
    sums = np.zeros((size, nx), np.float32)
    totals = np.zeros((size, nx), np.float32)
    value_out, weight_out = np.empty(nx, np.float32), np.empty(nx, np.float32)
    for y in range(ny + half):
        slot = y % size
        sums[slot] = 0
        totals[slot] = 0
        if y < ny:
            for x in range(nx):
                values[slot, x + half] = data[y, x] if good[y, x] else np.float32(0)
                weights[slot, x + half] = np.float32(1) if good[y, x] else np.float32(0)
            for k in range(size):
                p = profile[k]
                for x in range(nx):
                    sums[slot, x] += p * values[slot, x + k]
                    totals[slot, x] += p * weights[slot, x + k]
        target = y - half
        if target < 0:
            continue
        value_out[:] = 0
        weight_out[:] = 0
        for k in range(size):
            source = target + k - half
            if source < 0 or source >= ny:
                continue
            p = profile[k]
            for x in range(nx):
                value_out[x] += p * sums[source % size, x]
                weight_out[x] += p * totals[source % size, x]
        for x in range(nx):
            out[target, x] = value_out[x] / weight_out[x] if weight_out[x] > 0 else np.nan


def smooth(data, good, profile):
    """Convolve ``data`` with the separable kernel ``profile[:, None] * profile``, ignoring pixels not ``good``.

    Each pixel is the weighted mean of the good pixels under the kernel (so the sky level does not sink beside
    bad pixels or at the edge); NaN where there is none. ``profile`` has an odd length. Returns float32.
    """
    out = np.empty(data.shape, np.float32)
    _smooth(np.asarray(data, np.float32), np.asarray(good, bool), np.asarray(profile, np.float32)[::-1], out)
    return out


@njit(nogil=True, cache=True)
def _add_shifted(row, n, line):
    """Put the flags of ``row``, moved by ``n`` pixels to either side, into ``line``; 64 pixels lie in a word."""
    words, bits = n // 64, np.uint64(n % 64)
    rest = np.uint64(64) - bits
    for i in range(row.size):
        if i + words < row.size:
            line[i + words] |= row[i] << bits
        if i >= words:
            line[i - words] |= row[i] >> bits
        if bits and i + words + 1 < row.size:
            line[i + words + 1] |= row[i] >> rest
        if bits and i > words:
            line[i - words - 1] |= row[i] << rest


@njit(nogil=True, cache=True)
def _grow(mask, widths, out):
    radius = widths.size - 1
    for y in range(mask.shape[0]):
        row = mask[y]
        if not row.any():
            continue
        line = row.copy()
        for width in range(radius + 1):
            if width > 0:
                _add_shifted(row, width, line)
            for distance in range(radius + 1):
                if widths[distance] == width:
                    for target in (y - distance, y + distance):
                        if 0 <= target < mask.shape[0]:
                            for i in range(line.size):
                                out[target, i] |= line[i]


def grow(mask, radius):
    """Return ``mask`` grown by a disk: all pixels within ``radius`` (0 to 254) pixels of a flagged one.

    Raises
    ------
    InvalidInputError
        If the radius is not from 0 to 254.
    """
    if not 0 <= radius <= LARGEST_RADIUS:
        raise InvalidInputError(f"the radius by which a mask grows must be from 0 to {LARGEST_RADIUS} px; got {radius}")
    mask = np.asarray(mask, bool)
    ny, nx = mask.shape
    distances = np.arange(int(radius) + 1)
    widths = np.floor(np.sqrt(radius**2 - distances**2)).astype(np.int64)
    packed = np.zeros((ny, 8 * -(-nx // 64)), np.uint8)
    packed[:, : -(-nx // 8)] = np.packbits(mask, axis=1, bitorder="little")
    out = np.zeros_like(packed)
    _grow(packed.view("<u8"), widths, out.view("<u8"))
    return np.unpackbits(out, axis=1, count=nx, bitorder="little").view(bool)


@njit(nogil=True, cache=True)
def _local_medians(data, excluded, y, x, reach, least, out):
    ny, nx = data.shape
    buffer = np.empty((2 * reach + 1) ** 2, np.float32)
    for i in range(y.size):
        n = 0
        for row in range(max(0, y[i] - reach), min(ny, y[i] + reach + 1)):
            for column in range(max(0, x[i] - reach), min(nx, x[i] + reach + 1)):
                value = data[row, column]
                if not excluded[row, column] and np.isfinite(value):
                    buffer[n] = value
                    n += 1
        out[i] = np.median(buffer[:n]) if n >= least else np.nan


def local_medians(data, excluded, y, x, *, reach, least=1):
    """Return the median of the surroundings of some pixels: those at most ``reach`` rows and columns away.

    Pixels that are ``excluded`` or not finite do not count; NaN where fewer than ``least`` are left. ``y`` and ``x``
    are arrays of integers. Returns float32.
    """
    out = np.empty(y.shape, np.float32)
    _local_medians(data, excluded, y, x, reach, least, out)
    return out
