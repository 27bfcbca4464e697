"""Statistics over meshes."""

import numpy as np

from nircam_flats.kernels import box_means, expand_mesh
from nircam_flats.skyflat.meshes import centre_values


def test_an_image_from_centre_values_has_the_means():
    """Waves of eight boxes: what is interpolated between means loses a twentieth of them, this a two hundredth."""
    y, x = np.indices((256, 256)) + 0.5
    means = box_means((np.sin(2 * np.pi * x / 64) * np.cos(2 * np.pi * y / 64 + 0.3)).astype(np.float32), 8)

    def lost(mesh):
        return 1 - np.std(box_means(expand_mesh(mesh, 8, (256, 256)), 8)[2:-2, 2:-2]) / np.std(means[2:-2, 2:-2])

    assert abs(lost(centre_values(means))) < 0.005
    assert lost(means) > 0.04


def test_lines_stay_lines():
    plane = 3 + np.add.outer(2.0 * np.arange(6), np.arange(9))
    np.testing.assert_allclose(centre_values(plane)[1:-1, 1:-1], plane[1:-1, 1:-1])
