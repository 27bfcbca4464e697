"""A program on disk is the program in memory."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable

from nircam_flats import Exposure, ExposureSet, FlatReference, InvalidInputError
from nircam_flats.simulation import SimulatedProgram

PLANES = ("data", "err", "dq", "var_poisson", "var_rnoise", "var_flat", "area")
FACTS = ("name", "detector", "filter", "exposure_time", "flat_name", "photmjsr", "steps", "unit", "visit_status")


@pytest.fixture(scope="module")
def program():
    return SimulatedProgram(shape=(64, 96), n_pointings=1, n_dithers=2)


@pytest.fixture(scope="module")
def files(program, tmp_path_factory):
    return program.write(tmp_path_factory.mktemp("program"))


def test_there_is_a_file_for_everything(program, files):
    assert len(files.exposures) == 8
    assert len(files.ground_flats) == 4
    assert len(files.truth) == 4 + 2 + 1
    for path in (*files.exposures, *files.ground_flats, *files.truth):
        assert path.is_file()
        assert files.folder in path.parents
    assert [path.name for path in files.exposures] == [
        f"{program.exposure_name(*mode, index)}_cal.fits" for mode in program.modes() for index in range(2)
    ]


def test_exposures_read_back_as_they_were(program, files):
    made = list(program.exposures())
    for path, exposure in zip(files.exposures, made, strict=True):
        found = Exposure.read(path)
        for plane in PLANES:
            np.testing.assert_array_equal(getattr(found, plane), getattr(exposure, plane), err_msg=plane)
        for fact in (
            "name",
            "detector",
            "filter",
            "exposure_time",
            "flat_name",
            "photmjsr",
            "steps",
            "unit",
            "visit_status",
        ):
            assert getattr(found, fact) == getattr(exposure, fact), fact
        assert found.pointing == exposure.pointing
        assert abs((found.start - exposure.start).to_value("s")) < 1e-3
        np.testing.assert_allclose(found.wcs.all_pix2world(3, 60, 0), exposure.wcs.all_pix2world(3, 60, 0), rtol=1e-12)


def test_exposures_open_as_a_set_without_complaint(files):
    exposures = ExposureSet.read(files.folder / "cal" / "*_cal.fits")
    assert len(exposures) == 8
    assert not exposures.excluded
    assert not exposures.check()


def test_ground_flats_read_back_as_they_were(program, files):
    for path, mode in zip(files.ground_flats, program.modes(), strict=True):
        found, made = FlatReference.read(path), program.ground_flat(*mode)
        assert found.check() == ()
        for plane in ("data", "err", "dq"):
            np.testing.assert_array_equal(getattr(found, plane), getattr(made, plane), err_msg=plane)
        assert (found.name, found.detector, found.filter) == (made.name, *mode)


def test_truth_files_hold_the_truth(program, files):
    truth = program.truth("B4")
    with fits.open(files.folder / "truth" / "nrcb4_f200w_truth.fits") as hdus:
        np.testing.assert_array_equal(hdus["DELTA"].data, truth.delta("F200W"))
        np.testing.assert_array_equal(hdus["FLIGHT"].data, truth.flight_flat("F200W"))
        np.testing.assert_array_equal(hdus["WISP"].data, truth.wisp("F200W"))
    with fits.open(files.folder / "truth" / "nrcb4_truth.fits") as hdus:
        np.testing.assert_array_equal(hdus["GREY"].data, truth.grey())
        np.testing.assert_array_equal(hdus["DEAD"].data.astype(bool), truth.dead)
        np.testing.assert_array_equal(hdus["KNOWN_DEAD"].data.astype(bool), truth.known_dead)
    levels = QTable.read(files.folder / "truth" / "levels.ecsv")
    assert len(levels) == 8
    for row in levels:
        assert row["name"] == program.exposure_name(row["detector"], row["filter"], row["index"])
        assert row["sky"] == program.sky_level(row["detector"], row["filter"], row["index"])


def test_nothing_is_replaced_unless_asked(program, files):
    with pytest.raises(InvalidInputError, match="overwrite=True"):
        program.write(files.folder)
    assert program.write(files.folder, overwrite=True) == files
