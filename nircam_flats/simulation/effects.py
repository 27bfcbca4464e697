"""Which parts of the simulated world are switched on."""

from typing import Self

import attrs
from attrs import frozen

__all__ = ["Effects"]


@frozen(kw_only=True)
class Effects:
    """What a simulated program contains; each part is drawn from its own random stream, so that switching one
    off leaves the others as they are.

    Attributes
    ----------
    sources
        Stars and galaxies, down to far below the noise.
    large_galaxy
        A galaxy as large as a quarter of the frame, in the second pointing (a program of one pointing has none).
    saturated_star
        Two stars in each pointing so bright that their cores saturate.
    persistence
        Glow where a saturated star was in the exposures before; there is none without `saturated_star`.
    one_over_f
        Stripes along the detector rows.
    noise
        Photon and read noise.
    crosshatch
        Fine crossed lines in the response of LW detectors.
    corner_features
        Small non-cubic patches in the corners of A3, B3, B4.
    filter_dependence
        The part of the response change that differs between filters.
    dead_pixels
        Dead pixels, known (in the ground flat) and new, and one concentration of new ones.
    wisps
        Additive scattered light on A3, A4, B3, B4.
    area
        Pixel areas that vary over the field; without, all are equal, also in the AREA plane.
    bad_pixels
        Pixels flagged DO_NOT_USE, hot pixels, and pixels that a cosmic ray hit.
    noisy_pixels
        Pixels with telegraph noise, which nothing flags; there are none without `noise`.

    Examples
    --------
    >>> import attrs
    >>> from nircam_flats.simulation import Effects
    >>> attrs.evolve(Effects.none(), noise=True).noise
    True
    """

    sources: bool = True
    large_galaxy: bool = True
    saturated_star: bool = True
    persistence: bool = True
    one_over_f: bool = True
    noise: bool = True
    crosshatch: bool = True
    corner_features: bool = True
    filter_dependence: bool = True
    dead_pixels: bool = True
    wisps: bool = True
    area: bool = True
    bad_pixels: bool = True
    noisy_pixels: bool = True

    @classmethod
    def none(cls) -> Self:
        """Return the plainest world: sky, a ground flat, and a response that changed since."""
        return cls(**{field.name: False for field in attrs.fields(cls)})
