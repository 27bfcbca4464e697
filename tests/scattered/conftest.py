"""What the tests of scattered light share."""

import pytest
from astropy import units as u
from astropy.table import Table

from nircam_flats import ClawSusceptibilityZone, PlannedPointing


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
