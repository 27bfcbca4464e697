"""Fits of delta skyflats: the surface is the flat, and its error what it differs by."""

import attrs
import numpy as np
import pytest
from astropy.time import Time

from nircam_flats import (
    DeltaSkyflat,
    FitError,
    FitStrategy,
    FlatModelFit,
    InvalidInputError,
    MedianFilter,
    Polynomial2D,
    testing,
)
from nircam_flats.kernels import box_medians


class RowMedian(FitStrategy):
    """Median of each detector row."""

    def smooth(self, data, err, good):
        rows = np.nanmedian(data, axis=1, keepdims=True)
        return np.broadcast_to(rows, data.shape)


class Scaled(FitStrategy):
    """A constant."""

    def __init__(self, value):
        self.value = value

    def smooth(self, data, err, good):
        return np.full(data.shape, self.value)


@pytest.fixture
def delta(make_delta):
    return make_delta()


class TestSurface:
    @pytest.mark.parametrize("tilt", [0.002, 0.01])
    def test_the_flat_comes_back_within_its_error(self, make_delta, flat_of, tilt):
        pulls = []
        for seed in range(6):
            delta = make_delta((128, 160), seed, tilt=tilt)
            fit = FlatModelFit.from_delta(delta)
            truth = flat_of(delta.data.shape)
            pulls.append((fit.surface / truth * np.median(truth[delta.good]) - 1) / fit.err)
            assert np.median(fit.err) < 5e-4 + tilt / 8
        assert 0.5 < np.sqrt(np.mean(np.square(pulls))) < 1.6  # six campaigns, each with few degrees of freedom

    @pytest.mark.parametrize(
        "strategy", [Polynomial2D(), MedianFilter(box_size=16, filter_size=4), RowMedian()], ids=repr
    )
    def test_median_is_one_over_good_pixels(self, delta, strategy):
        data = np.where(np.arange(128) < 80, 1.3 * delta.data, np.nan)
        delta = attrs.evolve(delta, data=data)
        fit = FlatModelFit.from_delta(delta, strategy=strategy)
        assert np.median(fit.surface[delta.good]) == pytest.approx(1, abs=1e-6)
        assert np.isfinite(fit.surface).all()
        scaled_by = dict(fit.history.steps[-1].settings)["scaled_by"]
        assert float(scaled_by) == pytest.approx(1 / 1.3, rel=0.02)

    def test_residual(self, delta):
        data = delta.data.copy()
        data[10:20, 10:30] = np.nan
        delta = attrs.evolve(delta, data=data)
        fit = FlatModelFit.from_delta(delta)
        np.testing.assert_array_equal(np.isnan(fit.residual), ~delta.good)
        np.testing.assert_allclose(
            fit.residual[delta.good], (delta.data / fit.surface)[delta.good] - 1, rtol=1e-5, atol=1e-7
        )

    def test_the_strategy_of_the_channel(self, make_delta):
        assert FlatModelFit.from_delta(make_delta()).strategy == repr(MedianFilter(filter_size=12))
        long = make_delta(detector="ALONG", filters=("F356W",))
        assert FlatModelFit.from_delta(long).strategy == repr(MedianFilter(filter_size=8))

    def test_a_strategy_of_the_user(self, delta):
        fit = FlatModelFit.from_delta(delta, strategy=RowMedian())
        assert fit.strategy == "RowMedian()"
        assert np.all(fit.surface == fit.surface[:, :1])
        expected = np.nanmedian(delta.data, axis=1)
        np.testing.assert_allclose(fit.surface[:, 0], expected / np.median(expected), rtol=1e-3)
        assert np.isfinite(fit.err).all()
        assert fit.misfit > 0.005  # what goes along the rows is left in the residual
        testing.check_fit_strategy(RowMedian())

    @pytest.mark.parametrize(
        "strategy", [Scaled(-1), Scaled(0), Polynomial2D(degree=1, tolerance=100)], ids=["negative", "zero", "plane"]
    )
    def test_a_surface_must_be_positive(self, delta, strategy):
        ramp = np.where(delta.good, np.linspace(-0.5, 2, 128, dtype=np.float32), np.nan)
        text = "gives a surface for NRCB4 F200W that is not positive everywhere .*; it cannot be a flat"
        with pytest.raises(FitError, match=text):
            FlatModelFit.from_delta(attrs.evolve(delta, data=ramp), strategy=strategy)

    def test_facts_are_those_of_the_delta_skyflat(self, make_delta):
        delta = make_delta(filters=("F200W", "F150W"))
        delta = attrs.evolve(delta, first_date=Time("2022-05-01"), last_date=Time("2022-05-02"))
        fit = FlatModelFit.from_delta(delta)
        for fact in ("detector", "filters", "flat_names", "first_date", "last_date", "label"):
            assert getattr(fit, fact) == getattr(delta, fact)
        assert fit.label == "grey"
        assert [step.name for step in fit.history.steps] == [*(step.name for step in delta.history.steps), "fit"]

    def test_nothing_to_fit(self, delta):
        nothing = attrs.evolve(delta, data=np.full(delta.data.shape, np.nan))
        with pytest.raises(InvalidInputError, match="at least one good pixel"):
            FlatModelFit.from_delta(nothing)

    def test_contract(self, delta):
        testing.check_value(FlatModelFit.from_delta(delta))


class TestError:
    @pytest.mark.parametrize(
        "strategy", [Polynomial2D(), MedianFilter(box_size=16, filter_size=4)], ids=["cubic", "median filter"]
    )
    def test_predicted_scatter_is_the_scatter_seen(self, make_delta, strategy):
        """Campaigns of five exposures tilted by chance: their surfaces scatter by what each says of itself."""
        fits = [
            FlatModelFit.from_delta(make_delta((128, 128), seed, n=5, tilt=0.01, masked=0), strategy=strategy)
            for seed in range(64)
        ]
        surfaces = np.stack([fit.surface for fit in fits])
        seen = np.sqrt(np.mean(np.var(surfaces, axis=0, ddof=1)))
        predicted = np.sqrt(np.mean([fit.err**2 - fit.misfit**2 for fit in fits]))
        assert seen > 1e-3
        assert predicted == pytest.approx(seen, rel=0.2)
        boxes = np.stack([box_medians(surface, 32, max_iterations=0)[0] for surface in surfaces])
        modes = np.stack([np.sum(fit.covariance.modes.astype(float) ** 2, axis=0) for fit in fits])
        middle = np.sqrt(np.mean(np.var(boxes, axis=0, ddof=1)[1:3, 1:3]))
        assert np.sqrt(np.mean(modes[:, 1:3, 1:3])) == pytest.approx(middle, rel=0.2)
        assert middle < 0.7 * seen  # tilts move the corners most, and the modes know where

    @pytest.mark.parametrize("n", [6, 16, 24, 40])
    def test_tilts_have_the_scatter_that_theory_says(self, make_delta, n):
        """Up to 16 replicates, each exposure or groups of two and three: always tilt / sqrt(n)."""
        tilt, n_boxes = 0.01, 4
        fits = [FlatModelFit.from_delta(make_delta((128, 128), seed, n=n, tilt=tilt, masked=0)) for seed in range(8)]
        assert {len(fit.covariance.modes) for fit in fits} == {min(n, 16)}
        predicted = np.mean([np.sum(fit.covariance.modes.astype(float) ** 2, axis=0) for fit in fits])
        theory = tilt**2 / n * 2 * (1 - 1 / n_boxes**2) / 12  # of box means, along x and y, each from -1/2 to 1/2
        assert np.sqrt(predicted) == pytest.approx(np.sqrt(theory), rel=0.15)

    @pytest.mark.parametrize("n", [12, 16])
    def test_white_noise_that_a_median_filter_passes_on(self, make_delta, n):
        """Medians of boxes have a quarter more of it than means, and answer to small changes by chance."""
        facts = {"strategy": MedianFilter(filter_size=8)}
        deltas = [make_delta((512, 512), seed, noise=0.1, masked=0, n=n) for seed in range(8)]
        fits = [FlatModelFit.from_delta(delta, **facts) for delta in deltas]
        seen = np.sqrt(np.mean(np.var([fit.surface[::16, ::16] for fit in fits], axis=0, ddof=1)))
        predicted = np.sqrt(np.mean([np.sum(fit.covariance.modes.astype(float) ** 2, axis=0) for fit in fits]))
        assert predicted == pytest.approx(seen, rel=0.12)

    def test_covariance_between_places(self, make_delta):
        """Where a tilt lifts one edge, it lowers the other: the modes know it."""
        tilt, n = 0.01, 8
        fits = [FlatModelFit.from_delta(make_delta((128, 128), seed, n=n, tilt=tilt, masked=0)) for seed in range(16)]
        modes = np.concatenate([fit.covariance.modes.mean(axis=1) for fit in fits]).astype(float)
        predicted = np.sum(modes[:, 0] * modes[:, 3]) / len(fits)
        assert predicted == pytest.approx(-((3 / 8 * tilt) ** 2) / n, rel=0.3)

    def test_a_deep_feature_is_an_outlier_and_not_the_error_of_all(self, make_delta):
        y, x = np.indices((512, 512))
        patch = 1 - 0.06 * np.exp(-((x - 48) ** 2 + (y - 80) ** 2) / 30**2)
        without, fit = (
            FlatModelFit.from_delta(make_delta((512, 512), 1, structure=structure, noise=0.01))
            for structure in (1, patch)
        )
        assert without.covariance.outliers is None
        assert fit.misfit < 0.35 * np.std(box_medians(fit.residual, 32)[0])
        at = (slice(64, 96), slice(32, 64))
        seen = np.mean((fit.surface / patch / without.surface - 1)[at])
        assert np.mean(fit.err[at]) == pytest.approx(seen, rel=0.2)
        assert fit.error_of_mean(np.where((y // 32 == 2) & (x // 32 == 1), 1.0, 0.0)) == pytest.approx(seen, rel=0.2)
        testing.check_value(fit)

    @pytest.mark.parametrize("settings", [{}, {"tilt": 0.02}, {"n": 4}, {"noise": 0.05, "masked": 0.4}], ids=repr)
    def test_a_perfect_model_has_no_misfit(self, make_delta, settings):
        """White noise and tilts are no misfit."""
        settings = {"noise": 0.02, "masked": 0.1, "n": 12} | settings
        fits = [FlatModelFit.from_delta(make_delta((192, 160), seed, **settings)) for seed in range(6)]
        n_seen = settings["n"] * (1 - settings["masked"])
        white = settings["noise"] / np.sqrt(n_seen) / 32 * np.pi / 2  # of the median over a box of medians over frames
        assert np.mean([fit.misfit**2 for fit in fits]) < 0.35 * white**2

    @pytest.mark.parametrize("balance", [True, False])
    def test_noise_that_pixels_share_is_no_misfit(self, make_delta, balance):
        """Stripes of each exposure, which no plane follows: what is left of them in the stack is noise."""
        stripes = 0.01
        deltas = [make_delta((512, 128), seed, stripes=stripes, balance=balance) for seed in range(8)]
        fits = [FlatModelFit.from_delta(delta, strategy=Polynomial2D(degree=3)) for delta in deltas]
        residuals = [np.nanmedian(fit.residual.reshape(16, -1), axis=1) for fit in fits]
        left = stripes / np.sqrt(12)
        assert np.std(residuals) > 0.7 * left
        assert np.mean([fit.misfit**2 for fit in fits]) < 0.4 * left**2

    @pytest.mark.parametrize("tilt", [0.0, 0.01])
    def test_what_the_model_cannot_follow_is_its_misfit(self, make_delta, tilt):
        """A chequerboard of boxes, 0.4 % up and down, which no cubic sees."""
        y, x = np.indices((192, 256)) // 32
        structure = np.where((x + y) % 2, 1.004, 0.996)
        fit = FlatModelFit.from_delta(make_delta((192, 256), structure=structure, tilt=tilt))
        assert fit.misfit == pytest.approx(0.004, rel=0.1)
        assert np.all(fit.err >= np.float32(fit.misfit))
        scatter = np.sqrt(np.mean(fit.err**2 - fit.misfit**2))
        assert scatter == pytest.approx(tilt / np.sqrt(12) / np.sqrt(6), rel=0.35, abs=2e-4)

    def test_what_a_median_filter_cannot_follow_is_its_misfit(self, make_delta, flat_of):
        """Waves of 500 px, of which a window of 256 px leaves most, less than the noise of a box."""
        y, x = np.indices((768, 768))
        structure = 1 + 0.004 * np.cos(2 * np.pi * x / 500) * np.cos(2 * np.pi * y / 500)
        truth = flat_of(x.shape) * structure
        seen, claimed = [], []
        for seed in range(3):
            fit = FlatModelFit.from_delta(
                make_delta(x.shape, seed, n=5, noise=0.1, structure=structure), strategy=MedianFilter()
            )
            off, err = (box_medians(np.float32(image), 32)[0] for image in (fit.surface / truth, fit.covariance.err()))
            seen.append(np.std(off / np.median(off)))
            claimed.append(np.sqrt(np.mean(err**2)))
        assert np.linalg.norm(claimed) == pytest.approx(np.linalg.norm(seen), rel=0.2)

    def test_structure_of_pixels_is_an_error_of_pixels(self, make_delta):
        """A crosshatch that no smooth surface follows: pixels are off by it, means over boxes are not."""
        y, x = np.indices((96, 128))
        hatch = 1 + 0.02 * np.cos(2 * np.pi * (x + y) / 5)
        rough, smooth = make_delta(structure=hatch, noise=0.01), make_delta(noise=0.01)
        fit = FlatModelFit.from_delta(rough, strategy=Polynomial2D())
        assert np.median(fit.pixel_err) == pytest.approx(0.02 / np.sqrt(2), rel=0.1)
        pull = (rough.data / fit.surface - 1) / np.hypot(fit.err, rough.err)
        assert np.nanstd(pull) == pytest.approx(1, abs=0.1)
        plain = FlatModelFit.from_delta(smooth, strategy=Polynomial2D())
        assert plain.pixel_err is None
        whole = np.ones(fit.surface.shape)
        assert fit.error_of_mean(whole) < plain.error_of_mean(whole) + 0.02 / np.sqrt(whole.size)

    def test_the_scale_of_the_data_is_no_misfit(self, delta):
        scaled = attrs.evolve(delta, data=1.05 * delta.data, influences=1.05 * delta.influences)
        assert FlatModelFit.from_delta(scaled).misfit == pytest.approx(FlatModelFit.from_delta(delta).misfit, abs=1e-4)

    def test_no_jackknife(self, delta):
        with_modes, without = (FlatModelFit.from_delta(delta, strategy=Polynomial2D(), n_replicates=n) for n in (16, 0))
        assert with_modes.covariance.modes.shape == (12, 3, 4)
        assert without.covariance.modes.shape == (10, 3, 4)  # the ten terms: what the strategy knows itself
        np.testing.assert_array_equal(without.surface, with_modes.surface)
        assert np.all(without.err > without.misfit)

    def test_a_strategy_that_knows_no_errors(self, delta):
        fit = FlatModelFit.from_delta(delta, strategy=MedianFilter(box_size=16, filter_size=4), n_replicates=0)
        assert fit.covariance.modes.shape == (0, 3, 4)
        np.testing.assert_allclose(fit.err, fit.misfit, rtol=1e-6)

    @pytest.mark.parametrize("n_replicates", [2, 5, 12])
    def test_replicates_are_groups(self, delta, n_replicates):
        fit = FlatModelFit.from_delta(delta, n_replicates=n_replicates)
        assert len(fit.covariance.modes) == n_replicates
        np.testing.assert_allclose(fit.covariance.modes.sum(axis=0), 0, atol=1e-6)

    @pytest.mark.parametrize("n_replicates", [1, -3])
    def test_one_replicate_is_none(self, delta, n_replicates):
        with pytest.raises(InvalidInputError, match=f"needs n_replicates of 2 or more, or 0 .*; got {n_replicates}"):
            FlatModelFit.from_delta(delta, n_replicates=n_replicates)

    @pytest.mark.parametrize("shape", [(80, 96), (96, 80), (131, 140), (33, 64), (31, 20)])
    def test_shapes_of_no_multiple_of_the_box(self, make_delta, shape):
        fit = FlatModelFit.from_delta(make_delta(shape))
        assert fit.err.shape == fit.surface.shape == shape
        assert np.isfinite(fit.err).all()
        assert fit.covariance.modes.shape == (12, -(-shape[0] // 32), -(-shape[1] // 32))
        assert fit.err.max() < 0.01

    def test_the_same_for_any_executor(self, delta, run_elsewhere):
        expected = FlatModelFit.from_delta(delta)
        for executor in run_elsewhere:
            testing.assert_same(FlatModelFit.from_delta(delta, executor=executor), expected)


class TestFiles:
    @pytest.mark.parametrize("settings", [{}, {"n_replicates": 0}, {"strategy": MedianFilter(box_size=8)}], ids=repr)
    def test_reads_back_what_it_wrote(self, make_delta, settings, tmp_path):
        delta = make_delta((70, 90), filters=("F200W", "F150W"))
        delta = attrs.evolve(delta, first_date=Time("2022-05-01T00:00:00.123456"), last_date=None)
        fit = FlatModelFit.from_delta(delta, **settings)
        fit.write(tmp_path / "fit.fits")
        back = FlatModelFit.read(tmp_path / "fit.fits")
        testing.assert_same(back, fit)
        testing.assert_same(back.exposures, delta.exposures)
        np.testing.assert_array_equal(back.err, fit.err)

    def test_strategies_of_users_with_long_settings(self, delta, tmp_path):
        class Weighted(RowMedian):
            def __init__(self):
                self.kernel = np.arange(12.0).reshape(3, 4)
                self.name = "x" * 200

        fit = FlatModelFit.from_delta(delta, strategy=Weighted())
        fit.write(tmp_path / "fit.fits")
        testing.assert_same(FlatModelFit.read(tmp_path / "fit.fits"), fit)

    def test_never_over_a_file_unless_asked(self, delta, tmp_path):
        fit = FlatModelFit.from_delta(delta)
        fit.write(tmp_path / "fit.fits")
        with pytest.raises(InvalidInputError, match="exists already"):
            fit.write(tmp_path / "fit.fits")
        fit.write(tmp_path / "fit.fits", overwrite=True)

    def test_other_products_are_refused(self, delta, tmp_path):
        delta.write(tmp_path / "delta.fits")
        with pytest.raises(InvalidInputError, match=r"delta.fits: needed a FlatModelFit .*; got DeltaSkyflat"):
            FlatModelFit.read(tmp_path / "delta.fits")
        assert DeltaSkyflat.read(tmp_path / "delta.fits").label == "F200W"
