"""Sections that set the result of a run beside predictions, noise and stars."""

import re

import attrs
import pytest
from astropy import units as u
from astropy.table import QTable

from nircam_flats import BackgroundModel, ExposureSet, recipes
from nircam_flats.report import SkyFlatProgram, background_section, photometry_section
from nircam_flats.report.detector_sections import filter_section
from nircam_flats.simulation import Effects, SimulatedProgram
from nircam_flats.validation.flatness import NoiseFloor


class Constant(BackgroundModel):
    """The same sky everywhere."""

    relative_err = 0.1

    def spectrum(self, coordinate, date, wavelength):
        return {"zodiacal": 0.2 + 0 * wavelength}


@pytest.fixture(scope="module")
def exposures(campaign):
    return ExposureSet.read(campaign.exposures)


@pytest.fixture(scope="module")
def stars():
    """A run on large dithers of one field full of stars: the program, its exposures and ground flats."""
    effects = attrs.evolve(Effects.none(), sources=True, noise=True, area=True)
    simulated = SimulatedProgram(
        detectors="B1", filters="F200W", shape=(320, 320), n_pointings=1, n_dithers=6, seed=11, effects=effects,
        star_density=2000.0, dither_range=(0.2, 0.4),
    )  # fmt: skip
    exposures = ExposureSet.from_exposures(simulated.exposures())
    ground = [simulated.ground_flat("B1", "F200W")]
    return recipes.sky_flat_program(exposures, ground), exposures, ground


def test_sky_levels_stand_beside_the_prediction(made, exposures):
    section = background_section(made, exposures, model=Constant())
    text = section.to_html()
    levels = QTable(made.products[0].grey.exposures)
    name = str(levels["filter"][0])
    mean = levels["level"][levels["filter"] == name].mean().to_value("MJy / sr")
    assert f"<td>{mean:.4f}</td>" in text.replace(' class="number"', "")
    assert f"{mean / 0.2:.3f}" in text
    assert "the model claims 10% (1 sigma)" in text
    assert len(section.pictures) == 1


def test_the_default_model_predicts_the_simulated_fields(made, exposures):
    text = background_section(made, exposures).to_html()
    assert "Predicted by ZodiacalBackground" in text
    assert len(re.findall(r"<td[^>]*>6 of 6</td>", text)) == 4  # rows: all exposures of each detector and filter


def test_no_prediction_is_told(made, exposures):
    later = [attrs.evolve(member, start=member.start + 183 * u.day, end=None) for member in exposures]
    text = background_section(made, attrs.evolve(exposures, members=later)).to_html()  # where the Sun then stands
    assert "Nothing to compare the sky with" in text
    assert "so it is not visible" in text
    assert background_section(SkyFlatProgram(products=[], problems=[]), exposures) is None


def test_flatness_stands_beside_its_noise(made):
    products = made.products[0]
    text = filter_section(products).to_html()
    for delta in products.by_filter.values():
        assert f"{NoiseFloor.of_delta(delta).peak_to_peak:.2%}" in text


def test_stars_with_both_flats(stars):
    section = photometry_section(*stars)
    text = section.to_html()
    assert "Histogram of the scatter" in text
    assert "not measured" not in text
    assert [item.size for item in section.pictures] == [(4.6, 3.7)]


def test_a_field_without_stars_is_told(made, exposures, campaign):
    section = photometry_section(made, exposures, campaign.ground_flats)
    assert section.pictures == ()
    assert section.to_html().count("not measured: PhotometricRepeatability needs") == 4
