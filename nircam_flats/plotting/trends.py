"""Figures of how a detector changes over the years."""

from typing import Any

import numpy as np
from matplotlib import pyplot as plt

from nircam_flats.plotting.images import draw_flat
from nircam_flats.skyflat.meshes import MESH_BOX

__all__ = ["draw_skyflat_trend"]

MOST = 6
"""How many values are drawn, those whose scatter is most significant."""


def draw_skyflat_trend(trend: Any, *, ax: Any = None, **artist_options: Any) -> Any:
    """Draw a `~nircam_flats.SkyflatTrend`: values against time with their changes, or a mesh as a map of its slopes.

    Parameters
    ----------
    trend
        The trend.
    ax
        Axes to draw on; by default the current one.
    **artist_options
        For ``Axes.errorbar``, or for `draw_flat`.

    Returns
    -------
    list of matplotlib.container.ErrorbarContainer, or matplotlib.image.AxesImage
        Of the values that change most, each less its mean; dashed lines are changes, half-way between two epochs.
    """
    ax = plt.gca() if ax is None else ax
    title = f"{trend.detector} {trend.label}"
    if trend.mesh_shape is not None:
        slopes = trend.slope.value.reshape(trend.mesh_shape)
        shown_as: dict = {
            "centre": 0.0,
            "title": f"{title}: change in a year",
            "label": "relative response / yr",
            "pixel": MESH_BOX,
        }
        return draw_flat(slopes, ax=ax, **(shown_as | artist_options))
    errors = trend.scatter * trend.errors
    departures = 100 * (trend.values - np.nanmean(trend.values, axis=0))
    strength = np.nanmean((departures / (100 * errors)) ** 2, axis=0)
    shown = np.sort(np.argsort(-strength)[:MOST])
    dates = trend.dates.to_datetime()
    options = {"marker": "o", "capsize": 2} | artist_options
    artists = [
        ax.errorbar(dates, departures[:, index], 100 * errors[:, index], label=trend.names[index], **options)
        for index in shown
    ]
    days = list(trend.dates.strftime("%Y-%m-%d"))
    for moment in sorted({days.index(day) for day in trend.changes()["before"]}):
        ax.axvline(
            dates[moment - 1] + (dates[moment] - dates[moment - 1]) / 2, color="0.3", linestyle="--", linewidth=1
        )
    ax.axhline(0, color="0.7", linewidth=0.8, zorder=0)
    ax.set(ylabel="coefficient less its mean [%]", title=title)
    ax.tick_params(axis="x", rotation=30)
    ax.legend(loc="best", fontsize="small")
    return artists
