"""Stars: the packaged ones are those of 2MASS, and tables are read with what they miss named."""

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import MaskedColumn, QTable, Table

from nircam_flats import InvalidInputError, StarCatalog
from nircam_flats.testing import check_value


def test_keeps_the_promises_of_a_value():
    check_value(StarCatalog.packaged().where(np.arange(600)))


def test_the_packaged_stars_are_those_of_2mass(real_data):
    source = real_data.parent / "facts" / "two_mass_ks_lt_5.fits"
    if not source.exists():
        pytest.skip(f"needs {source}")
    table, stars = Table.read(source), StarCatalog.packaged()
    table.sort("dec")
    np.testing.assert_allclose(stars.ra.to_value(u.deg), table["ra"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(stars.dec.to_value(u.deg), table["dec"], rtol=0, atol=1e-12)
    for band, name in (("J", "j_m"), ("H", "h_m"), ("Ks", "k_m")):
        np.testing.assert_allclose(stars.magnitude(band).to_value(u.mag), table[name], rtol=0, atol=1e-6)


def test_the_packaged_stars_are_bright_and_missing_ones_are_told():
    stars = StarCatalog.packaged()
    assert len(stars) == 68661
    assert np.all(stars.ks < 5 * u.mag)
    assert [np.count_nonzero(stars.missing(band)) for band in stars.bands] == [2, 36, 0]
    brightest = stars.where([int(np.argmin(stars.ks))])
    assert brightest.names == ("J05551028+0724255",)  # Betelgeuse, as 2MASS calls it
    assert brightest.coordinates.separation(SkyCoord("05h55m10.3s +07d24m25s"))[0] < 1 * u.arcsec


def test_tables_with_their_usual_names_are_read():
    table = Table({"RA": [1.0, 2], "DE": [3.0, -4], "Jmag": [1.5, 2.5], "Hmag": [1.0, 2.0], "Kmag": [0.5, 1.5]})
    stars = StarCatalog.from_table(table)
    assert stars.bands == ("J", "H", "Ks")
    np.testing.assert_array_equal(stars.ks.to_value(u.mag), [0.5, 1.5])
    np.testing.assert_array_equal(stars.dec.to_value(u.deg), [3, -4])


def test_tables_with_names_of_their_own_are_read():
    table = QTable({"where": SkyCoord([10, 350], [5, 6], unit="deg"), "kay": [1, 2] * u.mag, "name": ["one", "two"]})
    stars = StarCatalog.from_table(table, ks="kay")
    assert stars.bands == ("Ks",)
    assert stars.names == ("one", "two")
    assert stars.where([1]).names == ("two",)
    np.testing.assert_allclose(stars.ra.to_value(u.deg), [10, 350])


def test_units_of_columns_count():
    table = QTable({"ra": [1, 2] * u.hourangle, "dec": [60, 120] * u.arcmin, "H": [1.0, 2.0]})
    stars = StarCatalog.from_table(table)
    np.testing.assert_allclose(stars.ra.to_value(u.deg), [15, 30])
    np.testing.assert_allclose(stars.dec.to_value(u.deg), [1, 2])


def test_missing_magnitudes_are_nan_and_told():
    h = MaskedColumn([1.0, 99.99, np.nan], mask=[False, True, False])
    stars = StarCatalog.from_table(Table({"ra": [1.0, 2, 3], "dec": [0.0, 0, 0], "H": h}))
    np.testing.assert_array_equal(stars.missing("H"), [False, True, True])
    assert repr(stars) == "<StarCatalog: 3 stars; without J, Ks; missing: H of 2>"


def test_right_ascensions_are_brought_to_the_circle():
    stars = StarCatalog(ra=[-1, 360, 725, 0] * u.deg, dec=[90, -90, 0, 0] * u.deg, ks=[1, 2, 3, 4] * u.mag)
    np.testing.assert_allclose(stars.ra.to_value(u.deg), [359, 0, 5, 0])
    np.testing.assert_allclose(stars.vectors[:2], [[0, 0, 1], [0, 0, -1]], atol=1e-15)


def test_a_file_is_read(tmp_path):
    Table({"ra": [1.0], "dec": [2.0], "Ks": [3.0]}).write(tmp_path / "stars.ecsv")
    assert len(StarCatalog.read(tmp_path / "stars.ecsv")) == 1
    (tmp_path / "text.fits").write_text("no table")
    with pytest.raises(InvalidInputError, match=r"text.fits: needed a table that astropy can read"):
        StarCatalog.read(tmp_path / "text.fits")


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ({"ra": [1.0], "H": [1.0]}, r"needed a column of SkyCoord, or columns ra and dec.*; got ra, H"),
        ({"ra": [1.0], "dec": [1.0], "V": [1.0]}, r"needed magnitudes in one of J, H, Ks .*; got ra, dec, V"),
        ({"ra": [1.0], "dec": [91.0], "H": [1.0]}, r"dec within -90 to 90"),
        ({"ra": [np.nan], "dec": [1.0], "H": [1.0]}, r"ra must be finite"),
        (
            {"ra": [1.0], "dec": [1.0], "H": [99.99]},
            r"within -10 to 40; got 99.99 in H: if it stands for a missing one",
        ),
        ({"ra": ["a"], "dec": [1.0], "H": [1.0]}, r"ra must hold numbers convertible to deg"),
    ],
)
def test_a_table_that_will_not_do_is_refused(columns, text):
    with pytest.raises(InvalidInputError, match=text):
        StarCatalog.from_table(Table(columns))


def test_names_of_columns_must_be_there():
    table = Table({"ra": [1.0], "dec": [1.0], "H": [1.0]})
    with pytest.raises(InvalidInputError, match="h='h_2mass' must be a column; the table has ra, dec, H"):
        StarCatalog.from_table(table, h="h_2mass")
    with pytest.raises(InvalidInputError, match=r"columns must be among ra, dec, .*; got v"):
        StarCatalog.from_table(table, v="V")


def test_a_band_that_is_not_there_is_told():
    stars = StarCatalog.from_table(Table({"ra": [1.0], "dec": [1.0], "H": [1.0]}))
    with pytest.raises(InvalidInputError, match="magnitudes in Ks are needed; this catalogue has H: add a column"):
        stars.magnitude("Ks")
    with pytest.raises(InvalidInputError, match="band must be 'J', 'H' or 'Ks'; got 'V'"):
        stars.magnitude("V")
