"""What all tests share."""

import os
from pathlib import Path

import attrs
import pytest

from nircam_flats import recipes
from nircam_flats.simulation import Effects, SimulatedProgram


@pytest.fixture(scope="session")
def real_data():
    """The folder of real files beside the checkout, or where NIRCAM_FLATS_REAL_DATA says."""
    default = Path(__file__).resolve().parents[2] / "shared" / "real"
    folder = Path(os.environ.get("NIRCAM_FLATS_REAL_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"needs the real files, which are not at {folder}; NIRCAM_FLATS_REAL_DATA can say where they are")
    return folder


@pytest.fixture(scope="session")
def program():
    """A simulated campaign of two detectors, two filters each, 6 exposures in each, without what fills small frames."""
    effects = attrs.evolve(Effects(), large_galaxy=False, saturated_star=False, persistence=False)
    return SimulatedProgram(detectors=["B1", "ALONG"], shape=(128, 128), seed=5, effects=effects)


@pytest.fixture(scope="session")
def campaign(program, tmp_path_factory):
    """The files of `program`: only to be read."""
    return program.write(tmp_path_factory.mktemp("campaign"))


@pytest.fixture(scope="session")
def made(campaign):
    """What the recipe makes of `campaign`: a `SkyFlatProgram`."""
    return recipes.sky_flat_program(campaign.exposures, campaign.ground_flats)
