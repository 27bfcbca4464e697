"""Our files against the rules that CRDS itself checks when a reference file is delivered."""

import pytest
from astropy.io import fits

certify = pytest.importorskip("crds.certify.certify", reason="needs the extra 'jwst'")
validators = pytest.importorskip("crds.certify.validators", reason="needs the extra 'jwst'")

pytestmark = pytest.mark.jwst

#: Full frames are 2048 px; the flats of the tests are smaller.
SIZE = {"Constraint (SCI_ARRAY.SHAPE[-2:]==(2048,2048)) is not satisfied."}
CONTEXT = "jwst_1364.pmap"


@pytest.fixture
def complaints(monkeypatch, tmp_path):
    """Function that returns what CRDS says against a file, as far as it can tell without its server."""
    monkeypatch.setenv("CRDS_SERVER_URL", "https://nowhere.invalid")
    monkeypatch.setenv("CRDS_PATH", str(tmp_path / "cache"))
    monkeypatch.setenv("CRDS_MODE", "local")

    def check(path):
        path = str(path)
        certifier = certify.FitsCertifier(path, context=CONTEXT, observatory="jwst")
        certifier.validators = validators.get_validators("jwst", path, context=CONTEXT)
        assert len(certifier.validators) > 50
        header = certify.ReferenceCertifier.load(certifier)
        found = set()
        for validator in certifier.validators:
            try:
                validator.check(path, header)
            except Exception as error:
                found.add(str(error))
        return found

    return check


def test_flight_flat(flight, complaints, tmp_path):
    flight.write(tmp_path / "flat.fits")
    assert complaints(tmp_path / "flat.fits") == SIZE


def test_it_would_complain(flat_file, complaints):
    def spoil(hdus):
        hdus[0].header.update(PEDIGREE="INFLIGHT", USEAFTER="2014", TELESCOP="HST")
        del hdus[0].header["AUTHOR"]
        hdus["ERR"] = fits.ImageHDU(hdus["ERR"].data[:8], name="ERR")

    assert len(complaints(flat_file(spoil)) - SIZE) == 5
