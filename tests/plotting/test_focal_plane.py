"""The focal plane: every detector where it lies on the sky."""

import numpy as np
import pytest
from astropy import units as u

from nircam_flats import Detector, InvalidInputError, plotting


def flats(*names):
    rng = np.random.default_rng(4)
    return {name: 1 + 0.02 * rng.standard_normal((96, 96)) for name in names}


def meshes(ax):
    return [item for item in ax.collections if item.get_array() is not None]


def test_all_ten_share_their_colours():
    figure = plotting.focal_plane(flats(*(item.name for item in Detector.all())), title="flats")
    short, long, bar = figure.axes
    assert [len(meshes(ax)) for ax in (short, long)] == [8, 2]
    assert len({mesh.get_clim() for ax in (short, long) for mesh in meshes(ax)}) == 1
    assert bar.get_ylabel() == "relative response"
    assert figure.get_suptitle() == "flats"


def test_as_on_the_sky():
    (ax, _) = plotting.focal_plane(flats("A1", "B1")).axes
    left, right = ax.get_xlim()
    assert left > right  # +V2 to the left
    texts = {text.get_text() for text in ax.texts}
    assert {"A1", "A2", "B4", "+V2", "+V3"} <= texts
    assert "ALONG" not in texts
    place = {text.get_text(): text.get_position() for text in ax.texts}
    assert place["A1"][0] > 0 > place["B1"][0]  # module A lies at +V2


def test_pixels_lie_between_the_corners():
    data = np.ones((64, 64))
    data[:32, :32] = 1.1  # around pixel (0, 0)
    detector = Detector.get("B3")
    (ax, _) = plotting.focal_plane({"B3": data}).axes
    (mesh,) = meshes(ax)
    places = mesh.get_coordinates()
    corners = detector.corners.to_value(u.arcsec)
    np.testing.assert_allclose(places[0, 0], corners[0])
    np.testing.assert_allclose(places[0, -1], corners[1])
    np.testing.assert_allclose(places[-1, -1], corners[2])
    assert np.ma.getdata(mesh.get_array()).reshape(64, 64)[0, 0] == np.float32(1.1)


def test_long_wavelength_alone():
    figure = plotting.focal_plane(flats("ALONG"), half_range=0.03)
    assert [ax.get_title() for ax in figure.axes[:-1]] == ["long wavelength"]
    assert meshes(figure.axes[0])[0].get_clim() == pytest.approx((0.97, 1.03))


def test_nothing_to_draw():
    with pytest.raises(InvalidInputError, match="got none"):
        plotting.focal_plane({})
    with pytest.raises(InvalidInputError, match="that of B1 has shape"):
        plotting.focal_plane({"B1": np.ones(5)})
    with pytest.raises(InvalidInputError, match="Detector must be one of"):
        plotting.focal_plane({"C1": np.ones((5, 5))})
