"""Flats of stars against responses that are known, and against flats of the sky."""

import attrs
import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable
from matplotlib.figure import Figure
from scipy.stats import kstest

from nircam_flats import (
    DeltaSkyflat,
    Exposure,
    ExposureSet,
    FitError,
    FlatModelFit,
    InvalidInputError,
    NormalizedFrames,
    PhotometricRepeatability,
    Polynomial2D,
    StarFlat,
)
from nircam_flats.testing import assert_same
from nircam_flats.validation._star_fit import LegendreTerms, fit_stars

SHAPE = (384, 320)
TRUTH = np.array([0.01, -0.02, 0.006, 0.0, -0.008, 0.002, 0.001, -0.003, 0.0])


def measurements(rng, *, n_stars=200, n_dithers=6, noise=0.004, jitter=0.0, truth=TRUTH, reach=100, shape=SHAPE):
    """Table of stars whose flux follows the polynomial ``truth`` of degree 3."""
    star = np.repeat(np.arange(n_stars), n_dithers)
    centre = rng.uniform(0, 1, (2, n_stars)) * (np.array(shape)[:, None] - 1)
    y, x = (centre[axis][star] + rng.uniform(-reach, reach, star.size) for axis in (0, 1))
    inside = (x > 0) & (y > 0) & (x < shape[1] - 1) & (y < shape[0] - 1)
    star, x, y = star[inside], x[inside], y[inside]
    values = LegendreTerms(degree=3, shape=shape).at(x, y) @ truth
    brightness = rng.uniform(1, 20, n_stars)[star]
    err = noise * rng.uniform(0.5, 2, star.size)
    flux = (
        brightness
        * np.exp(values + jitter * rng.standard_normal(star.size))
        * (1 + err * rng.standard_normal(star.size))
    )
    table = QTable({"star": star, "x": x, "y": y, "flux": flux * u.uJy})
    table["err"] = err * brightness * u.uJy
    return table


@pytest.fixture
def photometry(rng):
    """A `PhotometricRepeatability` made of such a table."""
    table = measurements(rng)
    full = QTable({name: table[name] for name in ("star", "x", "y")})
    for name in ("old", "new"):
        full[f"flux_{name}"], full[f"err_{name}"] = table["flux"], table["err"]
    full["flags"] = np.zeros(len(full), int)
    n_stars = int(full["star"].max()) + 1
    return PhotometricRepeatability(
        detector="B1",
        shape=SHAPE,
        measurements=full,
        positions=QTable({"ra": np.zeros(n_stars) * u.deg, "dec": np.zeros(n_stars) * u.deg}),
        exposures=QTable({"name": ["a"], "used": [True]}),
    )


# --- the fit


def test_response_is_found_within_its_errors(rng):
    terms, pulls = LegendreTerms(degree=3, shape=SHAPE), []
    for _ in range(60):
        found = fit_stars(measurements(rng, n_stars=60), terms)
        pulls.append((found.coefficients - TRUTH) / np.sqrt(np.diag(found.covariance)))
    assert np.std(pulls) == pytest.approx(1, abs=0.1)
    assert np.abs(np.mean(pulls, axis=0)).max() < 4 / np.sqrt(60)


def test_eliminating_the_stars_is_the_same_as_solving_for_all(rng):
    table, terms = measurements(rng, n_stars=40), LegendreTerms(degree=2, shape=SHAPE)
    found = fit_stars(table, terms)
    used = found.used
    flux, err = (np.asarray(table[name])[used] for name in ("flux", "err"))
    stars = (np.asarray(table["star"])[used][:, None] == np.unique(table["star"][used])).astype(float)
    weight = 1 / ((err / flux) ** 2 + found.jitter**2)
    design = np.hstack([terms.at(table["x"][used], table["y"][used]), stars])
    normal = design.T @ (weight[:, None] * design)
    solution = np.linalg.solve(normal, design.T @ (weight * np.log(flux)))
    np.testing.assert_allclose(found.coefficients, solution[:5], atol=1e-6)
    np.testing.assert_allclose(found.covariance, np.linalg.inv(normal)[:5, :5], rtol=1e-3, atol=1e-10)


def test_outliers_do_not_pull(rng):
    table, terms = measurements(rng), LegendreTerms(degree=3, shape=SHAPE)
    bad = rng.random(len(table)) < 0.05
    table["flux"][bad] *= rng.uniform(0.5, 0.9, bad.sum())
    found = fit_stars(table, terms)
    assert found.used[bad].mean() < 0.1
    assert found.used[~bad].mean() > 0.97
    pull = (found.coefficients - TRUTH) / np.sqrt(np.diag(found.covariance))
    assert np.sqrt(np.mean(pull**2)) < 2


def test_scatter_beyond_the_noise_is_found_and_counted(rng):
    terms = LegendreTerms(degree=3, shape=SHAPE)
    quiet = fit_stars(measurements(rng), terms)
    found = fit_stars(measurements(rng, jitter=0.01), terms)
    assert quiet.jitter < 0.002
    assert found.jitter == pytest.approx(0.01, rel=0.1)
    assert np.diag(found.covariance).mean() > 3 * np.diag(quiet.covariance).mean()


def test_bad_measurements_are_not_used(rng):
    table, terms = measurements(rng), LegendreTerms(degree=3, shape=SHAPE)
    table["flux"][0], table["err"][1] = np.nan * u.uJy, 0 * u.uJy
    found = fit_stars(table, terms)
    assert not found.used[:2].any()
    assert np.isfinite(found.coefficients).all()


def test_what_the_stars_cannot_tell_is_refused(rng):
    table = measurements(rng, n_stars=5, n_dithers=3)
    with pytest.raises(
        FitError, match=r"needs more measurements than terms and stars; .* of . stars; use a lower degree"
    ):
        fit_stars(table, LegendreTerms(degree=4, shape=SHAPE))
    table = measurements(rng, reach=0.0)
    with pytest.raises(FitError, match="larger dithers"):
        fit_stars(table, LegendreTerms(degree=3, shape=SHAPE))


# --- the flat


def test_surface_has_mean_logarithm_zero_and_honest_errors(photometry):
    flat = StarFlat.from_photometry(photometry)
    assert np.log(flat.surface).mean() == pytest.approx(0, abs=1e-4)
    truth = np.exp(LegendreTerms(degree=3, shape=SHAPE).image(TRUTH))
    pull = (flat.surface - truth) / flat.err
    assert np.sqrt(np.mean(pull**2)) < 2
    assert flat.surface.shape == flat.err.shape == SHAPE


def test_files(photometry, tmp_path):
    flat = StarFlat.from_photometry(photometry, degree=2)
    flat.write(tmp_path / "star_flat.fits")
    assert_same(StarFlat.read(tmp_path / "star_flat.fits"), flat)


def test_settings_are_checked(photometry):
    with pytest.raises(InvalidInputError, match="'old' or 'new'; got 'both'"):
        StarFlat.from_photometry(photometry, flat="both")
    with pytest.raises(InvalidInputError, match="whole degree from 1 on; got 0"):
        StarFlat.from_photometry(photometry, degree=0)


# --- starlight and skylight


@pytest.fixture(scope="module")
def sky_frames():
    """Frames of a sky with the response of TRUTH, and the noise that makes a flat as uncertain as that of stars."""
    rng = np.random.default_rng(2)
    response = np.exp(LegendreTerms(degree=3, shape=SHAPE).image(TRUTH))
    from_data = []
    for number in range(8):
        tilt = LegendreTerms(degree=3, shape=SHAPE).image(0.001 * rng.standard_normal(9))
        from_data.append((number, response * np.exp(tilt) * (1 + 0.05 * rng.standard_normal(SHAPE))))
    return from_data


def sky_fit(frames, extra=0.0):
    """A `FlatModelFit` of these frames, with light added to the sky."""
    from_frames = [_exposure(number, values + extra) for number, values in frames]
    delta = DeltaSkyflat.from_frames(
        NormalizedFrames.from_exposures(ExposureSet.from_exposures(from_frames)), balance=False
    )
    return FlatModelFit.from_delta(delta, strategy=Polynomial2D(degree=3))


def _exposure(number, data):
    return Exposure(name=f"sky{number}", data=data, detector="B1", filter="F200W", flat_name="ground.fits")


def test_they_agree_within_their_errors(sky_frames, rng):
    fit = sky_fit(sky_frames)
    p_values = []
    for _ in range(20):
        flat = _flat_of(measurements(rng))
        comparison = flat.compare(fit)
        p_values.append(comparison.p_value)
        assert comparison.degrees_of_freedom == 9
    assert min(p_values) > 1e-4
    assert np.median(p_values) > 0.02


def test_light_that_is_added_to_the_sky_is_noticed(sky_frames, rng):
    y, x = (np.arange(n) / n for n in SHAPE)
    glow = 0.02 * np.exp(-(np.add.outer((y - 0.3) ** 2, (x - 0.7) ** 2)) / 0.08)
    comparison = _flat_of(measurements(rng)).compare(sky_fit(sky_frames, extra=glow))
    assert comparison.p_value < 1e-6
    assert comparison.ratio[115, 224] < 1 - 0.005  # the sky is too bright there
    assert comparison.significance[115, 224] < -3
    assert "chance" in str(comparison)


def test_without_errors_of_the_sky_chance_is_uniform(rng, sky_frames):
    fit = sky_fit(sky_frames)
    perfect = attrs.evolve(
        fit,
        surface=np.exp(LegendreTerms(degree=3, shape=SHAPE).image(TRUTH)),
        covariance=attrs.evolve(fit.covariance, modes=0 * fit.covariance.modes, misfit=0.0, outliers=None),
    )
    chances = [_flat_of(measurements(rng, n_stars=60)).compare(perfect).p_value for _ in range(60)]
    assert kstest(chances, "uniform").pvalue > 0.001


def test_other_detectors_are_refused(photometry, sky_frames):
    fit = attrs.evolve(sky_fit(sky_frames), detector="B2")
    with pytest.raises(InvalidInputError, match=r"a fit of NRCB1 .*; got one of NRCB2"):
        StarFlat.from_photometry(photometry).compare(fit)


def _flat_of(table):
    found = fit_stars(table, LegendreTerms(degree=3, shape=SHAPE))
    table["used"] = found.used
    return StarFlat(
        detector="B1",
        shape=SHAPE,
        degree=3,
        coefficients=found.coefficients,
        covariance=found.covariance,
        jitter=found.jitter,
        measurements=table,
    )


# --- figures


def test_plots(photometry, sky_frames):
    flat = StarFlat.from_photometry(photometry)
    ax = Figure().subplots()
    artist = flat.plot(ax, half_range=0.05)
    assert artist.axes is ax
    assert artist.get_clim() == pytest.approx((0.95, 1.05))
    assert ax.get_title() == "NRCB1: star flat of degree 3"
    assert len(ax.lines[0].get_xdata()) == flat.measurements["used"].sum()
    ax = Figure().subplots()
    flat.compare(sky_fit(sky_frames)).plot(ax)
    assert ax.get_title().startswith("NRCB1: star flat / sky flat (chance ")


@pytest.mark.parametrize("shape", [(64, 64), (384, 320), (640, 200)])
def test_the_error_of_a_pixel_is_that_of_the_terms_there(rng, shape):
    terms = LegendreTerms(degree=3, shape=shape)
    root = rng.standard_normal((9, 9))
    places = np.array([[0, 0], [shape[1] - 1, 0], [shape[1] - 1, shape[0] - 1], [shape[1] // 3, shape[0] // 2]])
    at = terms.at(*places.T)
    expected = np.sqrt(np.einsum("pi,ij,pj->p", at, root @ root.T, at))
    np.testing.assert_allclose(terms.errors(root @ root.T)[places[:, 1], places[:, 0]], expected, rtol=1e-4)
