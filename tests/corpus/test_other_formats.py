"""Files that are not FITS: those of the JWST Backgrounds Tool, and the entries of a store."""

import struct

import numpy as np
import pytest
from astropy_healpix import HEALPix

import nircam_flats as nf
from nircam_flats.background._jbt_files import read_curve, read_field
from nircam_flats.simulation import SimulatedProgram
from nircam_flats.testing import assert_same

from .formats import REFUSED, Format

N_WAVELENGTHS, PIXEL, DAYS = 13, 94166, (0, 100, 365)
DAY_NUMBERS = 8 * (5 + N_WAVELENGTHS)
RECORDS = DAY_NUMBERS + 4 * 366


def _field_content():
    """A field that is visible on three days, one byte of which is like no other."""
    lon, lat = HEALPix(nside=128, order="ring").healpix_to_lonlat(PIXEL)
    number = np.full(366, -1, "<i4")
    number[list(DAYS)] = range(len(DAYS))
    light = np.random.default_rng(3).uniform(0.1, 1, N_WAVELENGTHS * (1 + 2 * len(DAYS))).astype("<f8")
    head = struct.pack("<5d", lon.deg, lat.deg, 0, 0, 0)
    return head + light[:N_WAVELENGTHS].tobytes() + number.tobytes() + light[N_WAVELENGTHS:].tobytes()


FIELD = Format("JBT field", f"sl_pix_{PIXEL:06d}.bin", lambda path: read_field(path, N_WAVELENGTHS), None)
CURVE = Format("JBT curve", "thermal_curve_v1.csv", lambda path: read_curve(path, 2), None)


@pytest.fixture
def field(monkeypatch):
    content = _field_content()
    monkeypatch.setattr(Format, "content", content)
    return content


def with_numbers(content, place, code, *values):
    """Return the content with these numbers at a place."""
    packed = struct.pack(f"<{len(values)}{code}", *values)
    return content[:place] + packed + content[place + len(packed) :]


def test_fields_of_the_backgrounds_tool(field, examine):
    examine(FIELD, field, {}, "as it was written")
    for size in [*range(0, len(field), 97), len(field) - 1]:
        examine(FIELD, field[:size], REFUSED, f"first {size} of {len(field)} bytes")
    examine(FIELD, field + bytes(8), REFUSED, "longer")
    for what, place in {"right ascension": 0, "declination": 8}.items():
        for value in (np.nan, np.inf, -999.0, 1e300, 12.3456):
            examine(FIELD, with_numbers(field, place, "d", value), REFUSED, f"{what} {value}")
    for value in (-2, 3, 2, 99999, -(2**31)):  # there are records 0, 1 and 2
        changed = with_numbers(field, DAY_NUMBERS, "i", value)
        examine(FIELD, changed, REFUSED, f"record {value} on the first day")
    examine(FIELD, with_numbers(field, DAY_NUMBERS + 4, "i", 0), REFUSED, "record 0 on two days")
    for where, place in {"other": 5 * 8, "zodiacal": RECORDS, "stray": RECORDS + 8 * N_WAVELENGTHS}.items():
        for value in (np.nan, np.inf, -np.inf, -1.0, 1e300):
            examine(FIELD, with_numbers(field, place, "d", value), REFUSED, f"{where} light of {value}")
    examine(FIELD, np.frombuffer(field[: len(field) // 8 * 8], ">f8").astype("<f8").tobytes(), REFUSED, "big-endian")
    examine(FIELD, field, REFUSED, "another pixel than its name says", name="sl_pix_000001.bin")


def test_curves_of_the_backgrounds_tool(examine, monkeypatch):
    monkeypatch.setattr(Format, "content", b"# micron\n0.5,0\n3.0,0.5\n6.0,3\n")
    examine(CURVE, CURVE.content, {}, "as it was written")
    wrong = {
        "empty": "",
        "a comment": "# micron\n",
        "one row": "1,2\n",
        "one column": "1\n2\n3\n",
        "words": "a,b\nc,d\n",
        "three columns": "1,2,3\n4,5,6\n",
        "falling": "2,1\n1,1\n",
        "twice": "1,1\n1,2\n",
        "ragged": "1,2\n3\n",
        "a gap": "1,nan\n2,1\n",
        "infinite": "1,inf\n2,1\n",
        "no wavelength": "nan,1\n2,1\n",
    }
    for what, content in wrong.items():
        examine(CURVE, content.encode(), REFUSED, what)
    examine(CURVE, bytes(range(256)), REFUSED, "bytes")


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    program = SimulatedProgram(detectors=["B1"], filters=["F200W"], shape=(64, 64), n_pointings=2, n_dithers=1, seed=5)
    return program.write(tmp_path_factory.mktemp("campaign")).exposures


def test_entries_of_a_store(paths, tmp_path, examine):
    """A damaged entry is made again: the frames are right, and so is the entry."""
    store = tmp_path / "store"

    def frames(_=None):
        made = nf.NormalizedFrames.from_exposures(nf.ExposureSet.read(paths), store=store)
        return [(np.array(frame.values), np.array(frame.mesh), frame.level) for frame in made.frames]

    expected = frames()
    entries = [path for path in sorted(store.rglob("*")) if path.is_file()]
    assert {path.parent.name for path in entries} == {"index", "pixels", "frames"}
    for path in entries:
        content = path.read_bytes()
        flipped = [
            content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :] for place in (0, len(content) // 2)
        ]
        for damaged in (b"", content[:3], content[:-1], content + b"0", *flipped, bytes(len(content)), b"0" * 50):
            path.write_bytes(damaged)
            what = f"{path.parent.name}, {path.suffix or 'entry'}, {len(damaged)} of {len(content)} bytes"
            with examine.counting("store", what):
                assert_same(frames(), expected)
                assert path.read_bytes() == content
        path.write_bytes(content)
        path.unlink()
        with examine.counting("store", f"{path.parent.name}, without {path.name}"):
            assert_same(frames(), expected)
