"""Photometry of stars whose brightness, places and flaws are known."""

import attrs
import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable
from matplotlib.figure import Figure

from nircam_flats import (
    DQ,
    Exposure,
    ExposureSet,
    FlatReference,
    InvalidInputError,
    MeasurementFlag,
    PhotometricRepeatability,
    SurfaceCovariance,
    plotting,
)
from nircam_flats.simulation.geometry import FrameGeometry
from nircam_flats.simulation.sky import Sources
from nircam_flats.testing import assert_same
from nircam_flats.validation._sources import Apertures, find_sources, measure
from nircam_flats.validation.repeatability import histogram_peak


@pytest.fixture(scope="module")
def photometry(star_field, old_flat, true_flat):
    return PhotometricRepeatability.from_exposures(star_field, old=old_flat, new=true_flat)


def shifted(exposure, ra, dec):
    """The exposure with a WCS that is wrong by so many arcsec."""
    header = exposure.sci_header
    header["CRVAL1"] += ra / 3600 / np.cos(np.radians(header["CRVAL2"]))
    header["CRVAL2"] += dec / 3600
    return attrs.evolve(exposure, sci_header=header)


def picture(shape=(96, 80), flux=50.0, place=(40.3, 52.8), **planes):
    """An exposure of a star with a Gaussian profile, sky 1, area growing along x."""
    y, x = np.indices(shape)
    star = flux / (2 * np.pi * 1.2**2) * np.exp(-0.5 * ((x - place[0]) ** 2 + (y - place[1]) ** 2) / 1.2**2)
    area = 1 + 0.001 * (x - place[0])
    rng = np.random.default_rng(1)
    defaults = {
        "data": 1 + star / area + rng.normal(0, 0.01, shape),
        "err": np.full(shape, 0.01),
        "dq": np.zeros(shape, np.uint32),
        "area": area,
    }
    return Exposure(detector="B1", filter="F200W", **(defaults | planes))


# --- one exposure


def test_star_is_found_where_it_is():
    x, y = find_sources(picture(), n_sigma=10)
    assert (x, y) == (pytest.approx([40.3], abs=0.05), pytest.approx([52.8], abs=0.05))


def test_nothing_is_found_in_an_empty_sky():
    assert find_sources(picture(flux=0.0), n_sigma=10)[0].size == 0


def test_flux_is_the_sum_of_data_times_area_and_err_that_of_the_aperture():
    exposure = picture()
    table = measure(exposure, exposure, np.array([40.3]), np.array([52.8]), Apertures())
    pixel = (exposure.detector.x_scale * exposure.detector.y_scale).to(u.sr)
    flux = (50 * u.MJy / u.sr * pixel).to(u.uJy)
    assert table["flux_new"][0].to_value(u.uJy) == pytest.approx(flux.to_value(u.uJy), rel=0.01)
    area = np.pi * 25
    expected = 0.01 * np.hypot(np.sqrt(area), area * np.sqrt(np.pi / 2 / (np.pi * (16**2 - 10**2))))
    err = (table["err_new"][0] / pixel).to_value(u.MJy / u.sr)
    assert err == pytest.approx(expected, rel=0.1)
    assert table["flags"][0] == 0


def test_an_aperture_shares_the_error_of_the_surface_of_the_new_flat():
    exposure = picture()
    x, y = np.array([40.3]), np.array([52.8])
    modes = np.broadcast_to([0.01, 0.02, 0.03], (1, 3, 3))  # at x = 15.5, 47.5, 79.5
    surface = SurfaceCovariance(modes=modes, misfit=0, misfit_correlation=[1], shape=exposure.data.shape, box_size=32)
    flat = FlatReference(data=np.ones(surface.shape), detector="B1", filter="F200W", covariance=surface)
    plain, shared = (measure(exposure, exposure, x, y, Apertures(), flat=one) for one in (None, flat))
    assert shared["err_old"] == plain["err_old"]
    extra = np.sqrt(shared["err_new"] ** 2 - plain["err_new"] ** 2) / shared["flux_new"]
    assert extra[0].to_value(u.one) == pytest.approx(0.01 + 0.01 * (40 - 15.5) / 32, rel=0.05)
    moved = attrs.evolve(exposure, corner=(33, 1))  # of a subarray whose first column is the 33rd of the flat
    wide = attrs.evolve(surface, modes=np.broadcast_to([0.01, 0.02, 0.03, 0.04], (1, 3, 4)), shape=(96, 128))
    flat = FlatReference(data=np.ones(wide.shape), detector="B1", filter="F200W", covariance=wide)
    shared = measure(moved, moved, x, y, Apertures(), flat=flat)
    extra = np.sqrt(shared["err_new"] ** 2 - plain["err_new"] ** 2) / shared["flux_new"]
    assert extra[0].to_value(u.one) == pytest.approx(0.01 + 0.01 * (40 + 32 - 15.5) / 32, rel=0.05)


def test_the_error_of_a_flat_is_that_of_its_exposures(star_field, old_flat, true_flat, photometry):
    modes = np.full((1, 12, 10), 0.01)
    surface = SurfaceCovariance(modes=modes, misfit=0, misfit_correlation=[1], shape=old_flat.data.shape, box_size=32)
    known = attrs.evolve(true_flat, covariance=surface)
    found = PhotometricRepeatability.from_exposures(star_field, old=old_flat, new=known, min_snr=80)
    assert found.summary["ratio_new"] < 0.8 * photometry.summary["ratio_new"]
    assert found.summary["ratio_old"] == pytest.approx(photometry.summary["ratio_old"], rel=0.1)


def test_old_and_new_flat_are_measured_with_the_same_pixels():
    before, after = picture(), picture(data=picture().data / 1.03)
    table = measure(before, after, np.array([40.3]), np.array([52.8]), Apertures())
    assert float(table["flux_old"][0] / table["flux_new"][0]) == pytest.approx(1.03, rel=1e-5)


@pytest.mark.parametrize(
    ("bit", "where", "flag"),
    [
        (DQ.DO_NOT_USE, (50, 42), MeasurementFlag.BAD_PIXEL),
        (DQ.SATURATED, (53, 40), MeasurementFlag.SATURATED),
        (DQ.DO_NOT_USE | DQ.REFERENCE_PIXEL, (53, 44), MeasurementFlag.EDGE),
        (DQ.DO_NOT_USE, (53, 50), 0),
        (DQ.JUMP_DET, (53, 40), 0),
    ],
)
def test_flags_say_what_lies_in_the_aperture(bit, where, flag):
    dq = np.zeros((96, 80), np.uint32)
    dq[where] = bit
    exposure = picture(dq=dq)
    assert measure(exposure, exposure, np.array([40.3]), np.array([52.8]), Apertures())["flags"][0] == flag


def test_aperture_beyond_the_frame():
    exposure = picture(place=(3.2, 50.0))
    table = measure(exposure, exposure, np.array([3.2, 40.0]), np.array([50.0, 50.0]), Apertures())
    assert list(table["flags"]) == [MeasurementFlag.EDGE, 0]
    assert MeasurementFlag.names(5) == "bad pixel, edge"


# --- many exposures


def test_scatter_falls_to_the_noise_with_a_perfect_flat(photometry):
    numbers = photometry.summary
    assert numbers["n_exposures"] == 6
    assert numbers["n_stars"] >= 20
    assert numbers["ratio_new"] == pytest.approx(1, abs=0.25)
    assert numbers["ratio_old"] > 1.7 * numbers["ratio_new"]
    assert len(photometry.pulls("new")) == photometry.stars["n_clean"][photometry.stars["n_clean"] >= 2].sum()
    assert numbers["scatter_old"] > 1.5 * numbers["scatter_new"]
    assert numbers["peak_old"] > numbers["peak_new"]
    assert f"new flat: scatter {numbers['scatter_new']:.2%}" in str(photometry)


@pytest.mark.parametrize("n", [2, 3, 6])
def test_scatter_of_few_measurements_is_that_of_many(photometry, rng, n):
    n_stars, noise = 2000, 0.01
    flux = 1 + noise * rng.standard_normal(n_stars * n)
    table = QTable({"exposure": np.tile(np.arange(n), n_stars), "star": np.repeat(np.arange(n_stars), n)})
    table["x"], table["y"], table["flags"] = 0.0, 0.0, 0
    for name in ("old", "new"):
        table[f"flux_{name}"], table[f"err_{name}"] = flux * u.uJy, np.full(len(flux), noise) * u.uJy
    positions = QTable({"ra": np.zeros(n_stars) * u.deg, "dec": np.zeros(n_stars) * u.deg})
    numbers = attrs.evolve(photometry, measurements=table, positions=positions).summary
    assert numbers["noise_new"] == pytest.approx(noise, rel=0.02)
    assert numbers["scatter_new"] == pytest.approx(noise, rel=0.06)
    assert numbers["ratio_new"] == pytest.approx(1, abs=0.05)


def test_fluxes_are_those_of_the_stars(photometry, star_program):
    geometry = FrameGeometry(detector="B1", shape=star_program.shape)
    settings = {"star_density": star_program.star_density, "dither_range": star_program.dither_range}
    sources = Sources.draw(geometry, star_program.seed, 0, star_program.effects, **settings)
    flux = sources.flux(star_program.filters[0]) * 1e6
    stars = photometry.stars[photometry.stars["n_clean"] >= 2]
    ratios = []
    for row in stars:
        distance = np.hypot(
            (sources.ra - row["ra"].value) * np.cos(np.radians(row["dec"].value)), sources.dec - row["dec"].value
        )
        near = distance * 3600 < 0.1
        ratios.append(row["flux"].value / flux[near].sum() if near.any() else np.nan)
    # of a Moffat profile of index 1.75, 1 - (1 + (r / a)^2)^-0.75 of the light lies within r
    fwhm = np.hypot(0.033 * 1.99 / 0.0309, 0.9)
    enclosed = 1 - (1 + (5 / (fwhm / 1.394)) ** 2) ** -0.75
    assert np.nanmedian(ratios) == pytest.approx(enclosed, rel=0.05)


def test_shift_is_solved_first(photometry, star_field, old_flat, true_flat):
    moved = [*star_field[:2], shifted(star_field[2], 0.5, -0.3), *star_field[3:]]
    found = PhotometricRepeatability.from_exposures(moved, old=old_flat, new=true_flat)
    assert found.exposures["shift_ra"][2].to_value(u.arcsec) == pytest.approx(-0.5, abs=0.01)
    assert found.exposures["shift_dec"][2].to_value(u.arcsec) == pytest.approx(0.3, abs=0.01)
    others = np.arange(6) != 2
    assert np.abs(found.exposures["shift_ra"][others].to_value(u.arcsec)).max() < 0.01
    assert len(found.stars) == pytest.approx(len(photometry.stars), abs=2)
    assert found.summary["ratio_new"] == pytest.approx(photometry.summary["ratio_new"], abs=0.1)


def test_outliers_have_an_explanation(photometry):
    table = photometry.measurements.copy()
    clean = np.flatnonzero(np.asarray(table["flags"]) == 0)
    star = np.asarray(table["star"])
    often = np.flatnonzero(np.bincount(star[clean], minlength=star.max() + 1) >= 4)
    one, other = (clean[star[clean] == number][0] for number in often[:2])
    table["flux_new"][[one, other]] *= 0.7
    table["flags"][one] = MeasurementFlag.BAD_PIXEL
    outliers = attrs.evolve(photometry, measurements=table).outliers
    reasons = dict(zip(outliers["star"], outliers["explanation"], strict=True))
    assert "bad pixel" in reasons[star[one]]
    assert reasons[star[other]] == "unexplained"
    assert len(outliers) <= len(photometry.outliers) + 2


def test_fields_are_kept_apart(star_program, star_field, old_flat, true_flat, photometry):
    more = attrs.evolve(star_program, n_pointings=2)
    both = [*star_field, *(more.exposure("B1", "F200W", index) for index in (6, 7))]
    found = PhotometricRepeatability.from_exposures(both, old=old_flat, new=true_flat)
    far = np.abs(found.positions["dec"] - np.median(photometry.positions["dec"])) > 1 * u.arcmin
    assert 0 < far.sum() < len(found.positions)
    assert found.summary["n_stars"] > photometry.summary["n_stars"]


def test_files(photometry, tmp_path):
    photometry.write(tmp_path / "photometry.fits")
    assert_same(PhotometricRepeatability.read(tmp_path / "photometry.fits"), photometry)


def test_peak_of_a_histogram():
    rng = np.random.default_rng(3)
    assert histogram_peak(np.exp(rng.normal(np.log(0.02), 0.3, 2000))) == pytest.approx(0.02, rel=0.1)
    assert histogram_peak([0.5]) == 0.5
    assert np.isnan(histogram_peak([0.0]))


# --- what cannot be used


def test_exposure_without_wcs_or_planes_is_left_out(star_field, old_flat, true_flat):
    no_wcs = attrs.evolve(star_field[0], sci_header=None)
    no_area = attrs.evolve(star_field[1], area=None)
    found = PhotometricRepeatability.from_exposures([no_wcs, no_area, *star_field[2:5]], old=old_flat, new=true_flat)
    reasons = list(found.exposures["reason"])
    assert reasons[:3] == ["", "", ""]
    assert "no usable WCS" in reasons[3]
    assert "planes AREA are needed" in reasons[4]
    with pytest.raises(InvalidInputError, match=r"two exposures that can be measured; got 0; .*no usable WCS"):
        PhotometricRepeatability.from_exposures(
            [attrs.evolve(item, sci_header=None) for item in star_field[:2]], old=old_flat, new=true_flat
        )


def test_wcs_that_is_wrong_by_too_much_is_told(star_field, old_flat, true_flat):
    lost = shifted(star_field[2], 2.5, 0)
    found = PhotometricRepeatability.from_exposures([*star_field[:2], lost], old=old_flat, new=true_flat)
    assert "cannot be matched" in found.exposures["reason"][-1]
    assert not found.exposures["used"][-1]


def test_too_few_sources_or_one_dither_only(star_program, star_field, old_flat, true_flat):
    flats = {"old": old_flat, "new": true_flat}
    with pytest.raises(InvalidInputError, match=r"needs 5 sources .* got 0 in 2 exposures"):
        PhotometricRepeatability.from_exposures(star_field[:2], min_snr=1e5, **flats)
    empty = [attrs.evolve(item, data=np.ones(item.shape, np.float32)) for item in star_field[:2]]
    with pytest.raises(InvalidInputError, match=r"got 0; left out: .* no source stands out by 10 times the noise"):
        PhotometricRepeatability.from_exposures(empty, **flats)
    fields = attrs.evolve(star_program, n_pointings=2, n_dithers=1)
    with pytest.raises(InvalidInputError, match="one dither only"):
        PhotometricRepeatability.from_exposures(ExposureSet.from_exposures(fields.exposures()), **flats)
    with pytest.raises(InvalidInputError, match="needed at least two exposures"):
        PhotometricRepeatability.from_exposures(star_field[:1], **flats)
    other = attrs.evolve(star_field[1], filter="F150W")
    with pytest.raises(InvalidInputError, match="one filter; got F150W, F200W"):
        PhotometricRepeatability.from_exposures([star_field[0], other], **flats)
    with pytest.raises(InvalidInputError, match="0 < radius <= inner < outer"):
        PhotometricRepeatability.from_exposures(star_field, radius=12, **flats)


# --- figures


def test_plot(photometry):
    ax = Figure().subplots()
    artist = photometry.plot(ax, alpha=0.4)
    assert artist.axes is ax
    assert artist.get_alpha() == 0.4
    assert ax.get_xscale() == "log"
    assert ax.get_xlabel() == "scatter of a star between dithers [%]"
    numbers = photometry.summary
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert f"new flat: peak {numbers['peak_new']:.2%}" in labels
    assert artist.get_data().values.sum() == numbers["n_stars"]


def test_scatter_plot(photometry):
    ax = Figure().subplots()
    artist = plotting.draw_scatter(photometry, ax=ax)
    assert artist.axes is ax
    assert len(artist.get_offsets()) == photometry.summary["n_stars"]
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == [
        "old flat",
        "new flat",
        "noise by the errors",
        "outlier, explained by a flag",
        "outlier, unexplained",
    ]
    circled = [len(item.get_offsets()) for item in ax.collections[2:]]
    assert sum(circled) == photometry.summary["n_outliers"]


def test_the_answer_is_the_same_for_any_executor(star_field, old_flat, true_flat, photometry, run_elsewhere):
    for executor in run_elsewhere:
        found = PhotometricRepeatability.from_exposures(star_field, old=old_flat, new=true_flat, executor=executor)
        assert_same(found.measurements, photometry.measurements)
