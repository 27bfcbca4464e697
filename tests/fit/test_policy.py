"""One surface for all filters, one for each, or in between: what each policy is right about."""

from functools import partial

import attrs
import numpy as np
import pytest

from nircam_flats import (
    DeltaSkyflat,
    FlatModelFit,
    FlatPolicy,
    Grey,
    InvalidInputError,
    MedianFilter,
    NormalizedFrame,
    NormalizedFrames,
    PerFilter,
    Polynomial2D,
    Shrunk,
    SkyLevel,
)

SHAPE = (192, 192)
FILTERS = ("F115W", "F150W", "F200W")


@pytest.fixture
def campaign_of(pointing_at):
    """Delta skyflats, grey and by filter, of ``n`` frames each with tilts, and the true flat of each filter.

    Of the tilts, ``shared`` is that of the field, which all filters see; without it each frame has a field of its own.
    """

    def make(seed, n, difference, shared=0.0, filters=FILTERS):
        rng = np.random.default_rng(seed)
        y, x = np.indices(SHAPE) / SHAPE[0] - 0.5
        patterns = [x * y * 4, x**2 * 4 - 1 / 3, y - x]
        truth, frames = {}, []
        fields = shared * rng.standard_normal((n, 2))
        for name, pattern in zip(filters, patterns[: len(filters)], strict=True):
            truth[name] = (1 + 0.04 * x - 0.03 * y**2) * (1 + difference * pattern / 2)
            for number in range(n):
                tilt = 0.004 * rng.standard_normal(2) + fields[number]
                values = truth[name] * (1 + tilt[0] * x + tilt[1] * y) * rng.normal(1, 0.03, SHAPE)
                level = SkyLevel(value=0.3, err=1e-5, scatter=0.009, n_pixels=values.size, masked_fraction=0.0)
                facts = {"detector": "B4", "filter": name, "flat_name": f"{name}.fits", "start": None, "end": None}
                facts["pointing"] = pointing_at(150 + number / 60) if shared else None
                frames.append(NormalizedFrame(name=f"{name} {number}", level=level, values=values, **facts))
        frames = NormalizedFrames(detector="B4", frames=frames)
        by_filter = {name: DeltaSkyflat.from_frames(frames.where(filter=name)) for name in filters}
        return DeltaSkyflat.from_frames(frames), by_filter, truth

    return make


def error(fits, truth):
    """Root mean square departure of the surfaces from the cubics through the true flats."""
    departures = []
    for name, fit in fits.items():
        ratio = fit.surface / Polynomial2D()(truth[name].astype(np.float32))
        departures.append(np.mean((ratio / np.median(ratio) - 1) ** 2))
    return np.sqrt(np.mean(departures))


@pytest.fixture
def errors(campaign_of):
    """Root mean square errors of each policy, over some seeds."""

    def make(n, difference, seeds=range(4), fit=FlatModelFit.from_delta, **settings):
        squares = {}
        for seed in seeds:
            grey, by_filter, truth = campaign_of(seed, n, difference, **settings)
            for policy in (Grey(), PerFilter(), Shrunk()):
                squares.setdefault(type(policy), []).append(error(policy(grey, by_filter, fit), truth) ** 2)
        return {policy: np.sqrt(np.mean(values)) for policy, values in squares.items()}

    return make


@pytest.mark.parametrize("n", [4, 16])
def test_where_filters_differ_each_has_its_own(errors, n):
    found = errors(n, 0.02)
    assert found[PerFilter] < 0.5 * found[Grey]
    assert found[Shrunk] < 1.1 * found[PerFilter]


def test_where_filters_agree_shrinking_comes_near_grey(errors):
    found = errors(6, 0.0)
    assert found[Grey] < 0.75 * found[PerFilter]
    assert found[Shrunk] < 0.5 * (found[Grey] + found[PerFilter])


@pytest.mark.parametrize("n", [2, 4])
@pytest.mark.parametrize(("difference", "most"), [(0.0, 1.05), (0.003, 1.1), (0.006, 1.1), (0.012, 1.1), (0.1, 1.03)])
def test_shrinking_loses_little_against_the_better_of_the_two(errors, n, difference, most):
    found = errors(n, difference, range(20, 32), shared=0.01)
    assert found[Shrunk] < most * min(found[Grey], found[PerFilter])


def test_medians_of_ratios_do_not_draw_it_to_grey(campaign_of):
    """Where grey is the filter's own value the ratio is 1, whatever filters differ by: its medians fall short."""
    fit = partial(FlatModelFit.from_delta, strategy=MedianFilter(box_size=32, filter_size=3))
    grey, by_filter, _ = campaign_of(1, 3, 0.1)
    common = fit(grey).surface
    for name, found in Shrunk()(grey, by_filter, fit).items():
        own = fit(by_filter[name]).surface / common - 1
        of_ratio = fit(by_filter[name].relative_to(grey)).surface - 1
        own -= own.mean()
        assert np.sum(own * of_ratio) < 0.95 * np.sum(own**2)
        assert np.sum(own * (found.surface / common - 1)) > 0.97 * np.sum(own**2)


def test_what_a_shrunk_fit_says_of_itself(campaign_of):
    grey, by_filter, _ = campaign_of(1, 6, 0.01)
    fits = Shrunk()(grey, by_filter)
    assert list(fits) == list(FILTERS)
    for name, fit in fits.items():
        assert [item.name for item in fit.filters] == [name]
        assert fit.flat_names == {name: f"{name}.fits"}
        assert fit.strategy.startswith("Shrunk(MedianFilter(")
        assert np.median(fit.surface) == pytest.approx(1, abs=1e-6)
        assert (fit.err > 0).all()
        assert fit.history.steps[-1].name == "shrink toward grey"
        ratio = by_filter[name].data / fit.surface / (1 + fit.residual)
        assert np.ptp(ratio[by_filter[name].good]) < 0.002  # the residual belongs to the surface, but for a constant


def test_grey_is_one_fit_for_all(campaign_of):
    grey, by_filter, _ = campaign_of(2, 3, 0.01)
    fits = Grey()(grey, by_filter)
    assert len({id(fit) for fit in fits.values()}) == 1


def test_a_single_filter_is_grey(campaign_of):
    _, by_filter, _ = campaign_of(2, 3, 0.01)
    (name, delta), *_ = by_filter.items()
    found = Shrunk()(delta, {name: delta})
    np.testing.assert_array_equal(found[name].surface, FlatModelFit.from_delta(delta).surface)


def test_a_filter_that_grey_does_not_know(campaign_of):
    grey, by_filter, _ = campaign_of(3, 2, 0.0)
    with pytest.raises(InvalidInputError, match=r"needs a grey delta skyflat of NRCB4 that F090W is part of"):
        Shrunk()(grey, {"F090W": by_filter["F115W"]})


@pytest.mark.parametrize("wrong", [[], {}, "F115W"])
def test_delta_skyflats_by_filter_are_a_dict(campaign_of, wrong):
    grey, _, _ = campaign_of(3, 2, 0.0)
    with pytest.raises(InvalidInputError, match=r"needs the delta skyflats .* as a dict {filter name: DeltaSkyflat}"):
        Shrunk()(grey, wrong)


def test_a_filter_under_the_name_of_another(campaign_of):
    grey, by_filter, _ = campaign_of(3, 2, 0.0)
    with pytest.raises(InvalidInputError, match=r"needs the delta skyflat of F200W under that name; got F115W"):
        PerFilter()(grey, {"F200W": by_filter["F115W"]})


def test_a_policy_of_the_user_must_answer_for_each_filter(campaign_of):
    class First(FlatPolicy):
        def decide(self, grey, by_filter, fit):
            name = next(iter(by_filter))
            return {name: fit(by_filter[name])}

    grey, by_filter, _ = campaign_of(4, 2, 0.0)
    with pytest.raises(InvalidInputError, match="must return a FlatModelFit for each filter; F150W has none"):
        First()(grey, by_filter, partial(FlatModelFit.from_delta, n_replicates=0))


def test_medians_that_are_often_the_same_are_no_texture(campaign_of):
    # Where the medians of a filter and of all agree, their ratio is 1: half of the pixels have no noise, others more.
    grey, by_filter, _ = campaign_of(1, 2, 0.01, filters=FILTERS[:2])
    assert all(fit.pixel_err is None for fit in Shrunk()(grey, by_filter, FlatModelFit.from_delta).values())


@pytest.mark.parametrize("difference", [0.0, 0.006, 0.1])
def test_shrunk_fits_claim_the_errors_that_they_have(campaign_of, difference):
    found, claimed = [], []
    for seed in range(40, 48):
        grey, by_filter, truth = campaign_of(seed, 6, difference)
        fits = Shrunk()(grey, by_filter, partial(FlatModelFit.from_delta, strategy=Polynomial2D()))
        found.append(error(fits, truth) ** 2)
        claimed.append(np.mean([fit.err**2 for fit in fits.values()]))
    assert 0.65 < np.sqrt(np.mean(claimed) / np.mean(found)) < 1.3


def test_a_shrunk_fit_is_1_where_something_was_measured(campaign_of):
    grey, by_filter, _ = campaign_of(1, 4, 0.01)

    def cut(delta):
        seen = np.arange(SHAPE[1]) < SHAPE[1] // 3
        return attrs.evolve(delta, data=np.where(seen, delta.data, np.float32(np.nan)), n_used=delta.n_used * seen)

    deltas = {name: cut(delta) for name, delta in by_filter.items()}
    for name, fit in Shrunk()(cut(grey), deltas, partial(FlatModelFit.from_delta, strategy=Polynomial2D())).items():
        good = deltas[name].good
        assert np.median(fit.surface[good]) == pytest.approx(1, abs=1e-5)
        left = deltas[name].data[good] / fit.surface[good] - 1 - fit.residual[good]
        assert np.ptp(left) < 1e-5


def test_what_shrinking_leaves_out_counts_as_misfit(campaign_of):
    fit, squares = partial(FlatModelFit.from_delta, strategy=Polynomial2D()), []
    for seed in range(40, 46):
        grey, by_filter, _ = campaign_of(seed, 4, 0.003)
        of_grey = fit(grey).misfit
        squares += [[found.misfit**2, of_grey**2] for found in Shrunk()(grey, by_filter, fit).values()]
    of_shrunk, of_grey = np.sqrt(np.mean(squares, axis=0))
    assert of_shrunk > 1.5 * of_grey
