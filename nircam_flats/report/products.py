"""What a run made: the products of each detector, what is missing and why, and how all of it is saved."""

from pathlib import Path

import numpy as np
from astropy.table import QTable, Table, vstack
from attrs import field, frozen

from nircam_flats._files import atomic_path
from nircam_flats.exceptions import InvalidInputError
from nircam_flats.fit import FlatModelFit
from nircam_flats.instrument import Detector
from nircam_flats.kernels import box_medians
from nircam_flats.plotting import detector_figure
from nircam_flats.skyflat import DeltaSkyflat

__all__ = ["DetectorProducts", "Problem", "SkyFlatProgram"]

SUMMARY = "summary.ecsv"
EXPOSURES = "exposures.ecsv"


@frozen(kw_only=True)
class Problem:
    """Something that was asked for and not made.

    Attributes
    ----------
    what
        What was not made, such as 'NRCB4 F200W flight flat'.
    reason
        Why, as a sentence.
    """

    what: str = field(converter=str)
    reason: str = field(converter=str)

    def __str__(self):
        return f"{self.what}: {self.reason}"


@frozen(kw_only=True, eq=False)
class DetectorProducts:
    """The products of one detector.

    Attributes
    ----------
    detector
        The detector.
    grey, by_filter
        Delta skyflats: of all filters together, and of each filter (dict by filter name).
    fit
        The smooth model of the grey one.
    flats
        Flight flats, dict by filter name.
    problems
        What could not be made, each a `Problem`.
    """

    detector: Detector = field()
    grey: DeltaSkyflat = field()
    by_filter: dict = field(converter=dict, repr=lambda items: f"<{', '.join(items)}>")
    fit: FlatModelFit = field()
    flats: dict = field(converter=dict, repr=lambda items: f"<{', '.join(items)}>")
    problems: tuple = field(converter=tuple)

    def files(self):
        """Return the files of the products: dict from path within the output folder to the product."""
        stem = self.detector.name.lower()
        files = {f"delta/{stem}_grey_delta.fits": self.grey, f"fits/{stem}_grey_fit.fits": self.fit}
        files |= {f"delta/{stem}_{name.lower()}_delta.fits": delta for name, delta in self.by_filter.items()}
        files |= {f"flats/{stem}_{name.lower()}_flat.fits": flat for name, flat in self.flats.items()}
        return files

    def write(self, out, *, overwrite=False):
        """Write the delta skyflats, the fit, the flight flats and a figure below the folder ``out``.

        Raises
        ------
        InvalidInputError
            If a file exists and ``overwrite`` is false.
        """
        for name, product in self.files().items():
            path = Path(out) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            product.write(path, overwrite=overwrite)
        path = Path(out) / f"figures/{self.detector.name.lower()}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path, overwrite=overwrite) as temporary:
            self.figure().savefig(temporary, dpi=110)

    def figure(self):
        """Return a figure of the grey delta skyflat, its surface and the residual."""
        return detector_figure(self.grey, self.fit)

    @property
    def summary(self):
        """One row: exposures used and left out, change of the flat, its error, what was made."""
        used = np.asarray(self.grey.exposures["used"])
        return {
            "detector": self.detector.name,
            "filters": ", ".join(item.name for item in self.grey.filters),
            "n_used": int(used.sum()),
            "n_left_out": int((~used).sum()),
            "change": peak_to_peak(self.fit.surface, self.grey.good),
            "fit_err": float(np.median(self.fit.err)),
            "misfit": self.fit.misfit,
            "strategy": self.fit.strategy,
            "n_flats": len(self.flats),
            "n_problems": len(self.problems),
        }


def peak_to_peak(image, good, box_size=64):
    """Large-scale range of a flat: largest minus smallest of its medians in boxes of ``box_size`` px."""
    medians = box_medians(np.where(good, image, np.float32(np.nan)), box_size)[0]
    return float(np.nanmax(medians) - np.nanmin(medians))


@frozen(kw_only=True, eq=False)
class SkyFlatProgram:
    """What `~nircam_flats.recipes.sky_flat_program` made.

    Attributes
    ----------
    products
        A `DetectorProducts` per detector.
    problems
        What could not be made, over all detectors.
    unread
        Files that were no usable exposures, each an `~nircam_flats.Exclusion`.
    """

    products: tuple = field(converter=tuple, repr=lambda items: f"<{len(items)} detectors>")
    problems: tuple = field(converter=tuple)
    unread: tuple = field(factory=tuple, converter=tuple)

    @property
    def complete(self):
        """Whether everything asked for was made."""
        return bool(self.products) and not self.problems

    @property
    def summary(self):
        """A `~astropy.table.Table` with a row per detector."""
        return Table(rows=[item.summary for item in self.products])

    @property
    def exposures(self):
        """A `~astropy.table.QTable` with a row per exposure: used or not, and why not."""
        tables = []
        for item in self.products:
            table = item.grey.exposures.copy()
            table.add_column([item.detector.name] * len(table), name="detector", index=1)
            tables.append(table)
        if self.unread:
            rows = [(item.name, "", "", False, item.reason) for item in self.unread]
            tables.append(QTable(rows=rows, names=["name", "detector", "filter", "used", "reason"]))
        return vstack(tables) if tables else QTable()

    def write(self, out, *, overwrite=False):
        """Write everything below the folder ``out``: delta/, fits/, flats/, figures/, and the two tables.

        Raises
        ------
        InvalidInputError
            If a file exists and ``overwrite`` is false.
        """
        out = prepared_folder(out, overwrite=overwrite)
        for item in self.products:
            item.write(out, overwrite=overwrite)
        self.write_tables(out, overwrite=overwrite)

    def write_tables(self, out, *, overwrite=False):
        """Write summary.ecsv (a row per detector; what is missing and why in its header) and exposures.ecsv."""
        summary = self.summary
        summary.meta["problems"] = [str(problem) for problem in self.problems]
        for name, table in ((SUMMARY, summary), (EXPOSURES, self.exposures)):
            with atomic_path(Path(out) / name, overwrite=overwrite) as temporary:
                table.write(temporary, format="ascii.ecsv", overwrite=True)


def prepared_folder(out, *, overwrite):
    """Return the folder ``out``, made if need be.

    Raises
    ------
    InvalidInputError
        If it holds an earlier run and ``overwrite`` is false, or is no folder that can be written to.
    """
    out = Path(out).expanduser()
    if (out / SUMMARY).exists() and not overwrite:
        raise InvalidInputError(f"{out}: holds the products of an earlier run; choose another folder, or say overwrite")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInputError(f"{out}: a folder to write to is needed; {error.strerror}") from error
    return out
