"""Files: written whole or not at all, read with errors that name them."""

import errno
import hashlib
import os
import stat
import warnings

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import QTable, Table

from nircam_flats import InvalidInputError, StorageError
from nircam_flats._files import (
    atomic_path,
    bare_file_name,
    let_go,
    open_fits,
    open_product,
    read_ahead,
    read_image,
    read_keyword,
    read_sections,
    read_table,
    read_text,
    write_fits,
    write_product,
)
from nircam_flats.provenance import History


@pytest.fixture
def fits_file(tmp_path):
    """An image of float32, one of unsigned integers, a cube, a table; and the truth."""
    rng = np.random.default_rng(3)
    image, dq = rng.normal(size=(5, 7)).astype("f4"), rng.integers(0, 2**32, (5, 7), dtype=np.uint32)
    table = fits.BinTableHDU.from_columns([fits.Column("x", "E", array=[1, 2])], name="TAB")
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(image, name="SCI"), fits.ImageHDU(dq, name="DQ")]
    hdus += [fits.ImageHDU(np.zeros((2, 3, 4), "i2"), name="CUBE"), table, fits.ImageHDU(image + 1, name="SCI")]
    path = tmp_path / "some.fits"
    fits.HDUList(hdus).writeto(path)
    return path, image, dq


class TestAtomicPath:
    def test_the_file_appears_when_the_block_ends(self, tmp_path):
        path = tmp_path / "out.txt"
        with atomic_path(path) as temporary:
            temporary.write_text("new")
            assert (temporary.parent, temporary.suffix, path.exists()) == (tmp_path, ".txt", False)
        assert path.read_text() == "new"
        assert list(tmp_path.iterdir()) == [path]

    def test_an_error_leaves_the_old_file_and_nothing_else(self, tmp_path):
        path = tmp_path / "out.txt"
        path.write_text("old")
        with pytest.raises(UnicodeEncodeError), atomic_path(path, overwrite=True) as temporary:
            temporary.write_text("half \N{SNOWMAN}", encoding="ascii")
        assert path.read_text() == "old"
        assert list(tmp_path.iterdir()) == [path]

    def test_an_existing_file_is_replaced_only_when_asked(self, tmp_path):
        path = tmp_path / "out.txt"
        path.write_text("old")
        with (
            pytest.raises(InvalidInputError, match=r"out.txt: exists already .*; say overwrite=True"),
            atomic_path(path),
        ):
            pytest.fail("the block must not be entered")
        with atomic_path(path, overwrite=True) as temporary:
            temporary.write_text("new")
        assert path.read_text() == "new"

    def test_the_folder_must_exist(self, tmp_path):
        text = r"its folder must exist .*; make .*nowhere first"
        with pytest.raises(InvalidInputError, match=text), atomic_path(tmp_path / "nowhere" / "out.txt"):
            pytest.fail("the block must not be entered")

    def test_what_the_system_refuses_is_told_with_the_name_and_leaves_nothing(self, tmp_path):
        path = tmp_path / "out.txt"
        with pytest.raises(StorageError, match=r"out.txt: cannot be written; No space left"), atomic_path(path):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        assert list(tmp_path.iterdir()) == []
        with pytest.raises(StorageError, match=r"out.txt: cannot be written; \S"), atomic_path(path):
            raise OSError("requested 10 bytes, 3 available")  # as astropy says it, without a number

    @pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
    def test_permissions_are_those_of_any_new_file(self, tmp_path):
        (tmp_path / "plain").write_text("")
        with atomic_path(tmp_path / "atomic") as temporary:
            temporary.write_text("")
        modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "atomic")]
        assert modes[0] == modes[1]

    @pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
    def test_permissions_are_set_without_touching_those_of_other_threads(self, tmp_path, monkeypatch):
        monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("it belongs to the whole process"))
        with atomic_path(tmp_path / "out.txt") as temporary:
            temporary.write_text("")

    @pytest.mark.parametrize("has_links", [True, False])
    def test_what_somebody_else_has_made_meanwhile_stays(self, tmp_path, monkeypatch, has_links):
        def no_link(*_):
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))

        if not has_links:
            monkeypatch.setattr(os, "link", no_link)
        path = tmp_path / "out.txt"
        with pytest.raises(InvalidInputError, match=r"out.txt: exists already"), atomic_path(path):
            path.write_text("theirs")
        assert path.read_text() == "theirs"
        assert list(tmp_path.iterdir()) == [path]
        with atomic_path(tmp_path / "other.txt") as temporary:
            temporary.write_text("mine")
        assert (tmp_path / "other.txt").read_text() == "mine"

    def test_a_name_as_long_as_the_system_allows(self, tmp_path):
        path = tmp_path / f"{'n' * 250}.fits"
        with atomic_path(path) as temporary:
            temporary.write_text("new")
        assert path.read_text() == "new"


class TestTexts:
    def test_what_fits_cannot_hold_is_written_out(self, tmp_path):
        exposures = Table({"name": ["j\xfcrgen", "plain"], "reason": ["", "5 \u03c3"]})
        history = History().then("mask", path="/data/j\xfcrgen")
        tables = {"EXPOSURES": exposures}
        write_product(tmp_path / "a.fits", "Thing", {"NOTE": "5 \u03c3\n"}, {}, tables, history, texts={"T": "\xe9"})
        with open_product(tmp_path / "a.fits", "Thing") as hdus:
            assert hdus[0].header["NOTE"] == r"5 \u03c3\n"
            table = read_table(hdus, "EXPOSURES", "a.fits")
            assert list(table["name"]) == [r"j\xfcrgen", "plain"]
            assert list(table["reason"]) == ["", r"5 \u03c3"]
            assert read_text(hdus, "T", "a.fits") == r"\xe9"
            found = History.from_table(read_table(hdus, "HISTORY", "a.fits"))
        assert found.steps[0].settings == (("path", r"/data/j\xfcrgen"),)
        assert exposures["name"][0] == "j\xfcrgen"

    @pytest.mark.parametrize("text", ["Path('/a'), b=Path('/b/c')", "x" * 300, "it's", "a & b / c"])
    def test_texts_come_back_whatever_they_hold(self, tmp_path, text):
        write_product(tmp_path / "a.fits", "Thing", {}, {}, {}, History(), texts={"A": text, "B": ""})
        with open_product(tmp_path / "a.fits", "Thing") as hdus:
            assert [read_text(hdus, name, "a.fits") for name in "AB"] == [text, ""]
            with pytest.raises(InvalidInputError, match=r"a.fits: table TEXTS must hold C; it is missing"):
                read_text(hdus, "C", "a.fits")


@pytest.mark.parametrize("advise", [read_ahead, let_go])
def test_advice_to_the_system_changes_nothing_and_tells_nothing(advise, tmp_path):
    path = tmp_path / "flat.fits"
    path.write_bytes(b"some")
    advise(path)
    assert path.read_bytes() == b"some"
    advise(tmp_path / "missing.fits")  # who reads it will tell


class TestWriteFits:
    @pytest.fixture
    def hdus(self):
        pixels = np.random.default_rng(1).normal(size=(700, 900)).astype(np.float32)  # 2.5 pieces
        table = fits.table_to_hdu(QTable({"name": ["a", "b"], "level": [1.0, 2.0]}))
        return fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(pixels, name="SCI"), table, fits.ImageHDU(pixels.T)])

    def test_bytes_are_those_of_astropy(self, hdus, tmp_path):
        digest = hashlib.sha256()
        write_fits(hdus, tmp_path / "ours.fits", digest=digest)
        hdus.writeto(tmp_path / "theirs.fits")
        ours = (tmp_path / "ours.fits").read_bytes()
        assert ours == (tmp_path / "theirs.fits").read_bytes()
        assert digest.hexdigest() == hashlib.sha256(ours).hexdigest()

    def test_a_failure_leaves_the_old_file(self, hdus, tmp_path, monkeypatch):
        path = tmp_path / "out.fits"
        write_fits(hdus, path)
        before = path.read_bytes()

        def write(self, data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr("nircam_flats._files._Pieces.write", write)
        with pytest.raises(StorageError, match=r"out.fits: cannot be written; .*No space left"):
            write_fits(hdus, path, overwrite=True)
        assert path.read_bytes() == before
        assert os.listdir(tmp_path) == ["out.fits"]


class TestReadSections:
    def test_agrees_with_astropy(self, fits_file):
        path, *_ = fits_file
        sections = read_sections(path)
        assert list(sections) == ["PRIMARY", "SCI", "DQ", "CUBE", "TAB"]
        with fits.open(path) as hdus:
            for name, section in sections.items():
                hdu = hdus[name]
                assert fits.Header.fromstring(section.text).tostring() == hdu.header.tostring()
                assert section.shape == (hdu.shape if isinstance(hdu, fits.ImageHDU) else None)
        integers = {name: section.is_integer for name, section in sections.items()}
        assert integers == {"PRIMARY": True, "SCI": False, "DQ": True, "CUBE": True, "TAB": True}

    def test_a_header_of_many_blocks(self, tmp_path):
        header = fits.Header([(f"KEY{i}", i) for i in range(200)])
        fits.HDUList([fits.PrimaryHDU(header=header), fits.ImageHDU(np.zeros((1, 1)), name="A")]).writeto(
            tmp_path / "a"
        )
        sections = read_sections(tmp_path / "a")
        assert fits.Header.fromstring(sections["PRIMARY"].text)["KEY199"] == 199
        assert sections["A"].shape == (1, 1)

    def test_an_image_in_the_primary_and_a_large_heap(self, tmp_path):
        column = fits.Column("v", "PJ()", array=np.array([[1, 2, 3], [4]], dtype=object))
        table = fits.BinTableHDU.from_columns([column], name="HEAP")
        fits.HDUList([fits.PrimaryHDU(np.zeros((3, 4))), table, fits.ImageHDU(name="LAST")]).writeto(tmp_path / "a")
        sections = read_sections(tmp_path / "a")
        assert list(sections) == ["PRIMARY", "HEAP", "LAST"]
        assert (sections["PRIMARY"].shape, sections["LAST"].shape) == ((3, 4), None)

    def test_junk_after_the_last_section_is_no_matter(self, fits_file):
        path, *_ = fits_file
        path.write_bytes(path.read_bytes() + b"\\0" * 2880 + b"junk")
        assert list(read_sections(path)) == ["PRIMARY", "SCI", "DQ", "CUBE", "TAB"]


class TestOpenFits:
    def test_reads(self, fits_file):
        path, image, dq = fits_file
        with open_fits(path) as hdus:
            for name, expected in (("SCI", image), ("DQ", dq)):
                pixels = read_image(hdus, name, expected.dtype, path)
                np.testing.assert_array_equal(pixels, expected)
                assert pixels.dtype.isnative
            assert read_image(hdus, "CUBE", np.float64, path, ndim=3).dtype == np.float64

    @pytest.mark.parametrize(
        ("content", "text"),
        [
            (b"", "got an empty file"),
            (b"GIF89a" * 1000, "got something else"),
            (b"SIMPLE  =", "a header without its END"),
        ],
    )
    def test_what_is_not_fits(self, tmp_path, content, text):
        path = tmp_path / "bad.fits"
        path.write_bytes(content)
        with pytest.raises(InvalidInputError, match=rf"bad.fits: needed .*{text}"), open_fits(path):
            pytest.fail("the block must not be entered")

    def test_not_there_or_a_folder(self, tmp_path):
        for path, came in ((tmp_path / "none.fits", "nothing there"), (tmp_path, "a folder")):
            with (
                pytest.raises(InvalidInputError, match=f"{path.name}: needed a FITS file; got {came}"),
                open_fits(path),
            ):
                pytest.fail("the block must not be entered")

    def test_truncated_anywhere(self, fits_file):
        path, *_ = fits_file
        whole = path.read_bytes()
        for n_bytes in (1000, 4000, len(whole) // 2, len(whole) - 2881, len(whole) - 1):
            path.write_bytes(whole[:n_bytes])
            with (
                pytest.raises(InvalidInputError, match=r"some.fits: needed a whole, readable FITS file"),
                open_fits(path),
            ):
                pytest.fail("the block must not be entered")

    def test_compressed(self, fits_file, tmp_path):
        path, image, _ = fits_file
        packed = tmp_path / "packed.fits.gz"
        with fits.open(path) as hdus:
            hdus.writeto(packed)
        with open_fits(packed) as hdus:
            np.testing.assert_array_equal(hdus["SCI"].data, image)
        packed.write_bytes(packed.read_bytes()[:200])
        with pytest.raises(InvalidInputError, match=r"packed.fits.gz: needed a whole, .* ended"), open_fits(packed):
            pass

    def test_what_goes_wrong_inside_names_the_file(self, fits_file):
        path, *_ = fits_file
        content = path.read_bytes()
        start = content.index(b"EXTNAME = 'DQ")
        path.write_bytes(content[:start] + b"EXPSTART= 1 2".ljust(80) + content[start + 80 :])
        text = r"some.fits: needed a whole, readable FITS file; got .*EXPSTART"
        with pytest.raises(InvalidInputError, match=text), open_fits(path) as hdus:
            _ = hdus[2].header["EXPSTART"]

    def test_an_error_of_ours_gets_the_name_that_it_lacks(self, fits_file):
        with pytest.raises(InvalidInputError, match=r"^[^:]*some.fits: mine$"), open_fits(fits_file[0]):
            raise InvalidInputError("mine")

    def test_the_filters_of_warnings_stay_as_they_were(self, fits_file):
        before = list(warnings.filters)
        with open_fits(fits_file[0]):
            assert warnings.filters == before  # they are global: threads that change them get in each other's way


class TestReadImage:
    def test_missing(self, fits_file):
        with open_fits(fits_file[0]) as hdus:
            assert read_image(hdus, "ERR", np.float32, "a.fits", required=False) is None
            text = r"a.fits: extension ERR is needed; the file has PRIMARY, SCI, DQ, CUBE, TAB, SCI"
            with pytest.raises(InvalidInputError, match=text):
                read_image(hdus, "ERR", np.float32, "a.fits")

    @pytest.mark.parametrize(
        ("name", "came"), [("CUBE", r"shape \(2, 3, 4\)"), ("TAB", "no image"), ("PRIMARY", "no image")]
    )
    def test_no_image(self, fits_file, name, came):
        with open_fits(fits_file[0]) as hdus:
            text = f"a.fits: extension {name} must hold an image of 2 dimensions; got {came}"
            with pytest.raises(InvalidInputError, match=text):
                read_image(hdus, name, np.float32, "a.fits")


class TestReadKeyword:
    HEADER = fits.Header({"TEXT": "a ", "WHOLE": 3, "REAL": 2.5, "FLAG": True, "EMPTY": None})

    @pytest.mark.parametrize(
        ("name", "kind", "value"),
        [("TEXT", str, "a"), ("WHOLE", int, 3), ("WHOLE", float, 3.0), ("REAL", float, 2.5), ("FLAG", bool, True)],
    )
    def test_value_of_its_kind(self, name, kind, value):
        found = read_keyword(self.HEADER, name, kind, "a.fits")
        assert (found, type(found)) == (value, kind)

    @pytest.mark.parametrize(
        ("name", "kind"),
        [("TEXT", int), ("TEXT", float), ("REAL", int), ("FLAG", int), ("FLAG", float), ("WHOLE", bool)],
    )
    def test_value_of_another_kind(self, name, kind):
        text = f"a.fits: keyword {name} in the SCI header must be of type {kind.__name__}; got {self.HEADER[name]!r}"
        with pytest.raises(InvalidInputError, match=text):
            read_keyword(self.HEADER, name, kind, "a.fits", where="SCI header")

    @pytest.mark.parametrize("name", ["NONE", "EMPTY"])
    def test_missing(self, name):
        text = f"a.fits: keyword {name} is needed in the primary header; it is missing"
        with pytest.raises(InvalidInputError, match=text):
            read_keyword(self.HEADER, name, str, "a.fits")
        assert read_keyword(self.HEADER, name, str, "a.fits", default=None) is None
        assert read_keyword(self.HEADER, name, int, "a.fits", default=7) == 7

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_not_finite(self, value):
        with pytest.raises(
            InvalidInputError, match=f"a.fits: keyword X in the primary header must be finite; got {value}"
        ):
            read_keyword({"X": value}, "X", float, "a.fits")


class TestProducts:
    @pytest.fixture
    def product(self, tmp_path):
        path = tmp_path / "product.fits"
        table = QTable({"name": ["a", ""], "time": [1, 2] * u.s})
        header = {"DETECTOR": "NRCB4", "NOTHING": None}
        images = {"DATA": np.eye(3, dtype="f4"), "N_USED": np.ones((3, 3), "i4")}
        history = History().then("combine", n_sigma=3)
        write_product(path, "DeltaSkyflat", header, images, {"EXPOSURES": table}, history)
        return path

    def test_reads_back_what_it_wrote(self, product):
        with open_product(product, "DeltaSkyflat") as hdus:
            assert (hdus[0].header["DETECTOR"], "NOTHING" in hdus[0].header) == ("NRCB4", False)
            np.testing.assert_array_equal(read_image(hdus, "DATA", np.float32, product), np.eye(3))
            assert hdus["N_USED"].data.dtype.kind == "i"
            table = read_table(hdus, "EXPOSURES", product)
            assert (table["name"].tolist(), table["time"].to_value(u.ms).tolist()) == (["a", ""], [1000, 2000])
            assert "HISTORY" in hdus
            with pytest.raises(InvalidInputError, match=r"product.fits: table extension FRAMES is needed"):
                read_table(hdus, "FRAMES", product)

    def test_of_another_kind(self, product, fits_file):
        text = r"product.fits: needed a FlatModelFit written by nircam_flats; got DeltaSkyflat"
        with pytest.raises(InvalidInputError, match=text), open_product(product, "FlatModelFit"):
            pytest.fail("the block must not be entered")
        text = r"some.fits: needed a FlatModelFit .*; got no product of nircam_flats"
        with pytest.raises(InvalidInputError, match=text), open_product(fits_file[0], "FlatModelFit"):
            pytest.fail("the block must not be entered")

    def test_never_over_a_file_unless_asked(self, product):
        with pytest.raises(InvalidInputError, match="exists already"):
            write_product(product, "A", {}, {}, {}, History())
        write_product(product, "A", {}, {}, {}, History(), overwrite=True)
        assert fits.getheader(product)["PRODUCT"] == "A"


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("crds://jwst_nircam_flat_0123.fits", "jwst_nircam_flat_0123.fits"),
        ("/grp/crds/a b.fits ", "a b.fits"),
        ("a.fits", "a.fits"),
        ("override://a.fits", None),
        ("N/A", None),
        ("", None),
        (" ", None),
        ("crds://", None),
        (None, None),
    ],
)
def test_bare_file_name(reference, name):
    assert bare_file_name(reference) == name


def test_the_primary_section_is_called_so_whatever_name_it_has(tmp_path):
    path = tmp_path / "named.fits"
    hdu = fits.PrimaryHDU(np.zeros((2, 3)))
    hdu.header["EXTNAME"] = "Intensity"
    hdu.writeto(path)
    assert read_sections(path)["PRIMARY"].shape == (2, 3)
    with open_fits(path) as hdus:
        assert hdus[0].data.shape == (2, 3)
