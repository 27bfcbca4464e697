"""What stands behind a flat: contours of its surface, maps of errors and counts, profiles, the skies."""

from typing import Any

import numpy as np
from astropy.table import QTable
from matplotlib import pyplot as plt
from matplotlib.colors import Normalize
from matplotlib.ticker import MaxNLocator

from nircam_flats.fit import FlatModelFit
from nircam_flats.kernels import box_medians
from nircam_flats.plotting.flatness import OLD_NEW
from nircam_flats.plotting.images import draw_flat
from nircam_flats.skyflat import DeltaSkyflat

__all__ = ["draw_change", "draw_contours", "draw_map", "draw_sky_levels"]

FILTER_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
MARKERS = "osD^vP*X"
PROFILE_BOX = 32


def draw_contours(surface: Any, *, ax: Any = None, **artist_options: Any) -> Any:
    """Draw contours of a surface about 1, labelled in per cent; below 1 they are dashed, so that grey tells the sign.

    Returns
    -------
    matplotlib.contour.QuadContourSet or None
        None where the surface has no contour, being constant.
    """
    ax = plt.gca() if ax is None else ax
    step = max(1, max(surface.shape) // 128)
    percent = 100 * (np.asarray(surface[::step, ::step], float) - 1)
    y, x = (np.arange(0, n, step) for n in surface.shape)
    low, high = percent.min(), percent.max()
    levels = MaxNLocator(7, steps=[1, 2, 5, 10]).tick_values(low, high)
    levels = np.where(np.abs(levels) < 1e-9, 0, levels)[(levels > low) & (levels < high)]
    if not levels.size:
        return None
    options = {"colors": "black", "linewidths": 0.7, "levels": levels}
    contours = ax.contour(x, y, percent, **(options | artist_options))
    ax.clabel(
        contours, fmt={level: f"{level:+.3g} %" if level else "0 %" for level in contours.levels}, fontsize="small"
    )
    return contours


def _signed(percent):
    return f"{percent:+.3g} %" if percent else "0 %"


def draw_map(
    data: np.ndarray, *, ax: Any = None, title: str | None = "", label: str | None = "", **artist_options: Any
) -> Any:
    """Draw an image of values that are not about a centre (errors, counts): the darker, the smaller.

    Parameters
    ----------
    data
        Image ``[y, x]``; NaN stays grey.
    ax, title, label
        As for `draw_flat`.
    **artist_options
        For ``Axes.imshow``.

    Returns
    -------
    matplotlib.image.AxesImage
    """
    data = np.asarray(data, np.float32)
    finite = data[np.isfinite(data)]
    low, high = np.percentile(finite, [0.5, 99.5]) if finite.size else (0.0, 1.0)
    options: dict = {"cmap": "cividis", "norm": Normalize(low, high if high > low else low + 1)}
    return draw_flat(data, ax=ax, title=title, label=label, **(options | artist_options))


def draw_change(
    delta: DeltaSkyflat, fit: FlatModelFit, *, ax: Any = None, along: str = "columns", **artist_options: Any
) -> Any:
    """Draw the mean change of the flat in each row or column of boxes of 32 px, and what the surface leaves of it.

    Parameters
    ----------
    delta, fit
        A `~nircam_flats.DeltaSkyflat` and the `~nircam_flats.FlatModelFit` of it. The grey band is the error that the
        fit claims of single pixels, 1 sigma, mean over the row or column.
    ax
        Axes to draw on; by default the current one.
    along
        'columns' (a value for each x) or 'rows' (for each y).
    **artist_options
        For ``Axes.plot``, of both lines.

    Returns
    -------
    list of matplotlib.lines.Line2D
    """
    ax = plt.gca() if ax is None else ax
    axis, name = {"columns": (0, "x"), "rows": (1, "y")}[along]
    err = 100 * _profile(fit.covariance.err(), axis)
    place = PROFILE_BOX * np.arange(err.size) + (PROFILE_BOX - 1) / 2
    ax.fill_between(place, -err, err, color="0.8", linewidth=0, label="claimed error, 1 sigma")
    lines = []
    for values, style in ((delta.data - 1, OLD_NEW["old"]), (fit.residual, OLD_NEW["new"])):
        departure = 100 * _profile(values, axis)
        departure -= np.nanmean(departure)  # a flat has no level of its own
        lines += ax.plot(place, departure, **({"linewidth": 1.4} | style | artist_options))
    ax.axhline(0, color="0.4", linewidth=0.6, zorder=0)
    size = delta.data.shape[1 - axis]
    ax.set(xlim=(0, size - 1), xlabel=f"{name} [px]", ylabel="departure from flat [%]", title=f"mean of {along}")
    ax.legend(loc="best", fontsize="small")
    return lines


def _profile(image, axis):
    mesh = np.ma.masked_invalid(box_medians(image, PROFILE_BOX)[0])
    return mesh.mean(axis=axis).filled(np.nan)


def draw_sky_levels(exposures: QTable, *, ax: Any = None, **artist_options: Any) -> Any:
    """Draw the sky level of each exposure that was used, a symbol for each filter.

    Parameters
    ----------
    exposures
        The table ``exposures`` of a `~nircam_flats.DeltaSkyflat`. An exposure stands at the number of its row, from 1.
    ax
        Axes to draw on; by default the current one.
    **artist_options
        For ``Axes.errorbar``.

    Returns
    -------
    list of matplotlib.container.ErrorbarContainer
    """
    ax = plt.gca() if ax is None else ax
    number, used, names = np.arange(1, len(exposures) + 1), np.asarray(exposures["used"]), exposures["filter"]
    drawn = []
    for index, name in enumerate(dict.fromkeys(str(item) for item in names[used])):
        rows = used & (names == name)
        level, err = (exposures[column][rows].to_value("MJy / sr") for column in ("level", "level_err"))
        style = {"linestyle": "none", "markersize": 5, "elinewidth": 1}
        style |= {"marker": MARKERS[index % len(MARKERS)], "color": FILTER_COLOURS[index % len(FILTER_COLOURS)]}
        drawn.append(ax.errorbar(number[rows], level, err, label=name, **(style | artist_options)))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    top = np.nanmax(exposures["level"][used].to_value("MJy / sr"), initial=0)
    limits = {"xlim": (0, len(exposures) + 1), "ylim": (0, 1.1 * top or 1)}
    ax.set(xlabel="exposure", ylabel="sky level [MJy/sr]", title="sky level", **limits)
    ax.legend(loc="best", fontsize="small")
    return drawn
