"""Bad ground flats of a delivery: each costs its own mode, or is mended and told; the others are made."""

import attrs
import numpy as np
import pytest
from astropy.io import fits

from nircam_flats import (
    DQ,
    FlatDelivery,
    FlatReference,
)

F200W = "nircam_flat_nrcb4_f200w_clear.fits"


def with_pixels(value, name="SCI"):
    def change(hdus):
        hdus[name].data[30, 30:34] = value

    return change


def replace(name, make):
    def change(hdus):
        hdus[name] = fits.ImageHDU(make(hdus[name].data), name=name)

    return change


def keyword(name, value):
    def change(hdus):
        if value is None:
            del hdus[0].header[name]
        else:
            hdus[0].header[name] = value

    return change


class TestBadGroundFlats:
    """Each costs its own mode, or is mended and told; the others are made."""

    @pytest.fixture
    def deliver(self, b4_grounds, b4, simulated, tmp_path, spoil):
        path = b4_grounds / simulated.ground_flat("B4", "F200W").name

        def deliver(change):
            spoil(path, change)
            return FlatDelivery.from_ground(b4_grounds, b4, out=tmp_path / "new")

        return deliver

    @pytest.mark.parametrize("value", [np.nan, 0, -0.5, np.inf, -np.inf])
    @pytest.mark.parametrize("plane", ["SCI", "ERR"])
    def test_values_without_sense(self, deliver, plane, value):
        if (plane, value) == ("ERR", 0):
            pytest.skip("an error of 0 is valid")
        delivery = deliver(with_pixels(value, plane))
        assert len(delivery.manifest) == 4
        flat = FlatReference.read(delivery.folder / F200W)
        assert (flat.data[30, 30:34] == 1).all()
        assert DQ.NO_FLAT_FIELD.is_set(flat.dq[30, 30:34]).all()
        assert DQ.DO_NOT_USE.is_set(flat.dq[30, 30:34]).all()
        (row,) = (row for row in delivery.manifest if row["file"] == F200W)
        assert row["n_given_up"] == 4
        assert "4 pixels without an answer flagged, and set to 1.0" in flat.history
        assert delivery.verify() == ()

    @pytest.mark.parametrize(
        ("change", "note"),
        [
            (lambda hdus: hdus.remove(hdus["DQ"]), "extension DQ must be there"),
            (lambda hdus: hdus.remove(hdus["DQ_DEF"]), "DQ_DEF must name the bits"),
            (lambda hdus: hdus["DQ_DEF"].data.field("NAME").put(0, "ODD"), "'ODD' is left out"),
        ],
    )
    def test_flags_that_are_not_explained(self, deliver, change, note):
        delivery = deliver(change)
        assert len(delivery.manifest) == 4
        notes = {str(row["file"]): str(row["notes"]) for row in delivery.manifest}
        assert note in notes[F200W]
        assert note not in "".join(text for name, text in notes.items() if name != F200W)
        assert FlatReference.read(delivery.folder / F200W).check() == ()

    @pytest.mark.parametrize("dtype", ["f8", "i2"])
    def test_other_numbers(self, deliver, dtype):
        delivery = deliver(replace("SCI", lambda data: np.ceil(data).astype(dtype)))
        assert len(delivery.manifest) == 4
        assert fits.getheader(delivery.folder / F200W, "SCI")["BITPIX"] == -32
        (row,) = (row for row in delivery.manifest if row["file"] == F200W)
        assert "extension SCI must be float32" in row["notes"]

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (lambda hdus: hdus.remove(hdus["ERR"]), "needs the errors of"),
            (replace("DQ", lambda data: data[:9]), "DQ must have the shape of SCI"),
            (keyword("AUTHOR", None), r"author (AUTHOR) must be given"),
            (keyword("USEAFTER", "2014"), r"useafter (USEAFTER) must be"),
        ],
    )
    def test_not_made(self, deliver, change, reason, reasons):
        delivery = deliver(change)
        assert len(delivery.manifest) == 3
        assert list(reasons(delivery, "not made")) == ["NRCB4 F200W"]
        assert reason in reasons(delivery, "not made")["NRCB4 F200W"]
        assert not (delivery.folder / F200W).exists()
        assert "not made: 1" in str(delivery)

    def test_another_shape(self, deliver, reasons):
        def crop(hdus):
            for name in ("SCI", "ERR", "DQ"):
                hdus[name] = fits.ImageHDU(hdus[name].data[:32], name=name)

        delivery = deliver(crop)
        assert "shape of jwst_nircam" in reasons(delivery, "not made")["NRCB4 F200W"]

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (keyword("DETECTOR", None), "keyword DETECTOR is needed"),
            (keyword("DETECTOR", "NRCC9"), "Detector must be one of"),
            (keyword("FILTER", None), "keyword FILTER is needed"),
            (keyword("FILTER", "F999W"), "FILTER and PUPIL must select"),
            (keyword("PUPIL", None), "keyword PUPIL is needed"),
            (keyword("PUPIL", "WLP8"), "FILTER and PUPIL must select"),
            (keyword("REFTYPE", "DARK"), "needed a FLAT reference file"),
        ],
    )
    def test_of_no_mode(self, deliver, simulated, change, reason, reasons):
        delivery = deliver(change)
        assert len(delivery.manifest) == 3
        name = simulated.ground_flat("B4", "F200W").name
        assert list(reasons(delivery, "file left out")) == [name]
        assert reason in reasons(delivery, "file left out")[name]
        assert "NRCB4 F200W" in reasons(delivery, "no ground flat")

    def test_of_another_mode(self, deliver, simulated, reasons):
        """Its keywords say F210M: then there are two of that mode; the exposures do not tell which was theirs."""
        delivery = deliver(keyword("FILTER", "F210M"))
        names = " ".join(reasons(delivery, "several ground flats").values())
        assert simulated.ground_flat("B4", "F200W").name in names
        assert simulated.ground_flat("B4", "F210M").name in names
        assert len(delivery.manifest) == 2

    def test_not_fits_at_all(self, b4_grounds, b4, tmp_path, reasons):
        (b4_grounds / "notes.fits").write_text("remember the milk")
        delivery = FlatDelivery.from_ground(b4_grounds, b4, out=tmp_path / "new")
        assert len(delivery.manifest) == 4
        assert "needed a whole, readable FITS file" in reasons(delivery, "file left out")["notes.fits"] or (
            "needed a FITS file" in reasons(delivery, "file left out")["notes.fits"]
        )

    def test_two_for_a_mode(self, b4_grounds, b4, simulated, tmp_path, reasons):
        """Where the exposures tell which one divided them (F200W), that one is taken."""
        for name in ("F200W", "F070W"):
            attrs.evolve(simulated.ground_flat("B4", name), description="another").write(b4_grounds / f"{name}.fits")
        delivery = FlatDelivery.from_ground(b4_grounds, b4, out=tmp_path / "new")
        assert len(delivery.manifest) == 3
        assert list(reasons(delivery, "several ground flats")) == ["NRCB4 F070W"]
        assert (
            "2 ground flats of one mode: F070W.fits, jwst_nircam"
            in reasons(delivery, "several ground flats")["NRCB4 F070W"]
        )
        (row,) = (row for row in delivery.manifest if row["file"] == F200W)
        assert row["ground_flat"] == simulated.ground_flat("B4", "F200W").name

    def test_none_for_a_mode(self, b4_grounds, b4, simulated, tmp_path, reasons):
        (b4_grounds / simulated.ground_flat("B4", "F070W").name).unlink()
        delivery = FlatDelivery.from_ground(b4_grounds, b4, out=tmp_path / "new")
        assert "NRCB4 F070W" in reasons(delivery, "no ground flat")
        assert len(reasons(delivery, "no ground flat")) == 1 + 13 - 4
        assert len(reasons(delivery, "no fit")) == 136 - 13
        assert len(delivery.missing) == 136 - 3
        assert "3 of 136 modes" in str(delivery)
        assert "no fit: 123" in str(delivery)

    def test_another_flat_than_divided_the_exposures(self, b4_grounds, b4, tmp_path, reasons):
        fit = attrs.evolve(b4, flat_names=b4.flat_names | {"F200W": "jwst_nircam_flat_0001.fits"})
        delivery = FlatDelivery.from_ground(b4_grounds, fit, out=tmp_path / "new")
        assert "divided by, jwst_nircam_flat_0001.fits" in reasons(delivery, "not made")["NRCB4 F200W"]

    def test_a_name_that_the_exposures_do_not_tell_is_noted(self, b4_grounds, b4, tmp_path):
        fit = attrs.evolve(b4, flat_names=b4.flat_names | {"F200W": None})
        delivery = FlatDelivery.from_ground(b4_grounds, fit, out=tmp_path / "new")
        (row,) = (row for row in delivery.manifest if row["file"] == F200W)
        assert "it cannot be checked" in row["notes"]

    def test_wrong_place_in_a_mapping(self, simulated, b4, tmp_path, reasons):
        mapping = {("B4", "F200W"): simulated.ground_flat("B4", "F070W")}
        delivery = FlatDelivery.from_ground(mapping, b4, out=tmp_path / "new")
        assert "NRCB4 F200W is needed here; its header says NRCB4 F070W" in "".join(
            reasons(delivery, "file left out").values()
        )
