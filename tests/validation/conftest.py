"""A small dithered star field, with the ground flat that divided it and the true response in flight."""

import attrs
import numpy as np
import pytest

from nircam_flats import ExposureSet
from nircam_flats.simulation import Effects, SimulatedProgram

SHAPE = (384, 320)


@pytest.fixture(scope="session")
def star_program():
    """Six large dithers of one field of B1 with many stars."""
    effects = attrs.evolve(Effects.none(), sources=True, noise=True, area=True, bad_pixels=True)
    return SimulatedProgram(
        detectors="B1",
        filters="F200W",
        shape=SHAPE,
        n_pointings=1,
        n_dithers=6,
        seed=11,
        effects=effects,
        star_density=4000.0,
        dither_range=(0.2, 0.4),
    )


@pytest.fixture(scope="session")
def star_field(star_program):
    """Its exposures."""
    return ExposureSet.from_exposures(star_program.exposures())


@pytest.fixture(scope="session")
def old_flat(star_program):
    """The ground flat."""
    return star_program.ground_flat("B1", "F200W")


@pytest.fixture(scope="session")
def true_flat(star_program, old_flat):
    """A perfect flat."""
    response = star_program.truth("B1").flight_flat("F200W")
    return attrs.evolve(old_flat, name="true.fits", data=np.where(old_flat.good, response, np.float32(1)))


@pytest.fixture
def rng():
    return np.random.default_rng(7007)
