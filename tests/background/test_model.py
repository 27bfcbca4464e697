"""What all background models share: checked input and output, filters, components, tables."""

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.time import Time

import nircam_flats as nf
from nircam_flats import testing

DATE = "2022-05-01"


class Sloped(nf.BackgroundModel):
    """Brightness equal to the wavelength, in two parts."""

    def spectrum(self, coordinate, date, wavelength):
        return {"zodiacal": 0.75 * wavelength, "other": 0.25 * wavelength}


class Answers(nf.BackgroundModel):
    """Whatever it was told to."""

    def __init__(self, answer):
        self.answer = answer

    def spectrum(self, coordinate, date, wavelength):
        return self.answer


@pytest.fixture
def models(cache, tmp_path, field):
    nf.ZodiacalBackground().table(field, DATE, [0.6, 2, 5] * u.um).write(tmp_path / "sky.ecsv")
    jbt = nf.JBTBackground(cache, nearest_day=True)
    return [Sloped(), jbt, nf.TabulatedBackground(tmp_path / "sky.ecsv"), nf.ZodiacalBackground()]


def test_all_public_models_are_here(models):
    public = {item for item in vars(nf).values() if isinstance(item, type) and issubclass(item, nf.BackgroundModel)}
    assert {type(model) for model in models} == public - {nf.BackgroundModel} | {Sloped}


@pytest.mark.parametrize("number", range(4))
def test_models_conform(models, number, field):
    testing.check_background_model(models[number], field, DATE)


def test_at_the_pivot_and_over_the_bandpass(field):
    pivot, width = nf.Filter.get("F150W2").pivot.value, nf.Filter.get("F150W2").bandwidth.value
    assert Sloped().predict(field, DATE, "F150W2") == pivot * u.MJy / u.sr
    averaged = Sloped().predict(field, DATE, "F150W2", band_average=True)
    exact = width / np.log((pivot + width / 2) / (pivot - width / 2))  # int l dl/l over int dl/l
    assert averaged.to_value(u.MJy / u.sr) == pytest.approx(exact, rel=1e-3)
    assert exact < 0.97 * pivot


def test_components_add_up(field):
    parts = Sloped().components(field, DATE, "F200W")
    assert list(parts) == ["zodiacal", "other"]
    assert sum(parts.values()) == Sloped().predict(field, DATE, "F200W")
    assert 0.1 * Sloped().predict(field, DATE, "F200W") < 0.2 * u.MJy / u.sr  # a limit for claws


def test_dates_and_frames_in_any_form(field):
    model = nf.ZodiacalBackground()
    expected = model.predict(field, DATE, "F200W")
    assert model.predict(field, Time(DATE, scale="utc").tai, nf.Filter.get("F200W")) == expected
    assert u.isclose(model.predict(field.galactic, DATE, "f200w"), expected)
    assert model(field, DATE, 2000 * u.nm)["stray"].shape == ()


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"coordinate": (1, 2)}, "Sloped needs one SkyCoord"),
        ({"coordinate": SkyCoord([1, 2] * u.deg, [1, 2] * u.deg)}, "Sloped needs one SkyCoord"),
        ({"date": "yesterday"}, "or a date such as '2022-06-21'; got 'yesterday'"),
        ({"date": 59700.0}, "one astropy Time"),
        ({"wavelength": 2.0}, "positive wavelengths with a unit"),
        ({"wavelength": -2.0 * u.um}, "positive wavelengths with a unit"),
    ],
)
def test_wrong_arguments(field, changed, text):
    with pytest.raises(nf.InvalidInputError, match=text):
        Sloped()(**{"coordinate": field, "date": DATE, "wavelength": 2 * u.um} | changed)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (np.ones(1), "must be a dictionary of components"),
        ({}, "must be a dictionary of components"),
        ({"zodiacal": [1.0, 2.0]}, r"\['zodiacal'\] must be finite, not negative, and of shape \(1,\)"),
        ({"zodiacal": [np.nan]}, r"must be finite.*got \[nan\]"),
        ({"zodiacal": [-1.0]}, "not negative"),
        ({"zodiacal": [1.0] * u.MJy / u.sr}, "must be a plain array"),
    ],
)
def test_wrong_answers(field, answer, text):
    with pytest.raises(nf.InvalidInputError, match=text):
        Answers(answer).predict(field, DATE, "F200W")


def test_a_table_is_read_back_as_a_model(tmp_path, field):
    nf.ZodiacalBackground().table(field, DATE, np.linspace(1, 3, 9) * u.um).write(tmp_path / "sky.ecsv")
    model = nf.TabulatedBackground(tmp_path / "sky.ecsv", relative_err=0.1)
    assert model.relative_err == 0.1
    assert u.isclose(
        sum(model(field, "2026-01-01", 2 * u.um).values()),
        sum(nf.ZodiacalBackground()(field, DATE, 2 * u.um).values()),
        rtol=1e-9,
    )
    with pytest.raises(nf.InvalidInputError, match=r"sky.ecsv: needed a table from 4.4\d+ .*; it covers 1 to 3 um"):
        model.predict(field, DATE, "F444W")


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (["wavelength total", "1 0.2", "2 0.1"], "column wavelength must be in um or the like; got no unit"),
        (["total", "0.2"], "needed a column wavelength and one for each component; got total"),
        ([], "needed a table in ECSV format"),
    ],
)
def test_wrong_tables(tmp_path, lines, text):
    path = tmp_path / "sky.ecsv"
    names = lines[0].split() if lines else []
    columns = [f"# - {{name: {name}, datatype: float64}}" for name in names]
    path.write_text("\n".join(["# %ECSV 1.0", "# ---", "# datatype:", *columns, "# schema: astropy-2.0", *lines]))
    with pytest.raises(nf.InvalidInputError, match=text):
        nf.TabulatedBackground(path)


def test_a_table_must_rise_and_be_finite(tmp_path, field):
    table = nf.ZodiacalBackground().table(field, DATE, [1, 2] * u.um)
    table[::-1].write(tmp_path / "falls.ecsv")
    with pytest.raises(nf.InvalidInputError, match="column wavelength must rise"):
        nf.TabulatedBackground(tmp_path / "falls.ecsv")
    table["zodiacal"][0] = np.nan
    table.write(tmp_path / "nan.ecsv")
    with pytest.raises(nf.InvalidInputError, match="column zodiacal must be finite"):
        nf.TabulatedBackground(tmp_path / "nan.ecsv")
    table["zodiacal"] = [1, 2] * u.m
    table.write(tmp_path / "unit.ecsv")
    with pytest.raises(nf.InvalidInputError, match="column zodiacal must be in MJy / sr or the like; got m"):
        nf.TabulatedBackground(tmp_path / "unit.ecsv")
    with pytest.raises(nf.InvalidInputError, match=r"nothing.ecsv: needed a table in ECSV format"):
        nf.TabulatedBackground(tmp_path / "nothing.ecsv")
