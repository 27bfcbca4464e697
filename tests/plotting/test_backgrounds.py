"""The figure of backgrounds: dots over a line and a grey range, on the axes given."""

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable
from matplotlib.figure import Figure

from nircam_flats.plotting import draw_backgrounds


@pytest.fixture
def table():
    return QTable(
        {
            "detector": ["NRCA1", "NRCB1", "NRCALONG", "NRCB2"],
            "filter": ["F115W", "F115W", "F444W", "F200W"],
            "wavelength": [1.15, 1.15, 4.4, 2.0] * u.um,
            "n_used": [3, 3, 2, 0],
            "measured": [0.3, 0.31, 0.5, np.nan] * u.MJy / u.sr,
            "measured_err": [0.01, 0.02, 0.03, np.nan] * u.MJy / u.sr,
            "predicted": [0.32, 0.34, 0.6, np.nan] * u.MJy / u.sr,
            "predicted_err": [0.02, 0.02, np.nan, np.nan] * u.MJy / u.sr,
            "lowest": [0.3, 0.29, 0.5, np.nan] * u.MJy / u.sr,
            "highest": [0.35, 0.34, 0.7, np.nan] * u.MJy / u.sr,
        }
    )


@pytest.fixture
def ax():
    return Figure().subplots()


def test_dots_line_and_range(ax, table):
    dots = draw_backgrounds(table, ax=ax, title="sky")
    assert len(dots) == 2
    places, levels = np.concatenate([item.lines[0].get_xydata() for item in dots]).T
    np.testing.assert_allclose(sorted(levels), [0.3, 0.31, 0.5])
    np.testing.assert_allclose(sorted(places), [1.15, 1.15, 4.4], rtol=0.01)
    assert len(set(places)) == 3  # side by side
    line = next(item for item in ax.lines if item.get_label() == "predicted, mean")
    np.testing.assert_allclose(line.get_xydata(), [[1.15, 0.33], [4.4, 0.6]])
    (grey,) = ax.collections[:1]
    corners = grey.get_paths()[0].vertices
    assert (corners[:, 1].min(), corners[:, 1].max()) == pytest.approx((0.27, 0.7))
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("wavelength [µm]", "sky [MJy/sr]", "sky")
    assert ax.get_ylim()[0] == 0


def test_options_are_those_of_the_dots(ax, table):
    dots = draw_backgrounds(table[:2], ax=ax, color="k", markersize=9)
    assert [item.lines[0].get_markersize() for item in dots] == [9, 9]
    assert [item.lines[0].get_color() for item in dots] == ["k", "k"]
