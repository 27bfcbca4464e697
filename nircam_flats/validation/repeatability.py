"""How well the photometry of a source repeats wherever it falls on the detector."""

from concurrent.futures import Executor
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self

import numpy as np
from astropy import units as u
from astropy.table import QTable
from attrs import field, frozen
from scipy.stats import chi2

from nircam_flats._fields import HoldsArrays, to_tuple
from nircam_flats._files import reading
from nircam_flats.exceptions import InvalidInputError
from nircam_flats.exposure import Exclusion, ExposureSet
from nircam_flats.instrument import Detector
from nircam_flats.instrument.detector import to_detector
from nircam_flats.provenance import History
from nircam_flats.validation import _fits
from nircam_flats.validation._exchange import FlatExchange, exposure_rows, to_exposures, work_on_each
from nircam_flats.validation._matching import N_NEEDED, Catalog, demand_wcs
from nircam_flats.validation._sources import Apertures, MeasurementFlag, find_sources, measure

__all__ = ["MeasurementFlag", "PhotometricRepeatability"]

PLANES = ("err", "var_poisson", "var_rnoise", "area")
ROBUST = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""
OUTLYING = 1e-3
"""Chance that noise alone scatters a source as much, below which it is an outlier."""


@frozen(kw_only=True, eq=False)
class PhotometricRepeatability(HoldsArrays):
    """Sources measured in every dither with the old and with the new flat, at the same places.

    Attributes
    ----------
    detector
        The detector.
    shape
        Rows and columns of its images.
    measurements
        `~astropy.table.QTable`, a row for each source in each exposure: ``exposure`` and ``star`` (their numbers),
        ``x``, ``y`` (zero-based centroid), ``flux_old``, ``err_old``, ``flux_new``, ``err_new`` (uJy), ``flags``
        (`MeasurementFlag`).
    positions
        `~astropy.table.QTable` of the stars: ``ra``, ``dec``.
    exposures
        `~astropy.table.QTable`: ``name``, ``filter``, ``used``, ``reason``, ``n_sources``, and ``shift_ra``,
        ``shift_dec``, the shift that was solved for and added to its positions.
    history
        How it was made.

    Notes
    -----
    Only what is measured without any flag counts for `stars` and `summary`; flagged measurements are kept. ``err_new``
    holds the error of the surface that a new flat was made with (`FlatReference.covariance`), which ERR cannot tell.
    """

    detector: Detector = field(converter=to_detector, repr=str)
    shape: tuple[int, int] = field(converter=to_tuple)
    measurements: QTable = field(repr=lambda table: f"<{len(table)} measurements>")
    positions: QTable = field(repr=lambda table: f"<{len(table)} stars>")
    exposures: QTable = field(repr=lambda table: f"<{len(table)} exposures>")
    history: History = field(factory=History, repr=False)

    @classmethod
    def from_exposures(
        cls,
        exposures: ExposureSet,
        *,
        old: Any,
        new: Any,
        min_snr: float = 100.0,
        n_sigma: float = 10.0,
        radius: float = 5.0,
        annulus: Any = (10.0, 16.0),
        max_shift: Any = 1.0 * u.arcsec,
        executor: Executor | None = None,
    ) -> Self:
        """Find, measure and match the sources of dithered exposures of one detector and filter.

        Parameters
        ----------
        exposures
            An `~nircam_flats.ExposureSet`, exposures, or paths of ``_cal`` files, with ERR, its variances and AREA.
            Several fields may be among them.
        old, new
            Flats as in `FlatnessComparison.from_exposures`.
        min_snr
            Signal to noise, in one aperture, from which on a source counts.
        n_sigma
            How far the peak of a source must stand out from the noise of one pixel.
        radius, annulus
            Radius of the aperture, and inner and outer radius of the ring of the local background, pixels.
        max_shift
            Largest error of the pointing; the shift of each exposure is solved first.
        executor
            Any `concurrent.futures.Executor`; by default threads for all cores.

        Raises
        ------
        InvalidInputError
            If there are exposures of several filters, fewer than two can be used, none overlaps with another (one
            dither only), or fewer than five sources are seen in two exposures or more. An exposure without what is
            needed (a WCS, ERR, AREA) is left out with the reason.
        """
        exposures = to_exposures(exposures).for_one_detector()
        filters = sorted({member.filter.name for member in exposures})
        if len(filters) > 1:
            raise InvalidInputError(
                f"PhotometricRepeatability needs exposures of one filter; got {', '.join(filters)}; choose with "
                "exposures.where(filter=...)"
            )
        apertures = Apertures(radius=radius, inner=annulus[0], outer=annulus[1])
        work = partial(
            _detections,
            exchange=FlatExchange(old=old, new=new),
            apertures=apertures,
            n_sigma=n_sigma,
            min_snr=min_snr,
        )
        made, failed = work_on_each(work, exposures, executor=executor, stage="photometry")
        matched, unmatched, catalog = _matched(made, max_shift, _radius(exposures[0]))
        left_out = [*exposures.excluded, *failed, *unmatched]
        if len(matched) < 2:
            raise InvalidInputError(
                f"PhotometricRepeatability needs two exposures that can be measured; got {len(matched)}; left out: "
                f"{'; '.join(map(str, left_out[:5])) or 'none'}"
            )
        measurements = _table_of(matched)
        _demand_repeats(measurements, len(matched))
        kept, star = np.unique(measurements["star"], return_inverse=True)
        measurements["star"] = star
        positions = catalog.positions[kept]
        shifts = u.Quantity([shift for _, _, _, shift in matched]).to(u.mas)
        return cls(
            detector=exposures[0].detector,
            shape=matched[0][0].shape,
            measurements=measurements,
            positions=QTable({"ra": positions.ra.deg * u.deg, "dec": positions.dec.deg * u.deg}),
            exposures=exposure_rows(
                [header for header, _, _, _ in matched],
                left_out,
                n_sources=([len(table) for _, table, _, _ in matched], 0),
                shift_ra=(shifts[:, 0], np.nan * u.mas),
                shift_dec=(shifts[:, 1], np.nan * u.mas),
            ),
            history=History().then(
                "photometry",
                exposures=len(matched),
                n_sigma=n_sigma,
                min_snr=min_snr,
                radius=radius,
                annulus=tuple(annulus),
            ),
        )

    @cached_property
    def stars(self):
        """`~astropy.table.QTable`, a row for each star seen twice or more.

        Columns: ``star``, ``ra``, ``dec``; ``n`` and ``n_clean`` measurements, all and those without flags; ``flux``
        (mean, new flat) and ``snr`` (of one measurement); for each flat ``scatter_``, the relative scatter of the clean
        measurements, ``noise_``, what their errors say it should be, ``chi2_`` (n_clean - 1 degrees of freedom), and
        ``raw_scatter_``, that of all measurements; ``p_value`` and ``raw_p_value``, the chance of so large a chi2 with
        the new flat; ``explanation``, the flags of all its measurements in words. NaN where there are fewer than two.

        The standard deviation of few measurements is mostly too small: of two, its median is 0.67 of the noise. The
        scatter is therefore the root of the sum of squares about the mean over the *median* of chi2 with n - 1 degrees
        of freedom; with noise alone, half of the stars are above their noise.
        """
        return _star_table(self)

    @property
    def outliers(self) -> QTable:
        """The rows of `stars` that scatter more than noise does, and those whose raw scatter flags explain.

        That is: chance below 1 in 1000 with the new flat, of the clean or of all measurements. ``explanation`` is
        'unexplained' where clean measurements scatter too much.
        """
        stars = self.stars
        excess = stars["raw_p_value"] < OUTLYING
        clean = stars["p_value"] < OUTLYING
        table = stars[excess | clean]
        table["explanation"] = np.where(table["p_value"] < OUTLYING, "unexplained", table["explanation"])
        return table

    @cached_property
    def summary(self):
        """The numbers as a dictionary.

        ``n_exposures``, ``n_stars`` (with two clean measurements or more), and for each flat: ``scatter_``, the median
        over the stars of their scatter; ``peak_``, where the histogram of the scatters has its peak; ``noise_``, the
        median noise of the same stars; ``ratio_``, scatter over noise: the robust width of `pulls`. ``n_outliers`` and
        ``n_unexplained`` are counted with the new flat.
        """
        stars = self.stars[self.stars["n_clean"] >= 2]
        outliers = self.outliers
        numbers: dict[str, float] = {"n_exposures": int(np.sum(self.exposures["used"])), "n_stars": len(stars)}
        for name in ("old", "new"):
            numbers[f"scatter_{name}"] = float(np.median(stars[f"scatter_{name}"]))
            numbers[f"peak_{name}"] = histogram_peak(stars[f"scatter_{name}"])
            numbers[f"noise_{name}"] = float(np.median(stars[f"noise_{name}"]))
            numbers[f"ratio_{name}"] = float(ROBUST * np.median(np.abs(self.pulls(name))))
        numbers["n_outliers"] = len(outliers)
        numbers["n_unexplained"] = int(np.sum(outliers["explanation"] == "unexplained"))
        return numbers

    def pulls(self, flat: str) -> np.ndarray:
        """Return the departure of each clean measurement from its star's mean, over its error, float64.

        Of stars with two clean measurements or more; width 1 if noise is all there is. ``flat`` is 'old' or 'new'.
        """
        table = self.measurements[np.asarray(self.measurements["flags"]) == 0]
        flux, err = (table[f"{kind}_{flat}"].to_value(u.uJy) for kind in ("flux", "err"))
        star, weight = np.asarray(table["star"]), 1 / err**2
        total = np.bincount(star, weight)[star]
        mean = np.bincount(star, weight * flux)[star] / total
        left = 1 - weight / total  # part of its variance that a measurement keeps about a mean it belongs to
        again = np.bincount(star)[star] > 1
        return ((flux - mean)[again] / err[again]) / np.sqrt(left[again])

    def __str__(self):
        n = self.summary
        lines = [f"{self.detector}: {n['n_stars']} stars in {n['n_exposures']} exposures"]
        lines += [
            f"  {name} flat: scatter {n[f'scatter_{name}']:.2%}, noise {n[f'noise_{name}']:.2%}, scatter / noise "
            f"{n[f'ratio_{name}']:.2f}"
            for name in ("old", "new")
        ]
        return "\n".join([*lines, f"  outliers: {n['n_outliers']}, of which unexplained: {n['n_unexplained']}"])

    def write(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write a FITS file of tables that `read` reads back."""
        _fits.write_measurements(self, path, overwrite=overwrite)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read what `write` wrote.

        Raises
        ------
        InvalidInputError
            If the file holds something else; the text names it.
        """
        with reading(path):
            return cls(**_fits.read_measurements(path))

    def plot(self, ax: Any = None, **artist_options: Any) -> Any:
        """Draw the histogram of the scatter with both flats; returns the artist of the new flat."""
        from nircam_flats.plotting import draw_repeatability

        return draw_repeatability(self, ax=ax, **artist_options)


def _radius(exposure):
    """How near a source must be to a star to be taken for it: 3 pixels."""
    return 3 * exposure.detector.pixel_scale


def _detections(member, *, exchange, apertures, n_sigma, min_snr):
    """Header, WCS and measured sources of one exposure."""
    wcs, reason = demand_wcs(member)
    if wcs is None:
        raise InvalidInputError(reason)
    before = member.load(planes=PLANES)
    missing = [name for name in PLANES if getattr(before, name) is None]
    if missing:
        raise InvalidInputError(f"the planes {', '.join(missing).upper()} are needed for photometry; it has none")
    after = exchange.after(before)
    x, y = find_sources(after, n_sigma=n_sigma)
    if not x.size:
        raise InvalidInputError(f"no source stands out by {n_sigma:g} times the noise of a pixel (n_sigma)")
    new = exchange.new[member.detector, member.filter]
    table = measure(before, after, x, y, apertures, flat=new)
    bright = table["flux_new"] > min_snr * table["err_new"]
    return member.without_pixels(), wcs, table[bright]


def _matched(made, max_shift, radius):
    """Exposures with the star that each source is, those that could not be matched, and the catalogue of stars."""
    catalog = Catalog(max_shift=max_shift, radius=radius)
    matched, unmatched = [], []
    for header, wcs, table in made:
        stars, shift, reason = catalog.add(header, wcs, np.asarray(table["x"]), np.asarray(table["y"]))
        if reason:
            unmatched.append(Exclusion.of(header, reason))
        else:
            matched.append((header, table, stars, shift))
    return matched, unmatched, catalog


def _table_of(matched):
    """One table of all measurements of stars that more than one exposure saw."""
    columns: dict[str, list] = {name: [] for name in ("exposure", "star")}
    for number, (_, table, stars, _) in enumerate(matched):
        columns["exposure"].append(np.full(len(table), number))
        columns["star"].append(stars)
    merged = QTable({name: np.concatenate(parts).astype(int) for name, parts in columns.items()})
    for name in matched[0][1].colnames:
        merged[name] = np.concatenate([table[name] for _, table, _, _ in matched])
    seen = np.bincount(merged["star"], minlength=1)
    return merged[seen[merged["star"]] > 1]


def _demand_repeats(measurements, n_exposures):
    n_stars = len(np.unique(measurements["star"]))
    if n_stars < N_NEEDED:
        raise InvalidInputError(
            f"PhotometricRepeatability needs {N_NEEDED} sources or more that are bright enough and in two dithers of "
            f"one field; got {n_stars} in {n_exposures} exposures (one dither only, exposures that do not overlap, or "
            "a field without enough sources: try a lower min_snr)"
        )


def _star_table(photometry):
    table, n_stars = photometry.measurements, len(photometry.positions)
    clean, everything = np.asarray(table["flags"]) == 0, np.ones(len(table), bool)
    star = np.asarray(table["star"])
    of = {name: [table[f"{kind}_{name}"].to_value(u.uJy) for kind in ("flux", "err")] for name in ("old", "new")}
    spread = {name: _Spread.of(*of[name], star, clean, n_stars) for name in of}  # type: ignore[call-arg]
    raw = {name: _Spread.of(*of[name], star, everything, n_stars) for name in of}  # type: ignore[call-arg]
    flags = np.zeros(n_stars, int)
    np.bitwise_or.at(flags, star, np.asarray(table["flags"]))
    stars = QTable({"star": np.arange(n_stars), "ra": photometry.positions["ra"], "dec": photometry.positions["dec"]})
    stars["n"], stars["n_clean"] = raw["new"].n, spread["new"].n
    stars["flux"], stars["snr"] = raw["new"].mean * u.uJy, 1 / raw["new"].noise
    for name in ("old", "new"):
        for column in ("scatter", "noise", "chi2"):
            stars[f"{column}_{name}"] = getattr(spread[name], column)
        stars[f"raw_scatter_{name}"] = raw[name].scatter
    stars["p_value"], stars["raw_p_value"] = spread["new"].p_value, raw["new"].p_value
    stars["explanation"] = [MeasurementFlag.names(value) for value in flags]
    return stars


@frozen
class _Spread:
    """How the measurements of each star spread: number, mean, relative scatter, relative noise, chi2 about the mean."""

    n: np.ndarray
    mean: np.ndarray
    scatter: np.ndarray
    noise: np.ndarray
    chi2: np.ndarray

    @classmethod
    def of(cls, flux, err, star, where, n_stars):
        flux, err, star = flux[where], err[where], star[where]

        def total(values):
            return np.bincount(star, values, n_stars)

        n = np.bincount(star, minlength=n_stars)
        degrees = np.where(n > 1, n - 1.0, np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = total(flux) / n
            departure, noise = flux / mean[star] - 1, err / mean[star]
            centre = total(departure / noise**2) / total(1 / noise**2)
            return cls(
                n=n,
                mean=mean,
                scatter=np.sqrt(total(departure**2) / chi2.median(degrees)),
                noise=np.sqrt(total(noise**2) / n),
                chi2=total(((departure - centre[star]) / noise) ** 2) + 0 * degrees,
            )

    @property
    def p_value(self):
        """Chance of a larger chi2 from noise alone; NaN with fewer than two measurements."""
        return chi2.sf(self.chi2, np.maximum(self.n - 1, 1))


def histogram_peak(values):
    """Return where positive values are densest, on a logarithmic scale: the mode of a Gaussian kernel estimate."""
    logs = np.log(np.asarray(values)[np.asarray(values) > 0])
    if logs.size < 2 or not np.ptp(logs) > 0:
        return float(np.exp(logs.mean())) if logs.size else np.nan
    width = 1.06 * np.std(logs) * logs.size**-0.2
    grid = np.linspace(logs.min(), logs.max(), 400)
    density = np.exp(-0.5 * ((grid[:, None] - logs) / width) ** 2).sum(axis=1)
    return float(np.exp(grid[density.argmax()]))
