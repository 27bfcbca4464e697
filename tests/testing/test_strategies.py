"""The conformance checks pass what works and find each way in which a strategy can be broken."""

import itertools

import attrs
import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord

import nircam_flats as nf
from nircam_flats import testing


def name_of(item):
    return getattr(item, "__name__", "")


class RowMedian(nf.FitStrategy):
    """Median of each detector row."""

    def smooth(self, data, err, good):
        rows = np.nanmedian(data, axis=1, keepdims=True)
        return np.broadcast_to(rows, data.shape)


class Mean(nf.CombineStrategy):
    """Plain mean of the values."""

    def combine(self, stack):
        n_used = np.isfinite(stack.values).sum(axis=0)
        total = np.nansum(stack.values, axis=0)
        n = np.maximum(n_used, 1)
        return total / n, stack.noise.max() / np.sqrt(n), n_used


class Bright(nf.MaskStrategy):
    """Every pixel above a fixed value."""

    def __init__(self, limit=2.0):
        self.limit = limit

    def find(self, data, good):
        return data > self.limit


@pytest.mark.parametrize(
    "strategy",
    [
        RowMedian(),
        nf.Polynomial2D(),
        nf.Polynomial2D(degree=0),
        nf.MedianFilter(),
        nf.MedianFilter(filter_size=3),
    ],
    ids=repr,
)
def test_fit_strategies_conform(strategy):
    testing.check_fit_strategy(strategy)


class Sky(nf.BackgroundModel):
    """The same sky everywhere, unless told to be wrong."""

    def __init__(self, wrong=""):
        self.wrong = wrong
        self.relative_err = -1.0 if wrong == "error" else np.nan

    def spectrum(self, coordinate, date, wavelength):
        level = np.random.default_rng().random() if self.wrong == "random" else 0.2
        slope = wavelength - wavelength.mean() if self.wrong == "mean" else 0 * wavelength
        return {"zodiacal": level + slope + 0.01 * wavelength}


def test_background_models_conform():
    testing.check_background_model(Sky(), SkyCoord(10 * u.deg, -5 * u.deg), "2022-06-21")


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ("random", "the answer of Sky when called again"),
        ("mean", "zodiacal must not depend on which other wavelengths"),
        ("error", "relative_err must be NaN or not negative; got -1.0"),
    ],
)
def test_broken_background_models_are_found(wrong, text):
    with pytest.raises(AssertionError, match=text):
        testing.check_background_model(Sky(wrong), SkyCoord(10 * u.deg, -5 * u.deg), "2022-06-21", filter="F444W")


@pytest.mark.parametrize("strategy", [Mean(), nf.SigmaClippedMedian(), nf.SigmaClippedMean()], ids=repr)
def test_combine_strategies_conform(strategy):
    testing.check_combine_strategy(strategy)


@pytest.mark.parametrize(
    "strategy",
    [Bright(), nf.Segmentation(), nf.Segmentation.of_report(), nf.Segmentation.for_first_pass()],
    ids=repr,
)
def test_mask_strategies_conform(strategy):
    testing.check_mask_strategy(strategy)


def test_a_class_defined_on_the_spot_conforms_too():
    class Median(nf.FitStrategy):
        def smooth(self, data, err, good):
            return np.full(data.shape, np.nanmedian(data))

    testing.check_fit_strategy(Median())


class SmoothsNothing(nf.FitStrategy):
    def smooth(self, data, err, good):
        return np.where(good, data, 1)


class ShiftsTheLevel(nf.FitStrategy):
    def smooth(self, data, err, good):
        return np.full(data.shape, 1.01 * np.nanmedian(data))


class NeedsErrors(nf.FitStrategy):
    def smooth(self, data, err, good):
        return np.full(data.shape, np.nansum(data / err) / np.nansum(good / err))


class GivesUpNearBadPixels(nf.FitStrategy):
    def smooth(self, data, err, good):
        return np.where(np.roll(good, 1, axis=0), np.nanmedian(data), np.nan)


class MixesUpTheAxes(nf.FitStrategy):
    def smooth(self, data, err, good):
        return np.ones(data.shape[::-1])


class Remembers(nf.FitStrategy):
    def __init__(self):
        self.calls = 0

    def smooth(self, data, err, good):
        self.calls += 1
        return np.full(data.shape, np.nanmedian(data))


class AnswersAtRandom(nf.FitStrategy):
    rng = np.random.default_rng(1)

    def smooth(self, data, err, good):
        return self.rng.normal(1, 1e-5, data.shape)


class ChangesItsInput(nf.FitStrategy):
    def smooth(self, data, err, good):
        if err is not None:
            err *= 2
        return np.full(data.shape, np.nanmedian(data))


class LongRepr(RowMedian):
    def __init__(self):
        self.table = tuple(range(2000))


class LosesItsSettingInPickles(RowMedian):
    def __init__(self, scale=1.0):
        self.scale = scale

    def __reduce__(self):
        return LosesItsSettingInPickles, ()


BROKEN_FITS = {
    SmoothsNothing: (AssertionError, "must smooth"),
    ShiftsTheLevel: (AssertionError, "must leave a constant image"),
    NeedsErrors: (TypeError, "NoneType"),
    GivesUpNearBadPixels: (nf.FitError, "must be finite at all good pixels"),
    MixesUpTheAxes: (nf.InvalidInputError, r"shape \(96, 64\)"),
    Remembers: (AssertionError, "must keep its settings"),
    AnswersAtRandom: (AssertionError, "when called again"),
    ChangesItsInput: (ValueError, "read-only"),
    LongRepr: (AssertionError, "repr of at most"),
}


def test_lost_settings_are_found():
    with pytest.raises(AssertionError, match=r"when copied must keep its settings .*scale=2.0"):
        testing.check_fit_strategy(LosesItsSettingInPickles(2.0))


class FirstFrame(nf.CombineStrategy):
    def combine(self, stack):
        return stack.values[0], np.ones(stack.values.shape[1:]), np.isfinite(stack.values[0]).astype(int)


class CountsAllFrames(Mean):
    def combine(self, stack):
        data, err, n_used = super().combine(stack)
        return data, err, np.where(n_used > 0, len(stack.values), 0)


class StopsAtMasked(Mean):
    def combine(self, stack):
        data, err, n_used = super().combine(stack)
        whole = n_used == len(stack.values)
        return np.where(whole, data, np.nan), err, np.where(whole, n_used, 0)


class AnswersFromNothing(Mean):
    def combine(self, stack):
        data, err, n_used = super().combine(stack)
        return data, err, np.maximum(n_used, 1)


class WeighsTheFirstMost(nf.CombineStrategy):
    def combine(self, stack):
        weights = 0.5 ** np.arange(len(stack.values))[:, None, None] * np.isfinite(stack.values)
        n_used = np.isfinite(stack.values).sum(axis=0)
        total = np.nansum(weights * stack.values, axis=0)
        return total / np.maximum(weights.sum(axis=0), 1e-9), np.ones_like(total), n_used


class NormalisesItsBand(Mean):
    def combine(self, stack):
        data, err, n_used = super().combine(stack)
        return data / data[n_used > 0].mean(), err, n_used


class ErrorNotFinite(Mean):
    def combine(self, stack):
        data, err, n_used = super().combine(stack)
        return data, np.where(n_used > 3, err, np.nan), n_used


class Sums(Mean):
    def combine(self, stack):
        data, err, n_used = super().combine(stack)
        return data * n_used, err * n_used, n_used


class TwoImages(nf.CombineStrategy):
    def combine(self, stack):
        return stack.values[0], stack.values[0]


BROKEN_COMBINES = {
    FirstFrame: (AssertionError, "must skip masked values only"),
    CountsAllFrames: (AssertionError, "more frames than are unmasked"),
    StopsAtMasked: (AssertionError, "must skip masked values only"),
    AnswersFromNothing: (AssertionError, "n_used = 0 where all is masked"),
    WeighsTheFirstMost: (AssertionError, "order of the frames"),
    NormalisesItsBand: (AssertionError, "each pixel by itself"),
    ErrorNotFinite: (AssertionError, "finite err"),
    Sums: (AssertionError, "on which all frames agree"),
    TwoImages: (nf.InvalidInputError, "must return the three images"),
}


class MasksNothing(nf.MaskStrategy):
    def find(self, data, good):
        return np.zeros(data.shape, bool)


class MasksEverything(nf.MaskStrategy):
    def find(self, data, good):
        return good


class NotBoolean(nf.MaskStrategy):
    def find(self, data, good):
        return (data > 2).astype(int)


class TakesTurns(nf.MaskStrategy):
    turns = itertools.cycle([2.0, 1.0])

    def find(self, data, good):
        return data > next(self.turns)


BROKEN_MASKS = {
    MasksNothing: (AssertionError, "must mask a source"),
    MasksEverything: (AssertionError, "most of an empty sky"),
    NotBoolean: (nf.InvalidInputError, "must be a boolean array"),
    TakesTurns: (AssertionError, "when called again"),
}


class FirstForAll(nf.FlatPolicy):
    """The flat of the first filter."""

    def decide(self, grey, by_filter, fit):
        found = fit(next(iter(by_filter.values())))
        return dict.fromkeys(by_filter, found)


class Neighbours(nf.FlatPolicy):
    """Each filter gets the flat of the next one."""

    def decide(self, grey, by_filter, fit):
        names = sorted(by_filter)
        found = {name: fit(by_filter[name]) for name in names}
        turned = dict(zip(names, [*names[1:], names[0]], strict=True))
        facts = {name: attrs.evolve(found[other], flat_names=found[name].flat_names) for name, other in turned.items()}
        return {name: facts[name] for name in by_filter}


class OwnFit(nf.FlatPolicy):
    """A fit of its own, whatever was asked for."""

    def decide(self, grey, by_filter, fit):
        return {name: nf.FlatModelFit.from_delta(delta) for name, delta in by_filter.items()}


class NoFit(nf.FlatPolicy):
    """An image in the place of a fit."""

    def decide(self, grey, by_filter, fit):
        return {name: fit(delta).surface for name, delta in by_filter.items()}


BROKEN_POLICIES = {
    FirstForAll: (AssertionError, "must not depend on the order of the filters"),
    Neighbours: (AssertionError, "must not bring F115W further from its own flat"),
    OwnFit: (AssertionError, "must fit with `fit`"),
    NoFit: (nf.InvalidInputError, "must return a FlatModelFit for each filter"),
}


class NamesNoFlat(nf.Grey):
    """Fits that do not say which ground flats they are for."""

    def decide(self, grey, by_filter, fit):
        found = super().decide(grey, by_filter, fit)
        return {name: attrs.evolve(item, flat_names={}) for name, item in found.items()}


def test_a_policy_whose_fits_name_no_ground_flat_is_found():
    with pytest.raises(AssertionError, match=r"names the ground flat of its exposures, F115W\.fits; got NRCB4 and {}"):
        testing.check_flat_policy(NamesNoFlat())


class SaysNothing(nf.CleanestExposures):
    statement = " "


class TakesTheFirst(nf.CleanestExposures):
    def fit(self, regression, light, misfit):
        found = super().fit(regression, light, misfit)
        return attrs.evolve(found, constant=found.constant + regression.strengths[0])


class NoAnswer(nf.CleanestExposures):
    def fit(self, regression, light, misfit):
        return attrs.evolve(super().fit(regression, light, misfit), constant=np.nan)


class NegativeError(nf.CleanestExposures):
    def fit(self, regression, light, misfit):
        return attrs.evolve(super().fit(regression, light, misfit), constant_err=-1.0)


class OtherMesh(nf.CleanestExposures):
    def fit(self, regression, light, misfit):
        found = super().fit(regression, light, misfit)
        return attrs.evolve(found, surface=found.surface[:4], surface_err=found.surface_err[:4])


class PlainNumber(nf.CleanestExposures):
    def fit(self, regression, light, misfit):
        return 1.0


BROKEN_GAUGES = {
    SaysNothing: (AssertionError, "statement must say in words what the gauge assumes"),
    TakesTheFirst: (AssertionError, "order of the frames"),
    NoAnswer: (nf.InvalidInputError, "finite constant and surface; got constant=nan"),
    NegativeError: (nf.InvalidInputError, "errors that are not negative; got constant_err=-1.0"),
    OtherMesh: (nf.InvalidInputError, r"surface of OtherMesh.* must be an array of shape \(32, 24\)"),
    PlainNumber: (nf.InvalidInputError, "must be a GaugeFit; got 1.0"),
}


BROKEN = {
    testing.check_fit_strategy: BROKEN_FITS,
    testing.check_combine_strategy: BROKEN_COMBINES,
    testing.check_mask_strategy: BROKEN_MASKS,
    testing.check_flat_policy: BROKEN_POLICIES,
    testing.check_gauge: BROKEN_GAUGES,
}


@pytest.mark.parametrize(
    ("check", "broken", "fault"),
    [(check, *item) for check, broken in BROKEN.items() for item in broken.items()],
    ids=name_of,
)
def test_what_is_broken_is_found(check, broken, fault):
    error, text = fault
    with pytest.raises(error, match=text):
        check(broken())


@pytest.mark.parametrize(
    ("check", "strategy"),
    [
        (testing.check_fit_strategy, nf.SigmaClippedMedian()),
        (testing.check_combine_strategy, nf.Segmentation()),
        (testing.check_mask_strategy, nf.Polynomial2D()),
        (testing.check_flat_policy, nf.SmoothResponse()),
        (testing.check_gauge, nf.Shrunk()),
    ],
)
def test_each_check_wants_its_own_kind(check, strategy):
    with pytest.raises(AssertionError, match=r"a (\w+Strategy|FlatPolicy|Gauge) is needed; got"):
        check(strategy)
