"""How flat the sky is in exposures divided by the old and by the new flat."""

from concurrent.futures import Executor
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self

import numpy as np
from astropy.table import QTable
from attrs import field, frozen
from scipy.ndimage import uniform_filter1d

from nircam_flats._fields import HoldsArrays, image, readonly
from nircam_flats._files import reading
from nircam_flats.exceptions import InvalidInputError
from nircam_flats.exposure import ExposureSet
from nircam_flats.instrument import Detector
from nircam_flats.instrument.detector import to_detector
from nircam_flats.kernels import box_means, box_medians, clipped_statistics, mesh_range
from nircam_flats.masks import Segmentation
from nircam_flats.provenance import History
from nircam_flats.skyflat import NormalizedFrame
from nircam_flats.skyflat.frames import described
from nircam_flats.validation import _fits
from nircam_flats.validation._exchange import FlatExchange, exposure_rows, to_exposures, work_on_each
from nircam_flats.validation._noise import deviations, noise_of_stack, stacked

__all__ = ["Flatness", "FlatnessComparison"]

MIN_FRACTION = 0.5
"""Part of the pixels of a box, row or column that must be left for it to have a median: what is left between sources
when most is masked is neither as well known nor as empty as its number of pixels says."""


@frozen(kw_only=True, eq=False)
class Flatness(HoldsArrays):
    """Large-scale structure of the sky in exposures that one flat divided: 1 everywhere if it were flat.

    Attributes
    ----------
    meshes
        Clipped medians of square boxes of each exposure, divided by its sky level: float32, (exposures, boxes in y,
        boxes in x); NaN where fewer than half of the pixels are left.
    n_pixels
        Pixels that each of these medians was taken of, int32.
    rows, columns
        Clipped median of each row and of each column of pixels of each exposure: float32, (exposures, rows) and
        (exposures, columns).
    box_size
        Side of the boxes, pixels.
    """

    meshes: np.ndarray = image(ndim=3, sets_shape=True)
    n_pixels: np.ndarray = image(np.int32, ndim=3)
    rows: np.ndarray = image(follows_shape=False)
    columns: np.ndarray = image(follows_shape=False)
    box_size: int = field(converter=int)

    @classmethod
    def from_images(cls, images: Any, box_size: int = 64) -> Self:
        """Measure images of the sky, each float32 ``[y, x]`` with a level of 1, NaN where masked.

        Raises
        ------
        InvalidInputError
            If there is no image, or they differ in shape.

        Examples
        --------
        >>> import numpy as np
        >>> from nircam_flats import Flatness
        >>> rng = np.random.default_rng(1)
        >>> gradient = np.linspace(0.98, 1.02, 128)
        >>> flatness = Flatness.from_images([gradient + rng.normal(0, 0.02, (128, 128)) for _ in range(4)], 32)
        >>> round(flatness.peak_to_peak, 2), bool(flatness.floor.peak_to_peak < 0.005)
        (0.03, True)
        """
        parts = [_measured(np.asarray(item, np.float32), box_size) for item in images]
        shapes = {part["rows"].shape + part["columns"].shape for part in parts}
        if len(shapes) != 1:
            raise InvalidInputError(
                f"Flatness.from_images needs images of one shape; got {len(parts)} of {len(shapes)} shapes"
            )
        names = ("meshes", "n_pixels", "rows", "columns")
        stacks = {name: np.stack([part[name] for part in parts]) for name in names}
        return cls(**stacks, box_size=box_size)

    @cached_property
    def stack(self):
        """Mean of the meshes over the exposures, weighted with the pixels left in each box, float32."""
        return readonly(stacked(self.meshes, self.n_pixels)[0].astype(np.float32))

    @property
    def peak_to_peak(self) -> float:
        """Largest minus smallest value of `stack`."""
        return mesh_range(self.stack)

    @property
    def rms(self) -> float:
        """Standard deviation of `stack`."""
        return float(np.nanstd(self.stack))

    @cached_property
    def noise_maps(self):
        """Meshes with the noise of `stack` and nothing else, from differences of half stacks: (splits, y, x).

        Raises
        ------
        InvalidInputError
            If there is one exposure only.
        """
        if len(self.meshes) < 2:
            raise InvalidInputError("Flatness needs two exposures or more to tell the noise of their stack; got 1")
        return readonly(noise_of_stack(self.meshes, self.n_pixels).astype(np.float32))

    @property
    def floor(self) -> "NoiseFloor":
        """What noise alone would show in the stack: a `~nircam_flats.validation.flatness.NoiseFloor`."""
        return NoiseFloor.of(self.noise_maps)

    @cached_property
    def table(self):
        """`~astropy.table.QTable`, a row for each exposure: peak to peak, rms, and those of its noise alone."""
        noise = deviations(self.meshes, self.n_pixels)
        table = QTable()
        table["peak_to_peak"] = [mesh_range(mesh) for mesh in self.meshes]
        table["rms"] = [np.nanstd(mesh) for mesh in self.meshes]
        table["floor_peak_to_peak"] = [mesh_range(mesh) for mesh in noise]
        table["floor_rms"] = [np.nanstd(mesh) for mesh in noise]
        return table

    def profile(self, along: str, exposure: int | None = None, *, width: int = 16) -> Any:
        """Return a collapsed profile: places (pixels), values relative to their median, and 1 sigma errors; float64.

        Parameters
        ----------
        along
            'rows': collapsed to a value for each row; 'columns': for each column.
        exposure
            Number of the exposure; by default the mean over all.
        width
            Rows or columns that are averaged to a point.

        Notes
        -----
        The errors are those that the exposures' own differences show, root mean square over as many points as lie in a
        box: so the stripes of 1/f noise, which run along the rows, count.
        """
        if along not in ("rows", "columns"):
            raise InvalidInputError(f"Flatness.profile must be along 'rows' or 'columns'; got {along!r}")
        values = _binned(getattr(self, along).astype(float), width)
        values /= np.nanmedian(values, axis=1, keepdims=True)
        weights = np.ones(values.shape)
        if exposure is None:
            middle = stacked(values, weights)[0]
            variance = np.mean(noise_of_stack(values, weights) ** 2, axis=0)
        else:
            middle, variance = values[exposure], deviations(values, weights)[exposure] ** 2
        known, size = np.isfinite(variance), max(1, self.box_size // width)
        part, total = (
            uniform_filter1d(item, size, mode="nearest")
            for item in (known.astype(float), np.where(known, variance, 0.0))
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            err = np.where(np.isfinite(middle), np.sqrt(total / part), np.nan)
        return width * np.arange(middle.size) + (width - 1) / 2, middle, err


@frozen(kw_only=True)
class NoiseFloor:
    """Peak to peak and root mean square that noise alone would have.

    Attributes
    ----------
    peak_to_peak, rms
        Relative to the sky.
    """

    peak_to_peak: float = field()
    rms: float = field()

    @classmethod
    def of_delta(cls, delta, box_size=64):
        """Return the floor of a `~nircam_flats.DeltaSkyflat` in boxes, by the influences of its exposures.

        They tell how much each exposure pulls each box; halves of the exposures that pull against each other show the
        noise of the stack and not the flat.
        """
        layers = len(delta.influences) * delta.influences.astype(np.float32)
        layers = np.array([box_means(layer, box_size // delta.box_size) for layer in layers])
        return cls.of(noise_of_stack(layers, np.ones(layers.shape)))

    @classmethod
    def of(cls, maps):
        """Return the floor that maps of noise show on average."""
        variances = [np.nanvar(item) for item in maps]
        peaks = [mesh_range(item) for item in maps]
        return cls(peak_to_peak=float(np.mean(peaks)), rms=float(np.sqrt(np.mean(variances))))


def _measured(values, box_size):
    medians, _, kept = box_medians(values, box_size, min_fraction=MIN_FRACTION)
    return {
        "meshes": medians,
        "n_pixels": kept,
        "rows": _line_medians(values),
        "columns": _line_medians(np.ascontiguousarray(values.T)),
    }


def _binned(values, width):
    """Mean over ``width`` neighbours along the last axis, ignoring NaN; the rest at the end is left out."""
    n = max(1, values.shape[1] // width)
    parts = values[:, : n * width].reshape(len(values), n, -1)
    return stacked(np.moveaxis(parts, 2, 0), np.ones((parts.shape[2], len(values), n)))[0]


def _line_medians(values):
    enough = np.isfinite(values).mean(axis=1) >= MIN_FRACTION
    return np.array([clipped_statistics(row)[0] if ok else np.nan for row, ok in zip(values, enough, strict=True)])


@frozen(kw_only=True, eq=False)
class FlatnessComparison(HoldsArrays):
    """Flatness of the sky in the same pixels of the same exposures, with the old and with the new flat.

    Attributes
    ----------
    detector
        Their detector.
    old, new
        `Flatness` with either flat, of the exposures used, in their order.
    exposures
        `~astropy.table.QTable`: ``name``, ``filter``, ``used``, ``reason`` (why it was left out), ``level`` (sky, with
        the new flat) and ``masked_fraction``.
    history
        How it was made.
    """

    detector: Detector = field(converter=to_detector, repr=str)
    old: Flatness = field()
    new: Flatness = field()
    exposures: QTable = field(repr=lambda table: f"<{len(table)} exposures>")
    history: History = field(factory=History, repr=False)

    @classmethod
    def from_exposures(
        cls,
        exposures: ExposureSet,
        *,
        old: Any,
        new: Any,
        masks: Any = None,
        box_size: int = 64,
        executor: Executor | None = None,
    ) -> Self:
        """Compare the flats on exposures of one detector.

        Parameters
        ----------
        exposures
            An `~nircam_flats.ExposureSet`, exposures, or paths of ``_cal`` files. Best are those that the new flat was
            not made of.
        old
            The flats that divided them, found by name: what `~nircam_flats.GroundFlats.collect` takes.
        new
            The `~nircam_flats.FlatReference` in their place, or several (a path, a folder, a list, or a dict), one for
            each filter.
        masks
            What is masked, as in `~nircam_flats.NormalizedFrames.from_exposures`, found in the exposure with the *new*
            flat and used with both; by default `~nircam_flats.Segmentation`.
        box_size
            Side of the boxes, pixels.
        executor
            Any `concurrent.futures.Executor`; by default threads for all cores.

        Raises
        ------
        InvalidInputError
            If fewer than two exposures can be used: without a difference between exposures the noise is not known.
        """
        exposures = to_exposures(exposures).for_one_detector()
        exchange = FlatExchange(old=old, new=new)
        masks = Segmentation() if masks is None else masks
        work = partial(_both, exchange=exchange, masks=masks, box_size=box_size)
        made, failed = work_on_each(work, exposures, executor=executor, stage="flatness")
        left_out = [*exposures.excluded, *failed]
        if len(made) < 2:
            raise InvalidInputError(
                f"FlatnessComparison needs two exposures that can be measured, so that their differences tell the "
                f"noise; got {len(made)}; left out: {'; '.join(map(str, left_out[:5])) or 'none'}"
            )
        headers, levels, olds, news = zip(*made, strict=True)
        table = exposure_rows(
            headers,
            left_out,
            level=([level.value * level.unit for level in levels], np.nan * levels[0].unit),
            masked_fraction=([level.masked_fraction for level in levels], np.nan),
        )
        return cls(
            detector=headers[0].detector,
            old=_joined(olds, box_size),
            new=_joined(news, box_size),
            exposures=table,
            history=History().then("flatness", masks=described(masks), box_size=box_size, exposures=len(made)),
        )

    @cached_property
    def table(self):
        """The numbers: `~astropy.table.QTable`, a row for each exposure, the last for the stack of all.

        Columns ``name``, and for each of the flats ``old_`` and ``new_``: ``peak_to_peak``, ``rms`` and those of the
        noise alone, ``floor_peak_to_peak`` and ``floor_rms``; all relative to the sky.
        """
        table = QTable({"name": [*self.exposures["name"][self.exposures["used"]], "stack"]})
        for name, flatness in (("old", self.old), ("new", self.new)):
            stack = (flatness.peak_to_peak, flatness.rms, flatness.floor.peak_to_peak, flatness.floor.rms)
            for column, last in zip(flatness.table.colnames, stack, strict=True):
                table[f"{name}_{column}"] = [*flatness.table[column], last]
                table[f"{name}_{column}"].info.format = ".4f"
        return table

    def __str__(self):
        lines = [f"{self.detector}: {len(self.new.meshes)} exposures, boxes of {self.new.box_size} px"]
        for name, item in (("old", self.old), ("new", self.new)):
            floor = item.floor
            lines.append(
                f"  {name} flat: peak to peak {item.peak_to_peak:.2%} (noise alone {floor.peak_to_peak:.2%}), rms "
                f"{item.rms:.2%} ({floor.rms:.2%})"
            )
        return "\n".join(lines)

    def write(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write a FITS file that `read` reads back."""
        _fits.write_flatness(self, path, overwrite=overwrite)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read what `write` wrote.

        Raises
        ------
        InvalidInputError
            If the file holds something else; the text names it.
        """
        with reading(path):
            fields = _fits.read_flatness(path)
            parts = {name: Flatness(**fields.pop(name)) for name in ("old", "new")}
            return cls(old=parts["old"], new=parts["new"], **fields)

    def plot(self, ax: Any = None, *, along: str = "columns", **artist_options: Any) -> Any:
        """Draw the stack's profile along 'rows' or 'columns' with both flats; returns the artist of the new one."""
        from nircam_flats.plotting import draw_profiles

        return draw_profiles(self, ax=ax, along=along, **artist_options)


def _both(member, *, exchange, masks, box_size):
    """Header, sky level, and measurements with the old and with the new flat, of one exposure."""
    before = member.load(planes=())
    after = NormalizedFrame.from_exposure(exchange.after(before), masks=masks)
    values = after.values
    same = NormalizedFrame.from_exposure(before, masks={before.name: np.isnan(values)})
    return member.without_pixels(), after.level, _measured(same.values, box_size), _measured(values, box_size)


def _joined(parts, box_size):
    return Flatness(**{name: np.stack([part[name] for part in parts]) for name in parts[0]}, box_size=box_size)
