import numpy as np
import pytest
from scipy import sparse

from nircam_flats.kernels import solve_moving_light
from nircam_flats.skyflat.meshes import laplacian

N, N_BOXES, SHAPES = 4, 30, ((4, 5), (6, 5))
N_CELLS = sum(ny * nx for ny, nx in SHAPES)
LENGTH = 1.5


@pytest.fixture
def problem():
    rng = np.random.default_rng(1)
    cells = np.array([rng.choice(N_CELLS, 4, replace=False) for _ in range(N_BOXES * N)])
    rows = np.repeat(np.arange(N_BOXES * N), 4)
    parts = rng.dirichlet(np.ones(4), N_BOXES * N)
    interpolation = sparse.csr_matrix((parts.ravel(), (rows, cells.ravel())), (N_BOXES * N, N_CELLS))
    weights = rng.uniform(0, 2, (N_BOXES, N))
    weights[3] = 0  # a box that no frame sees
    weights[5, 1] = 0
    return rng.normal(size=(N_BOXES, N)), weights, interpolation, SHAPES, rng.uniform(0.5, 2, N_CELLS)


def test_light_is_that_of_the_whole_least_squares(problem):
    """Light and constants of boxes solved for together, by dense algebra."""
    values, weights, interpolation, shapes, expected = problem
    design = np.hstack([interpolation.toarray(), np.repeat(np.eye(N_BOXES), N, axis=0)])
    normal = design.T @ (weights.ravel()[:, None] * design)
    rough = sparse.block_diag([laplacian(shape) for shape in shapes]).toarray() + np.eye(N_CELLS) / LENGTH**2
    rough *= LENGTH / np.sqrt(4 * np.pi) / expected
    normal[:N_CELLS, :N_CELLS] += rough.T @ rough
    wanted = np.linalg.lstsq(normal, design.T @ (weights * values).ravel(), rcond=None)[0][:N_CELLS]
    start = np.zeros(N_CELLS)
    found = solve_moving_light(*problem, start, length=LENGTH, most_steps=200, tolerance=1e-12)
    np.testing.assert_allclose(found, wanted, atol=1e-9)
    assert not start.any()


def test_steps_end_where_they_may(problem):
    start = np.full(N_CELLS, 0.1)
    settings = {"length": LENGTH, "most_steps": 200, "tolerance": 1e-12}
    good = solve_moving_light(*problem, start, **settings)
    again = solve_moving_light(*problem, good, length=LENGTH, most_steps=3, tolerance=1e-9)
    np.testing.assert_array_equal(again, good)
    rough = solve_moving_light(*problem, start, length=LENGTH, most_steps=8, tolerance=1e-12)
    assert 0.001 < np.abs(rough - good).max() < np.abs(start - good).max()
    values, *others = problem
    assert not solve_moving_light(0 * values, *others, 0 * start, **settings).any()
