"""Templates of wisps: the light that the mirror supports scatter onto the same place of a detector again and again."""

from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Self

import numpy as np
from astropy import units as u
from astropy.table import QTable
from attrs import field, frozen

from nircam_flats._fields import HoldsArrays, check_not_negative, image, mask, refuse_unit_or_mask, unit
from nircam_flats._files import open_fits, reading
from nircam_flats._strategy import checked_image
from nircam_flats.exceptions import InvalidInputError
from nircam_flats.exposure import Exposure, ExposureSet
from nircam_flats.instrument import Detector, Filter
from nircam_flats.instrument.detector import to_detector
from nircam_flats.instrument.filters import to_filter
from nircam_flats.provenance import History
from nircam_flats.scattered._wisp_build import build_template
from nircam_flats.scattered._wisp_fits import read_template, write_template
from nircam_flats.scattered.wisp_scale import WispScale, fit_wisp

__all__ = ["WispTemplate"]


@frozen(kw_only=True, eq=False)
class WispTemplate(HoldsArrays):
    """The light of the wisp of one detector in one filter: fixed in shape, different in strength in each exposure.

    Attributes
    ----------
    detector, filter
        Of the exposures that show the wisp, by any of their names.
    data
        float32 image ``[y, x]``: surface brightness of the wisp, in `unit`, at the mean strength of the exposures that
        it was made of, as a detector with a perfect flat would show it; 0 outside the outline. An image that was
        divided by a flat shows ``data`` times true response over that flat.
    err
        Its 1 sigma error, pixel by pixel, float32, 0 outside the outline; None if not known.
    outline
        Boolean image: where the wisp is.
    amplitude_err
        Relative 1 sigma error of the whole template that all pixels share, on top of `err`: what an average over many
        pixels does not average away.
    influences
        What each exposure used has added to the boxes (of 32 px in full frames) of the template, in the order of the
        table `exposures`: shape (exposures, boxes in y, boxes in x), in `unit`. What they differ by is noise, which
        `fit_scale` allows for. None if not known.
    unit
        Unit of ``data`` and ``err``.
    exposures
        Table of the exposures used and left out: name, used, reason, strength (1 on average) and its error, sky level;
        None if the template came from elsewhere.
    history
        How it was made.

    Examples
    --------
    >>> import numpy as np
    >>> from nircam_flats import Exposure, WispTemplate
    >>> ridge = np.exp(-0.5 * ((np.indices((128, 128))[0] - 64) / 10) ** 2) * np.linspace(0, 0.2, 128)
    >>> template = WispTemplate.from_image(ridge, detector="B4", filter="F200W")
    >>> noise = np.random.default_rng(1).normal(0, 0.05, ridge.shape)
    >>> exposure = Exposure(data=1 + 0.5 * ridge + noise, detector="B4", filter="F200W")
    >>> scale = template.fit_scale(exposure, mask=np.zeros(ridge.shape, bool))
    >>> abs(scale.value - 0.5) < 3 * scale.err < 0.3
    True
    >>> scale.subtract_from(exposure).shape
    (128, 128)
    """

    detector: Detector = field(converter=to_detector, repr=str)
    filter: Filter = field(converter=to_filter, repr=str)
    data: np.ndarray = image(sets_shape=True)
    err: np.ndarray | None = image(optional=True)
    outline: np.ndarray = mask()
    amplitude_err: float = field(
        default=0.0,
        converter=lambda value: float(f"{value:.9g}"),  # as a header keeps it
        validator=check_not_negative,
    )
    influences: np.ndarray | None = image(ndim=3, optional=True, follows_shape=False)
    unit: u.UnitBase = unit()
    exposures: QTable | None = field(
        default=None, repr=lambda table: "None" if table is None else f"<{len(table)} exposures>"
    )
    history: History = field(factory=History, repr=False)

    @filter.validator
    def _same_channel(self, attribute, filter):
        if filter.channel != self.detector.channel:
            raise InvalidInputError(
                f"WispTemplate.filter must be a {self.detector.channel} filter, as {self.detector} has; got {filter} "
                f"({filter.channel})"
            )

    @outline.validator
    def _holds_the_light(self, attribute, outline):
        if not np.isfinite(self.data).all() or (self.err is not None and not np.isfinite(self.err).all()):
            raise InvalidInputError("WispTemplate.data and .err must be finite everywhere; got NaN or infinite values")
        if not outline.any() or not self.data[outline].any():
            raise InvalidInputError("WispTemplate.data must show some light inside the outline; got none")
        if self.data[~outline].any():
            raise InvalidInputError(
                "WispTemplate.data must be 0 outside the outline; got other values: multiply them by the outline"
            )

    @classmethod
    def from_exposures(
        cls,
        exposures: ExposureSet,
        *,
        correction: Any = None,
        masks: Any = None,
        outline: Any = None,
        executor: Executor | None = None,
        memory_limit: u.Quantity = 1 * u.GiB,
        store: Any = None,
    ) -> Self:
        """Make the template of a wisp from exposures of one detector in one filter.

        Parameters
        ----------
        exposures
            An `~nircam_flats.ExposureSet` of A3, A4, B3 or B4 (of any detector with ``outline``), 3 exposures or more.
        correction
            The `~nircam_flats.FlatModelFit` that is still missing from their flat; what it does not hold of the true
            flat ends up in the template. None for exposures calibrated with a flight flat.
        masks
            As in `~nircam_flats.NormalizedFrames.from_exposures`. By default what box medians of the images have in
            common is taken out first, so that no mask of sources takes the wisp for one.
        outline
            Boolean image of the pixels that the wisp may cover; by default it is found.
        executor, memory_limit, store
            As in `~nircam_flats.NormalizedFrames.from_exposures`.

        Raises
        ------
        InvalidInputError
            If the exposures are of several detectors or filters, fewer than 3, or of a detector that is not known for
            wisps and no ``outline`` is given.
        FitError
            If no wisp stands out, or fewer than 3 exposures show it.

        Warns
        -----
        FlatsWarning
            If strength over sky is the same in all exposures, so that a wisp cannot be told from an error of the flat.

        Notes
        -----
        Strengths and shape are found in turns: the exposures, each less its background and divided by its strength, are
        combined pixel by pixel to their clipped median, which is smoothed where its noise demands it, and bridged where
        none of them saw it; it is fitted to each exposure again, without its own part (see `fit_scale`). The template
        is scaled so that strengths are 1 on average.
        """
        return cls(
            **build_template(
                exposures,
                correction=correction,
                masks=masks,
                outline=outline,
                executor=executor,
                memory_limit=memory_limit,
                store=store,
            )
        )

    @classmethod
    def from_image(
        cls,
        image: np.ndarray | str | Path,
        *,
        detector: Detector | str | int,
        filter: Filter | str,
        unit: Any = u.MJy / u.sr,
        outline: Any = None,
    ) -> Self:
        """Return the template that an image of another origin holds, as public teams publish them.

        Parameters
        ----------
        image
            An array ``[y, x]``, or a FITS file whose first image it is; NaN count as no light.
        detector, filter
            Of the exposures that show this wisp.
        unit
            Unit of the image. A template in other units than surface brightness serves too: state the unit of the
            exposures, and only the strengths mean something else.
        outline
            Boolean image of the pixels to keep; by default those that are not 0.

        Raises
        ------
        InvalidInputError
            If there is no image with two dimensions, or no light in it, or it is an array with a unit or a mask, or
            ``outline`` is no boolean image like it.
        """
        place = f"{image}" if isinstance(image, str | Path) else "an array"
        refuse_unit_or_mask(image, "image given to WispTemplate.from_image")
        values = _first_image(image) if isinstance(image, str | Path) else np.asarray(image)
        values = np.where(np.isfinite(values), values, 0).astype(np.float32)
        if outline is None:
            outline = values != 0
        outline = checked_image(outline, values.shape, bool, "outline given to WispTemplate.from_image")
        return cls(
            detector=detector,
            filter=filter,
            data=np.where(outline, values, np.float32(0)),
            outline=outline,
            unit=unit,
            history=History().then("take wisp template", origin=place),
        )

    def fit_scale(self, exposure: Exposure, mask: Any = None, *, correction: Any = None) -> WispScale:
        """Fit the strength of the wisp in an exposure.

        Parameters
        ----------
        exposure
            An `~nircam_flats.Exposure` of the template's detector, filter and shape.
        mask
            Pixels to leave out, besides those that are not good: a `~nircam_flats.SourceMask` or a boolean image. By
            default sources, and light that is spread wider (halos), are masked with the wisp taken out meanwhile; that
            takes an image that is flat but for the wisp.
        correction
            The `~nircam_flats.FlatModelFit` that is still missing from the flat of the exposure; None if it is flat.

        Returns
        -------
        WispScale

        Raises
        ------
        InvalidInputError
            If the exposure, mask or correction is of another detector, filter, shape or unit.
        FitError
            If nearly all of the wisp is masked, or sources and other light hide four fifths of it and no mask is given.

        Notes
        -----
        Generalised least squares of ``data / correction = background + value * template`` on the medians of boxes (32
        px in full frames). The background is a plane and 1/f stripes, whose variances, within an
        amplifier and between all, are what boxes far from each other share. Boxes beyond 4 sigma are left out in turns.
        The error counts noise that boxes share: it is the sum over all pairs of boxes of what each adds to the value,
        times the covariance that the residual shows at their distance (or what the model of the noise says, if that is
        more), or what the residual shows where the wisp is, by blocks of rows in an amplifier, if that is more; in
        quadrature with the error of the template as a whole (`amplitude_err`). Noise of the template, which weakens
        strengths, is allowed for; the exposure's own noise is taken out of a template that it has a part in
        (`influences`).
        """
        return fit_wisp(self, exposure, mask, correction=correction)

    def write(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write a FITS file (extensions SCI, ERR, OUTLINE, INFLUENCES, EXPOSURES) that `read` reads back."""
        write_template(self, path, overwrite=overwrite)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read what `write` wrote.

        Raises
        ------
        InvalidInputError
            If the file is no wisp template of this library; `from_image` takes others.
        """
        with reading(path):
            return cls(**read_template(path))

    def plot(self, ax: Any = None, **artist_options: Any) -> Any:
        """Draw the template and its outline; returns the artist of the image."""
        from nircam_flats.plotting import draw_wisp

        return draw_wisp(self, ax=ax, **artist_options)


def _first_image(path):
    with open_fits(path) as hdus:
        for hdu in hdus:
            if isinstance(hdu.data, np.ndarray) and hdu.data.dtype.fields is None and hdu.data.ndim == 2:
                return hdu.data
    raise InvalidInputError(f"{path}: an image with two dimensions is needed; the file has none")
