"""What the tests of scattered light share."""

import numpy as np
import pytest
from astropy import units as u
from astropy.table import Table

import nircam_flats as nf
from nircam_flats import ClawSusceptibilityZone, NormalizedFrame, NormalizedFrames, PlannedPointing, SkyLevel


@pytest.fixture(scope="session")
def published_zones(real_data):
    """The published maps, as the published tool uses them."""
    return tuple(ClawSusceptibilityZone.read(real_data / "claws", module) for module in "AB")


@pytest.fixture(scope="session")
def obs5(real_data):
    """The four pointings of the observation whose flux the published tool predicted."""
    rows = Table.read(real_data / "claws" / "peer_obs5_pointings.csv")
    return [
        PlannedPointing(
            name=f"exposure {row['exposure_row']}",
            ra=row["ra_deg"] * u.deg,
            dec=row["dec_deg"] * u.deg,
            v2=row["v2_arcsec"] * u.arcsec,
            v3=row["v3_arcsec"] * u.arcsec,
        )
        for row in rows
    ]


class World:
    """A slanted ridge of light, 0.2 at its brightest, on skies of about 1."""

    shape = (256, 256)
    peak, noise = 0.2, 0.06
    strengths = np.array([0.6, 1.3, 0.9, 1.5, 0.8, 1.1, 0.7, 1.1])
    skies = np.array([1.0, 1.1, 0.9, 1.05, 1.2, 0.95, 1.0, 0.85])

    def __init__(self):
        y, x = np.indices(self.shape) / np.array(self.shape)[:, None, None]
        along, across = (x - 0.5) + 0.3 * (y - 0.6), (y - 0.6) - 0.3 * (x - 0.5)
        ridge = np.exp(-0.5 * ((along / 0.2) ** 2 + (across / 0.09) ** 2))
        self.wisp = (self.peak * ridge).astype(np.float32)
        self.mean_wisp = self.wisp * np.float32(self.strengths.mean())

    def exposure(self, rng, *, strength, sky, wisp=None, surface=1.0, stripes=0.0, **facts):
        """One image: (sky + strength * wisp) * surface, with noise, and stripes of rows and amplifiers."""
        wisp = self.wisp if wisp is None else wisp
        data = (sky + strength * wisp) * surface + self.noise * rng.standard_normal(wisp.shape)
        data += stripes * np.repeat(rng.standard_normal((wisp.shape[0], 4)), wisp.shape[1] // 4, axis=1)
        err = np.full(wisp.shape, self.noise, np.float32)
        facts = {"detector": "B4", "filter": "F200W", "flat_name": "flat.fits"} | facts
        return nf.Exposure(data=data.astype(np.float32), err=err, var_poisson=err**2, **facts)

    def exposures(self, *, seed=1, strengths=None, skies=None, **options):
        """The set of exposures with these strengths and sky levels, named by their number."""
        strengths = self.strengths if strengths is None else strengths
        skies = self.skies[: len(strengths)] if skies is None else skies
        rng = np.random.default_rng(seed)
        return nf.ExposureSet.from_exposures(
            self.exposure(rng, strength=strength, sky=sky, name=f"exposure {number}", **options)
            for number, (strength, sky) in enumerate(zip(strengths, skies, strict=True))
        )


@pytest.fixture(scope="session")
def world():
    return World()


@pytest.fixture(scope="session")
def exposures(world):
    return world.exposures()


@pytest.fixture(scope="session")
def template(exposures):
    return nf.WispTemplate.from_exposures(exposures)


@pytest.fixture(scope="session")
def perfect(world):
    """The template without any error, at strength 1."""
    return nf.WispTemplate.from_image(np.where(world.wisp > 0.001, world.wisp, 0), detector="B4", filter="F200W")


SHAPE = (256, 256)
STRENGTHS = np.array([0.62, 1.31, 0.95, 1.18, 0.74, 1.2])
PEAK = 0.15


class Scene:
    """The truth behind frames ``response (1 + light)``: a bent band of light over a smooth response.

    With ``beside``, strengths of its own, a second patch of light lies over one end of the band; ``odd`` is a patch in
    the first frame only; ``stripes`` is the scatter of rows of 8 pixels, of which ``stripe_width`` are alike.
    """

    def __init__(
        self,
        *,
        strengths=STRENGTHS,
        noise=0.02,
        additive=None,
        multiplicative=None,
        beside=None,
        odd=0.0,
        stripes=0.0,
        stripe_width=1,
        shape=SHAPE,
        seed=1,
    ):
        y, x = np.indices(shape) / shape[0]
        self.shape, self.noise, self.seed = shape, noise, seed
        self.strengths = np.asarray(strengths, float)
        self.response = 1 + 0.03 * (x - 0.5) - 0.02 * (y - 0.5) + 0.04 * (x - 0.5) * (y - 0.5)
        band = y - 0.45 - 0.5 * (x - 0.5) ** 2
        self.wisp = PEAK * np.exp(-0.5 * ((band / 0.05) ** 2 + ((x - 0.5) / 0.18) ** 2))
        self.stripes, self.stripe_width = stripes, stripe_width
        self.second = 0.08 * np.exp(-0.5 * (((band - 0.06) / 0.05) ** 2 + ((x - 0.62) / 0.1) ** 2))
        self.beside = np.zeros(len(self.strengths)) if beside is None else np.asarray(beside, float)
        self.odd = odd * np.exp(-0.5 * (((band + 0.05) / 0.05) ** 2 + ((x - 0.45) / 0.08) ** 2))
        if additive is not None:
            self.wisp = self.wisp + blob(shape, *additive)
        if multiplicative is not None:
            self.response = self.response * (1 + blob(shape, *multiplicative))

    def frames(self, filter="F200W", masked=None):
        """Return the `NormalizedFrames`; ``masked`` is a boolean image that all of them lose."""
        rng = np.random.default_rng(self.seed)
        frames = []
        for number, strength in enumerate(self.strengths):
            noise = self.noise * rng.standard_normal(self.shape)
            if self.stripes:
                rows = rng.standard_normal(self.shape[0] // 8 + self.stripe_width - 1)
                rows = np.convolve(rows, np.full(self.stripe_width, self.stripe_width**-0.5), mode="valid")
                noise += self.stripes * np.repeat(rows, 8)[:, None]
            light = strength * self.wisp + self.beside[number] * self.second + (self.odd if number == 0 else 0)
            values = (self.response * (1 + light) + noise).astype(np.float32)
            level = SkyLevel.measure(values, self.wisp > 0.003)
            values = values / np.float32(level.value)
            if masked is not None:
                values[masked] = np.nan
            facts = {"detector": "B4", "filter": filter, "flat_name": "jwst_nircam_flat_9002.fits"}
            frame = NormalizedFrame(
                name=f"{filter}_{number}", start=None, end=None, level=level, values=values, **facts
            )
            frames.append(frame)
        return NormalizedFrames(detector="B4", frames=frames)


def blob(shape, row, column, height, width=10.0):
    """A round Gaussian blob."""
    y, x = np.indices(shape)
    return height * np.exp(-0.5 * ((y - row) ** 2 + (x - column) ** 2) / width**2)


@pytest.fixture(scope="session")
def make_scene():
    """The class `Scene`."""
    return Scene
