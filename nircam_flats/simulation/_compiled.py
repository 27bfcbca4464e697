"""The compiled loops of the simulation: painting sources, and the passage from light to a calibrated image."""

import math

import numpy as np

from nircam_flats.kernels._njit import njit

__all__ = ["expose", "paint"]

STAR, EXPONENTIAL, DE_VAUCOULEURS = 0, 1, 2


@njit(nogil=True, cache=True, fastmath=True)
def _profile(kind, distance2, radius, softening2):
    """Surface brightness at a squared distance, up to a factor. Of stars a Moffat profile of index 1.75."""
    if kind == 0:
        base = 1.0 + distance2 / (radius * radius)
        return math.sqrt(math.sqrt(base)) / (base * base)
    scaled = math.sqrt(distance2 + softening2) / radius
    if kind == 1:
        return math.exp(-1.678 * scaled)
    return math.exp(-7.669 * math.sqrt(math.sqrt(scaled)))


@njit(nogil=True, cache=True, fastmath=True)
def paint(image, kind, x, y, total, radius, axis_ratio, angle, softening, reach):
    """Add sources to ``image``; each adds ``total`` within a square of ``reach`` pixels around it.

    ``radius`` is the scale of a star's profile or the half-light radius (major axis) of a galaxy, whose core is
    softened by ``softening`` pixels instead of being convolved with the point spread function.
    """
    n_y, n_x = image.shape
    largest = 0
    for i in range(x.size):
        largest = max(largest, 2 * reach[i] + 1)
    stamp = np.empty(largest * largest, np.float32)
    for i in range(x.size):
        row, column = math.floor(y[i] + 0.5), math.floor(x[i] + 0.5)
        n = reach[i]
        if row + n < 0 or column + n < 0 or row - n >= n_y or column - n >= n_x:
            continue
        c, s = math.cos(angle[i]), math.sin(angle[i])
        softening2 = softening * softening
        side = 2 * n + 1
        light = 0.0
        for j in range(side):
            v = row - n + j - y[i]
            for k in range(side):
                h = column - n + k - x[i]
                along, across = h * c + v * s, (v * c - h * s) / axis_ratio[i]
                value = _profile(kind[i], along * along + across * across, radius[i], softening2)
                stamp[j * side + k] = value
                light += value
        factor = np.float32(total[i] / light)
        for j in range(max(0, n - row), min(side, n_y - row + n)):
            for k in range(max(0, n - column), min(side, n_x - column + n)):
                image[row - n + j, column - n + k] += factor * stamp[j * side + k]


@njit(nogil=True, cache=True)
def _poisson_quantile(mean, z):
    """The Poisson number as far up its distribution as ``z`` is up the normal one."""
    goal = 0.5 * math.erfc(-z / math.sqrt(2.0))
    chance = math.exp(-mean)
    reached = chance
    n = 0
    while reached < goal and n < 500:
        n += 1
        chance *= mean / n
        reached += chance
    return float(n)


@njit(nogil=True, cache=True)
def photons(mean, z):
    """A Poisson number drawn with the normal deviate ``z``.

    Above a mean of 50 a normal number with the skewness of the Poisson distribution (Cornish-Fisher expansion), so
    that its median is right too.
    """
    if mean <= 0.0:
        return 0.0
    if mean < 50.0:
        return _poisson_quantile(mean, z)
    return mean + math.sqrt(mean) * z + (z * z - 1.0) / 6.0


@njit(nogil=True, cache=True)
def expose(
    light, glow, area, flight, ground, ground_err, dq, stripes, photon_deviate, read_deviate,
    sky, glow_level, electrons, read_noise, saturates, saturates_at_once, noisy,
    data, err, var_poisson, var_rnoise, var_flat, saturated, lost,
):  # fmt: skip
    """Turn light into a calibrated image and its variances, in place, by the rules of the pipeline.

    ``light`` is that of sources (MJy/sr for pixels of equal area), ``glow`` a template of further uniform-flux light
    taken ``glow_level`` times (may have no pixels), ``stripes[y, amplifier]`` is added undivided. ``electrons`` is
    their number per MJy/sr; from ``saturates`` (MJy/sr) on a pixel is flagged ``saturated``, from
    ``saturates_at_once`` on also ``lost``. ``dq`` is changed; what has the bit 1 becomes NaN.
    """
    n_y, n_x = data.shape
    n_amplifiers = stripes.shape[1]
    has_glow = glow.size > 0
    variance_read = read_noise * read_noise
    for i in range(n_y):
        for j in range(n_x):
            response = float(flight[i, j])
            seen = sky + float(light[i, j]) / float(area[i, j])
            if has_glow:
                seen += glow_level * float(glow[i, j])
            seen *= response
            if seen > saturates:
                dq[i, j] |= saturated
                if seen > saturates_at_once:
                    dq[i, j] |= lost
            if dq[i, j] & 1:
                data[i, j] = np.nan
                err[i, j] = np.nan
                var_poisson[i, j] = np.nan
                var_rnoise[i, j] = np.nan
                var_flat[i, j] = np.nan
                continue
            raw = seen
            if noisy:
                raw = photons(seen * electrons, float(photon_deviate[i, j])) / electrons
                raw += read_noise * float(read_deviate[i, j])
            raw += stripes[i, j * n_amplifiers // n_x]
            flat = float(ground[i, j])
            value = raw / flat
            of_photons = max(raw, 0.0) / electrons / (flat * flat)
            of_reading = variance_read / (flat * flat)
            of_flat = (value / flat * float(ground_err[i, j])) ** 2
            data[i, j] = value
            var_poisson[i, j] = of_photons
            var_rnoise[i, j] = of_reading
            var_flat[i, j] = of_flat
            err[i, j] = math.sqrt(of_photons + of_reading + of_flat)
