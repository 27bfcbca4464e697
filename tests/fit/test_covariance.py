"""Errors of means over regions: predicted as they are seen, for what pixels share and for what they do not."""

import attrs
import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from photutils.aperture import CircularAperture
from regions import CirclePixelRegion, CircleSkyRegion, PixCoord, RectanglePixelRegion
from scipy.ndimage import gaussian_filter

from nircam_flats import FlatModelFit, InvalidInputError, Polynomial2D, SurfaceCovariance
from nircam_flats.fit.covariance import correlation_by_distance, weights_of
from nircam_flats.kernels import expand_mesh, project_mesh

SHAPE = (192, 160)


@pytest.fixture
def covariance():
    rng = np.random.default_rng(1)
    return SurfaceCovariance(
        modes=0.002 * rng.standard_normal((5, 6, 5)),
        misfit=0.003,
        misfit_correlation=[1, 0.5, 0.2],
        shape=SHAPE,
        box_size=32,
    )


def test_the_mean_of_one_pixel_is_the_pixel(covariance):
    """At the centre of a box, where nothing is interpolated between."""
    pixel = np.zeros(SHAPE)
    pixel[79:81, 79:81] = 1
    assert covariance.error_of_mean(pixel) == pytest.approx(covariance.err()[80, 80], rel=0.02)


def test_regions_apertures_and_masks_agree(covariance):
    y, x = np.indices(SHAPE)
    disk = np.hypot(x - 70, y - 90) < 25
    region = CirclePixelRegion(PixCoord(70, 90), 25)
    aperture = CircularAperture((70, 90), 25)
    expected = covariance.error_of_mean(disk)
    assert covariance.error_of_mean(region) == pytest.approx(expected, rel=0.01)
    assert covariance.error_of_mean(aperture) == pytest.approx(covariance.error_of_mean(region), rel=1e-6)
    assert covariance.error_of_mean(2.0 * disk) == pytest.approx(expected)


def test_noise_that_all_share_does_not_average_down():
    shared = SurfaceCovariance(
        modes=np.full((1, 6, 5), 0.01), misfit=0, misfit_correlation=[1], shape=SHAPE, box_size=32
    )
    everything = np.ones(SHAPE)
    assert shared.error_of_mean(everything) == pytest.approx(0.01, rel=1e-5)


def test_misfit_of_single_boxes_does():
    alone = SurfaceCovariance(modes=np.zeros((0, 6, 5)), misfit=0.01, misfit_correlation=[1], shape=SHAPE, box_size=32)
    assert alone.error_of_mean(np.ones(SHAPE)) == pytest.approx(0.01 / np.sqrt(30), rel=1e-6)


@pytest.mark.parametrize(
    "where",
    [
        np.zeros(SHAPE),
        CirclePixelRegion(PixCoord(900, 900), 3),
        CircularAperture([(70, 90), (20, 20)], 5),
        np.ones((3, 3)),
        "everywhere",
    ],
    ids=["nothing", "outside", "two apertures", "another shape", "no pixels"],
)
def test_nothing_to_average(covariance, where):
    with pytest.raises(InvalidInputError, match="error_of_mean"):
        covariance.error_of_mean(where)


def test_regions_on_the_sky_are_refused(covariance):
    region = CircleSkyRegion(SkyCoord(1 * u.deg, 2 * u.deg), 3 * u.arcsec)
    with pytest.raises(InvalidInputError, match=r"in pixels.*to_pixel\(wcs\)"):
        covariance.error_of_mean(region)


def test_projection_is_the_adjoint_of_expansion():
    rng = np.random.default_rng(2)
    for shape in ((192, 160), (100, 70), (20, 90)):
        mesh = rng.standard_normal([-(-n // 32) for n in shape])
        weights = rng.random(shape)
        expected = np.sum(weights * expand_mesh(mesh, 32, shape))
        assert np.sum(project_mesh(weights, 32) * mesh) == pytest.approx(expected, rel=1e-5)


PLACES = [
    CircularAperture((60, 60), 8),
    CirclePixelRegion(PixCoord(100, 60), 40),
    RectanglePixelRegion(PixCoord(64, 80), 120, 20),
    RectanglePixelRegion(PixCoord(30, 130), 50, 50),
]


@pytest.mark.parametrize("settings", [{"noise": 0.03, "tilt": 0.01, "stripes": 0.005}, {"noise": 0.05}], ids=repr)
def test_predicted_and_seen_scatter_agree(make_delta, flat_of, settings):
    """Injection: the scatter of means over many campaigns is what each of them predicts, within 10 per cent.

    The scatter of 250 values is itself known to 4.5 per cent, so it is the mean over four places that is judged.
    What pixels share (gradients, stripes) is small against their own noise, as in real exposures.
    """
    weights = [weights_of(where, SHAPE) for where in PLACES]
    truth = Polynomial2D(degree=3)(flat_of(SHAPE))
    truth = truth / np.median(truth)
    seen, predicted = [], []
    for seed in range(250):
        delta = make_delta(SHAPE, seed, n=16, masked=0.0, **settings)
        fit = FlatModelFit.from_delta(delta, strategy=Polynomial2D(degree=3))
        noise = attrs.evolve(fit.covariance, misfit=0)
        seen.append([np.sum(weight * (fit.surface / truth - 1)) for weight in weights])
        predicted.append([noise.error_of_mean(where) for where in PLACES])
    ratios = np.sqrt(np.mean(np.square(predicted), axis=0)) / np.std(seen, axis=0)
    assert np.mean(ratios) == pytest.approx(1, abs=0.1)
    np.testing.assert_allclose(ratios, 1, atol=0.15)


class TestCorrelation:
    def test_of_structure(self):
        """A random field with a correlation length of two boxes, seen through white noise."""
        rng = np.random.default_rng(3)
        results = []
        for _ in range(20):
            field = rng.standard_normal((44, 44))
            smooth = sum(field[dy : dy + 40, dx : dx + 40] for dy in range(3) for dx in range(3)) / 3
            noisy = 0.004 * smooth + 0.003 * rng.standard_normal((40, 40))
            noisy[rng.random(noisy.shape) < 0.1] = np.nan
            results.append(correlation_by_distance(noisy, np.zeros((0, 40, 40)), np.full((40, 40), 0.003**2)))
        assert np.mean([variance for variance, _ in results]) == pytest.approx(0.004**2, rel=0.1)
        profile = np.mean([correlation[:3] for _, correlation in results], axis=0)
        np.testing.assert_allclose(profile, [1, 0.58, 0.2], atol=0.08)  # 2/3 along the axes, 4/9 across corners

    def test_noise_alone_has_none(self):
        rng = np.random.default_rng(4)
        mesh = 0.001 * rng.standard_normal((30, 30))
        variance, correlation = correlation_by_distance(mesh, np.zeros((0, 30, 30)), np.full((30, 30), 0.0011**2))
        assert variance == 0
        np.testing.assert_array_equal(correlation, [1])

    def test_of_structure_of_two_boxes_below_the_noise(self):
        """Neighbours share two thirds of its variance: how it falls with distance tells the rest."""
        rng = np.random.default_rng(6)
        none, white, variances = np.zeros((0, 64, 64)), np.full((64, 64), 1.05 * 0.002**2), []
        for _ in range(20):
            field = gaussian_filter(rng.standard_normal((64, 64)), 1.0, mode="wrap")
            mesh = 0.001 * field / np.std(field) + 0.002 * rng.standard_normal((64, 64))
            variances.append(correlation_by_distance(mesh, none, white)[0])
        assert np.sqrt(np.mean(variances)) == pytest.approx(0.001, rel=0.1)

    @pytest.mark.parametrize("told", [1.0, 1.1])
    def test_of_wide_structure_below_the_noise(self, told):
        """Structure of some boxes at half the noise of a box; its variance is told right, and 10 per cent too large."""
        rng = np.random.default_rng(5)
        none, white = np.zeros((0, 64, 64)), np.full((64, 64), told * 0.002**2)
        variances, alone = [], []
        for _ in range(10):
            field = gaussian_filter(rng.standard_normal((64, 64)), 2.5, mode="wrap")
            noise = 0.002 * rng.standard_normal((64, 64))
            variances.append(correlation_by_distance(0.001 * field / np.std(field) + noise, none, white)[0])
            alone.append(correlation_by_distance(noise, none, white)[0])
        assert np.sqrt(np.mean(variances)) == pytest.approx(0.001, rel=0.1)
        assert np.sqrt(np.mean(alone)) < 0.0003


def test_no_pixel_has_less_error_than_the_best_box():
    deviation = np.full((6, 6), 1e-5)
    deviation[2, 2] = 0.01  # beside it splines go below 0
    facts = {"misfit": 0, "misfit_correlation": [1], "shape": (192, 192), "box_size": 32}
    err = SurfaceCovariance(modes=deviation[None], **facts).err()
    assert err.min() == pytest.approx(1e-5, rel=1e-5)
