"""What all tests share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data():
    """The folder of real files beside the checkout, or where NIRCAM_FLATS_REAL_DATA says."""
    default = Path(__file__).resolve().parents[2] / "shared" / "real"
    folder = Path(os.environ.get("NIRCAM_FLATS_REAL_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"needs the real files, which are not at {folder}; NIRCAM_FLATS_REAL_DATA can say where they are")
    return folder
