"""Low-response pixels of real detectors in flight: the concentrations of the report are their largest."""

import numpy as np
import pytest
from astropy.io import fits

from nircam_flats import DeadPixelMap


@pytest.mark.parametrize(
    ("detector", "x", "y", "least"),
    [("NRCA1", 1982, 703, 150), ("NRCB1", 1782, 646, 80), ("NRCBLONG", 1084, 1105, 130)],
)
def test_the_largest_concentration(real_data, detector, x, y, least):
    path = real_data / "badpix" / f"nrc_lowpix_0916_{detector}.fits.gz"
    if not path.is_file():
        pytest.skip(f"needs {path}")
    dead = fits.getdata(path) > 0
    rows = DeadPixelMap.from_image(dead, detector=detector).concentrations()
    assert np.hypot(rows[0]["x"].value - x, rows[0]["y"].value - y) < 3
    assert rows[0]["n_pixels"] >= least
    assert rows[0]["n_pixels"] > 2 * rows[1]["n_pixels"]
    assert (np.diff(rows["n_pixels"]) <= 0).all()
