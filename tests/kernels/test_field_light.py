import numpy as np
import pytest
from scipy import sparse

from nircam_flats.kernels import solve_moving_light

N, N_BOXES, N_CELLS = 4, 30, 50


@pytest.fixture
def problem():
    rng = np.random.default_rng(1)
    cells = np.array([rng.choice(N_CELLS, 4, replace=False) for _ in range(N * N_BOXES)])
    rows = np.repeat(np.arange(N * N_BOXES), 4)
    parts = rng.dirichlet(np.ones(4), N * N_BOXES)
    interpolation = sparse.csr_matrix((parts.ravel(), (rows, cells.ravel())), (N * N_BOXES, N_CELLS))
    rough = sparse.eye(N_CELLS) + 0.5 * sparse.diags([np.ones(N_CELLS - 1)], [1])
    weights = rng.uniform(0, 2, (N, N_BOXES))
    weights[:, 3] = 0  # a box that no frame sees
    weights[1, 5] = 0
    return rng.normal(size=(N, N_BOXES)), weights, interpolation, (rough.T @ rough).tocsr()


def test_light_is_that_of_the_whole_least_squares(problem):
    """Light and constants of boxes solved for together, by dense algebra."""
    values, weights, interpolation, prior = problem
    design = np.hstack([interpolation.toarray(), np.tile(np.eye(N_BOXES), (N, 1))])
    normal = design.T @ (weights.ravel()[:, None] * design)
    normal[:N_CELLS, :N_CELLS] += prior.toarray()
    expected = np.linalg.lstsq(normal, design.T @ (weights * values).ravel(), rcond=None)[0][:N_CELLS]
    start = np.zeros(N_CELLS)
    found = solve_moving_light(values, weights, interpolation, prior, start, most_steps=200, tolerance=1e-12)
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert not start.any()


def test_steps_end_where_they_may(problem):
    values, weights, interpolation, prior = problem
    start = np.full(N_CELLS, 0.1)
    settings = {"most_steps": 200, "tolerance": 1e-12}
    good = solve_moving_light(values, weights, interpolation, prior, start, **settings)
    again = solve_moving_light(values, weights, interpolation, prior, good, most_steps=3, tolerance=1e-9)
    np.testing.assert_array_equal(again, good)
    rough = solve_moving_light(values, weights, interpolation, prior, start, most_steps=2, tolerance=1e-12)
    assert 0.001 < np.abs(rough - good).max() < 1
    nothing = solve_moving_light(0 * values, weights, interpolation, prior, 0 * start, **settings)
    assert not nothing.any()
