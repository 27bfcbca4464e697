"""Gradients across a detector, and how they change with wavelength."""

from typing import Any, Self

import numpy as np
from astropy import units as u
from attrs import field, frozen

from nircam_flats._fields import HoldsArrays, image, quantity, readonly
from nircam_flats.exceptions import InvalidInputError
from nircam_flats.instrument import Detector, Filter
from nircam_flats.instrument.detector import to_detector

__all__ = ["Gradient", "MeshPlane", "WavelengthTrend", "jackknife_covariance", "jackknife_factor"]


@frozen(kw_only=True, eq=False)
class Gradient(HoldsArrays):
    """A gradient across a detector: change from edge to edge, relative.

    Attributes
    ----------
    x, y
        Change from the first to the last column, and from the first to the last row.
    covariance
        Of ``(x, y)``, float64, shape (2, 2).

    Examples
    --------
    >>> from nircam_flats import Gradient
    >>> gradient = Gradient(x=0.012, y=0.016, covariance=[[1e-6, 0], [0, 1e-6]])
    >>> round(gradient.size, 3), round(gradient.size_err, 4), float(gradient.angle.to_value("deg").round(1))
    (0.02, 0.001, 53.1)
    """

    x: float = field(converter=float)
    y: float = field(converter=float)
    covariance: np.ndarray = image(np.float64, follows_shape=False)

    @property
    def x_err(self) -> float:
        """1 sigma error of `x`."""
        return float(np.sqrt(self.covariance[0, 0]))

    @property
    def y_err(self) -> float:
        """1 sigma error of `y`."""
        return float(np.sqrt(self.covariance[1, 1]))

    @property
    def size(self) -> float:
        """Change along the steepest direction, over the length of an edge."""
        return float(np.hypot(self.x, self.y))

    @property
    def size_err(self) -> float:
        """1 sigma error of `size`, along its direction."""
        direction = np.array([self.x, self.y]) / self.size if self.size else np.array([1.0, 0.0])
        return float(np.sqrt(direction @ self.covariance @ direction))

    @property
    def angle(self) -> u.Quantity:
        """Direction of increase, from the x axis towards the y axis."""
        return np.arctan2(self.y, self.x) * u.rad

    @property
    def chi2(self) -> float:
        """Chi-squared against no gradient, 2 degrees of freedom."""
        slopes = np.array([self.x, self.y])
        return float(slopes @ np.linalg.solve(self.covariance, slopes))


@frozen(kw_only=True, eq=False)
class WavelengthTrend(HoldsArrays):
    """How the gradients of the filters of a detector change with wavelength.

    Attributes
    ----------
    detector, filters
        One detector, two or more filters.
    gradients
        Their gradients (x, y), float64, shape (filters, 2).
    covariance
        Of all of them in this order, shape (2 filters, 2 filters): the filters share the grey delta skyflat.
    slope_x, slope_y
        Change of x and y with wavelength, 1/um, from a straight line over the pivot wavelengths with the weights of
        the single gradients.
    slope_covariance
        Of the two slopes, with what the filters share, shape (2, 2), 1/um^2.
    """

    detector: Detector = field(converter=to_detector, repr=str)
    filters: tuple = field(converter=lambda names: tuple(Filter.get(name) for name in names))
    gradients: np.ndarray = image(np.float64, follows_shape=False)
    covariance: np.ndarray = image(np.float64, follows_shape=False)
    slope_x: u.Quantity = quantity(1 / u.um)
    slope_y: u.Quantity = quantity(1 / u.um)
    slope_covariance: np.ndarray = image(np.float64, follows_shape=False)

    @classmethod
    def from_dependences(cls, dependences: Any) -> Self:
        """Fit the trend of the gradients of several `FilterDependence`, relative to one grey delta skyflat.

        Raises
        ------
        InvalidInputError
            If there are fewer than two filters, one twice, several detectors, or delta skyflats that they are relative
            to.
        """
        items = sorted(dependences, key=lambda item: item.filter.pivot)
        names = [item.filter.name for item in items]
        detectors = sorted({item.detector.name for item in items})
        if len(set(names)) < 2 or len(set(names)) < len(names) or len(detectors) > 1:
            raise InvalidInputError(
                "WavelengthTrend needs two or more different filters of one detector; got "
                f"{', '.join(names) or 'none'} of {', '.join(detectors) or 'none'}"
            )
        references = {tuple(sorted(filter.name for filter in item.grey_filters)) for item in items}
        if len(references) > 1:
            came = " and ".join(sorted("+".join(names) for names in references))
            raise InvalidInputError(
                f"WavelengthTrend needs filters relative to one grey delta skyflat; got some relative to {came}"
            )
        frames = sorted({name for item in items for name in item.frames})
        place = {name: index for index, name in enumerate(frames)}
        pulls = np.zeros((len(frames), len(items), 2))
        white = np.zeros((2 * len(items), 2 * len(items)))
        for number, item in enumerate(items):
            pulls[[place[name] for name in item.frames], number] = item.plane.slopes(item.influences)
            part = slice(2 * number, 2 * number + 2)
            white[part, part] = item.plane.white_covariance(item.white_variance)
        covariance = jackknife_covariance(pulls.reshape(len(frames), -1)) + white
        gradients = np.array([(item.gradient.x, item.gradient.y) for item in items])
        line = _line(np.array([item.filter.pivot.to_value(u.um) for item in items]), np.diag(covariance).reshape(-1, 2))
        slopes = line @ gradients.ravel()
        return cls(
            detector=detectors[0],
            filters=names,
            gradients=readonly(gradients),
            covariance=readonly(covariance),
            slope_x=slopes[0] / u.um,
            slope_y=slopes[1] / u.um,
            slope_covariance=line @ covariance @ line.T,
        )

    @property
    def slope_x_err(self) -> u.Quantity:
        """1 sigma error of `slope_x`."""
        return np.sqrt(self.slope_covariance[0, 0]) / u.um

    @property
    def slope_y_err(self) -> u.Quantity:
        """1 sigma error of `slope_y`."""
        return np.sqrt(self.slope_covariance[1, 1]) / u.um

    def plot(self, ax: Any = None, **artist_options: Any) -> Any:
        """Draw the gradients against wavelength, and the trend; returns the artists."""
        from nircam_flats.plotting import draw_trend

        return draw_trend(self, ax=ax, **artist_options)


def _line(wavelengths, variances):
    """Matrix that turns gradients (x and y of each filter, in a row) into the slopes of x and y, by regression."""
    matrix = np.zeros((2, 2 * len(wavelengths)))
    for axis in range(2):
        weights = 1 / variances[:, axis]
        departures = wavelengths - np.average(wavelengths, weights=weights)
        matrix[axis, axis::2] = weights * departures / np.sum(weights * departures**2)
    return matrix


class MeshPlane:
    """Least-squares plane over some boxes of a mesh, as a linear operation on it.

    Parameters
    ----------
    measured
        Boolean mesh: the boxes to use.
    box_size, shape
        Side of the boxes, and the shape of the image that the mesh stands for.

    Raises
    ------
    InvalidInputError
        If they do not determine a plane.
    """

    def __init__(self, measured, box_size, shape):
        self.measured = measured
        y, x = (_centres(n, box_size) for n in shape)
        columns, rows = np.meshgrid(x, y)
        design = np.stack([np.ones(measured.sum()), columns[measured], rows[measured]], axis=1)
        if np.linalg.matrix_rank(design) < 3:
            raise InvalidInputError(
                f"a gradient needs measured boxes of {box_size} px in two rows and two columns; got {measured.sum()} "
                f"of {measured.shape[0]} x {measured.shape[1]}"
            )
        self._to_slopes = np.linalg.pinv(design)[1:]

    def slopes(self, mesh):
        """Return the slopes (x, y), edge to edge, of a mesh or of each of a stack of meshes."""
        return mesh[..., self.measured].astype(float) @ self._to_slopes.T

    def white_covariance(self, variance):
        """Return the covariance of the slopes for independent errors of this variance, a mesh."""
        return (self._to_slopes * variance[self.measured]) @ self._to_slopes.T


def _centres(n, box_size):
    """Centres of the boxes along an edge of n pixels, -0.5 to 0.5; the last box may be cut."""
    first = np.arange(0, n, box_size)
    return (first + np.minimum(first + box_size, n)) / (2 * n) - 0.5


def jackknife_factor(n):
    """What makes a variance of the sum of the squares of n influences."""
    return n / max(n - 1, 1)


def jackknife_covariance(influences):
    """Return the covariance of quantities from the influences of the frames on them, shape (frames, quantities)."""
    departures = influences - influences.mean(axis=0)
    return jackknife_factor(len(departures)) * departures.T @ departures
