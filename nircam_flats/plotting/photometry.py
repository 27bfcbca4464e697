"""How stars repeat, and the flat they ask for."""

from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.ticker import LogLocator, NullFormatter
from scipy.ndimage import gaussian_filter1d

from nircam_flats.plotting.flatness import OLD_NEW
from nircam_flats.plotting.images import draw_flat
from nircam_flats.validation import PhotometricRepeatability

__all__ = ["draw_repeatability", "draw_scatter", "draw_star_flat"]

N_BINS = 30


def draw_repeatability(photometry: PhotometricRepeatability, *, ax: Any = None, **artist_options: Any) -> Any:
    """Draw the histogram of the scatter of each star, with both flats, of a `~nircam_flats.PhotometricRepeatability`.

    Filled: measurements without flags. Thin line: those with flags too (new flat); its tail is what bad pixels and
    edges explain. Dotted: the median noise, by the errors.

    Parameters
    ----------
    photometry
        The photometry.
    ax
        Axes to draw on; by default the current one.
    **artist_options
        For ``Axes.stairs``, of both filled histograms.

    Returns
    -------
    matplotlib.patches.StepPatch
        Of the new flat.
    """
    ax = plt.gca() if ax is None else ax
    stars, numbers = photometry.stars, photometry.summary
    columns = ("scatter_old", "scatter_new", "raw_scatter_new")
    values = {name: 100 * np.asarray(stars[name])[np.asarray(stars[name]) > 0] for name in columns}
    everything = np.concatenate(list(values.values()))
    edges = np.geomspace(everything.min(), everything.max(), N_BINS + 1)
    raw, _ = np.histogram(values["raw_scatter_new"], edges)
    ax.stairs(raw, edges, color="0.2", linewidth=1.0, label="new flat, flagged measurements too")
    for (name, style), hatch in zip(OLD_NEW.items(), ("////", None), strict=True):
        counts, _ = np.histogram(values[f"scatter_{name}"], edges)
        options = {"fill": True, "alpha": 0.55, "facecolor": style["color"], "edgecolor": "0.2", "hatch": hatch}
        label = f"{name} flat: peak {numbers[f'peak_{name}']:.2%}"
        artist = ax.stairs(counts, edges, **({"label": label} | options | artist_options))
    noise = 100 * numbers["noise_new"]
    ax.axvline(noise, color="black", linestyle=":", linewidth=1.5, label=f"median noise {noise / 100:.2%}")
    ax.set(xscale="log", xlabel="scatter of a star between dithers [%]", ylabel="stars")
    _label_log(ax.xaxis)
    ax.set_title(f"{photometry.detector}: {numbers['n_stars']} stars in {numbers['n_exposures']} exposures")
    ax.set_ylim(top=1.45 * ax.get_ylim()[1])  # room for the legend
    ax.legend(loc="upper left", fontsize="small")
    return artist


def draw_scatter(photometry: PhotometricRepeatability, *, ax: Any = None, **artist_options: Any) -> Any:
    """Draw the scatter of each star against its signal to noise, with both flats, outliers of the new one circled.

    Returns
    -------
    matplotlib.collections.PathCollection
        Of the new flat.
    """
    ax = plt.gca() if ax is None else ax
    stars = photometry.stars
    stars = stars[stars["n_clean"] >= 2]
    for (name, style), marker in zip(OLD_NEW.items(), ("^", "o"), strict=True):
        options = {"s": 14, "marker": marker, "color": style["color"], "label": style["label"], "linewidths": 0}
        artist = ax.scatter(stars["snr"], 100 * stars[f"scatter_{name}"], **({"alpha": 0.7} | options | artist_options))
    order = np.argsort(stars["snr"])
    noise = 100 * np.asarray(stars["noise_new"])[order]
    ax.plot(stars["snr"][order], gaussian_filter1d(noise, 5), color="black", linewidth=1.2, label="noise by the errors")
    outliers = photometry.outliers
    for words, marker in (("explained by a flag", "s"), ("unexplained", "D")):
        chosen = outliers[(outliers["explanation"] == "unexplained") == (words == "unexplained")]
        scatter = np.where(chosen["explanation"] == "unexplained", chosen["scatter_new"], chosen["raw_scatter_new"])
        ax.scatter(
            chosen["snr"],
            100 * scatter,
            s=60,
            marker=marker,
            facecolors="none",
            edgecolors="0.2",
            label=f"outlier, {words}",
        )
    ax.set(
        xscale="log", yscale="log", xlabel="signal to noise of one measurement", ylabel="scatter between dithers [%]"
    )
    for axis in (ax.xaxis, ax.yaxis):
        _label_log(axis)
    ax.legend(loc="lower left", fontsize="small")
    return artist


def _label_log(axis):
    """Label 1 and 3 of each decade of a logarithmic axis with plain numbers, and nothing else."""
    axis.set_major_locator(LogLocator(subs=(1, 3)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def draw_star_flat(flat: Any, *, ax: Any = None, **artist_options: Any) -> Any:
    """Draw the surface of a `~nircam_flats.StarFlat`, as `draw_flat` does, with a dot at each measurement used."""
    ax = plt.gca() if ax is None else ax
    title = f"{flat.detector}: star flat of degree {flat.degree}"
    artist = draw_flat(flat.surface, ax=ax, **({"title": title, "label": "response to starlight"} | artist_options))
    used = flat.measurements[flat.measurements["used"]]
    ax.plot(used["x"], used["y"], linestyle="none", marker=".", markersize=2, color="black", alpha=0.5)
    return artist
