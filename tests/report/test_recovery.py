"""Products beside the truth of a simulation."""

import attrs
import numpy as np
import pytest

from nircam_flats.report import peak_to_peak, recovery


@pytest.fixture(params=["NRCALONG", "NRCB1"])
def pair(request, made, program):
    products = next(item for item in made.products if item.detector.name == request.param)
    return products, program.truth(request.param)


def perfect(products, truth):
    """Return the products with the truth in their place."""
    grey = np.where(products.grey.good, truth.grey(), 1)
    flats = {
        name: attrs.evolve(flat, data=np.where(products.grey.good, truth.flight_flat(name), 1))
        for name, flat in products.flats.items()
    }
    return attrs.evolve(products, fit=attrs.evolve(products.fit, surface=grey), flats=flats)


def test_the_truth_leaves_nothing(pair):
    products, truth = pair
    for row in recovery(perfect(products, truth), truth):
        assert row["left"] == pytest.approx(0, abs=1e-6)
        assert row["change"] > 0.015


def test_no_correction_leaves_the_change(pair, program):
    products, truth = pair
    flat = attrs.evolve(products.fit, surface=np.ones(program.shape))
    flats = {name: program.ground_flat(products.detector, name) for name in products.flats}
    for row in recovery(attrs.evolve(products, fit=flat, flats=flats), truth):
        assert row["left"] == pytest.approx(row["change"], rel=0.1)


def test_rows_say_what_they_are_of(pair):
    products, truth = pair
    grey, *filters = recovery(products, truth)
    assert grey["what"] == "grey"
    assert grey["change"] == peak_to_peak(truth.grey(), products.grey.good)
    assert grey["err"] == np.median(products.fit.covariance.err())
    assert [row["what"] for row in filters] == list(products.flats)


def test_sky_levels_are_beside_the_injected_ones(pair, program):
    products, truth = pair
    for row in recovery(products, truth)[1:]:
        assert row["sky"] == pytest.approx(1, abs=0.03)
    table = products.grey.exposures.copy()
    for name in products.flats:
        shown = np.median(truth.delta(name)[products.grey.good])  # where the sky is 1
        for index in range(program.n_exposures):
            row = list(table["name"]).index(program.exposure_name(products.detector, name, index))
            table["level"][row] = 1.25 * shown * truth.sky(name, index)
    brighter = attrs.evolve(products, grey=attrs.evolve(products.grey, exposures=table))
    assert [row["sky"] for row in recovery(brighter, truth)[1:]] == pytest.approx([1.25, 1.25])


def test_exposures_left_out_do_not_count_for_the_sky(pair):
    products, truth = pair
    table = products.grey.exposures.copy()
    table["used"][0], table["level"][0] = False, np.nan
    fewer = attrs.evolve(products, grey=attrs.evolve(products.grey, exposures=table))
    assert all(np.isfinite(row["sky"]) for row in recovery(fewer, truth)[1:])
