"""What a run made: the products of each detector, what is missing and why, and how all of it is saved."""

import tempfile
import warnings
from pathlib import Path

import attrs
import numpy as np
from astropy import units as u
from astropy.table import QTable, Table, vstack
from attrs import field, frozen

from nircam_flats._fields import to_tuple
from nircam_flats._files import atomic_path
from nircam_flats._html import ShowsCard
from nircam_flats.defects import DeadPixelMap
from nircam_flats.exceptions import FlatsError, FlatsWarning, InvalidInputError
from nircam_flats.fit import FlatModelFit
from nircam_flats.instrument import Detector
from nircam_flats.kernels import peak_to_peak
from nircam_flats.plotting import detector_figure
from nircam_flats.report.page import PAGE, write_page
from nircam_flats.skyflat import DeltaSkyflat

__all__ = ["DetectorProducts", "Problem", "SkyFlatProgram", "prepared_folder"]

SUMMARY = "summary.ecsv"
EXPOSURES = "exposures.ecsv"
VERDICTS = "verdicts.ecsv"
PRODUCTS = (
    "delta/nrc*_delta.fits",
    "fits/nrc*_fit.fits",
    "flats/nrc*_flat.fits",
    "dead/nrc*_dead.fits",
    "dependence/nrc*_dependence.fits",
    "wisps/nrc*_wisp.fits",
    "figures/nrc*.png",
    PAGE,
)


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
class DetectorProducts(ShowsCard):
    """The products of one detector.

    Attributes
    ----------
    detector
        The detector.
    grey, by_filter
        Delta skyflats: of all filters together, and of each filter (dict by filter name).
    fit
        The smooth model of the grey one.
    fits
        Those that corrected single filters instead of it, dict by filter name; none if all flats are grey.
    flats
        Flight flats, dict by filter name.
    dead
        The pixels that died since the ground flat, a `~nircam_flats.DeadPixelMap`; None if it was not made.
    dependences
        Each filter over grey, a `~nircam_flats.FilterDependence` by filter name; none where there is one filter only.
    decompositions
        Response and light of each filter, a `~nircam_flats.SkyDecomposition` by filter name; none for detectors without
        wisps. Their delta skyflats are those of ``by_filter``.
    notes
        What to know about the products, sentences.
    problems
        What could not be made, each a `Problem`.
    policy
        The policy that chose the surface of each filter, as text.
    """

    detector: Detector = field()
    grey: DeltaSkyflat = field()
    by_filter: dict = field(converter=dict, repr=lambda items: f"<{', '.join(items)}>")
    fit: FlatModelFit = field()
    fits: dict = field(factory=dict, converter=dict, repr=lambda items: f"<{', '.join(items)}>")
    flats: dict = field(converter=dict, repr=lambda items: f"<{', '.join(items)}>")
    dead: DeadPixelMap | None = field(default=None, repr=False)
    dependences: dict = field(factory=dict, converter=dict, repr=lambda items: f"<{', '.join(items)}>")
    decompositions: dict = field(factory=dict, converter=dict, repr=lambda items: f"<{', '.join(items)}>")
    notes: tuple = field(factory=tuple, converter=to_tuple)
    problems: tuple = field(converter=to_tuple)
    policy: str = field(default="Grey()", converter=str)

    @property
    def verdicts(self):
        """A row for each structure of each filter that may be light: a list of dicts."""
        return [
            {"detector": self.detector.name, "filter": name} | attrs.asdict(verdict)
            for name, part in self.decompositions.items()
            for verdict in part.verdicts
        ]

    def files(self):
        """Return the files of the products: dict from path within the output folder to the product."""
        stem = self.detector.name.lower()
        files = {f"delta/{stem}_grey_delta.fits": self.grey, f"fits/{stem}_grey_fit.fits": self.fit}
        files |= {f"delta/{stem}_{name.lower()}_delta.fits": delta for name, delta in self.by_filter.items()}
        files |= {f"fits/{stem}_{name.lower()}_fit.fits": fit for name, fit in self.fits.items()}
        files |= {f"flats/{stem}_{name.lower()}_flat.fits": flat for name, flat in self.flats.items()}
        files |= {} if self.dead is None else {f"dead/{stem}_dead.fits": self.dead}
        files |= {f"dependence/{stem}_{name.lower()}_dependence.fits": item for name, item in self.dependences.items()}
        wisps = {name: part.wisp for name, part in self.decompositions.items() if part.wisp is not None}
        return files | {f"wisps/{stem}_{name.lower()}_wisp.fits": wisp for name, wisp in wisps.items()}

    @property
    def figure_file(self):
        """The path of the figure within the output folder."""
        return f"figures/{self.detector.name.lower()}.png"

    def write(self, out, *, overwrite=False):
        """Write all `files` and a figure below the folder ``out``.

        Raises
        ------
        InvalidInputError
            If files exist and ``overwrite`` is false, or cannot be written (all others are).
        """
        writers = {name: product.write for name, product in self.files().items()}
        failures = []
        for name, write in (writers | {self.figure_file: self._write_figure}).items():
            try:
                write(_placed(out, name), overwrite=overwrite)
            except InvalidInputError as error:
                failures.append(str(error))
        if failures:
            raise InvalidInputError("; ".join(failures))

    def _write_figure(self, path, *, overwrite):
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
            "fit_err": float(np.median(self.fit.covariance.err())),
            "misfit": self.fit.misfit,
            "n_dead": 0 if self.dead is None else int(np.count_nonzero(self.dead.new)),
            "n_concentrations": 0 if self.dead is None else len(self.dead.concentrations()),
            "strategy": self.fit.strategy,
            "n_flats": len(self.flats),
            "n_problems": len(self.problems),
            "notes": " ".join(f"{note.rstrip('.')}." for note in self.notes),
        }


def _placed(out, name):
    """Return the path of ``name`` below ``out``, whose folder is made if need be."""
    path = Path(out) / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInputError(f"{path.parent}: a folder to write to is needed; {error.strerror}") from error
    return path


@frozen(kw_only=True, eq=False)
class SkyFlatProgram(ShowsCard):
    """What `~nircam_flats.recipes.sky_flat_program` made.

    Attributes
    ----------
    products
        A `DetectorProducts` per detector.
    problems
        What could not be made, over all detectors.
    left_out
        Exposures of detectors of which nothing was made, and files that were no usable exposures, each an
        `~nircam_flats.Exclusion`. (What was left out of a detector's products, those tell themselves.)
    """

    products: tuple = field(converter=to_tuple, repr=lambda items: f"<{len(items)} detectors>")
    problems: tuple = field(converter=to_tuple)
    left_out: tuple = field(factory=tuple, converter=to_tuple, repr=lambda items: f"<{len(items)} left out>")

    @property
    def complete(self):
        """Whether everything asked for was made. (Exposures left out are no lack: the flats are there.)"""
        return bool(self.products) and not self.problems

    @property
    def notes(self):
        """What to know about the products, texts that name the detector."""
        return tuple(f"{item.detector}: {note}" for item in self.products for note in item.notes)

    @property
    def summary(self):
        """A `~astropy.table.Table` with a row per detector of which something was made."""
        return Table(rows=[item.summary for item in self.products])

    @property
    def verdicts(self):
        """A `~astropy.table.Table` with a row for each structure that may be light or response, and which it is."""
        return Table(rows=[row for item in self.products for row in item.verdicts])

    @property
    def exposures(self):
        """A `~astropy.table.QTable` with a row per exposure: used or not, and why not."""
        tables = []
        for item in self.products:
            table = item.grey.exposures.copy()
            table.add_column([item.detector.name] * len(table), name="detector", index=1)
            tables.append(table)
        if self.left_out:
            tables.append(_left_out_table(self.left_out))
        return vstack(tables, metadata_conflicts="silent") if tables else QTable()

    def write(self, out, *, overwrite=False):
        """Write everything below the folder ``out``: a folder for each kind of product, figures, tables and the page.

        Raises
        ------
        InvalidInputError
            If ``out`` holds an earlier run and ``overwrite`` is false, or cannot be written to, or a product cannot
            be written; all others are, with the tables and the page.
        """
        out = prepared_folder(out, overwrite=overwrite)
        failures = []
        for item in self.products:
            try:
                item.write(out, overwrite=overwrite)
            except FlatsError as error:
                failures.append(f"{item.detector}: {error}")
        self.write_tables(out, overwrite=overwrite)
        if failures:
            raise InvalidInputError(f"not all could be written; the rest is in {out}: {'; '.join(failures)}")

    def write_tables(self, out, *, overwrite=False, sections=()):
        """Write the tables and the page, with further ``sections`` if there are any.

        summary.ecsv (a row per detector; what is missing and why in its header), exposures.ecsv, verdicts.ecsv where
        wisps were separated, and report.html.

        Warns
        -----
        FlatsWarning
            If ``out`` also holds products of an earlier run that this one did not make.
        """
        summary = self.summary
        summary.meta["problems"] = [str(problem) for problem in self.problems]
        tables = {SUMMARY: summary, EXPOSURES: self.exposures}
        if any(item.decompositions for item in self.products):
            tables[VERDICTS] = self.verdicts
        for name, table in tables.items():
            with atomic_path(Path(out) / name, overwrite=overwrite) as temporary:
                table.write(temporary, format="ascii.ecsv", overwrite=True)
        write_page(self, out, overwrite=overwrite, sections=sections)
        made = {Path(out) / name for item in self.products for name in (*item.files(), item.figure_file)}
        made.add(Path(out) / PAGE)
        stale = [path for path in _products_in(Path(out)) if path not in made]
        if stale:
            warnings.warn(
                f"{len(stale)} products of an earlier run are still in {out}; the first is {stale[0]}",
                FlatsWarning,
                stacklevel=2,
            )


def _left_out_table(exclusions):
    headers = [item.header for item in exclusions]
    return QTable(
        {
            "name": [item.name for item in exclusions],
            "detector": ["" if header is None else header.detector.name for header in headers],
            "filter": ["" if header is None else header.filter.name for header in headers],
            "used": [False] * len(exclusions),
            "reason": [item.reason for item in exclusions],
            "level": np.full(len(exclusions), np.nan) * u.MJy / u.sr,
            "level_err": np.full(len(exclusions), np.nan) * u.MJy / u.sr,
            "noise": np.full(len(exclusions), np.nan),
            "masked_fraction": np.full(len(exclusions), np.nan),
            "start": ["" if header is None or header.start is None else header.start.isot for header in headers],
        }
    )


def _products_in(out):
    return sorted(path for pattern in PRODUCTS for path in out.glob(pattern))


def prepared_folder(out, *, overwrite):
    """Return the folder ``out``, made if need be.

    Raises
    ------
    InvalidInputError
        If it holds products of an earlier run (also of an interrupted one) and ``overwrite`` is false, or is no folder
        that can be written to.
    """
    out = Path(out).expanduser()
    if not overwrite and ((out / SUMMARY).exists() or _products_in(out)):
        raise InvalidInputError(
            f"{out}: holds products of an earlier run; choose another folder, or replace them with overwrite=True "
            "(--overwrite)"
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise InvalidInputError(f"{out}: a folder to write to is needed; {error.strerror}") from error
    return out
