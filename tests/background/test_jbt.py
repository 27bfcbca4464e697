"""The files of the JWST Backgrounds Tool, small ones with known light and the real ones."""

import struct
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.time import Time

import nircam_flats as nf

GRID, PIXEL, DAYS = np.linspace(0.5, 6.5, 13), 94166, (0, 1, 100, 101, 102, 365)  # of the fixture `cache`
ON_DAY_100 = "2022-04-11"


def total_by_hand(light, thermal):
    """Total at the pivot of F200W for a field with ``light`` on the grid times 1 to 2, as numpy sees it."""
    ramp = np.linspace(1, 2, len(GRID))
    curve = np.interp(GRID, [0.5, 3.0, 6.0], thermal, right=0)
    return np.interp(1.9875, GRID, light * ramp + curve)


def test_known_light(cache, field):
    model = nf.JBTBackground(cache)
    assert model.cache_version == "2.0"
    parts = model.components(field, ON_DAY_100, "F200W")
    assert list(parts) == ["zodiacal", "stray", "thermal", "other"]
    at = np.interp(1.9875, GRID, np.linspace(1, 2, len(GRID)))
    found = [parts[name].to_value(u.MJy / u.sr) for name in ("zodiacal", "stray", "other")]
    assert found == pytest.approx([101 * at, 10.1 * at, 0.01 * at], rel=1e-12)
    expected = total_by_hand(101 + 10.1 + 0.01, [0, 0, 3])
    assert model.predict(field, ON_DAY_100, "F200W").value == pytest.approx(expected, rel=1e-12)
    assert model(field, ON_DAY_100, 5.5 * u.um)["thermal"].value == pytest.approx(2.5, rel=1e-12)


def test_folders_by_digits_and_single_files(cache, field):
    expected = nf.JBTBackground(cache).predict(field, ON_DAY_100, "F200W")
    path = cache / f"sl_pix_{PIXEL:06d}.bin"
    assert nf.JBTBackground(path).predict(field, ON_DAY_100, "F200W") == expected
    (cache / "0941").mkdir()
    path.rename(cache / "0941" / path.name)
    assert nf.JBTBackground(cache).predict(field, ON_DAY_100, "F200W") == expected


def test_the_day_of_the_year(cache, field):
    model = nf.JBTBackground(cache)
    np.testing.assert_array_equal(model.visible_days(field), DAYS)
    np.testing.assert_array_equal(model.visible_days(field.galactic), DAYS)
    first, last = (model.predict(field, date, "F200W").value for date in ("2022-01-01T23:00", "2024-12-31"))
    assert first == pytest.approx(total_by_hand(1 + 0.1 + 0.01, [0, 0, 3]), rel=1e-12)
    assert last == pytest.approx(total_by_hand(366 + 36.6 + 0.01, [0, 0, 3]), rel=1e-12)  # day 365 of a leap year


def test_a_day_on_which_the_field_is_not_visible(cache, field, write_field):
    text = r"not visible on 2022-04-05 \(day 94\); it is on days 0-1, 100-102, 365-365: say nearest_day=True"
    with pytest.raises(nf.InvalidInputError, match=text):
        nf.JBTBackground(cache).predict(field, "2022-04-05", "F200W")
    nearest = nf.JBTBackground(cache, nearest_day=True)
    dates = Time("2022-04-05"), "2022-12-20"
    assert [nearest.day_used(field, date) for date in dates] == [100, 365]
    assert nearest.predict(field, "2022-04-05", "F200W") == nearest.predict(field, ON_DAY_100, "F200W")
    write_field(cache / f"sl_pix_{PIXEL:06d}.bin", days=())
    with pytest.raises(nf.InvalidInputError, match="is not visible on any day"):
        nearest.predict(field, "2022-04-05", "F200W")


def test_the_correction_at_1p2_micron(cache, field):
    plain, corrected = (nf.JBTBackground(cache, correct_1p2_micron=flag) for flag in (False, True))
    ratios = [
        (corrected.predict(field, ON_DAY_100, name) / plain.predict(field, ON_DAY_100, name)).value
        for name in ("F070W", "F115W", "F200W", "F444W")
    ]
    assert ratios[0] == pytest.approx(0.655, abs=0.002)
    assert ratios[0] < ratios[1] < 1
    assert ratios[2:] == [1, 1]
    assert "correct_1p2_micron=True" in repr(corrected)
    (cache / "VERSION").write_text("3.0")
    with pytest.raises(nf.InvalidInputError, match=r"version 3.0 of the cache already has the 1.2 micron correction"):
        nf.JBTBackground(cache, correct_1p2_micron=True)


def test_a_field_without_a_file(cache):
    elsewhere = SkyCoord(10 * u.deg, -5 * u.deg)
    with pytest.raises(nf.InvalidInputError, match=r"needed sl_pix_\d{6}.bin, the field around 00h40m00s -05d00m00s"):
        nf.JBTBackground(cache).predict(elsewhere, ON_DAY_100, "F200W")
    path = cache / f"sl_pix_{PIXEL:06d}.bin"
    with pytest.raises(nf.InvalidInputError, match=rf"this file is pixel {PIXEL}, around \(150.82, 2.39\) deg"):
        nf.JBTBackground(path).predict(elsewhere, ON_DAY_100, "F200W")


def changed(path, how):
    """Spoil a file in one of several ways."""
    content = path.read_bytes()
    if how == "truncated":
        content = content[:-100]
    elif how == "longer":
        content += b"\0" * 8
    elif how == "tiny":
        content = content[:1000]
    elif how == "random":
        content = np.random.default_rng(1).bytes(len(content))
    elif how == "elsewhere":
        content = struct.pack("<2d", 150.9, 2.3) + content[16:]
    elif how == "nowhere":
        content = struct.pack("<2d", np.nan, 2.3) + content[16:]
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("how", "text"),
    [
        (
            "truncated",
            r"sl_pix_094166.bin: needed \d+ bytes for 6 visible days and 13 wavelengths; got \d+, the fi",
        ),
        ("longer", "the file is longer: fetch it again"),
        ("tiny", "got 1000 bytes that have another"),
        ("random", "needed the layout of the JWST Backgrounds Tool"),
        ("elsewhere", "needed the centre of a HEALPix pixel"),
        ("nowhere", "needed the direction of a pixel first"),
    ],
)
def test_spoilt_files(cache, field, how, text):
    changed(cache / f"sl_pix_{PIXEL:06d}.bin", how)
    with pytest.raises(nf.InvalidInputError, match=text):
        nf.JBTBackground(cache).predict(field, ON_DAY_100, "F200W")


def test_a_file_of_another_version(cache, field, write_field):
    path = write_field(cache / f"sl_pix_{PIXEL:06d}.bin", n=17)
    with pytest.raises(nf.InvalidInputError, match=r"needed a file with 13 wavelengths.*got one laid out for 17, of"):
        nf.JBTBackground(cache).predict(field, ON_DAY_100, "F200W")
    write_field(path, pixel=PIXEL + 1)
    with pytest.raises(nf.InvalidInputError, match=f"needed pixel {PIXEL}, as the name says; got pixel {PIXEL + 1}"):
        nf.JBTBackground(cache).predict(field, ON_DAY_100, "F200W")


def test_versions_are_recorded_and_compared(cache):
    assert "cache_version='2.0'" in repr(nf.JBTBackground(cache, cache_version="2.0"))
    with pytest.raises(nf.InvalidInputError, match=r"VERSION: needed version 1.0 of the cache; got 2.0"):
        nf.JBTBackground(cache, cache_version="1.0")
    (cache / "VERSION").unlink()
    assert nf.JBTBackground(cache).cache_version == "unknown"
    assert nf.JBTBackground(cache, cache_version=1.1).cache_version == "1.1"


def test_the_curves_must_be_found(cache, tmp_path):
    with pytest.raises(nf.InvalidInputError, match="nowhere: needed a folder or file"):
        nf.JBTBackground(tmp_path / "nowhere")
    second = cache / "thermal_curve_test_v2.csv"
    second.write_bytes((cache / "thermal_curve_test_v1.csv").read_bytes())
    with pytest.raises(nf.InvalidInputError, match=r"got thermal_curve_test_v1.csv, thermal_curve_test_v2.csv: say t"):
        nf.JBTBackground(cache)
    assert nf.JBTBackground(cache, thermal=second).thermal == second
    second.write_text("not a number")
    with pytest.raises(nf.InvalidInputError, match=r"v2.csv: needed a text file with 2 columns"):
        nf.JBTBackground(cache, thermal=second)
    second.write_text("2,1\n1,1\n")
    with pytest.raises(nf.InvalidInputError, match=r"v2.csv: needed 2 columns of numbers, the first rising"):
        nf.JBTBackground(cache, thermal=second)
    refdata = tmp_path / "refdata"
    refdata.mkdir()
    with pytest.raises(nf.InvalidInputError, match=r"needs std_spectrum_wavelengths.txt, which is in none of"):
        nf.JBTBackground(cache, refdata=refdata)
    for path in (*cache.glob("*.txt"), cache / "thermal_curve_test_v1.csv"):
        path.rename(refdata / path.name)
    assert nf.JBTBackground(cache, refdata=refdata).wavelengths.parent == refdata


def test_beyond_the_grid(cache, field):
    with pytest.raises(nf.InvalidInputError, match=r"has predictions from 0.5 to 6.5 um; asked were 7 to 7 um"):
        nf.JBTBackground(cache)(field, ON_DAY_100, 7 * u.um)


# --- the real files


def totals_by_hand(path: Path, folder: Path):
    """Days, and total at each wavelength and day, of a real file, by struct and numpy alone."""
    grid = np.loadtxt(folder / "std_spectrum_wavelengths.txt")
    curve = np.loadtxt(folder / "thermal_curve_jwst_jrigby_v4.0.csv", delimiter=",")
    content = path.read_bytes()
    ra, dec, *_ = struct.unpack_from("<5d", content)
    other = np.array(struct.unpack_from("<108d", content, 40))
    number = struct.unpack_from("<366i", content, 904)
    days = [day for day in range(366) if number[day] >= 0]
    totals = []
    for day in days:
        values = struct.unpack_from("<216d", content, 2368 + 1728 * number[day])
        totals.append(np.array(values[:108]) + values[108:] + other + np.interp(grid, curve[:, 0], curve[:, 1]))
    return SkyCoord(ra * u.deg, dec * u.deg), days, grid, np.array(totals)


@pytest.mark.parametrize("pixel", ["008508", "094166", "097499", "143692"])
def test_real_totals_to_1e_6(real_data, pixel):
    folder = real_data / "jbt"
    model = nf.JBTBackground(folder, refdata=folder)
    coordinate, days, grid, totals = totals_by_hand(folder / f"sl_pix_{pixel}.bin", folder)
    np.testing.assert_array_equal(model.visible_days(coordinate), days)
    start = Time("2024-01-01T12:00")
    for day, expected in list(zip(days, totals, strict=True))[::5]:
        found = sum(model(coordinate, start + day * u.day, grid * u.um).values()).to_value(u.MJy / u.sr)
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        for name in ("F070W", "F200W", "F480M"):
            at_pivot = np.interp(nf.Filter.get(name).pivot.value, grid, expected)
            assert model.predict(coordinate, start + day * u.day, name).value == pytest.approx(at_pivot, rel=1e-6)


def test_the_tool_said_much_the_same_of_another_field(real_data):
    """Its texts are of a field at ecliptic latitude -50; the stray light of their older cache is not that of today."""
    field = SkyCoord(261.6833333 * u.deg, -73.33222222 * u.deg)
    for day, date in ((100, "2022-04-11"), (169, "2022-06-19")):
        text = np.loadtxt(real_data / "jbt" / f"jbt_cache1.0_background_ra261.683_dec-73.332_day{day}.txt")
        used = (text[:, 0] >= 0.7) & (text[:, 0] <= 4.8)
        found = nf.ZodiacalBackground()(field, date, text[used, 0] * u.um)
        np.testing.assert_allclose(found["zodiacal"].value, text[used, 2], rtol=0.15)
