"""The ten detectors as they lie on the sky."""

from typing import Any

import numpy as np
from astropy import units as u
from matplotlib.colors import CenteredNorm
from matplotlib.figure import Figure

from nircam_flats.exceptions import InvalidInputError
from nircam_flats.instrument import Detector
from nircam_flats.kernels import box_medians
from nircam_flats.plotting.images import COLOURS, mark_directions

__all__ = ["focal_plane"]

DISPLAY_PIXELS = 64
TITLES = {"SW": "short wavelength", "LW": "long wavelength"}


def focal_plane(
    images: Any,
    *,
    half_range: float | None = None,
    centre: float = 1.0,
    label: str | None = "relative response",
    title: str | None = "",
    figure: Any = None,
    **artist_options: Any,
) -> Any:
    """Return a figure of flats of several detectors, each where it lies on the sky, all with the same colours.

    The upper axes show the eight short-wavelength detectors, the lower ones the two long-wavelength detectors, which
    look at the same sky. +V3 is up and +V2 to the left, as one sees the sky when V3 is at a position angle of 0.
    Detectors without an image are empty outlines.

    Parameters
    ----------
    images
        Dict from detector (any of its names) to image ``[y, x]`` of the whole detector, science orientation.
    half_range
        Colours run over ``centre`` -+ ``half_range``; by default to the 99.5th percentile of the departures of all.
    centre
        Value drawn white.
    label, title
        Of the colour bar and of the figure.
    figure
        Figure to draw on; by default a new one.
    **artist_options
        For ``Axes.pcolormesh``.

    Raises
    ------
    InvalidInputError
        If there is no image, or one is not two-dimensional.
    """
    shown = {Detector.get(name): _small(name, data) for name, data in images.items()}
    if not shown:
        raise InvalidInputError("focal_plane needs the image of a detector; got none")
    if half_range is None:
        departures = np.abs(np.concatenate([data[np.isfinite(data)] for data in shown.values()]) - centre)
        half_range = float(np.percentile(departures, 99.5)) if departures.size else 0.1
    norm = CenteredNorm(vcenter=centre, halfrange=max(half_range, 1e-6))
    channels = [channel for channel in TITLES if any(item.channel == channel for item in shown)]
    figure = Figure(figsize=(9, 0.6 + 4.1 * len(channels))) if figure is None else figure
    figure.set_layout_engine("constrained")
    axes = figure.subplots(len(channels), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for ax, channel in zip(axes, channels, strict=True):
        for detector in (item for item in Detector.all() if item.channel == channel):
            _draw_detector(ax, detector, shown.get(detector), norm, artist_options)
        ax.set(aspect="equal", ylabel="V3 [arcsec]", title=TITLES[channel])
        mark_directions(ax, up="+V3", left="+V2", at=(0.545, 0.08), length=(0.065, 0.14))
    corners = np.concatenate([item.corners.to_value(u.arcsec) for item in Detector.all()])
    low, high = corners.min(axis=0) - 6, corners.max(axis=0) + 6
    axes[-1].set(xlim=(high[0], low[0]), ylim=(low[1], high[1]), xlabel="V2 [arcsec]")
    artist = next(item for ax in axes for item in ax.collections)
    bar = figure.colorbar(artist, ax=list(axes), shrink=0.85, label=label)
    bar.ax.ticklabel_format(useOffset=False)
    figure.suptitle(title)
    return figure


def _small(name, data):
    data = np.asarray(data, np.float32)
    if data.ndim != 2:
        raise InvalidInputError(f"focal_plane needs images of two dimensions; that of {name} has shape {data.shape}")
    box_size = -(-max(data.shape) // DISPLAY_PIXELS)
    return box_medians(data, box_size)[0] if box_size > 1 else data


def _draw_detector(ax, detector, data, norm, artist_options):
    """Draw one detector between its corners, with its name; an empty outline if there is no image of it."""
    corners = detector.corners.to_value(u.arcsec)
    outline = np.vstack([corners, corners[:1]])
    ax.plot(*outline.T, color="0.3", linewidth=0.8)
    options = {"ha": "center", "va": "center", "fontsize": "small"}
    middle = corners.mean(axis=0)
    if data is None:
        ax.text(*middle, detector.label, color="0.4", **options)
        return
    y, x = (np.linspace(0, 1, n + 1) for n in data.shape)
    weights = [np.outer(*pair) for pair in ((1 - y, 1 - x), (1 - y, x), (y, x), (y, 1 - x))]
    v2, v3 = (sum(weight * corner[axis] for weight, corner in zip(weights, corners, strict=True)) for axis in (0, 1))
    ax.pcolormesh(v2, v3, data, **({"cmap": COLOURS, "norm": norm, "rasterized": True} | artist_options))
    box = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1.5}
    ax.text(*middle, detector.label, bbox=box, **options)
    first = 0.93 * corners[0] + 0.07 * corners[2]
    ax.plot(*first, marker="o", markersize=4, color="black", markerfacecolor="white")  # pixel (0, 0)
