"""Images of flats: diverging colours centred on 1, so that white means "as the ground flat says"."""

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.colors import CenteredNorm
from matplotlib.figure import Figure

from nircam_flats.kernels import box_medians

__all__ = ["detector_figure", "draw_flat"]

COLOURS = "RdBu_r"
DISPLAY_PIXELS = 256


def draw_flat(data, *, ax=None, half_range=None, centre=1.0, title="", label="relative response", **artist_options):
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
        "extent": (-0.5, shown.shape[1] * box_size - 0.5, -0.5, shown.shape[0] * box_size - 0.5),
    }
    artist = ax.imshow(shown, **(options | artist_options))
    ax.set_facecolor("0.6")
    ax.set(xlim=(-0.5, nx - 0.5), ylim=(-0.5, ny - 0.5), xlabel="x [px]", ylabel="y [px]", title=title)
    bar = ax.figure.colorbar(artist, ax=ax, shrink=0.85, label=label)
    bar.ax.ticklabel_format(useOffset=False)
    return artist


def detector_figure(delta, fit):
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
