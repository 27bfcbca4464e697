"""Groups of connected pixels: those of scipy."""

import numpy as np
import pytest
from scipy.ndimage import label

from nircam_flats.kernels import large_groups


def expected(image, n_pixels):
    labels, n = label(image, structure=np.ones((3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=n + 1)
    sizes[0] = 0
    return (sizes >= n_pixels)[labels]


def spiral(size):
    """A line that winds inwards, one pixel wide."""
    image = np.zeros((size, size), bool)
    y, x, dy, dx = 0, 0, 0, 1
    image[0, 0] = True
    for _ in range(size * size):
        ahead_y, ahead_x = y + 2 * dy, x + 2 * dx
        blocked = not (0 <= y + dy < size and 0 <= x + dx < size)
        if not blocked and 0 <= ahead_y < size and 0 <= ahead_x < size:
            blocked = image[ahead_y, ahead_x]
        if blocked:
            dy, dx = dx, -dy
        if not (0 <= y + dy < size and 0 <= x + dx < size) or image[y + dy, x + dx]:
            break
        y, x = y + dy, x + dx
        image[y, x] = True
    return image


def shapes():
    y, x = np.indices((40, 33))
    comb = (x % 2 == 0) | (y == 39)
    return {
        "nothing": np.zeros((20, 30), bool),
        "everything": np.ones((20, 30), bool),
        "chequerboard": (y + x) % 2 == 0,
        "diagonals": (y + x) % 3 == 0,
        "columns": x % 2 == 0,
        "rows": y % 2 == 0,
        "a comb joined at its last row": comb,
        "the same upside down": comb[::-1],
        "crosses": (y % 7 == 3) ^ (x % 5 == 2),
        "a spiral": spiral(31),
        "one column": np.arange(30)[:, None] % 4 != 0,
        "one row": np.arange(30)[None] % 4 != 0,
        "one pixel": np.ones((1, 1), bool),
        "a view": np.tile((y + x) % 5 < 2, (2, 2))[::2, ::3],
    }


@pytest.mark.parametrize("name", shapes())
@pytest.mark.parametrize("n_pixels", [1, 2, 4, 12, 10_000])
def test_shapes(name, n_pixels):
    image = shapes()[name]
    np.testing.assert_array_equal(large_groups(image, n_pixels), expected(image, n_pixels))


@pytest.mark.parametrize("density", [0.01, 0.1, 0.3, 0.41, 0.6, 0.95])
def test_random_images(density):
    rng = np.random.default_rng(int(100 * density))
    for shape in ((64, 64), (37, 101), (200, 3)):
        image = rng.random(shape) < density
        for n_pixels in (2, 4, 9):
            np.testing.assert_array_equal(large_groups(image, n_pixels), expected(image, n_pixels))
