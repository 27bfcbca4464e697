"""Maps of evidence: which of two things a place shows."""

from typing import Any

from nircam_flats.plotting.images import draw_flat

__all__ = ["draw_evidence"]

SHOWN = 10.0


def draw_evidence(
    delta_chi2: Any,
    *,
    ax: Any = None,
    half_range: float | None = SHOWN,
    title: str | None = "flat or light?",
    **artist_options: Any,
) -> Any:
    """Draw a map of delta chi-squared, positive (red) for light and negative (blue) for response.

    Parameters
    ----------
    delta_chi2
        Image ``[y, x]``.
    ax, title, **artist_options
        As in `~nircam_flats.plotting.draw_flat`.
    half_range
        Where the colours end; beyond about 9 a box is decided.

    Returns
    -------
    matplotlib.image.AxesImage
    """
    label = "evidence: response < 0 < light"
    return draw_flat(delta_chi2, ax=ax, half_range=half_range, centre=0.0, title=title, label=label, **artist_options)
