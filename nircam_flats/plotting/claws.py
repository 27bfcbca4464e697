"""Figures of claws: flux against the roll angle, stars over the zone they enter by, exposures by their roll angle."""

from concurrent.futures import Executor
from functools import partial
from typing import Any

import numpy as np
from astropy import units as u
from matplotlib import pyplot as plt
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from nircam_flats.exceptions import InvalidInputError
from nircam_flats.exposure import ExposureSet
from nircam_flats.kernels import box_medians, clipped_statistics
from nircam_flats.parallel import map_ordered
from nircam_flats.plotting.images import draw_flat
from nircam_flats.scattered import ClawForecast, ClawSusceptibilityZone

__all__ = ["claw_sequence", "draw_claw_forecast", "draw_claw_zone"]

FLUX = u.DN / u.s
BRIGHTNESS = u.MJy / u.sr
LARGEST_STAR = 300
MOST_COLUMNS = 6
PANEL_BOXES = 128
"""Boxes along the side of a panel; their clipped medians leave out what is small."""


def draw_claw_forecast(
    forecast: ClawForecast, *, ax: Any = None, limit: Any = None, allowed: Any = None, **artist_options: Any
) -> Any:
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


def draw_claw_zone(zone: ClawSusceptibilityZone, *, ax: Any = None, stars: Any = None, **artist_options: Any) -> Any:
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


def claw_sequence(
    exposures: ExposureSet,
    *,
    correction: Any = None,
    forecast: ClawForecast | None = None,
    half_range: float | None = None,
    figure: Any = None,
    executor: Executor | None = None,
) -> Any:
    """Return a figure of the exposures of one detector in the order of their position angles (Figure 10 of the report).

    A wisp stays where it is from one angle to the next; a claw comes, moves and goes with the angle.

    Parameters
    ----------
    exposures
        An `~nircam_flats.ExposureSet`, or exposures with a pointing. Each is divided by its sky level and shown as
        clipped medians of small boxes, which leave out most sources.
    correction
        A `~nircam_flats.FlatModelFit` by which they are divided first, so that the flat does not hide the claws.
    forecast
        A `~nircam_flats.ClawForecast` made of the same exposures: the titles say what it predicts, in parts of the sky.
    half_range
        Colours run over 1 -+ this in all panels; by default to the 97th percentile of all departures.
    figure
        Figure to draw on; by default a new one.
    executor
        Any `concurrent.futures.Executor`; by default threads for all cores.

    Raises
    ------
    InvalidInputError
        If there is no exposure, or they are of several detectors, or one has no pointing or no pixel to show.
    """
    members = list(exposures)
    detectors = sorted({member.detector.name for member in members})
    if len(detectors) != 1:
        raise InvalidInputError(
            f"claw_sequence needs exposures of one detector; got {', '.join(detectors) or 'none'}; choose with "
            "exposures.where(detector=...)"
        )
    lost = [member.name or "unnamed" for member in members if member.pointing is None]
    if lost:
        raise InvalidInputError(
            f"claw_sequence needs exposures with a pointing (RA_REF, DEC_REF, ROLL_REF...); {len(lost)} have none, the "
            f"first is {lost[0]}"
        )
    members.sort(key=lambda member: member.pointing.roll_ref)
    panels = list(map_ordered(partial(_panel, correction=correction), members, executor=executor, stage="draw claws"))
    if half_range is None:
        departures = np.abs(np.concatenate([mesh[np.isfinite(mesh)] for mesh, _, _ in panels]) - 1)
        half_range = float(np.percentile(departures, 97))
    n_rows = -(-len(members) // MOST_COLUMNS)
    n_columns = -(-len(members) // n_rows)
    size = (2.3 * n_columns + 1, 2.65 * n_rows + 0.5)
    figure = Figure(figsize=size, layout="constrained") if figure is None else figure
    axes = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
    for ax in axes.flat[len(members) :]:
        ax.set_axis_off()
    predicted = {} if forecast is None else {row["name"]: row["brightness"] for row in forecast.predicted}
    for ax, member, (mesh, level, pixel) in zip(axes.flat, members, panels, strict=False):
        title = f"{member.pointing.roll_ref.to_value(u.deg) % 360:.1f}°, {member.filter}"
        if forecast is not None:
            brightness = u.Quantity(predicted.get(member.name, 0), BRIGHTNESS)
            title += f"\npredicted {(brightness / level).to_value(u.one):.1%}"
        artist = draw_flat(mesh, ax=ax, half_range=half_range, pixel=pixel, colour_bar=False)
        ax.set_title(title, fontsize="medium")
        ax.label_outer()
    bar = figure.colorbar(artist, ax=axes, shrink=0.85, label="sky brightness / sky level")
    bar.ax.ticklabel_format(useOffset=False)
    figure.suptitle(f"{detectors[0]}, by the position angle of V3 at the aperture")
    return figure


def _panel(member, *, correction):
    """Mesh of an exposure over its sky level, that level, and the side of the boxes."""
    exposure = member.load(planes=("dq",))
    data = exposure.data if correction is None else exposure.data / correction.surface
    data = np.where(exposure.good, data, np.float32(np.nan))
    level, *_ = clipped_statistics(data)
    if not level > 0:
        raise InvalidInputError(f"claw_sequence needs exposures with a sky; that of {exposure.name} is {level:g}")
    pixel = max(1, -(-max(exposure.shape) // PANEL_BOXES))
    return box_medians(data / level, pixel)[0], level * exposure.unit, pixel
