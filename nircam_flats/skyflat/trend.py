"""How values of a detector change over the years: slopes, and the moments at which they jump."""

from functools import cached_property
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import QTable
from astropy.time import Time
from attrs import field, frozen
from scipy import stats

from nircam_flats._fields import HoldsArrays, image, readonly, to_tuple
from nircam_flats.exceptions import InvalidInputError
from nircam_flats.instrument import Detector
from nircam_flats.instrument.detector import to_detector

__all__ = ["SkyflatTrend"]

LEAST = 2
"""How many epochs there must be on either side of a change."""


@frozen(kw_only=True, eq=False)
class SkyflatTrend(HoldsArrays):
    """Values of one detector at several epochs, with errors: boxes, or coefficients of a surface.

    Attributes
    ----------
    detector, label
        Whose they are: the detector, and its filter or 'grey'.
    names
        What each value is, a tuple of texts.
    dates
        Mean time of each epoch, in order.
    values, errors
        Arrays of shape (epochs, values): relative response, and its 1 sigma error; NaN where an epoch has none.
    mesh_shape
        Rows and columns of the boxes if the values are those of a mesh, row by row; None for others.

    Notes
    -----
    Errors of few exposures are rough, and epochs may differ by more than they say. So they are multiplied by `scatter`
    wherever they are used: the robust scatter of the differences of successive epochs in units of their errors, if it
    is more than 1. Few of these differences hold a jump.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.time import Time
    >>> from nircam_flats import SkyflatTrend
    >>> values = np.where(np.arange(8) < 5, 0.0, 0.01)[:, None]
    >>> trend = SkyflatTrend(
    ...     detector="B1", label="grey", names=["x"], dates=Time(60000 + 90 * np.arange(8), format="mjd"),
    ...     values=values, errors=np.full((8, 1), 0.0005))
    >>> trend.changes()["after", "before", "step"].pprint()
      after     before   step
    ---------- ---------- ----
    2024-02-20 2024-05-20 0.01
    """

    detector: Detector = field(converter=to_detector, repr=str)
    label: str = field()
    names: tuple = field(converter=to_tuple, repr=lambda names: f"<{len(names)} values>")
    dates: Time = field(repr=lambda dates: f"<{len(dates)} epochs>")
    values: np.ndarray = image(np.float64, sets_shape=True)
    errors: np.ndarray = image(np.float64)
    mesh_shape: tuple | None = field(default=None)

    def __attrs_post_init__(self):
        if self.values.shape != (len(self.dates), len(self.names)) or self.errors.shape != self.values.shape:
            raise InvalidInputError(
                f"SkyflatTrend needs values and errors of shape (epochs, values), {len(self.dates)} and "
                f"{len(self.names)}; got {self.values.shape} and {self.errors.shape}"
            )
        if (np.diff(self.dates.mjd) <= 0).any():
            raise InvalidInputError("SkyflatTrend needs dates in order, each later than the one before; they are not")

    @cached_property
    def scatter(self):
        """Robust scatter of successive differences in units of their errors; at least 1."""
        errors = np.hypot(self.errors[1:], self.errors[:-1])
        pulls = (np.diff(self.values, axis=0) / errors)[np.isfinite(errors)]
        return max(1.0, float(1.4826 * np.median(np.abs(pulls)))) if pulls.size else 1.0

    @property
    def years(self) -> Any:
        """Years of each epoch since the middle of all."""
        return (self.dates.mjd - self.dates.mjd.mean()) / 365.25

    @cached_property
    def _lines(self):
        """Slope and error of the weighted straight line through each value, shape (2, values)."""
        seen = np.isfinite(self.values) & (self.errors > 0)
        weights = np.where(seen, 1 / np.where(seen, self.scatter * self.errors, 1) ** 2, 0)
        values = np.where(seen, self.values, 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            total = weights.sum(axis=0)
            times = self.years[:, None] - (weights * self.years[:, None]).sum(axis=0) / total
            lever = (weights * times**2).sum(axis=0)
            found = np.array([(weights * times * values).sum(axis=0) / lever, 1 / np.sqrt(lever)])
        return readonly(np.where(seen.sum(axis=0) > 1, found, np.nan))

    @property
    def slope(self) -> Any:
        """Change of each value in a year, relative."""
        return self._lines[0] / u.yr

    @property
    def slope_err(self) -> Any:
        """1 sigma error of `slope`."""
        return self._lines[1] / u.yr

    def changes(self, *, false_alarm: float = 0.001) -> Any:
        """Return the moments at which values jump, a `~astropy.table.QTable`, the most significant first.

        Parameters
        ----------
        false_alarm
            How likely a quiet detector may show any change at all, over all values and moments.

        Returns
        -------
        astropy.table.QTable
            ``name``; ``after`` and ``before``, the days of the last epoch before the change and of the first after it;
            ``step``, by how much, its error ``step_err``, and ``significance``, step over error.

        Notes
        -----
        A jump after epoch k is a step in the weighted least-squares fit of a straight line and the steps found so far.
        The most significant one is taken, and so on while its significance is above that which ``false_alarm`` sets for
        the number of values and moments that are asked. On each side of it lie at least two epochs.
        """
        if not 0 < false_alarm < 1:
            raise InvalidInputError(f"SkyflatTrend.changes needs false_alarm between 0 and 1; got {false_alarm}")
        n_moments = max(1, len(self.dates) - 2 * LEAST + 1) * len(self.names)
        least = stats.norm.isf(false_alarm / 2 / n_moments)
        days = self.dates.strftime("%Y-%m-%d")
        rows = [
            (name, days[index], days[following], step, err, step / err)
            for name, values, errors in zip(self.names, self.values.T, self.scatter * self.errors.T, strict=True)
            for index, following, step, err in _steps(self.years, values, errors, least)
        ]
        names = ("name", "after", "before", "step", "step_err", "significance")
        table = QTable(rows=rows or None, names=names, dtype=(str, str, str, float, float, float))
        table = table[np.argsort(-np.abs(table["significance"]), kind="stable")]
        for name in names[3:]:
            table[name].info.format = ".3g"
        return table

    @property
    def table(self) -> QTable:
        """A `~astropy.table.QTable` with a row per value: name, slope and its error, number of epochs."""
        table = QTable(
            {
                "name": list(self.names),
                "slope": self.slope,
                "slope_err": self.slope_err,
                "n_epochs": np.isfinite(self.values).sum(axis=0),
            }
        )
        table["slope"].info.format = table["slope_err"].info.format = ".5f"
        return table

    def plot(self, ax: Any = None, **artist_options: Any) -> Any:
        """Draw the values against time, or the map of the slopes of a mesh; returns the artists, or the artist."""
        from nircam_flats.plotting import draw_skyflat_trend

        return draw_skyflat_trend(self, ax=ax, **artist_options)


def _steps(years, values, errors, least):
    """Return (last epoch before, first after, step, error) of each step in one value, as `SkyflatTrend.changes` says.

    The errors of the steps are those of the fit with all of them.
    """
    epochs = np.flatnonzero(np.isfinite(values) & (errors > 0))
    n = len(epochs)
    if n < 2 * LEAST:
        return []
    roots = 1 / errors[epochs]
    data = values[epochs] * roots
    base = [roots, years[epochs] * roots]
    moments = np.arange(LEAST, n - LEAST + 1)
    steps = (np.arange(n)[:, None] >= moments) * roots[:, None]
    found = []
    while len(base) < n:
        basis, _ = np.linalg.qr(np.array(base).T)
        left = steps - basis @ (basis.T @ steps)
        norms = np.linalg.norm(left, axis=0)
        usable = norms > 1e-6 * np.linalg.norm(steps, axis=0)
        pulls = np.divide(left.T @ data, norms, out=np.zeros(len(norms)), where=usable)
        best = np.argmax(np.abs(pulls))
        if not abs(pulls[best]) > least:
            break
        found.append(best)
        base.append(steps[:, best])
    if not found:
        return []
    covariance = np.linalg.inv(np.array(base) @ np.array(base).T)
    solution = covariance @ (np.array(base) @ data)
    sizes, variances = solution[2:], np.diag(covariance)[2:]
    return [
        (epochs[moments[best] - 1], epochs[moments[best]], size, np.sqrt(variance))
        for best, size, variance in zip(found, sizes, variances, strict=True)
    ]
