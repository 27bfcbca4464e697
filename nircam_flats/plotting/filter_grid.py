"""Figures of filter dependence: what each filter adds to grey, and how that changes with wavelength."""

from typing import Any

import numpy as np
from astropy import units as u
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from nircam_flats.exceptions import InvalidInputError
from nircam_flats.plotting.images import draw_flat

__all__ = ["draw_trend", "filter_grid"]


def filter_grid(
    dependences: Any, *, significance: bool = False, half_range: float | None = None, figure: Any = None
) -> Any:
    """Return a figure with the filters in rows and the detectors in columns (Figures 4 to 6 of the report).

    Parameters
    ----------
    dependences
        `~nircam_flats.FilterDependence` of any detectors and filters, each pair once; a pair that is missing stays
        empty.
    significance
        Whether to draw by how many standard deviations boxes of 32 px depart, instead of by how much.
    half_range
        Colours run over 1 (0 for significance) -+ this, in all panels; by default to the largest 99th percentile.
    figure
        Figure to draw on; by default a new one.

    Raises
    ------
    InvalidInputError
        If there is none, or a pair comes twice.
    """
    dependences = list(dependences)
    found = {(item.filter, item.detector): item for item in dependences}
    if not dependences or len(found) < len(dependences):
        raise InvalidInputError(
            f"filter_grid needs one FilterDependence of each detector and filter; got {len(dependences)} of "
            f"{len(found)} pairs"
        )
    filters = sorted({item.filter for item in dependences}, key=lambda item: item.pivot)
    detectors = sorted({item.detector for item in dependences}, key=lambda item: item.sca_id)
    centre, label = (0.0, "departure [sigma]") if significance else (1.0, "filter / grey")
    meshes = {key: item.significance if significance else item.mesh for key, item in found.items()}
    if half_range is None:
        half_range = max(np.nanpercentile(np.abs(mesh - centre), 99) for mesh in meshes.values())
    size = (3.6 * len(detectors) + 1, 3 * len(filters) + 0.5)
    figure = Figure(figsize=size, layout="constrained") if figure is None else figure
    axes = figure.subplots(len(filters), len(detectors), squeeze=False)
    for row, filter in zip(axes, filters, strict=True):
        for ax, detector in zip(row, detectors, strict=True):
            if (filter, detector) not in found:
                ax.set_axis_off()
                continue
            ny, nx = found[filter, detector].data.shape
            options: dict = {"extent": (-0.5, nx - 0.5, -0.5, ny - 0.5), "label": label, "centre": centre}
            draw_flat(meshes[filter, detector], ax=ax, half_range=float(half_range), **options)
            ax.set(xlim=(-0.5, nx - 0.5), ylim=(-0.5, ny - 0.5), title=f"{detector.label} {filter}")
    return figure


def draw_trend(trend: Any, *, ax: Any = None, **artist_options: Any) -> Any:
    """Draw the gradients of a `~nircam_flats.WavelengthTrend` against wavelength, with errors and straight lines.

    Parameters
    ----------
    trend
        The trend.
    ax
        Axes to draw on; by default the current one.
    **artist_options
        For ``Axes.errorbar``.

    Returns
    -------
    list of matplotlib.container.ErrorbarContainer
        Of x and of y.
    """
    ax = plt.gca() if ax is None else ax
    wavelengths = np.array([item.pivot.to_value(u.um) for item in trend.filters])
    errors = np.sqrt(np.diag(trend.covariance)).reshape(-1, 2)
    artists = []
    slopes = (trend.slope_x, trend.slope_x_err), (trend.slope_y, trend.slope_y_err)
    for axis, (name, (slope, err)) in enumerate(zip("xy", slopes, strict=True)):
        values, weights = 100 * trend.gradients[:, axis], errors[:, axis] ** -2.0
        per_um, per_um_err = (100 * item.to_value(1 / u.um) for item in (slope, err))
        text = f"{name}: {per_um:.2f} ± {per_um_err:.2f} % per µm"
        options = {"fmt": "os"[axis], "color": f"C{axis}", "capsize": 3, "label": text}
        artists.append(ax.errorbar(wavelengths, values, 100 * errors[:, axis], **(options | artist_options)))
        middle = np.average(wavelengths, weights=weights), np.average(values, weights=weights)
        ax.plot(wavelengths, middle[1] + per_um * (wavelengths - middle[0]), color=f"C{axis}", linewidth=1)
    ax.axhline(0, color="0.7", linewidth=0.8, zorder=0)
    ax.set(xlabel="pivot wavelength [µm]", ylabel="gradient, edge to edge [%]")
    ax.set_title(f"{trend.detector}: filter / grey")
    ax.legend()
    return artists
