"""One surface for all filters, one for each, or in between: what each policy is right about."""

from functools import partial

import numpy as np
import pytest

from nircam_flats import (
    DeltaSkyflat,
    FlatModelFit,
    FlatPolicy,
    Grey,
    InvalidInputError,
    NormalizedFrame,
    NormalizedFrames,
    PerFilter,
    Polynomial2D,
    Shrunk,
    SkyLevel,
)

SHAPE = (192, 192)
FILTERS = ("F115W", "F150W", "F200W")


def campaign(seed, n, difference):
    """Delta skyflats, grey and by filter, of ``n`` frames each with tilts, and the true flat of each filter."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(SHAPE) / SHAPE[0] - 0.5
    patterns = [x * y * 4, x**2 * 4 - 1 / 3, y - x]
    truth, frames = {}, []
    for name, pattern in zip(FILTERS, patterns, strict=True):
        truth[name] = (1 + 0.04 * x - 0.03 * y**2) * (1 + difference * pattern / 2)
        for number in range(n):
            tilt = 0.004 * rng.standard_normal(2)
            values = truth[name] * (1 + tilt[0] * x + tilt[1] * y) * rng.normal(1, 0.03, SHAPE)
            level = SkyLevel(value=0.3, err=1e-5, scatter=0.009, n_pixels=values.size, masked_fraction=0.0)
            facts = {"detector": "B4", "filter": name, "flat_name": f"{name}.fits", "start": None, "end": None}
            frames.append(NormalizedFrame(name=f"{name} {number}", level=level, values=values, **facts))
    frames = NormalizedFrames(detector="B4", frames=frames)
    by_filter = {name: DeltaSkyflat.from_frames(frames.where(filter=name)) for name in FILTERS}
    return DeltaSkyflat.from_frames(frames), by_filter, truth


def error(fits, truth):
    """Root mean square departure of the surfaces from the cubics through the true flats."""
    departures = []
    for name, fit in fits.items():
        ratio = fit.surface / Polynomial2D()(truth[name].astype(np.float32))
        departures.append(np.mean((ratio / np.median(ratio) - 1) ** 2))
    return np.sqrt(np.mean(departures))


def errors(n, difference, seeds=range(4)):
    squares = {}
    for seed in seeds:
        grey, by_filter, truth = campaign(seed, n, difference)
        for policy in (Grey(), PerFilter(), Shrunk()):
            squares.setdefault(type(policy), []).append(error(policy(grey, by_filter), truth) ** 2)
    return {policy: np.sqrt(np.mean(values)) for policy, values in squares.items()}


@pytest.mark.parametrize("n", [4, 16])
def test_where_filters_differ_each_has_its_own(n):
    found = errors(n, 0.02)
    assert found[PerFilter] < 0.5 * found[Grey]
    assert found[Shrunk] < 1.1 * found[PerFilter]


def test_where_filters_agree_shrinking_comes_near_grey():
    found = errors(6, 0.0)
    assert found[Grey] < 0.75 * found[PerFilter]
    assert found[Shrunk] < 0.5 * (found[Grey] + found[PerFilter])


def test_what_a_shrunk_fit_says_of_itself():
    grey, by_filter, _ = campaign(1, 6, 0.01)
    fits = Shrunk()(grey, by_filter)
    assert list(fits) == list(FILTERS)
    for name, fit in fits.items():
        assert [item.name for item in fit.filters] == [name]
        assert fit.flat_names == {name: f"{name}.fits"}
        assert fit.strategy.startswith("Shrunk(Polynomial2D(")
        assert np.median(fit.surface) == pytest.approx(1, abs=1e-6)
        assert (fit.err > 0).all()
        assert fit.history.steps[-1].name == "shrink toward grey"
        ratio = by_filter[name].data / fit.surface / (1 + fit.residual)
        assert np.ptp(ratio[by_filter[name].good]) < 0.002  # the residual belongs to the surface, but for a constant


def test_grey_is_one_fit_for_all():
    grey, by_filter, _ = campaign(2, 3, 0.01)
    fits = Grey()(grey, by_filter)
    assert len({id(fit) for fit in fits.values()}) == 1


def test_a_filter_that_grey_does_not_know():
    grey, by_filter, _ = campaign(3, 2, 0.0)
    with pytest.raises(InvalidInputError, match=r"needs a grey delta skyflat of NRCB4 that F090W is part of"):
        Shrunk()(grey, {"F090W": by_filter["F115W"]})


def test_a_policy_of_the_user_must_answer_for_each_filter():
    class First(FlatPolicy):
        def decide(self, grey, by_filter, fit):
            name = next(iter(by_filter))
            return {name: fit(by_filter[name])}

    grey, by_filter, _ = campaign(4, 2, 0.0)
    with pytest.raises(InvalidInputError, match="must return a FlatModelFit for each filter; F150W has none"):
        First()(grey, by_filter, partial(FlatModelFit.from_delta, n_replicates=0))
