"""How flat the sky is: profiles, stacks before and after."""

from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from nircam_flats.plotting.images import before_after
from nircam_flats.validation import FlatnessComparison

__all__ = ["OLD_NEW", "draw_profiles", "flatness_figure"]

OLD_NEW = {
    "old": {"color": "#d55e00", "linestyle": "--", "label": "old flat"},
    "new": {"color": "#0072b2", "linestyle": "-", "label": "new flat"},
}
"""Colours of Okabe and Ito that differ for the colour-blind, and lines that differ in grey."""


def draw_profiles(
    comparison: FlatnessComparison,
    *,
    ax: Any = None,
    along: str = "columns",
    exposure: int | None = None,
    **artist_options: Any,
) -> Any:
    """Draw the collapsed profiles of a `~nircam_flats.FlatnessComparison` with both flats.

    Parameters
    ----------
    comparison
        The comparison.
    ax
        Axes to draw on; by default the current one.
    along
        'rows' or 'columns': a value for each of them.
    exposure
        Number of one exposure; by default the stack.
    **artist_options
        For ``Axes.plot``, of both lines.

    Returns
    -------
    matplotlib.lines.Line2D
        Of the new flat.
    """
    ax = plt.gca() if ax is None else ax
    for name, style in OLD_NEW.items():
        flatness = getattr(comparison, name)
        place, middle, err = flatness.profile(along, exposure)
        middle, err = 100 * (middle - 1), 100 * err
        ax.fill_between(place, middle - err, middle + err, color=style["color"], alpha=0.3, linewidth=0)
        (line,) = ax.plot(place, middle, **({"linewidth": 1.4} | style | artist_options))
    ax.axhline(0, color="0.4", linewidth=0.6, zorder=0)
    axis = {"rows": "y", "columns": "x"}[along]
    ax.set(
        xlim=(-0.5, getattr(flatness, along).shape[1] - 0.5), xlabel=f"{axis} [px]", ylabel="sky / its median − 1 [%]"
    )
    ax.legend(loc="best", fontsize="small")
    return line


def flatness_figure(comparison: FlatnessComparison) -> Any:
    """Return a figure of a `~nircam_flats.FlatnessComparison`: stacks with both flats, and their profiles."""
    figure = Figure(figsize=(11, 8), layout="constrained")
    images, profiles = figure.subfigures(2, 1, height_ratios=(1.25, 1))  # type: ignore[misc]  # two of them
    titles = []
    for name in OLD_NEW:
        item = getattr(comparison, name)
        titles.append(
            f"{name} flat: {item.peak_to_peak:.2%} peak to peak, {item.rms:.2%} rms\n(noise alone "
            f"{item.floor.peak_to_peak:.2%}, {item.floor.rms:.2%})"
        )
    meshes = [item.stack / np.nanmedian(item.stack) for item in (comparison.old, comparison.new)]
    before_after(*meshes, titles=titles, pixel=comparison.new.box_size, label="sky / its median", figure=images)
    for ax, along in zip(profiles.subplots(1, 2, sharey=True), ("columns", "rows"), strict=True):
        draw_profiles(comparison, ax=ax, along=along)
        ax.set_title(f"median of each {along.removesuffix('s')}", fontsize="medium")
    figure.suptitle(f"{comparison.detector}, {len(comparison.new.meshes)} exposures")
    return figure
