"""Images of flats: diverging colours centred on 1, so that white means "as the ground flat says"."""

from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.colors import CenteredNorm
from matplotlib.figure import Figure

from nircam_flats.fit import FlatModelFit
from nircam_flats.kernels import box_medians
from nircam_flats.skyflat import DeltaSkyflat
from nircam_flats.validation import Mosaic

__all__ = ["COLOURS", "before_after", "detector_figure", "draw_flat", "draw_mosaic", "mark_directions"]

COLOURS = "RdBu_r"
DISPLAY_PIXELS = 256


def draw_flat(
    data: np.ndarray,
    *,
    ax: Any = None,
    half_range: float | None = None,
    centre: float = 1.0,
    title: str | None = "",
    label: str | None = "relative response",
    pixel: float = 1,
    colour_bar: bool = True,
    **artist_options: Any,
) -> Any:
    """Draw a flat-like image in the science orientation.

    Parameters
    ----------
    data
        Image ``[y, x]``; NaN stays grey. Images larger than 256 px are shown as medians of small boxes, so that what
        is seen is the structure and not the noise of single pixels.
    ax
        Axes to draw on; by default the current one.
    half_range
        Colours run over ``centre`` -+ ``half_range``; by default to the 99.5th percentile of the departures.
    centre
        Value drawn white.
    title, label
        Of the axes and of the colour bar.
    pixel
        Detector pixels along the side of a pixel of ``data``.
    colour_bar
        Whether to draw one.
    **artist_options
        For ``Axes.imshow``.

    Returns
    -------
    matplotlib.image.AxesImage
    """
    ax = plt.gca() if ax is None else ax
    ny, nx = data.shape
    box_size = max(1, -(-max(ny, nx) // DISPLAY_PIXELS))
    shown = box_medians(data, box_size)[0] if box_size > 1 else np.asarray(data, float)
    if half_range is None:
        departures = np.abs(shown[np.isfinite(shown)] - centre)
        half_range = float(np.percentile(departures, 99.5)) if departures.size else 0.1
    options = {
        "origin": "lower",
        "cmap": COLOURS,
        "norm": CenteredNorm(vcenter=centre, halfrange=max(half_range, 1e-6)),
        "interpolation": "nearest",
        "extent": (-0.5, shown.shape[1] * box_size * pixel - 0.5, -0.5, shown.shape[0] * box_size * pixel - 0.5),
    }
    artist = ax.imshow(shown, **(options | artist_options))
    ax.set_facecolor("0.6")
    ax.set(xlim=(-0.5, nx * pixel - 0.5), ylim=(-0.5, ny * pixel - 0.5), xlabel="x [px]", ylabel="y [px]", title=title)
    if colour_bar:
        bar = ax.figure.colorbar(artist, ax=ax, shrink=0.85, label=label)
        bar.ax.ticklabel_format(useOffset=False)
    return artist


def mark_directions(ax, *, up, left, at=(0.94, 0.06), length=(0.11, 0.11)):
    """Mark what lies up and to the left on an axes with two arrows in its lower right corner."""
    for (dx, dy), name in (((0, length[1]), up), ((-length[0], 0), left)):
        options = {"xycoords": "axes fraction", "ha": "center", "va": "center", "fontsize": "small"}
        arrow = {"arrowstyle": "<-", "shrinkA": 1, "shrinkB": 0}
        tip = (at[0] + dx, at[1] + dy)
        ax.annotate(name, at, xytext=tip, arrowprops=arrow, **options)


def detector_figure(delta: DeltaSkyflat, fit: FlatModelFit) -> Any:
    """Return a figure of a delta skyflat, its surface and the residual, side by side.

    The first two share their colours; the residual has its own, because what is left is an order smaller.
    """
    figure = Figure(figsize=(17, 4.8), layout="constrained")
    axes = figure.subplots(1, 3)
    spread = np.abs(fit.surface - 1)
    half_range = float(np.percentile(spread, 99.9)) * 1.1
    draw_flat(
        delta.data,
        ax=axes[0],
        half_range=half_range,
        title=f"delta skyflat, {len(delta.influences)} exposures",
    )
    draw_flat(fit.surface, ax=axes[1], half_range=half_range, title=f"surface: {fit.strategy}")
    draw_flat(fit.residual, ax=axes[2], centre=0.0, title="residual", label="delta skyflat / surface − 1")
    names = " + ".join(item.name for item in delta.filters)
    figure.suptitle(f"{delta.detector} {f'grey ({names})' if delta.is_grey else names}")
    return figure


def before_after(
    before: Any,
    after: Any,
    *,
    titles: Any = ("old flat", "new flat"),
    half_range: float | None = None,
    label: str | None = "sky brightness / sky level",
    pixel: float = 1,
    north_up: bool = False,
    figure: Any = None,
) -> Any:
    """Return a figure of two images side by side, with the same colours and one colour bar.

    Parameters
    ----------
    before, after
        Images ``[y, x]`` about 1.
    titles
        Of the two.
    half_range
        Colours run over 1 -+ ``half_range``; by default to the 99.5th percentile of the departures of the first.
    label
        Of the colour bar.
    pixel
        Detector pixels along the side of a pixel of the images.
    north_up
        Whether these are mosaics: north and east are marked.
    figure
        Figure or sub-figure to draw on; by default a new one.
    """
    figure = Figure(figsize=(11, 4.8), layout="constrained") if figure is None else figure
    axes = figure.subplots(1, 2, sharex=True, sharey=True)
    if half_range is None:
        departures = np.abs(before[np.isfinite(before)] - 1)
        half_range = float(np.percentile(departures, 99.5)) if departures.size else 0.1
    for ax, data, title in zip(axes, (before, after), titles, strict=True):
        artist = draw_flat(data, ax=ax, half_range=half_range, title=title, pixel=pixel, colour_bar=False)
        if north_up:
            mark_directions(ax, up="N", left="E")
    axes[1].set_ylabel("")
    bar = figure.colorbar(artist, ax=list(axes), shrink=0.85, label=label)
    bar.ax.ticklabel_format(useOffset=False)
    return figure


def draw_mosaic(mosaic: Mosaic, *, ax: Any = None, flat: str = "new", **artist_options: Any) -> Any:
    """Draw a `~nircam_flats.Mosaic` with the 'old' or the 'new' flat; north is up, east to the left."""
    options = {"title": f"{flat} flat", "label": "sky brightness / sky level"}
    artist = draw_flat(getattr(mosaic, flat), ax=ax, **(options | artist_options))
    mark_directions(artist.axes, up="N", left="E")
    return artist
