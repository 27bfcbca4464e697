"""When the sky of an exposure is taken for clean: the rules of the mission's background monitor."""

import numpy as np
from astropy import units as u
from attrs import field, frozen

from nircam_flats._fields import HoldsArrays, check_part, quantity

__all__ = ["BackgroundRules"]


@frozen(kw_only=True)
class BackgroundRules(HoldsArrays):
    """Which exposures show a sky that can be compared with a prediction; None turns a rule off.

    Attributes
    ----------
    min_exposure_time
        Longer ones only, s: in short ones faint sources are not seen, and stay in the sky.
    max_masked_sw, max_masked_lw
        Largest part of the good pixels that the report's mask (`~nircam_flats.Segmentation.of_report`) masks, by
        channel: more is a crowded field. Masks that are grown take more, so levels are measured with another one.
    max_asymmetry
        Largest ``|1 - mean / median|`` of the pixels that the report's mask leaves, clipped: more is light of another
        kind, a claw or a wisp.

    Examples
    --------
    >>> from nircam_flats import BackgroundRules
    >>> BackgroundRules(min_exposure_time=None).max_masked_sw
    0.075
    """

    min_exposure_time: u.Quantity | None = quantity(u.s, default=300 * u.s, optional=True)
    max_masked_sw: float | None = field(default=0.075, validator=check_part)
    max_masked_lw: float | None = field(default=0.15, validator=check_part)
    max_asymmetry: float | None = field(default=0.05, validator=check_part)

    def reasons(
        self, channel: str, *, exposure_time: u.Quantity | None, masked_fraction: float, asymmetry: float
    ) -> list[str]:
        """Return why an exposure of a channel ('SW' or 'LW') is no clean sky, a list of texts; empty if it is.

        Parameters
        ----------
        channel
            'SW' or 'LW'.
        exposure_time
            Quantity, or None where it is not known.
        masked_fraction
            Part of the good pixels that the report's mask masks.
        asymmetry
            ``1 - mean / median`` of those it leaves.
        """
        found = []
        if self.min_exposure_time is not None:
            if exposure_time is None:
                found.append(f"its exposure time is not known; needed more than {self.min_exposure_time}")
            elif not exposure_time > self.min_exposure_time:
                found.append(f"exposure time must be above {self.min_exposure_time:.4g}; it is {exposure_time:.4g}")
        most = self.max_masked_sw if channel == "SW" else self.max_masked_lw
        if most is not None and not masked_fraction < most:
            found.append(f"masked part must be below {most:.3g}; it is {masked_fraction:.3f}")
        if self.max_asymmetry is not None and not np.abs(asymmetry) < self.max_asymmetry:
            found.append(f"|1 - mean / median| must be below {self.max_asymmetry:.3g}; it is {abs(asymmetry):.3f}")
        return found
