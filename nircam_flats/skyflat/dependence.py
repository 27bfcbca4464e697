"""How the flat of one filter departs from that of all filters together."""

from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from astropy import units as u
from astropy.table import QTable
from astropy.time import Time
from attrs import field, frozen

from nircam_flats._fields import HoldsArrays, image, readonly, to_tuple
from nircam_flats._files import reading
from nircam_flats.exceptions import InvalidInputError, demand
from nircam_flats.instrument import Detector, Filter
from nircam_flats.instrument.attitude import unit_vectors
from nircam_flats.instrument.detector import to_detector
from nircam_flats.instrument.filters import to_filter
from nircam_flats.kernels import box_medians, clipped_statistics
from nircam_flats.provenance import History
from nircam_flats.skyflat import _fits
from nircam_flats.skyflat._store import digest
from nircam_flats.skyflat.gradient import Gradient, MeshPlane, jackknife_covariance, jackknife_factor
from nircam_flats.skyflat.meshes import MESH_BOX, smoothed, white_variance_of_medians

__all__ = ["FilterDependence"]

DIVIDE_BY_GREY = "divide by grey"
"""Name of the step in the history, by which a fit of a ratio is told from one of a delta skyflat."""
SAME_ROLL = 1
"""Degrees by which frames of the same field may be turned: less than a box at the edge of the frame."""
AROUND = 5
"""Side of the area, boxes, in which frames are taken to err alike."""
UNLIKE = 1.2
"""How unlike medians are that share values, beyond what their errors say; see the notes of `between`."""


def _to_filters(names):
    return tuple(Filter.get(name) for name in names)


@frozen(kw_only=True, eq=False)
class FilterDependence(HoldsArrays):
    """The delta skyflat of one filter divided by the grey one: what is particular to the filter.

    A fit takes it as it takes a delta skyflat (`~nircam_flats.FlatModelFit.from_delta`). What comes of it corrects no
    ground flat: `~nircam_flats.FlatReference.corrected_by` refuses it.

    Attributes
    ----------
    detector, filter
        What it is about.
    data, err, n_used
        float32 ratio, median 1, its 1 sigma error, and the number of frames of the filter behind each pixel. NaN where
        one of the two has no value, or no frame of another filter saw the pixel.
    mesh
        float32: the ratio in boxes of 32 x 32 pixels, median 1; NaN where unmeasured. It is the ratio of the clipped
        medians of the two images, not the median of ``data``: where the grey median happens to be the filter's own
        value the ratio is 1 exactly, and in noisy images so many pixels are that their median is too near to 1.
    influences
        float32, shape (frames, boxes in y, boxes in x): what each frame adds to the mean of each 32 x 32 box. Those of
        the filter itself pull both images. Frames that saw the same field share its faint sources and halos, most of
        which the ratio is free of; they count as one.
    frames
        Names of these frames, a tuple; of frames of the same field that of the first.
    grey_filters
        The filters that it is relative to.
    flat_names, exposures, first_date, last_date
        Those of the delta skyflat of the filter.
    history
        How it was made.
    """

    detector: Detector = field(converter=to_detector, repr=str)
    filter: Filter = field(converter=to_filter, repr=str)
    data: np.ndarray = image(sets_shape=True)
    err: np.ndarray = image()
    n_used: np.ndarray = image(np.int32)
    mesh: np.ndarray = image(follows_shape=False)
    influences: np.ndarray = image(ndim=3, follows_shape=False)
    frames: tuple = field(converter=to_tuple, repr=lambda names: f"<{len(names)} frames>")
    grey_filters: tuple = field(converter=_to_filters, repr=lambda items: f"<{', '.join(map(str, items))}>")
    flat_names: dict = field(converter=dict, repr=False)
    exposures: QTable = field(repr=lambda table: f"<{len(table)} exposures>")
    first_date: Time | None = field(default=None, repr=False)
    last_date: Time | None = field(default=None, repr=False)
    history: History = field(factory=History, repr=False)

    @classmethod
    def between(cls, delta: Any, grey: Any) -> Self:
        """Divide the `DeltaSkyflat` of one filter by that of all; `DeltaSkyflat.relative_to` does the same.

        Raises
        ------
        InvalidInputError
            If ``delta`` is of several filters, ``grey`` of this filter alone, they are of different detectors or
            shapes, or no pixel has a value in both.

        Notes
        -----
        The frames of the filter are in both, so the errors are correlated. For medians (or means) of n_f and n
        frames, n_f of them shared, the correlation is ``sqrt(n_f / n)`` whatever their noise, and the variance of the
        ratio, relative, ``v = s_f^2 + s_g^2 - 2 sqrt(n_f / n) s_f s_g``. Medians are less alike than that, by how many
        values happen to lie between the two: ``1.2 (1 - 2 / n_f) s_g sqrt(v / n)`` is added. The form is that of the
        remainder of Bahadur (1966, *Annals of Mathematical Statistics* 37, 577), the numbers are what normal samples
        show, n_f being 3 to 40 of n = 6 to 80; errors of means are up to a tenth too large by it.
        """
        for item in (delta, grey):
            demand(item, "influences", "FilterDependence.between needs two DeltaSkyflat")
        _refuse_unlike(delta, grey)
        good = delta.good & grey.good
        of_own, of_grey = (item.exposures[item.exposures["used"]] for item in (delta, grey))
        own, common = ([str(name) for name in rows["name"]] for rows in (of_own, of_grey))
        shared = len(set(own) & set(common)) / len(own)
        if shared == 1:
            good = good & (grey.n_used > delta.n_used)
        if not good.any():
            raise InvalidInputError(
                f"FilterDependence of {delta.detector} {delta.label} needs pixels seen in other filters too; none is"
            )
        data, err = np.empty_like(delta.data), np.empty_like(delta.data)
        for start in range(0, len(data), MESH_BOX):  # band by band, which stays in the cache
            rows = slice(start, start + MESH_BOX)
            data[rows], err[rows] = _ratio(delta, grey, good, rows, shared)
        level = clipped_statistics(data, where=good, max_iterations=0)[0]  # the median
        data /= np.float32(level)
        err /= np.float32(level)
        frames, influences = _influences(delta, grey, own, common, _first_of_field(of_own, of_grey, delta.detector))
        return cls(
            detector=delta.detector,
            filter=delta.filters[0],
            data=readonly(data),
            err=readonly(err),
            n_used=readonly(np.where(good, delta.n_used, 0)),
            mesh=_mesh_of_ratio(delta, grey, good),
            influences=influences,
            frames=frames,
            grey_filters=grey.filters,
            flat_names=delta.flat_names,
            exposures=delta.exposures,
            first_date=delta.first_date,
            last_date=delta.last_date,
            history=delta.history.then(DIVIDE_BY_GREY, filters="+".join(item.name for item in grey.filters)),
        )

    @property
    def filters(self) -> tuple:
        """The filter, as a tuple."""
        return (self.filter,)

    @property
    def label(self) -> str:
        """Name of the filter."""
        return self.filter.name

    @property
    def box_size(self) -> int:
        """Side of the boxes of `influences` and of the meshes, pixels."""
        return MESH_BOX

    @cached_property
    def key(self):
        """Text that stands for its content."""
        facts = (self.detector.name, self.label, self.flat_names, self.history)
        return digest(self.data, self.err, self.influences, *self.frames, *facts)

    @cached_property
    def good(self):
        """Boolean image: pixels with a value."""
        return readonly(np.isfinite(self.data))

    @cached_property
    def white_variance(self):
        """Variance of `mesh` that `influences` do not tell, because they are those of means and not of medians."""
        return white_variance_of_medians(self.err)

    @cached_property
    def mesh_err(self):
        """1 sigma error of `mesh`, from the jackknife over frames; the level of a flat is a convention and left out.

        The variance of a box is that of the 5 x 5 boxes around: of few frames, its own is rough.
        """
        measured = np.isfinite(self.mesh)
        levels = np.array([np.median(pull[measured]) for pull in self.influences])
        departures = self.influences.astype(float) - levels[:, None, None]
        variance = jackknife_factor(len(levels)) * np.sum((departures - departures.mean(axis=0)) ** 2, axis=0)
        around = smoothed(np.where(measured, variance, np.nan), AROUND)
        variance = np.where(np.isfinite(around), around, variance)
        return readonly(np.sqrt(np.where(measured, variance + self.white_variance, np.nan)).astype(np.float32))

    @property
    def significance(self) -> np.ndarray:
        """By how many standard deviations each box of 32 px departs from grey, a float32 mesh."""
        return readonly((self.mesh - 1) / self.mesh_err)

    @cached_property
    def plane(self):
        """The `MeshPlane` over the measured boxes, by which gradients are taken."""
        return MeshPlane(np.isfinite(self.mesh), MESH_BOX, self.data.shape)

    @cached_property
    def gradient(self):
        """The large-scale `Gradient` of the ratio, with its errors."""
        x, y = self.plane.slopes(self.mesh)
        covariance = jackknife_covariance(self.plane.slopes(self.influences))
        return Gradient(x=x, y=y, covariance=covariance + self.plane.white_covariance(self.white_variance))

    def write(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write a FITS file (extensions SCI, ERR, N_USED, MESH, INFLUENCES, ...) that `read` reads back."""
        _fits.write_dependence(self, path, overwrite=overwrite)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read what `write` wrote.

        Raises
        ------
        InvalidInputError
            If the file is no filter dependence; the text names it and what is missing.
        """
        with reading(path):
            return cls(**_fits.read_dependence(path))

    def plot(self, ax: Any = None, **artist_options: Any) -> Any:
        """Draw `mesh`, as the ratio of single pixels shows noise; returns the artist."""
        from nircam_flats.plotting import draw_flat

        title = f"{self.detector}: {self.label} / grey"
        return draw_flat(self.mesh, ax=ax, title=title, pixel=self.box_size, **artist_options)


def _refuse_unlike(delta, grey):
    if len(delta.filters) != 1:
        raise InvalidInputError(
            f"FilterDependence needs a delta skyflat of one filter; got one of {', '.join(map(str, delta.filters))}"
        )
    if tuple(grey.filters) == tuple(delta.filters):
        raise InvalidInputError(
            f"FilterDependence of {delta.label} needs a grey delta skyflat with other filters besides; got one of "
            f"{grey.label} alone"
        )
    if delta.detector != grey.detector or delta.data.shape != grey.data.shape:
        raise InvalidInputError(
            f"FilterDependence needs a grey delta skyflat of {delta.detector}, shape {delta.data.shape}; got one of "
            f"{grey.detector}, shape {grey.data.shape}"
        )


def _ratio(delta, grey, good, rows, shared):
    """The ratio in some rows and its 1 sigma error, NaN where there is none; see the notes of `between`."""
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(good[rows], delta.data[rows] / grey.data[rows], np.float32(np.nan))
        own, common = delta.err[rows] / delta.data[rows], grey.err[rows] / grey.data[rows]
        n_shared = np.minimum(delta.n_used[rows] / grey.n_used[rows], 1, dtype=np.float32)
        variance = own**2 + common**2 - 2 * np.float32(shared) * np.sqrt(n_shared) * own * common
        unlike = UNLIKE * shared * np.maximum(1 - 2 / delta.n_used[rows], 0) * common * np.sqrt(1 / grey.n_used[rows])
        return ratio, ratio * np.sqrt(variance + unlike.astype(np.float32) * np.sqrt(variance))


def _mesh_of_ratio(delta, grey, good):
    own, common = (box_medians(np.where(good, part.data, np.float32(np.nan)), MESH_BOX)[0] for part in (delta, grey))
    mesh = own / common
    return readonly(mesh / np.nanmedian(mesh))


def _first_of_field(own, common, detector):
    """The name of each frame, and that of the first that saw the same field turned the same way, a dict.

    The same is what is less than a box away and turned by less than 1 degree. Of frames whose pointing is not known,
    and where a filter has seen one field only, each is for itself.
    """
    rows = {str(row["name"]): row for table in (common, own) for row in table}
    names = np.array(list(rows))
    ra, dec, roll = (u.Quantity([row[name] for row in rows.values()]).to_value(u.deg) for name in ("ra", "dec", "roll"))
    places = unit_vectors(np.radians(ra), np.radians(dec))
    apart = np.linalg.norm(places[:, None] - places, axis=-1) * u.rad
    turned = np.abs((roll[:, None] - roll + 180) % 360 - 180)
    same = (apart < MESH_BOX * detector.pixel_scale) & (turned < SAME_ROLL)
    np.fill_diagonal(same, True)
    first = dict(zip(rows, names[same.argmax(axis=1)].tolist(), strict=True))
    several = all(len({first[str(name)] for name in table["name"]}) > 1 for table in (own, common))
    return first if several else dict(zip(rows, rows, strict=True))


def _influences(delta, grey, own, common, first):
    """The frames that count, and what each adds to the ratio: its influence on the filter's image less that on grey.

    The jackknife of N frames gives the variance of a sum of influences as N / (N - 1) times the sum of their squares;
    the images have fewer frames, whose influences are scaled to make up for it. So it is where several frames of the
    filter count as one.
    """
    place = {name: index for index, name in enumerate(dict.fromkeys(first.values()))}
    together = jackknife_factor(len({first[name] for name in own})) / jackknife_factor(len(own))
    influences = np.zeros((len(place), *delta.influences.shape[1:]), np.float32)
    for sign, part, names in ((1, delta, own), (-1, grey, common)):
        scale = sign * np.sqrt(together * jackknife_factor(len(names)) / jackknife_factor(len(place)))
        np.add.at(influences, [place[first[name]] for name in names], np.float32(scale) * part.influences)
    return list(place), readonly(influences)
