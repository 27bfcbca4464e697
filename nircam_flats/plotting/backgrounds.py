"""Measured skies over predicted ones, against wavelength."""

from typing import Any

import numpy as np
from astropy import units as u
from matplotlib import pyplot as plt

__all__ = ["draw_backgrounds"]

STYLES = {"A": {"fmt": "o", "color": "#0072b2"}, "B": {"fmt": "s", "color": "#d55e00", "markerfacecolor": "white"}}
"""Of the dots, by module: colours of Okabe and Ito, and symbols that differ in grey."""
SHIFT = 0.006
"""Between the dots of the detectors of one filter, relative to the wavelength."""


def draw_backgrounds(table: Any, *, ax: Any = None, title: str | None = "", **artist_options: Any) -> Any:
    """Draw measured levels as dots over predicted ones.

    Parameters
    ----------
    table
        `~nircam_flats.BackgroundComparison.table`.
    ax
        Axes to draw on; by default the current one.
    title
        Of the axes.
    **artist_options
        For ``Axes.errorbar``, which draws the dots.

    Returns
    -------
    list of matplotlib.container.ErrorbarContainer
        The dots of each module. The line goes through the mean of the predictions in each filter; the grey range holds
        the predictions for all exposures, with their error where it is known.
    """
    ax = plt.gca() if ax is None else ax
    table = table[table["n_used"] > 0]
    wavelength, measured, err, predicted, lowest, highest = (
        table[name].to_value(unit)
        for name, unit in (
            ("wavelength", u.um),
            *((name, u.MJy / u.sr) for name in ("measured", "measured_err", "predicted", "lowest", "highest")),
        )
    )
    error = np.nan_to_num(table["predicted_err"].to_value(u.MJy / u.sr))
    at = np.unique(wavelength)
    here = [wavelength == one for one in at]
    low, high = [(lowest - error)[found].min() for found in here], [(highest + error)[found].max() for found in here]
    ax.fill_between(at, low, high, color="0.8", label="predicted, all exposures and their error")
    ax.plot(at, [predicted[found].mean() for found in here], color="0.3", label="predicted, mean")
    shifted = wavelength * (1 + SHIFT * _places(table["filter"]))
    dots = []
    for module, style in STYLES.items():
        found = np.array([name.startswith(f"NRC{module}") for name in table["detector"]], dtype=bool)
        if found.any():
            options = {"markersize": 5, "label": f"measured, module {module}"} | style
            dots.append(ax.errorbar(shifted[found], measured[found], err[found], **(options | artist_options)))
    ax.set(xlabel="wavelength [µm]", ylabel="sky [MJy/sr]", title=title)
    ax.set_ylim(0, 1.4 * ax.get_ylim()[1])  # room for the legend
    ax.legend(loc="upper center", fontsize="small")
    return dots


def _places(names):
    """-1.5, -0.5, 0.5... for the rows of each name, so that dots of one filter lie side by side."""
    places = np.zeros(len(names))
    for name in np.unique(names):
        found = np.flatnonzero(names == name)
        places[found] = np.arange(len(found)) - (len(found) - 1) / 2
    return places
