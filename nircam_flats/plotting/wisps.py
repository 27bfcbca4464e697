"""Images of wisps: light on top of the sky, its outline, and what is known of its strength."""

from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.colors import Normalize

from nircam_flats.kernels import box_medians
from nircam_flats.scattered import WispTemplate

__all__ = ["draw_wisp"]

COLOURS = "viridis"
DISPLAY_PIXELS = 512


def draw_wisp(
    template: WispTemplate,
    *,
    ax: Any = None,
    title: str | None = None,
    label: str | None = None,
    outline_options: Any = None,
    **artist_options: Any,
) -> Any:
    """Draw a wisp template in the science orientation, with its outline.

    Parameters
    ----------
    template
        A `~nircam_flats.WispTemplate`.
    ax
        Axes to draw on; by default the current one.
    title, label
        Of the axes and of the colour bar.
    outline_options
        Dict of options of ``Axes.contour`` for the outline.
    **artist_options
        For ``Axes.imshow``.

    Returns
    -------
    matplotlib.image.AxesImage
    """
    ax = plt.gca() if ax is None else ax
    ny, nx = template.data.shape
    box_size = max(1, -(-max(ny, nx) // DISPLAY_PIXELS))
    shown = box_medians(template.data, box_size)[0] if box_size > 1 else template.data
    options = {
        "origin": "lower",
        "cmap": COLOURS,
        "norm": Normalize(min(0.0, float(shown.min())), float(shown.max())),
        "interpolation": "nearest",
        "extent": (-0.5, shown.shape[1] * box_size - 0.5, -0.5, shown.shape[0] * box_size - 0.5),
    }
    artist = ax.imshow(shown, **(options | artist_options))
    ax.contour(
        np.arange(nx),
        np.arange(ny),
        template.outline.astype(float),
        **({"levels": [0.5], "colors": "white", "linewidths": 0.8} | (outline_options or {})),
    )
    title = f"{template.detector} {template.filter}: wisp" if title is None else title
    ax.set(xlim=(-0.5, nx - 0.5), ylim=(-0.5, ny - 0.5), xlabel="x [px]", ylabel="y [px]", title=title)
    label = f"surface brightness [{template.unit.to_string('unicode')}]" if label is None else label
    ax.figure.colorbar(artist, ax=ax, shrink=0.85, label=label)
    return artist
