"""Pixels of simulated frames look where the real ones do."""

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS

from nircam_flats import Detector
from nircam_flats.simulation.geometry import FrameGeometry, displaced

V1 = (210.3, 54.2, 123.4)


def geometry(detector="B4", shape=(128, 160)):
    return FrameGeometry(detector=detector, shape=shape)


def pixels(shape, n=7):
    y, x = np.meshgrid(*(np.linspace(-0.5, size - 0.5, n) for size in shape), indexing="ij")
    return x.ravel(), y.ravel()


@pytest.mark.parametrize(
    "name",
    [
        "jw01234001001_02103_00001_nrcb4_corner256_cal.fits",
        "jw01234001001_02103_00001_nrcalong_corner256_cal.fits",
    ],
)
def test_agrees_with_the_header_that_the_pipeline_wrote(real_data, name):
    with fits.open(real_data / "format" / name) as hdus:
        header, area, detector = hdus["SCI"].header, hdus["AREA"].data, hdus[0].header["DETECTOR"]
    frame = geometry(detector, (2048, 2048))
    pointing = frame.pointing(header["RA_V1"], header["DEC_V1"], header["PA_V3"])
    for keyword in ("RA_REF", "DEC_REF", "ROLL_REF"):
        assert pointing.to_cards()[keyword] == pytest.approx(header[keyword], abs=1e-9)
    x, y = pixels(frame.shape)
    for keyword in ("MJD-BEG", "MJD-AVG", "MJD-END"):  # astropy would warn that it derives other dates from them
        del header[keyword]
    expected = WCS(header).all_pix2world(x, y, 0)
    offset = np.hypot(*(np.array(frame.to_sky(pointing, x, y)) - expected)) * 3600
    assert offset.max() < 0.01 * frame.detector.pixel_scale.to_value(u.arcsec)
    np.testing.assert_allclose(frame.area[:256, :256], area, atol=1e-3)
    own = frame.header(pointing)
    for keyword, value in own.items():
        if isinstance(value, str):
            assert value == header[keyword] or keyword == "S_REGION"
        elif not keyword.startswith(("AP_", "BP_")):
            assert value == pytest.approx(header[keyword], rel=1e-3), keyword
    corners = [np.array(text.split()[2:], float) for text in (own["S_REGION"], header["S_REGION"])]
    np.testing.assert_allclose(*corners, atol=1e-6)


@pytest.mark.parametrize("detector", Detector.all(), ids=str)
def test_sky_and_pixels_are_inverse(detector):
    frame = geometry(detector)
    pointing = frame.pointing(*V1)
    x, y = pixels(frame.shape)
    found = frame.to_pixel(pointing, *frame.to_sky(pointing, x, y))
    np.testing.assert_allclose(found, (x, y), atol=1e-7)


def test_header_says_the_same_to_astropy():
    frame = geometry("ALONG")
    pointing = frame.pointing(*V1)
    x, y = pixels(frame.shape)
    header = frame.header(pointing)
    ra, dec = WCS(header).all_pix2world(x, y, 0)
    np.testing.assert_allclose(frame.to_sky(pointing, x, y), (ra, dec), rtol=0, atol=1e-10)


def test_inverse_polynomials_of_the_header_undo_the_forward_ones():
    frame = geometry("ALONG")
    header = frame.header(frame.pointing(*V1))
    x, y = pixels(frame.shape)
    place = x - frame.reference[0], y - frame.reference[1]

    def shifted(letters, place):
        return tuple(
            part
            + sum(
                header.get(f"{letter}_{p}_{q}", 0) * place[0] ** p * place[1] ** q for p in range(6) for q in range(6)
            )
            for part, letter in zip(place, letters, strict=True)
        )

    there = shifted(("A", "B"), place)
    assert np.abs(np.subtract(there, place)).max() > 0.3
    np.testing.assert_allclose(shifted(("AP", "BP"), there), place, atol=0.01)


@pytest.mark.parametrize("detector", ["B4", "A2", "BLONG"])
def test_area_is_what_a_pixel_covers_on_the_sky(detector):
    frame = geometry(detector, (64, 64))
    pointing = frame.pointing(10, 0, 30)
    x, y = (part.ravel() for part in np.meshgrid([0, 20, 63], [0, 40, 63]))
    step = 0.5
    ra = {}
    for name, (dx, dy) in {"e": (step, 0), "w": (-step, 0), "n": (0, step), "s": (0, -step)}.items():
        ra[name] = np.array(frame.to_sky(pointing, x + dx, y + dy)) * 3600
    dec = np.radians(frame.to_sky(pointing, x, y)[1])
    along_x, along_y = ra["e"] - ra["w"], ra["n"] - ra["s"]
    covered = np.abs(along_x[0] * along_y[1] - along_x[1] * along_y[0]) * np.cos(dec)
    expected = covered / frame.pixel_area.to_value(u.arcsec**2)
    np.testing.assert_allclose(frame.area[y, x], expected, atol=2e-4)


@pytest.mark.parametrize(("detector", "spread"), [("B4", 0.04), ("ALONG", 0.06)])
@pytest.mark.parametrize("shape", [(64, 64), (256, 256)])
def test_area_varies_as_over_a_full_frame_whatever_the_size(detector, spread, shape):
    area = geometry(detector, shape).area
    assert np.ptp(area) == pytest.approx(spread, abs=0.01)
    assert area[shape[0] // 2, shape[1] // 2] == pytest.approx(1, abs=0.002)


def test_displaced_moves_the_sky_by_the_step():
    frame = geometry("ALONG")
    before, after = frame.pointing(*V1), frame.pointing(*displaced(*V1, 3.0, 0.0))
    x, y = frame.to_pixel(after, before.ra_ref.to_value(u.deg), before.dec_ref.to_value(u.deg))
    x0, y0 = frame.reference
    # what was at the reference point lies now at V2 smaller by 3 arcsec: at larger x, as V2 runs against x
    assert x - x0 == pytest.approx(3.0 / 0.06275, rel=0.01)
    assert y - y0 == pytest.approx(0, abs=0.2)
