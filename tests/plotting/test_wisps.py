"""Figures of wisps: the light, its outline, a unit."""

import numpy as np
import pytest
from matplotlib.figure import Figure

import nircam_flats as nf


@pytest.fixture
def template():
    y, x = np.indices((60, 80))
    data = np.where(np.hypot(y - 30, x - 50) < 12, 0.04, 0.0)
    return nf.WispTemplate.from_image(data, detector="A3", filter="F150W")


def test_light_and_outline(template):
    ax = Figure().subplots()
    artist = template.plot(ax=ax, cmap="magma")
    assert artist.axes is ax
    assert artist.get_cmap().name == "magma"
    assert artist.norm.vmin == 0
    assert artist.norm.vmax == pytest.approx(0.04)
    np.testing.assert_allclose(artist.get_array(), template.data)
    assert ax.get_title() == "NRCA3 F150W: wisp"
    assert ax.get_xlabel() == "x [px]"
    assert ax.get_xlim() == (-0.5, 79.5)
    (outline,) = ax.collections
    (path,) = outline.get_paths()
    assert path.vertices.mean(axis=0) == pytest.approx((50, 30), abs=1)
    assert "MJy" in ax.figure.axes[1].get_ylabel()


def test_large_frames_are_shown_as_medians():
    data = np.zeros((1024, 1024), np.float32)
    data[512:, 512:] = 0.1
    artist = nf.WispTemplate.from_image(data, detector="B3", filter="F200W").plot(ax=Figure().subplots())
    assert artist.get_array().shape == (512, 512)
    assert artist.get_extent() == [-0.5, 1023.5, -0.5, 1023.5]
