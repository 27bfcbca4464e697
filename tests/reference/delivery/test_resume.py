"""Deliveries that are taken up again: what is missing or stale is made, nothing is replaced unasked."""

import os

import pytest
from astropy.io import fits

from nircam_flats import (
    FlatDelivery,
    FlatReference,
    InvalidInputError,
)
from nircam_flats.testing import assert_same

F200W = "nircam_flat_nrcb4_f200w_clear.fits"


class TestResume:
    @pytest.fixture
    def deliver(self, b4_grounds, b4, tmp_path):
        def deliver(fit=b4, **settings):
            return FlatDelivery.from_ground(b4_grounds, fit, out=tmp_path / "new", **settings)

        return deliver

    def test_what_is_missing_is_made(self, deliver):
        first = deliver()
        (first.folder / F200W).unlink()
        again = deliver()
        assert again.made == (F200W,)
        assert again.verify() == ()

    def test_what_is_damaged_is_made(self, deliver):
        first = deliver()
        content = bytearray((first.folder / F200W).read_bytes())
        content[20000] ^= 1
        (first.folder / F200W).write_bytes(content)
        assert any("must have the SHA-256 of the manifest" in text for text in first.verify())
        again = deliver()
        assert again.made == (F200W,)
        assert again.verify() == ()

    def test_what_another_ground_flat_makes(self, deliver, b4_grounds, simulated, spoil):
        deliver()
        path = b4_grounds / simulated.ground_flat("B4", "F200W").name
        spoil(path, lambda hdus: hdus["SCI"].data[30].fill(1.5))
        again = deliver()
        assert again.made == (F200W,)
        assert FlatReference.read(again.folder / F200W).provenance is not None
        assert again.verify() == ()

    def test_what_another_fit_makes(self, deliver, make_fit):
        first, again = deliver(), deliver(fit=make_fit("B4", tilt=0.03))
        assert len(again.made) == 4
        assert set(again.manifest["fit_sha256"]).isdisjoint(first.manifest["fit_sha256"])

    def test_what_another_date_makes(self, deliver):
        deliver()
        assert len(deliver(useafter="2022-01-01").made) == 4
        assert deliver(useafter="2022-01-01").made == ()

    def test_cut_off_before_the_manifest(self, deliver):
        first = deliver()
        (first.folder / "manifest.ecsv").unlink()
        (first.folder / F200W).unlink()
        again = deliver()
        assert again.made == (F200W,)
        rest = again.manifest["file"] != F200W
        assert_same(again.manifest[rest], first.manifest[rest])

    def test_interrupted(self, deliver, tmp_path, monkeypatch):
        """What was written before is kept; what was being written is not there."""
        written = []

        def writeto(self, handle, **options):
            if len(written) == 2:
                handle.write(b"SIMPLE")
                raise KeyboardInterrupt
            written.append(handle)
            return original(self, handle, **options)

        original = fits.HDUList.writeto
        monkeypatch.setattr(fits.HDUList, "writeto", writeto)
        with pytest.raises(KeyboardInterrupt):
            deliver()
        monkeypatch.undo()
        left = os.listdir(tmp_path / "new")
        assert 2 <= len(left) < 4
        assert all(name.startswith("nircam_flat_nrcb4_") for name in left)
        again = deliver()
        assert len(again.made) == 4 - len(left)
        assert again.verify() == ()

    def test_files_of_others_are_left_alone(self, deliver, simulated, tmp_path, reasons):
        (tmp_path / "new").mkdir()
        path = tmp_path / "new" / F200W
        simulated.ground_flat("B4", "F200W").write(path)
        before = path.read_bytes()
        delivery = deliver()
        assert path.read_bytes() == before
        assert "exists already and is no flat of a delivery" in reasons(delivery, "not made")["NRCB4 F200W"]
        assert f"{F200W}: must be in the manifest; it is not" in delivery.verify()
        assert F200W in deliver(overwrite=True).made
        assert path.read_bytes() != before

    def test_all_again_on_request(self, deliver):
        deliver()
        assert len(deliver(overwrite=True).made) == 4

    def test_detectors_one_after_the_other(self, deliver, make_fit, ground_folder, tmp_path, reasons):
        first = deliver()
        both = FlatDelivery.from_ground(ground_folder, make_fit("ALONG"), out=tmp_path / "new")
        assert (len(both.made), len(both.manifest)) == (16, 20)
        assert both.verify() == ()
        of_first = {f"NRCB4 {name}" for name in first.manifest["bandpass"]}
        assert not of_first & set(reasons(both, "no fit"))

    def test_manifests_of_others(self, deliver, tmp_path):
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "manifest.ecsv").write_text("some, list\n1, 2\n")
        with pytest.raises(InvalidInputError, match=r"manifest.ecsv: .* needed"):
            deliver()
