"""Figures of dead pixels: where they are on the detectors, as those lie on the sky, and what they look like closely."""

from typing import Any

import numpy as np
from astropy import units as u
from matplotlib import pyplot as plt
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle

from nircam_flats.exceptions import InvalidInputError
from nircam_flats.instrument import Detector
from nircam_flats.plotting.images import draw_flat

__all__ = ["dead_pixel_cutouts", "dead_pixel_figure", "draw_dead_comparison", "draw_dead_pixels"]

COLOURS = {"new": "tab:red", "worse": "tab:purple", "vignetted": "tab:orange"}
COMPARED = {"persisting": "0.6", "undecided": "tab:orange", "recovered": "tab:green", "new": "tab:red"}
CIRCLE = "tab:blue"
UNMEASURED = "0.85"
LEAST_RADIUS = 0.03
"""Circles are at least this large, in frames, so that they are seen."""


def draw_dead_pixels(
    dead: Any, *, ax: Any = None, title: str | None = None, legend: bool = True, **artist_options: Any
) -> Any:
    """Draw the pixels of a `~nircam_flats.DeadPixelMap` where they lie on the detector, circles around concentrations.

    Parameters
    ----------
    dead
        The map.
    ax
        Axes to draw on; by default the current one.
    title
        By default the detector and the number of new pixels.
    legend
        Whether to say which colour is which class.
    **artist_options
        For ``Axes.scatter``, of the new pixels.

    Returns
    -------
    matplotlib.collections.PathCollection
        The new pixels.
    """
    ax = plt.gca() if ax is None else ax
    hidden = np.where(dead.measured, np.nan, 1.0)
    ax.imshow(hidden, cmap=ListedColormap([UNMEASURED]), origin="lower", interpolation="nearest")
    artist = _scatter(ax, dead, COLOURS, artist_options)
    _circle(ax, dead.concentrations(), LEAST_RADIUS * max(hidden.shape))
    ax.set_title(f"{dead.detector}: {dead.new.sum()} new dead pixels" if title is None else title)
    if legend:
        ax.add_patch(Rectangle((0, 0), 0, 0, color=UNMEASURED, label=f"unmeasured: {1 - dead.measured.mean():.1%}"))
        _say_colours(ax)
    return artist


def draw_dead_comparison(comparison: Any, *, ax: Any = None, title: str | None = None, **artist_options: Any) -> Any:
    """Draw what two epochs say of the pixels of a detector: a `~nircam_flats.DeadPixelComparison`.

    Parameters
    ----------
    comparison
        The comparison.
    ax
        Axes to draw on; by default the current one.
    title
        By default the detector and the number of new pixels.
    **artist_options
        For ``Axes.scatter``, of the new pixels.

    Returns
    -------
    matplotlib.collections.PathCollection
        The new pixels.
    """
    ax = plt.gca() if ax is None else ax
    artist = _scatter(ax, comparison, COMPARED, artist_options)
    default = f"{comparison.detector}: {comparison.new.sum()} pixels died between two epochs"
    ax.set_title(default if title is None else title)
    _say_colours(ax)
    return artist


def _scatter(ax, item, colours, options_of_new):
    """Dots where the boolean images of these names are True, with their numbers; returns those of the new pixels."""
    ny, nx = item.new.shape
    artists = {}
    for name, colour in colours.items():
        y, x = np.nonzero(getattr(item, name))
        options = {"s": 2, "color": colour, "linewidths": 0, "label": f"{name}: {x.size}"}
        artists[name] = ax.scatter(x, y, **(options | (options_of_new if name == "new" else {})))
    ax.set(xlim=(-0.5, nx - 0.5), ylim=(-0.5, ny - 0.5), aspect="equal", xlabel="x [px]", ylabel="y [px]")
    return artists["new"]


def _say_colours(ax):
    # Beside the axes: within, it would hide pixels.
    ax.legend(loc="upper left", bbox_to_anchor=(1.02, 1), borderaxespad=0, fontsize="small", markerscale=4)


def _circle(ax, concentrations, least):
    for row in concentrations:
        radius = max(1.2 * row["radius"].value, least)
        ax.add_patch(Circle((row["x"].value, row["y"].value), radius, fill=False, edgecolor=CIRCLE, linewidth=1.2))


def dead_pixel_figure(maps: Any, *, figure: Any = None) -> Any:
    """Return a figure of the maps of several detectors, placed as these lie on the sky (Figure 7 of the report).

    V3 is up and V2 to the left. Detectors of the short-wavelength channel lie above those of the long-wavelength one,
    which see the same sky. It is a new figure, unless ``figure`` is given.

    Raises
    ------
    InvalidInputError
        If there is no map, or two are of one detector.
    """
    maps = list(maps)
    names = [dead.detector.name for dead in maps]
    if not maps or len(set(names)) < len(names):
        raise InvalidInputError(f"dead_pixel_figure needs one map of each of its detectors; got {names}")
    channels = [name for name in ("SW", "LW") if any(dead.detector.channel == name for dead in maps)]
    figure = Figure(figsize=(11, 5.4 * len(channels))) if figure is None else figure
    for row, channel in enumerate(channels):
        members = [dead for dead in maps if dead.detector.channel == channel]
        places = _places([dead.detector for dead in members])
        for dead, (left, bottom, width, height) in zip(members, places, strict=True):
            scale = 1 / len(channels)
            bottom = 1 - (row + 1) * scale + scale * bottom
            ax = figure.add_axes((left, bottom, width, scale * height))
            draw_dead_pixels(dead, ax=ax, title=f"{dead.detector.label}: {dead.new.sum()}", legend=False)
            ax.set(xlabel="", ylabel="", xticks=[], yticks=[])
    figure.suptitle("New dead pixels (V3 up, V2 to the left)", y=0.99)
    return figure


def _places(detectors, margin=0.05):
    """Left, bottom, width and height of the axes of each detector in a figure of width and height 1."""
    channel = [detector for detector in Detector.all() if detector.channel == detectors[0].channel]
    corners = np.array([_corners(detector) for detector in channel])
    low, high = corners.min(axis=(0, 1)), corners.max(axis=(0, 1))
    scale = (1 - 2 * margin) / (high - low)
    for detector in detectors:
        sides = _corners(detector)
        first, last = ((side - low) * scale + margin for side in (sides.min(axis=0), sides.max(axis=0)))
        yield *first, *(last - first)


def _corners(detector):
    """To the right and up on the sky with V3 up, arcsec."""
    return detector.corners.to_value(u.arcsec) * [-1, 1]


def dead_pixel_cutouts(dead: Any, *, n: int = 3, half_size: Any = None, figure: Any = None) -> Any:
    """Return a figure of the response around the largest concentrations (Figure 8 of the report).

    Parameters
    ----------
    dead
        A `~nircam_flats.DeadPixelMap`.
    n
        How many concentrations, at most.
    half_size
        Half the side of a cut-out, pixels; by default twice the radius of the largest concentration.
    figure
        Figure to draw on; by default a new one.

    Raises
    ------
    InvalidInputError
        If the map has no concentration.
    """
    rows = dead.concentrations()[:n]
    if len(rows) == 0:
        raise InvalidInputError(
            f"dead_pixel_cutouts needs a map with a concentration; that of {dead.detector} has none"
        )
    half_size = int(np.ceil(2 * rows["radius"].value.max())) if half_size is None else half_size
    figure = Figure(figsize=(5 * len(rows), 4.4), layout="constrained") if figure is None else figure
    for ax, row in zip(np.atleast_1d(figure.subplots(1, len(rows))), rows, strict=True):
        x, y = row["x"].value, row["y"].value
        _draw_cutout(ax, dead, x, y, half_size)
        _circle(ax, [row], 0)
        ax.set_title(f"{dead.detector.label}: {row['n_pixels']} px near x {x:.0f}, y {y:.0f}")
    return figure


def _draw_cutout(ax, dead, x, y, half_size):
    ny, nx = dead.classes.shape
    left, bottom = (max(0, int(place) - half_size) for place in (x, y))
    right, top = min(nx, int(x) + half_size + 1), min(ny, int(y) + half_size + 1)
    part = slice(bottom, top), slice(left, right)
    measured = np.isfinite(dead.response[part]).any()
    shown = dead.response[part] if measured else 1.0 - (dead.new | dead.worse)[part]
    artist = draw_flat(
        shown, ax=ax, half_range=1.0, extent=(left - 0.5, right - 0.5, bottom - 0.5, top - 0.5), label="response"
    )
    artist.set(clim=(0, 2))
    ax.set(xlim=(left - 0.5, right - 0.5), ylim=(bottom - 0.5, top - 0.5))
