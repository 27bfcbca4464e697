"""Figures of claw forecasts: flux against the roll angle, and stars over the zone they enter by."""

import numpy as np
from astropy import units as u
from matplotlib import pyplot as plt
from matplotlib.colors import PowerNorm

__all__ = ["draw_claw_forecast", "draw_claw_zone"]

FLUX = u.DN / u.s
LARGEST_STAR = 300


def draw_claw_forecast(forecast, *, ax=None, limit=None, allowed=None, **artist_options):
    """Draw the largest flux among the exposures against the angle, a line for each module and filter.

    Parameters
    ----------
    forecast
        A `~nircam_flats.ClawForecast`.
    ax
        Axes to draw on; by default the current one.
    limit, allowed
        As in `~nircam_flats.ClawForecast.claw_free_angles`: limits are dashed, clear ranges green.
    **artist_options
        For ``Axes.plot``.

    Returns
    -------
    list of matplotlib.lines.Line2D
    """
    ax = plt.gca() if ax is None else ax
    degrees = forecast.angles.to_value(u.deg)
    lines = []
    for m, module in enumerate(forecast.modules):
        for f, filter in enumerate(forecast.filters):
            flux = forecast.flux[m, f]
            used = np.isfinite(flux).any(axis=1)
            if used.any():
                options = {"color": f"C{f}", "linestyle": ("-", ":")[m % 2], "label": f"{filter}, module {module}"}
                lines += ax.plot(degrees, flux[used].max(axis=0), **(options | artist_options))
    if limit is not None:
        for f, value in enumerate(forecast.limits(limit).values()):
            ax.axhline(value.to_value(FLUX), color=f"C{f}", linestyle="--", linewidth=0.8)
        for start, end in forecast.claw_free_angles(limit, allowed=allowed):
            start, end = start.to_value(u.deg), end.to_value(u.deg)
            for piece in [(start, end)] if start < end else [(start, 360), (0, end)]:
                ax.axvspan(*piece, color="C2", alpha=0.2, linewidth=0)
    place = {"aperture": "at the aperture", "v1": "at V1"}[forecast.angle_at]
    ax.set(xlim=(0, 360), xlabel=f"position angle of V3 {place} [deg]", ylabel="flux in a claw [DN/s/px]")
    if lines:
        ax.legend(fontsize="small")
    return lines


def draw_claw_zone(zone, *, ax=None, stars=None, **artist_options):
    """Draw the susceptibility in V2 and V3 as an observer looks at it, V2 growing to the left, with its outline.

    Parameters
    ----------
    zone
        A `~nircam_flats.ClawSusceptibilityZone`.
    ax
        Axes to draw on; by default the current one.
    stars
        A table with the columns v2, v3, flux and name, to draw as dots whose areas go with the flux (of those without
        a flux as crosses).
    **artist_options
        For ``Axes.pcolormesh``.

    Returns
    -------
    matplotlib.collections.QuadMesh
    """
    ax = plt.gca() if ax is None else ax
    left, right, low, high = zone.extent
    ny, nx = zone.intensity_map.shape
    x, y = np.linspace(left, right, nx + 1), np.linspace(low, high, ny + 1)
    options = {"cmap": "Greys", "norm": PowerNorm(0.5, vmin=0, vmax=max(zone.intensity_map.max(), 1e-6))}
    artist = ax.pcolormesh(x, y, zone.intensity_map, **(options | artist_options))
    ax.figure.colorbar(artist, ax=ax, label="susceptibility", shrink=0.85)
    ax.plot(*zone.outline.T.to_value(u.deg), color="C3", linewidth=1)
    if stars is not None and len(stars):
        v2, v3, flux = stars["v2"].to_value(u.deg), stars["v3"].to_value(u.deg), stars["flux"].to_value(FLUX)
        known = np.isfinite(flux)
        area = LARGEST_STAR * flux[known] / max(flux[known].max(initial=0), 1e-30)
        ax.scatter(v2[known], v3[known], s=np.maximum(area, 2), facecolor="none", edgecolor="C0")
        ax.scatter(v2[~known], v3[~known], marker="x", color="C0")
        label = {"fontsize": "small", "bbox": {"facecolor": "white", "alpha": 0.7, "linewidth": 0}}
        ax.annotate(str(stars["name"][0]), (v2[0], v3[0]), xytext=(8, 12), textcoords="offset points", **label)
    outline = zone.outline.to_value(u.deg)
    (left, low), (right, high) = outline.min(axis=0) - 0.5, outline.max(axis=0) + 0.5
    ax.set(xlim=(right, left), ylim=(low, high))
    ax.set(xlabel="V2 [deg]", ylabel="V3 [deg]", aspect="equal", title=f"module {zone.module}")
    return artist
