"""Where two public projects draw the wisps, a template finds them."""

import numpy as np
import pytest
from astropy.io import fits
from matplotlib.path import Path as Polygon
from scipy.ndimage import gaussian_filter

import nircam_flats as nf

STEP = 4
SHAPE = (2048 // STEP, 2048 // STEP)


def inside(points):
    """Boolean image: pixels of a frame of every fourth pixel inside a polygon of full-frame pixels."""
    y, x = np.indices(SHAPE) * STEP
    pixels = np.column_stack([x.ravel(), y.ravel()])
    return Polygon(points).contains_points(pixels).reshape(SHAPE)


@pytest.fixture(params=["NRCA3", "NRCA4", "NRCB3", "NRCB4"])
def outlines(request, real_data):
    """A detector and its outline in each of the two files."""
    folder = real_data / "wisps"
    name = request.param
    with fits.open(folder / "jumprope_wisp_poly.fits") as hdus:
        table = hdus[name].data
        first = np.column_stack([table["x"], table["y"]])
    text = (folder / "grizli_nircam_wisp_polygons.yml").read_text().split(f"{name}:")[1]
    numbers = text.split("polygon(")[1].split(")")[0]
    second = np.array(numbers.split(","), float).reshape(-1, 2)
    return name, inside(first), inside(second)


def test_the_two_overlap_on_the_detectors_known_for_wisps(outlines):
    name, first, second = outlines
    assert nf.Detector.get(name).has_wisps
    assert (first & second).sum() > 0.5 * min(first.sum(), second.sum())


def test_the_outline_found_is_the_published_one(outlines, world):
    name, first, second = outlines
    published = first & second
    wisp = (0.2 * gaussian_filter(published.astype(np.float32), 12)).astype(np.float32)
    strengths = world.strengths[:5]
    exposures = world.exposures(strengths=strengths, wisp=wisp, detector=name)
    template = nf.WispTemplate.from_exposures(exposures)
    assert template.outline[wisp > 0.02].mean() > 0.98
    assert template.outline[wisp < 1e-4].mean() < 0.1
    assert template.exposures["strength"] == pytest.approx(strengths / strengths.mean(), rel=0.06)
