"""Groups of connected pixels, as runs along the rows that touch each other."""

import numpy as np

from nircam_flats.kernels._njit import njit

__all__ = ["large_groups"]


@njit(nogil=True, cache=True)
def _root(parents, run):
    while parents[run] != run:
        parents[run] = parents[parents[run]]
        run = parents[run]
    return run


@njit(nogil=True, cache=True)
def _count_runs(image):
    n = 0
    for y in range(image.shape[0]):
        before = False
        for x in range(image.shape[1]):
            n += image[y, x] and not before
            before = image[y, x]
    return n


@njit(nogil=True, cache=True)
def _large_groups(image, n_pixels, n_runs, out):
    ny, nx = image.shape
    starts, ends = np.empty(n_runs, np.int32), np.empty(n_runs, np.int32)  # columns, the end not included
    parents, sizes = np.arange(n_runs), np.zeros(n_runs, np.int64)
    first_of_row = np.zeros(ny + 1, np.int64)
    n = 0
    for y in range(ny):
        above, last_above = first_of_row[max(y - 1, 0)], first_of_row[y]
        x = 0
        while x < nx:
            if not image[y, x]:
                x += 1
                continue
            starts[n] = x
            while x < nx and image[y, x]:
                x += 1
            ends[n] = x
            sizes[n] = x - starts[n]
            while above < last_above and ends[above] < starts[n]:  # ends before the column left of the run
                above += 1
            touching = above
            while touching < last_above and starts[touching] <= ends[n]:
                one, other = _root(parents, touching), _root(parents, n)
                if one != other:
                    one, other = min(one, other), max(one, other)
                    parents[other] = one
                    sizes[one] += sizes[other]
                touching += 1
            n += 1
        first_of_row[y + 1] = n
    for y in range(ny):
        for run in range(first_of_row[y], first_of_row[y + 1]):
            if sizes[_root(parents, run)] >= n_pixels:
                out[y, starts[run] : ends[run]] = True


def large_groups(image, n_pixels):
    """Return the pixels of a boolean ``image`` that are in groups of at least ``n_pixels``.

    Pixels that touch by sides or corners are in one group (8-connectivity).
    """
    image = np.ascontiguousarray(image, bool)
    out = np.zeros(image.shape, bool)
    _large_groups(image, n_pixels, _count_runs(image), out)
    return out
