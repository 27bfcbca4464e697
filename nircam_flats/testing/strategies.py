"""Conformance checks of strategies: what the library relies on and no base class can see in a single call."""

import copy
import pickle
import sys
import warnings
from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord

from nircam_flats.background import BackgroundModel
from nircam_flats.fit import FitStrategy
from nircam_flats.instrument import Filter
from nircam_flats.masks import MaskStrategy
from nircam_flats.skyflat import CombineStrategy, FrameStack
from nircam_flats.testing.comparison import LONGEST_REPR, assert_same

__all__ = ["check_background_model", "check_combine_strategy", "check_fit_strategy", "check_mask_strategy"]

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
