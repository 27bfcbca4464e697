"""What a file alone tells: what it was made of, and how to make it again."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable, Table

import nircam_flats as nf
from nircam_flats import FlatModelFit, FlatReference
from nircam_flats.simulation import SimulatedProgram
from nircam_flats.testing import assert_same, check_value


def test_reads_back_what_was_written(flight, tmp_path):
    flight.write(tmp_path / "flat.fits")
    again = FlatReference.read(tmp_path / "flat.fits")
    assert_same(again.provenance, flight.provenance)
    check_value(again.provenance)
    again.write(tmp_path / "again.fits")
    assert_same(FlatReference.read(tmp_path / "again.fits").provenance, flight.provenance)


def test_of_what_it_is_made(flight, fit):
    provenance = flight.provenance
    assert provenance.used == ("jw01_nrcb4", "jw02_nrcb4")
    assert provenance.left_out == {"jw03_nrcb4": "S_FLAT must be COMPLETE; got SKIPPED"}
    assert (provenance.first_date, provenance.last_date) == (fit.first_date, fit.last_date)
    assert provenance.settings("fit") == {"strategy": "Polynomial2D(3)"}
    correction = provenance.settings("correct the ground flat")
    assert correction["ground"] == "jwst_nircam_flat_9002.fits"
    assert correction["fit"] == "F200W+F150W"
    assert correction["extrapolated"] == "False"
    assert "nircam_flats" in correction["software"]
    assert {"nircam_flats", "numpy", "astropy"} <= {name for name, _ in provenance.history.versions}
    assert provenance.settings("no such step") == {}


def test_readers_without_the_library_find_it_too(flight, tmp_path):
    flight.write(tmp_path / "flat.fits")
    exposures = Table.read(tmp_path / "flat.fits", hdu="EXPOSURES")
    assert exposures["name"].tolist() == ["jw01_nrcb4", "jw02_nrcb4", "jw03_nrcb4"]
    header = fits.getheader(tmp_path / "flat.fits", "EXPOSURES")
    assert header["FIRSTDAT"].startswith("2022-04-28T23:59:59.9")
    assert header["LASTDATE"].startswith("2022-05-02T00:00:00")
    history = "\n".join(fits.getheader(tmp_path / "flat.fits")["HISTORY"])
    assert "Exposures: 2 used, 1 left out (table EXPOSURES)" in history
    assert "Fluxes change by new / old - 1 (table PHOTOMETRY): mean " in history


@pytest.mark.parametrize(
    "table",
    [Table({"something": ["else"]}), Table({"number": ["x"], "step": [""], "setting": [""], "value": [""]})],
)
def test_damaged_tables_are_a_fault(flight, tmp_path, table):
    path = tmp_path / "flat.fits"
    flight.write(path)
    with fits.open(path, memmap=False) as hdus:
        spoilt = fits.HDUList([hdu.copy() for hdu in hdus])
    spoilt["HISTORY"] = fits.BinTableHDU(table, name="HISTORY")
    spoilt.writeto(path, overwrite=True)
    flat = FlatReference.read(path)
    assert flat.provenance is None
    assert any("must be as they were written" in fault for fault in flat.check())


def test_tables_of_others_are_none_of_ours(ground, tmp_path):
    path = tmp_path / "flat.fits"
    ground.write(path)
    fits.append(path, QTable({"a": [1]}).as_array(), fits.Header({"EXTNAME": "EXPOSURES"}))
    flat = FlatReference.read(path)
    assert (flat.provenance, flat.check()) == (None, ())


def test_the_file_alone_tells_how_to_make_it_again(tmp_path):
    """From its tables: which exposures, ground flat, masks, combination and fit; the same pixels come out."""
    program = SimulatedProgram(detectors=["B4"], filters=["F200W", "F115W"], shape=(96, 80), n_dithers=2)
    files = program.write(tmp_path / "campaign")
    exposures = nf.ExposureSet.read(files.exposures)
    exposures = exposures.exclude([name.name.endswith("02102_00002_nrcb4") for name in exposures], "a trial")
    grounds = nf.GroundFlats.collect(tmp_path / "campaign" / "ground_flats")
    masks, combine, strategy = nf.Segmentation(n_sigma=2.5), nf.SigmaClippedMean(n_sigma=4), nf.Polynomial2D(degree=2)
    frames = nf.NormalizedFrames.from_exposures(exposures, masks=masks)
    fit = FlatModelFit.from_delta(nf.DeltaSkyflat.from_frames(frames, strategy=combine), strategy=strategy)
    ground = grounds.find(fit.flat_names["F200W"], fit.detector, nf.Filter.get("F200W"))
    ground.corrected_by(fit).write(tmp_path / "flat.fits")

    told = FlatReference.read(tmp_path / "flat.fits").provenance
    made_by = {name: getattr(nf, name) for name in ("Segmentation", "SigmaClippedMean", "Polynomial2D")}

    def setting(step, name):
        return eval(told.settings(step)[name], made_by)

    again = nf.ExposureSet.read([tmp_path / "campaign" / "cal" / f"{name}_cal.fits" for name in told.used])
    frames = nf.NormalizedFrames.from_exposures(again, masks=setting("mask and normalise", "masks"))
    delta = nf.DeltaSkyflat.from_frames(frames, strategy=setting("combine", "strategy"))
    refit = FlatModelFit.from_delta(delta, strategy=setting("fit", "strategy"))
    name = told.settings("correct the ground flat")["ground"]
    ground = FlatReference.read(tmp_path / "campaign" / "ground_flats" / name)
    assert len(told.used) == 6
    remade, first = ground.corrected_by(refit), FlatReference.read(tmp_path / "flat.fits")
    for name in ("data", "err", "dq", "pedigree"):
        assert_same(getattr(remade, name), getattr(first, name), name=name)
    assert np.ptp(first.data[first.good]) > 0.01
