"""One image of one detector: whole in memory, or its headers only."""

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import attrs
import numpy as np
from astropy.nddata import CCDData, StdDevUncertainty
from attrs import field, frozen

from nircam_flats._fields import image, readonly, to_tuple
from nircam_flats._files import reading
from nircam_flats.exceptions import InvalidInputError
from nircam_flats.exposure._fits import PLANES, read_facts, read_pixels, write_exposure
from nircam_flats.exposure.facts import ExposureFacts
from nircam_flats.instrument import DQ

__all__ = ["Exposure", "ExposureHeader"]


def _facts_of(exposure):
    return {item.alias: getattr(exposure, item.name) for item in attrs.fields(ExposureFacts)}


@frozen(kw_only=True, eq=False)
class Exposure(ExposureFacts):
    """One calibrated image, whole in memory.

    Its facts are those of `~nircam_flats.exposure.facts.ExposureFacts`; one made from arrays needs but two of them,
    the detector and the filter. All images are ``[y, x]``, science orientation, of one shape; all but `data` may be
    None.

    Attributes
    ----------
    data
        The image, float32, in `unit`.
    err
        Its 1-sigma error, float32, in `unit`.
    dq
        Data-quality bits (`DQ`), uint32.
    var_poisson, var_rnoise, var_flat
        Variances by photon noise, read noise and the flat, float32, in `unit` squared.
    area
        Area of each pixel on the sky relative to the nominal one, float32.

    Examples
    --------
    >>> import numpy as np
    >>> from nircam_flats import Exposure
    >>> exposure = Exposure(data=np.ones((64, 64)), detector="B4", filter="F200W")
    >>> exposure.detector.name, exposure.shape, int(exposure.good.sum())
    ('NRCB4', (64, 64), 4096)
    """

    data: np.ndarray = image(sets_shape=True)
    err: np.ndarray | None = image(optional=True)
    dq: np.ndarray | None = image(np.uint32, optional=True)
    var_poisson: np.ndarray | None = image(optional=True)
    var_rnoise: np.ndarray | None = image(optional=True)
    var_flat: np.ndarray | None = image(optional=True)
    area: np.ndarray | None = image(optional=True)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the image."""
        return self.data.shape

    @cached_property
    def good(self):
        """Boolean image, True where a pixel is finite and not flagged DO_NOT_USE."""
        good = np.isfinite(self.data)
        if self.dq is not None:
            good &= ~DQ.DO_NOT_USE.is_set(self.dq)
        return readonly(good)

    @classmethod
    def read(cls, path: str | Path, planes: Iterable[str] = tuple(PLANES)) -> Self:
        """Read a ``_cal`` file of the JWST pipeline.

        Parameters
        ----------
        path
            The file.
        planes
            The images to read besides SCI and DQ, which always are: any of 'err', 'var_poisson',
            'var_rnoise', 'var_flat', 'area'. One that the file has not is None.

        Raises
        ------
        InvalidInputError
            If this is no whole FITS file with SCI and DQ, or no calibrated NIRCam image in detector pixels.
        """
        facts = read_facts(path)
        del facts["shape"]
        with reading(path):
            return cls(**facts, **read_pixels(path, planes))

    @classmethod
    def from_datamodel(cls, model: Any) -> Self:
        """Return the exposure that an ``ImageModel`` of stdatamodels holds.

        A copy of the model passes through its own FITS writer, so it is understood, or refused, as a file is.

        Raises
        ------
        InvalidInputError
            As `read` does.
        """
        if not all(hasattr(model, name) for name in ("meta", "copy", "to_fits")):
            came = type(model).__name__
            raise InvalidInputError(f"Exposure.from_datamodel: needed an ImageModel of stdatamodels; got {came}")
        name = model.meta.filename
        with TemporaryDirectory() as folder:
            path = Path(folder) / Path(name or "unnamed_cal").with_suffix(".fits").name
            with model.copy() as copy:
                copy.to_fits(str(path))
            exposure = cls.read(path)
        return attrs.evolve(exposure, path=None, name=exposure.name if name else "")

    def write(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the exposure as a ``_cal`` file, with the header cards it was read with that still hold.

        Without `dq`, the file's DQ flags nothing.

        Parameters
        ----------
        path
            The file; it appears whole or not at all.
        overwrite
            Whether a file that exists already may be replaced.

        Raises
        ------
        InvalidInputError
            If the file exists already and ``overwrite`` is false, its folder does not exist, or the exposure
            is not what a ``_cal`` file holds: imaging, in surface brightness, with S_FLAT and S_PHOTOM.
        """
        write_exposure(self, path, overwrite=overwrite)

    def to_ccddata(self) -> Any:
        """Return a copy as `~astropy.nddata.CCDData`; its mask is True where a pixel is not `good`."""
        return CCDData(
            self.data.copy(),
            unit=self.unit,
            uncertainty=None if self.err is None else StdDevUncertainty(self.err.copy()),
            mask=~self.good,
            flags=None if self.dq is None else self.dq.copy(),
            meta=self.header,
            wcs=self.wcs,
        )

    def load(self, planes: Iterable[str] = tuple(PLANES)) -> Any:
        """Return this exposure, so that members of an `ExposureSet` in memory and on disk are used alike."""
        return self

    def without_pixels(self) -> "ExposureHeader":
        """Return the facts alone."""
        return ExposureHeader(**_facts_of(self), shape=self.shape)

    def with_pixels(self, data: np.ndarray) -> "Exposure":
        """Return the exposure with no other image than ``data``, NaN where it is not good."""
        return Exposure(**_facts_of(self), data=data)


@frozen(kw_only=True, eq=False)
class ExposureHeader(ExposureFacts):
    """What the headers of a ``_cal`` file say, without its pixels.

    Its facts are those of `~nircam_flats.exposure.facts.ExposureFacts`, and `shape`, the rows and columns of the image.
    """

    shape: tuple[int, int] = field(converter=to_tuple)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read the headers of a ``_cal`` file, no pixels.

        Raises
        ------
        InvalidInputError
            As `Exposure.read` does.
        """
        with reading(path):
            return cls(**read_facts(path))

    def load(self, planes: Iterable[str] = tuple(PLANES)) -> Any:
        """Return the `Exposure`, read from `path`; ``planes`` as in `Exposure.read`."""
        if self.path is None:
            raise InvalidInputError(f"ExposureHeader.load: needed a path; exposure {self.name!r} came from no file")
        return Exposure.read(self.path, planes)

    def without_pixels(self) -> "ExposureHeader":
        """Return this header, which has none."""
        return self

    def with_pixels(self, data: np.ndarray) -> "Exposure":
        """Return the exposure of these facts and the image ``data``, NaN where it is not good."""
        return Exposure(**_facts_of(self), data=data)
