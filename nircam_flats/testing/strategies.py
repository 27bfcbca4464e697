"""Conformance checks of strategies: what the library relies on and no base class can see in a single call."""

import copy
import pickle
import sys
import warnings
from typing import Any

import attrs
import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord

from nircam_flats.background import BackgroundModel
from nircam_flats.fit import FitStrategy, FlatModelFit, FlatPolicy, PerFilter
from nircam_flats.instrument import Filter
from nircam_flats.masks import MaskStrategy, SkyLevel
from nircam_flats.scattered import Gauge, Regression
from nircam_flats.skyflat import CombineStrategy, DeltaSkyflat, FrameStack, NormalizedFrame, NormalizedFrames
from nircam_flats.skyflat.stripes import StripeNoise
from nircam_flats.testing.comparison import LONGEST_REPR, assert_same

__all__ = [
    "check_background_model",
    "check_combine_strategy",
    "check_fit_strategy",
    "check_flat_policy",
    "check_gauge",
    "check_mask_strategy",
]

SHAPE = (96, 64)  # not square: a strategy that mixes up x and y is found out


def check_fit_strategy(strategy: FitStrategy) -> None:
    """Raise unless a fit strategy can take part in everything the library does with one.

    It must give the same answer each time and for a copy of itself, leave its input alone, work with and
    without errors, around a patch of bad pixels and within a border of them, leave a constant image as it is, and
    be less noisy than its data.

    Parameters
    ----------
    strategy
        A `~nircam_flats.FitStrategy`.

    Raises
    ------
    AssertionError
        Saying which of these fails. What the strategy itself raises is passed on.

    Examples
    --------
    >>> from nircam_flats import Polynomial2D, testing
    >>> testing.check_fit_strategy(Polynomial2D(degree=2))
    """
    name = _check_settings(strategy, FitStrategy)
    rng = np.random.default_rng(1)
    noise = 0.01
    data = rng.normal(1, noise, SHAPE).astype(np.float32)
    err = np.full(SHAPE, noise, np.float32)
    good = np.ones(SHAPE, bool)
    good[40:56, 10:30] = False

    surface = _check_calls(strategy, data, err, good)
    _check_calls(strategy, data, None, good)
    spread = np.std(surface[good] - 1)
    if not spread < noise:
        raise AssertionError(f"{name} must smooth: noise of {noise:.3g} became {spread:.3g} in the surface")
    good[:4], good[-4:], good[:, :4], good[:, -4:] = False, False, False, False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of medians of nothing, in rows without a good pixel
        departure = np.abs(strategy(np.ones(SHAPE, np.float32), err, good) - 1).max()
    if not departure < 1e-4:
        raise AssertionError(f"{name} must leave a constant image as it is; 1 became 1 +- {departure:.3g}")


def check_combine_strategy(strategy: CombineStrategy) -> None:
    """Raise unless a combine strategy can take part in everything the library does with one.

    It must give the same answer each time and for a copy of itself, leave its input alone, not depend on the
    order of the frames nor on how the rows are cut into bands, give the value that all frames agree on, skip
    what is masked, and report how many frames it used and a finite error wherever it has an answer.

    Parameters
    ----------
    strategy
        A `~nircam_flats.CombineStrategy`.

    Raises
    ------
    AssertionError
        Saying which of these fails. What the strategy itself raises is passed on.

    Examples
    --------
    >>> from nircam_flats import SigmaClippedMean, testing
    >>> testing.check_combine_strategy(SigmaClippedMean(n_sigma=2.5))
    """
    name = _check_settings(strategy, CombineStrategy)
    rng = np.random.default_rng(2)
    noise = rng.uniform(0.01, 0.02, 7)
    values = (1 + noise[:, None, None] * rng.standard_normal((7, *SHAPE))).astype(np.float32)
    values[rng.random(values.shape) < 0.2] = np.nan
    values[:, 50, 20] = np.nan
    n_unmasked = np.isfinite(values).sum(axis=0)
    stack = FrameStack(values=values, noise=noise)

    data, err, n_used = _check_calls(strategy, stack)
    answered = n_used > 0
    if answered[50, 20]:
        raise AssertionError(f"{name} must say n_used = 0 where all is masked; got {n_used[50, 20]}")
    if np.any(n_used > n_unmasked) or np.any(n_used < 0):
        raise AssertionError(f"{name} must not use more frames than are unmasked, nor fewer than none")
    unanswered = int(np.sum((n_unmasked > 1) & ~answered))
    if unanswered:
        raise AssertionError(f"{name} must skip masked values only; {unanswered} pixels with 2 or more others got none")
    if not np.all(np.isfinite(data[answered]) & np.isfinite(err[answered]) & (err[answered] >= 0)):
        raise AssertionError(f"{name} must give finite data and a finite err >= 0 wherever n_used > 0")

    order = rng.permutation(7)
    shuffled, _, _ = strategy(FrameStack(values=values[order], noise=noise[order]))
    if not np.allclose(shuffled, data, rtol=1e-5, equal_nan=True):
        raise AssertionError(f"{name} must not depend on the order of the frames")
    bands = [strategy(FrameStack(values=values[:, rows], noise=noise)) for rows in (slice(0, 30), slice(30, 96))]
    for whole, parts in zip((data, err, n_used), zip(*bands, strict=True), strict=True):
        if not np.allclose(np.concatenate(parts), whole, rtol=1e-5, equal_nan=True):
            raise AssertionError(f"{name} must treat each pixel by itself: bands of rows gave other values")
    agreed, _, _ = strategy(FrameStack(values=np.ones_like(values), noise=noise))
    if not np.allclose(agreed, 1, rtol=1e-6):
        raise AssertionError(f"{name} must give the value on which all frames agree; 1 became {agreed.flat[0]:.6g}")


def check_mask_strategy(strategy: MaskStrategy) -> None:
    """Raise unless a mask strategy can take part in everything the library does with one.

    It must give the same answer each time and for a copy of itself, leave its input alone, work around patches
    of bad pixels, find a source a hundred times as bright as the sky, and leave most of an empty sky alone.

    Parameters
    ----------
    strategy
        A `~nircam_flats.MaskStrategy`.

    Raises
    ------
    AssertionError
        Saying which of these fails. What the strategy itself raises is passed on.

    Examples
    --------
    >>> from nircam_flats import Segmentation, testing
    >>> testing.check_mask_strategy(Segmentation.of_report())
    """
    name = _check_settings(strategy, MaskStrategy)
    rng = np.random.default_rng(3)
    y, x = np.indices(SHAPE)
    sky = rng.normal(1, 0.03, SHAPE).astype(np.float32)
    source = 100 * np.exp(-0.5 * ((y - 30) ** 2 + (x - 20) ** 2) / 2**2)
    good = np.ones(SHAPE, bool)
    good[60:80, 30:50] = False

    masked = _check_calls(strategy, (sky + source).astype(np.float32), good)
    if not masked[29:32, 19:22].all():
        raise AssertionError(f"{name} must mask a source of 100 times the sky, at y=30, x=20; it did not")
    fraction = strategy(sky, good)[good].mean()
    if fraction > 0.5:
        raise AssertionError(f"{name} must leave most of an empty sky unmasked; {fraction:.0%} was masked")


def check_flat_policy(policy: FlatPolicy) -> None:
    """Raise unless a flat policy can take part in everything the library does with one.

    It must give the same answer each time and for a copy of itself, leave its input alone, make its fits with the
    function it is given, not depend on the order of the filters, tell of each fit which ground flat its filter was
    divided by, and bring no filter further from its flat than the grey surface is.

    Parameters
    ----------
    policy
        A `~nircam_flats.FlatPolicy`.

    Raises
    ------
    AssertionError
        Saying which of these fails. What the policy itself raises is passed on.

    Examples
    --------
    >>> from nircam_flats import Shrunk, testing
    >>> testing.check_flat_policy(Shrunk())
    """
    name = _check_settings(policy, FlatPolicy)
    grey, by_filter = _three_filters()
    n_calls = 0

    def fit(delta):
        nonlocal n_calls
        n_calls += 1
        return FlatModelFit.from_delta(delta)

    fits = _check_calls(policy, grey, by_filter, fit)
    if not n_calls:
        raise AssertionError(f"{name} must fit with `fit`, which knows the strategy that was asked for; it did not")
    turned = policy(grey, dict(reversed(by_filter.items())), fit)
    common, own = fit(grey).surface, PerFilter()(grey, by_filter, fit)
    for filter_name, delta in by_filter.items():
        found = fits[filter_name]
        if not np.allclose(turned[filter_name].surface, found.surface, rtol=1e-5):
            raise AssertionError(f"{name} must not depend on the order of the filters; {filter_name} changed")
        if found.detector != delta.detector or found.flat_names.get(filter_name) != delta.flat_names[filter_name]:
            raise AssertionError(
                f"{name} must give {filter_name} a fit of {delta.detector} that names the ground flat of its "
                f"exposures, {delta.flat_names[filter_name]}; got {found.detector} and {found.flat_names}"
            )
        departure, grey_departure = (np.std(surface / own[filter_name].surface) for surface in (found.surface, common))
        if departure > 1.1 * grey_departure:
            raise AssertionError(
                f"{name} must not bring {filter_name} further from its own flat than the grey surface is, "
                f"{grey_departure:.2g}; got {departure:.2g}"
            )


def _three_filters(shape=(192, 128), n_frames=4, noise=0.01):
    """Return the grey delta skyflat of three filters, whose flats differ by several times their errors, and theirs."""
    rng = np.random.default_rng(4)
    y, x = np.indices(shape) / np.array(shape)[:, None, None] - 0.5
    frames = []
    for filter_name, pattern in {"F115W": x, "F150W": y, "F200W": 4 * x * y}.items():
        for number in range(n_frames):
            values = (1 + 0.02 * x**2 + 0.02 * pattern) * rng.normal(1, noise, shape)
            frame = NormalizedFrame(
                name=f"{filter_name} {number}",
                detector="B4",
                filter=filter_name,
                flat_name=f"{filter_name}.fits",
                start=None,
                end=None,
                level=SkyLevel(value=0.3, err=1e-5, scatter=0.3 * noise, n_pixels=values.size, masked_fraction=0.0),
                values=values,
            )
            frames.append(frame)
    together = NormalizedFrames(detector="B4", frames=frames)
    by_filter = {item.name: DeltaSkyflat.from_frames(together.where(filter=item)) for item in together.filters}
    return DeltaSkyflat.from_frames(together), by_filter


def check_gauge(gauge: Gauge) -> None:
    """Raise unless a gauge can take part in everything the library does with one.

    It must say what it assumes, give the same answer each time and for a copy of itself, leave its input alone, and not
    depend on the order of the frames. Whether what it assumes is true, no check can tell.

    Parameters
    ----------
    gauge
        A `~nircam_flats.Gauge`.

    Raises
    ------
    AssertionError
        Saying which of these fails. What the gauge itself raises is passed on.

    Examples
    --------
    >>> from nircam_flats import CleanestExposures, testing
    >>> testing.check_gauge(CleanestExposures(n=2))
    """
    name = _check_settings(gauge, Gauge)
    if not isinstance(gauge.statement, str) or not gauge.statement.strip():
        raise AssertionError(f"{name}.statement must say in words what the gauge assumes; got {gauge.statement!r}")
    regression, light = _regression()
    misfit = 0.002
    found = _check_calls(gauge, regression, light, misfit)
    order = np.random.default_rng(6).permutation(len(regression.strengths))
    of_frames = ("strengths", "strength_err", "shown", "levels", "scatter", "values", "weights")
    shuffled = attrs.evolve(regression, **{item: getattr(regression, item)[order] for item in of_frames})
    again = gauge(shuffled, light, misfit)
    if not (np.isclose(again.constant, found.constant) and np.allclose(again.surface, found.surface)):
        raise AssertionError(f"{name} must not depend on the order of the frames")


def _regression(shape=(32, 24), noise=0.002):
    """Return frames with a ridge of light, as a `Regression` that is nearly right, and the light."""
    rng = np.random.default_rng(5)
    y, x = np.indices(shape) / np.array(shape)[:, None, None] - 0.5
    light = 0.1 * np.exp(-0.5 * ((x / 0.15) ** 2 + ((y - 0.1) / 0.08) ** 2))
    light[light < 0.005] = 0
    strengths = np.array([0.0, 0.4, 0.8, 1.2, 1.6, 2.0])
    err = np.full(shape, noise / np.sqrt(len(strengths)))
    values = 1 + 0.02 * x - 0.01 * y + strengths[:, None, None] * light + noise * rng.standard_normal((6, *shape))
    regression = Regression(
        mean=values.mean(axis=0),
        mean_err=err,
        slope=np.tensordot(strengths - 1, values, 1) / np.sum((strengths - 1) ** 2),
        slope_err=err / np.std(strengths),
        strengths=strengths,
        strength_err=np.full(6, 0.01),
        shown=np.ones(6, bool),
        levels=np.ones(6),
        scatter=np.full(6, noise),
        stripes=np.zeros(values.shape),
        stripe_noise=StripeNoise(everywhere=np.zeros((6, 1, 1)), within=np.zeros((6, 1, 1))),
        stripe_share=np.zeros(shape),
        values=values,
        weights=np.full(values.shape, 1 / noise**2),
    )
    return regression, light


def check_background_model(
    model: BackgroundModel, coordinate: SkyCoord, date: Any, filter: Filter | str = "F200W"
) -> None:
    """Raise unless a background model can take part in everything the library does with one.

    It must give the same answer each time and for a copy of itself, whatever other wavelengths are asked for at once,
    and say how large its error is, or NaN.

    Parameters
    ----------
    model
        A `~nircam_flats.BackgroundModel`.
    coordinate, date, filter
        A `~astropy.coordinates.SkyCoord`, a date and a filter for which it has an answer.

    Raises
    ------
    AssertionError
        Saying which of these fails. What the model itself raises is passed on.

    Examples
    --------
    >>> from astropy.coordinates import SkyCoord
    >>> from nircam_flats import ZodiacalBackground, testing
    >>> testing.check_background_model(ZodiacalBackground(), SkyCoord("10h00m +2d"), "2022-05-01")
    """
    name = _check_settings(model, BackgroundModel)
    wavelength = Filter.get(filter).pivot * np.array([0.99, 1.0, 1.01])
    spectra = _check_calls(model, coordinate, date, wavelength)
    alone = model(coordinate, date, wavelength[0])
    for component, values in spectra.items():
        if not u.isclose(values[0], alone.get(component, np.nan * values.unit), rtol=1e-6):
            raise AssertionError(f"{name}: {component} must not depend on which other wavelengths are asked for")
    if not (np.isnan(model.relative_err) or model.relative_err >= 0):
        raise AssertionError(f"{name}.relative_err must be NaN or not negative; got {model.relative_err}")


def _check_settings(strategy, base):
    """Check what holds for every strategy before any call; return its name."""
    if not isinstance(strategy, base):
        raise AssertionError(f"a {base.__name__} is needed; got {strategy!r}")
    if len(repr(strategy)) > LONGEST_REPR:
        raise AssertionError(f"{type(strategy).__name__} must have a repr of at most {LONGEST_REPR} characters")
    return type(strategy).__name__


def _check_calls(strategy, *arguments):
    """Check that calls repeat, also on copies, and change nothing that was given; return the result."""
    name = type(strategy).__name__
    given, settings = copy.deepcopy(arguments), repr(strategy)
    first = strategy(*arguments)
    assert_same(arguments, given, name=f"the input of {name}, which it must not change,")
    twins = {"called again": strategy, "copied": copy.deepcopy(strategy)}
    if getattr(sys.modules.get(type(strategy).__module__), name, None) is type(strategy):
        twins["pickled"] = pickle.loads(pickle.dumps(strategy))
    for when, twin in twins.items():
        assert_same(twin(*given), first, name=f"the answer of {name} when {when}")
        if repr(twin) != settings:
            raise AssertionError(f"{name} when {when} must keep its settings {settings}; got {twin!r}")
    return first
