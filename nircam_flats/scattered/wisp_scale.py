"""How bright the wisp of a template is in one exposure, and the exposure without it."""

from typing import Any

import numpy as np
from attrs import evolve, field, frozen

from nircam_flats._html import ShowsCard
from nircam_flats._strategy import checked_image
from nircam_flats.exceptions import FitError, InvalidInputError, demand
from nircam_flats.exposure import Exposure
from nircam_flats.fit import FlatModelFit
from nircam_flats.kernels import box_means, box_medians
from nircam_flats.masks import Segmentation, SourceMask
from nircam_flats.scattered._factors import LEAST_SEEN
from nircam_flats.scattered._strength import fit_strength
from nircam_flats.scattered._wisp_meshes import robust_line
from nircam_flats.skyflat.meshes import box_size_for

__all__ = ["WispScale", "fit_wisp"]

FEWEST_GOOD = 0.05
N_PASSES = 3
DEGREE = 1
"""Of the background of an image: what its flat still has wrong from edge to edge."""


def _to_float(value):
    return float(f"{value:.9g}")


@frozen(kw_only=True, eq=False)
class WispScale(ShowsCard):
    """The strength of a wisp in one exposure; `WispTemplate.fit_scale` makes it.

    Attributes
    ----------
    value, err
        Factor of the template and its 1 sigma error, that of the template included. Noise that pixels share (1/f
        stripes, light of faint sources, halos, errors of the flat) is counted unless it is as wide as the wisp, when it
        cannot be told from it. The value may be negative, as chance has it.
    chi2, n_dof
        Reduced chi-squared of the boxes that were fitted, against the noise of their pixels, and its degrees of
        freedom. It is 1 if nothing else is in the sky.
    sky
        Level of the sky, in the template's unit.
    template
        The `WispTemplate`.
    correction
        The `~nircam_flats.FlatModelFit` that the exposure has to be divided by, None if it is flat.
    exposure
        Name of the exposure.
    """

    value: float = field(converter=_to_float)
    err: float = field(converter=_to_float)
    chi2: float = field(converter=_to_float)
    n_dof: int = field(converter=int)
    sky: float = field(converter=_to_float)
    template: Any = field(repr=lambda item: f"<WispTemplate {item.detector} {item.filter}>")
    correction: FlatModelFit | None = field(
        default=None, repr=lambda item: "None" if item is None else f"<FlatModelFit {item.detector} {item.label}>"
    )
    exposure: str = field(default="", converter=str)

    @property
    def light(self) -> np.ndarray:
        """float32 image of the wisp as the exposure shows it."""
        return np.float32(self.value) * self._pattern

    @property
    def _pattern(self):
        return self.template.data if self.correction is None else self.template.data * self.correction.surface

    def subtract_from(self, exposure: Exposure) -> Exposure:
        """Return an `~nircam_flats.Exposure` without the wisp.

        Parameters
        ----------
        exposure
            The `~nircam_flats.Exposure` that was fitted, or another version of it (from other ramps, say) that was
            calibrated with the same flat.

        Raises
        ------
        InvalidInputError
            If the exposure has another name, or is not of the detector, filter, shape and unit of the template.

        Notes
        -----
        The variance of what was subtracted, ``(value * err of the template)^2 + (err * template)^2`` pixel by pixel,
        is added to VAR_POISSON, and its root to ERR in quadrature. Among the three variances of an exposure it is the
        noise of light that came in before the flat: it scales with the flat when another one is applied
        (`FlatReference.apply_to`), while VAR_FLAT would be made anew then, and VAR_RNOISE weights images in mosaics.
        Planes that the exposure does not hold are not made. All pixels of a wisp share most of this error.
        """
        _demand_same_mode(self.template, exposure, "WispScale.subtract_from")
        if exposure.name != self.exposure:
            raise InvalidInputError(
                f"WispScale.subtract_from needs the exposure that was fitted, {self.exposure!r}; got {exposure.name!r}"
            )
        variance = (np.float32(self.err) * self._pattern) ** 2
        if self.template.err is not None:
            flat = np.float32(1) if self.correction is None else self.correction.surface
            variance += (np.float32(self.value) * self.template.err * flat) ** 2
        planes = {"data": exposure.data - self.light}
        if exposure.var_poisson is not None:
            planes["var_poisson"] = exposure.var_poisson + variance
        if exposure.err is not None:
            planes["err"] = np.sqrt(exposure.err**2 + variance)
        return evolve(exposure, **planes)


def _demand_same_mode(template, exposure, place):
    """Raise unless ``exposure`` is of the detector, filter, shape and unit of ``template``."""
    for name in ("detector", "filter"):
        needed, came = getattr(template, name), getattr(exposure, name)
        if needed != came:
            raise InvalidInputError(f"{place} needs an exposure of the template's {name} {needed}; got one of {came}")
    if exposure.shape != template.data.shape:
        raise InvalidInputError(
            f"{place} needs an exposure of the template's shape, {template.data.shape}; got {exposure.shape}: make a "
            "template of exposures laid out like it"
        )
    if exposure.unit != template.unit:
        raise InvalidInputError(
            f"{place} needs an exposure in the template's unit, {template.unit}; got {exposure.unit}"
        )


def fit_wisp(template, exposure, mask, *, correction):
    """Return the `WispScale` of ``template`` in ``exposure``; parameters and errors are those of its ``fit_scale``."""
    demand(exposure, "data", "WispTemplate.fit_scale needs an Exposure with its pixels (exposure.load())")
    place = f"WispTemplate.fit_scale of {exposure.name or 'an exposure'}"
    _demand_same_mode(template, exposure, place)
    if correction is not None:
        demand(correction, "surface", f"{place} needs a FlatModelFit as correction")
        if (correction.detector, correction.surface.shape) != (template.detector, exposure.shape):
            raise InvalidInputError(
                f"{place} needs a correction of {template.detector} and shape {exposure.shape}; got one of "
                f"{correction.detector} and {correction.surface.shape}"
            )
    data = exposure.data if correction is None else exposure.data / correction.surface
    good = exposure.good & np.isfinite(data)

    own = _place_in(template, exposure.name)

    def fit(masked):
        return fit_strength(
            data,
            template.data,
            good & ~masked,
            degree=DEGREE,
            find_light=mask is None,
            place=place,
            influences=template.influences,
            own=own,
        )

    if mask is None:
        if good.mean() < FEWEST_GOOD:
            raise FitError(f"{place} needs at least {FEWEST_GOOD:.0%} good pixels; got {good.mean():.1%}")
        value = _first_guess(data, good, template.data)
        for _ in range(N_PASSES):
            found = fit(Segmentation()(data - np.float32(value) * template.data, good))
            value = found.value
        if found.seen < LEAST_SEEN:
            raise FitError(
                f"{place} needs {LEAST_SEEN:.0%} of the wisp to be seen; sources and other light leave "
                f"{found.seen:.0%}, too close to what hides the rest: leave the exposure out, or give the mask to use"
            )
    else:
        masked = mask.masked if isinstance(mask, SourceMask) else mask
        found = fit(checked_image(masked, exposure.shape, bool, f"mask given to {place}"))
    return WispScale(
        value=found.value,
        err=np.hypot(found.err, template.amplitude_err * found.value),
        chi2=found.chi2,
        n_dof=found.n_dof,
        sky=found.sky,
        template=template,
        correction=correction,
        exposure=exposure.name,
    )


def _first_guess(data, good, pattern):
    """Strength from box medians of the image with its sources: no mask can take the wisp for one yet."""
    box_size = box_size_for(data.shape)
    mesh = box_medians(np.where(good, data, np.float32(np.nan)), box_size)[0]
    return robust_line(mesh, box_means(pattern, box_size))[0]


def _place_in(template, name):
    """Return the number of an exposure among those that the template was made of, None if it is another."""
    if template.influences is None or template.exposures is None:
        return None
    used = list(template.exposures["name"][template.exposures["used"]])
    return used.index(name) if name in used else None
