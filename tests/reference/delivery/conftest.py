"""136 ground flats and fits that correct them, all made up; what a test may spoil is copied."""

import shutil

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from astropy.time import Time

from nircam_flats import Detector, Filter, FlatModelFit, SurfaceCovariance
from nircam_flats.provenance import History
from nircam_flats.simulation import SimulatedProgram

SHAPE = (64, 64)
GREY = {"SW": ("F115W", "F200W"), "LW": ("F277W", "F444W")}
B4 = ("F070W", "F115W", "F200W", "F210M")


@pytest.fixture(scope="package")
def simulated():
    return SimulatedProgram(detectors=Detector.all(), filters=Filter.all(), shape=SHAPE)


@pytest.fixture(scope="package")
def ground_folder(simulated, tmp_path_factory):
    """The ground flats of all modes; only to be read."""
    folder = tmp_path_factory.mktemp("ground_flats")
    for detector, filter in simulated.modes():
        flat = simulated.ground_flat(detector, filter)
        flat.write(folder / flat.name)
    return folder


@pytest.fixture
def b4_grounds(simulated, ground_folder, tmp_path):
    """Four ground flats of one detector, which a test may spoil."""
    folder = tmp_path / "b4_ground_flats"
    folder.mkdir()
    for filter in B4:
        shutil.copy(ground_folder / simulated.ground_flat("B4", filter).name, folder)
    return folder


@pytest.fixture(scope="package")
def make_fit(simulated):
    """Make the fit of a detector: ``make_fit("B4", filters=..., tilt=0.05)``."""

    def make(detector, filters=None, tilt=0.05):
        detector = Detector.get(detector)
        filters = filters or GREY[detector.channel]
        return FlatModelFit(
            detector=detector,
            filters=filters,
            surface=np.broadcast_to(np.linspace(1 - tilt, 1 + tilt, SHAPE[1]), SHAPE),
            residual=np.zeros(SHAPE),
            covariance=SurfaceCovariance(
                modes=np.full((1, 2, 2), 0.003), misfit=0.004, misfit_correlation=[1.0], shape=SHAPE, box_size=32
            ),
            strategy="made up",
            flat_names={name: simulated.ground_flat(detector, name).name for name in filters},
            exposures=QTable({"name": ["jw01", "jw02"], "used": [True, False], "reason": ["", "bright"]}),
            first_date=Time("2022-04-28"),
            last_date=Time("2022-05-02"),
            history=History().then("fit", strategy="made up"),
        )

    return make


@pytest.fixture
def b4(make_fit):
    return make_fit("B4")


@pytest.fixture(scope="package")
def spoil():
    """Change a file: ``spoil(path, change)``, with a function that changes its HDUs."""

    def spoil(path, change):
        with fits.open(path, memmap=False) as hdus:
            copy = fits.HDUList([hdu.copy() for hdu in hdus])
        change(copy)
        copy.writeto(path, overwrite=True)

    return spoil


@pytest.fixture(scope="package")
def reasons():
    """Return why a delivery did not make what is of a kind: ``reasons(delivery, kind)``, {what: reason}."""

    def reasons(delivery, kind):
        return {str(row["what"]): str(row["reason"]) for row in delivery.not_made if row["kind"] == kind}

    return reasons
