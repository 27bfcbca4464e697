"""Where a bright star must stand for its light to enter by the rogue path, and how much of it then does."""

from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import numpy as np
from astropy import units as u
from attrs import field, frozen
from regions import PixCoord, PolygonPixelRegion, PolygonSkyRegion
from scipy.ndimage import gaussian_filter

from nircam_flats._fields import HoldsArrays, choice, image, owned, quantity, readonly
from nircam_flats._files import open_fits, read_image
from nircam_flats.exceptions import InvalidInputError
from nircam_flats.instrument._tables import packaged_table
from nircam_flats.instrument.attitude import radians_of
from nircam_flats.kernels import look_up

__all__ = ["ClawSusceptibilityZone"]

MODULES = ("A", "B")
TOOL = "jwst_rogue_path_tool"
SHAPE = (176, 301)
EXTENT = (-6.0, 6.0, 5.0, 12.0)
"""Of the published maps: V2 and V3 of their outer edges, deg. (Their headers say mm.)"""
ROWS, COLUMNS = slice(85, 160), slice(60, 245)
"""What the published tool leaves of the maps; it sets all else to zero."""


def packaged(name):
    """Return the packaged table ``name`` of claws; do not change it."""
    return packaged_table(name, "nircam_flats.scattered")


def _to_module(value):
    module = str(value).strip().upper()
    if module not in MODULES:
        raise InvalidInputError(f"ClawSusceptibilityZone.module must be 'A' or 'B'; got {value!r}")
    return module


def _check_map(instance, attribute, value):
    if not np.all(np.isfinite(value)) or np.any(value < 0):
        raise InvalidInputError(
            "ClawSusceptibilityZone.intensity_map must be finite and not negative everywhere; got "
            f"{np.count_nonzero(~np.isfinite(value) | (value < 0))} pixels that are not: set them to zero"
        )


@frozen(kw_only=True, eq=False)
class ClawSusceptibilityZone(HoldsArrays):
    """The part of the telescope frame from which starlight reaches the detectors of one module as claws.

    Some ten degrees from the line of sight in the direction of +V3, light passes between the optics and lands on the
    short-wavelength detectors (Sunnquist et al. 2022, section 3.6). The flux of a star in a pixel of a claw is
    ``intensity`` x 10^(-0.4 (m + 17 - zero point)) DN/s.

    Attributes
    ----------
    module
        'A' or 'B'.
    outline
        Corners of the zone, V2 and V3 in deg, shape (n, 2), the first repeated at the end.
    intensity_map
        Susceptibility ``[v3, v2]``, dimensionless, float64.
    extent
        V2 and V3 of the outer edges of the map, deg: (V2 low, V2 high, V3 low, V3 high).
    interpolation
        'nearest' (the pixel that a star lies in, as the published tool) or 'bilinear'.
    source
        Where the map is from.

    Examples
    --------
    >>> from astropy import units as u
    >>> from nircam_flats import ClawSusceptibilityZone
    >>> zone = ClawSusceptibilityZone.default("B")
    >>> bool(zone.contains(1.5 * u.deg, 9.9 * u.deg)), bool(zone.contains(-1.5 * u.deg, 9.9 * u.deg))
    (True, False)
    >>> print(f"{zone.intensity(1.5 * u.deg, 9.9 * u.deg):.0f}, off the map {zone.intensity(0 * u.deg, 0 * u.deg):.0f}")
    29, off the map 0
    """

    module: str = field(converter=_to_module)
    outline: u.Quantity = quantity(u.deg, ndim=2, eq=False, repr=False)
    intensity_map: np.ndarray = image(np.float64, ndim=2)
    extent: tuple[float, float, float, float] = field(default=EXTENT, converter=lambda value: tuple(map(float, value)))
    interpolation: str = choice("nearest", "bilinear", default="nearest")
    source: str = field(default="given", converter=str)

    def __attrs_post_init__(self):
        _check_map(self, None, self.intensity_map)
        if len(self.extent) != 4 or not (self.extent[0] < self.extent[1] and self.extent[2] < self.extent[3]):
            needed = "four numbers, low and high of V2, then of V3"
            raise InvalidInputError(f"ClawSusceptibilityZone.extent must be {needed}; got {self.extent}")
        if self.outline.shape[0] < 4 or self.outline.shape[1] != 2:
            needed = "V2 and V3 of at least three corners and the first again"
            raise InvalidInputError(
                f"ClawSusceptibilityZone.outline must hold {needed}; got shape {self.outline.shape}"
            )

    def __str__(self):
        return f"claw zone of module {self.module}, {self.source}"

    @classmethod
    def default(cls, module: str) -> "ClawSusceptibilityZone":
        """Return the packaged zone of ``module``: the published outline, and a fit of the published intensity.

        The fit is a sum of six Gaussians (36 parameters), within 11 % of the published map smoothed by 5 px wherever
        that is above a tenth of its peak; the published map itself comes by `read` or `from_installed_tool`.
        """
        return _default(_to_module(module))

    @classmethod
    def read(
        cls,
        path: str | Path,
        module: str,
        *,
        smoothing: float = 5.0,
        interpolation: str = "nearest",
        outline: str = "full",
    ) -> Self:
        """Read a published map.

        Parameters
        ----------
        path
            The file, or the folder of ``rogue_path_nrca.fits`` and ``rogue_path_nrcb.fits``.
        module
            'A' or 'B'.
        smoothing
            Standard deviation of the Gaussian that smooths the map, px of 0.04 deg; 5 is what the published tool
            takes; 0 leaves the map raw.
        interpolation
            'nearest', as the published tool, or 'bilinear'.
        outline
            'full' or 'small', of the published outlines.

        Raises
        ------
        InvalidInputError
            If the file is no whole FITS file, or holds no map of 176 x 301 pixels, finite and not negative.
        """
        module = _to_module(module)
        path = Path(path)
        if path.is_dir():
            path = path / f"rogue_path_nrc{module.lower()}.fits"
        with open_fits(path) as hdus:
            values = read_image(hdus, 0, float, path)
        if values.shape != SHAPE:
            raise InvalidInputError(
                f"{path}: a claw map must have shape {SHAPE}, V3 5 to 12 deg and V2 -6 to 6 deg; got {values.shape}"
            )
        if not (np.isfinite(smoothing) and smoothing >= 0):
            raise InvalidInputError(f"ClawSusceptibilityZone.read: smoothing must be 0 px or more; got {smoothing!r}")
        if not np.all(np.isfinite(values)):
            raise InvalidInputError(
                f"{path}: a claw map must be finite; got {np.count_nonzero(~np.isfinite(values))} pixels that are not"
            )
        smooth = gaussian_filter(values, smoothing) if smoothing else values
        kept = np.zeros(SHAPE)
        kept[ROWS, COLUMNS] = smooth[ROWS, COLUMNS]
        text = f"{path.name}, {f'smoothed by {smoothing:g} px' if smoothing else 'raw'}"
        return cls(
            module=module,
            outline=_outline(module, outline),
            intensity_map=kept,
            interpolation=interpolation,
            source=text,
        )

    @classmethod
    def from_installed_tool(cls, module: str, **settings: Any) -> Any:
        """Read the map that an installed copy of the published tool holds; ``settings`` as in `read`.

        Raises
        ------
        InvalidInputError
            If the tool is not installed.
        """
        found = find_spec(TOOL)
        if found is None or not found.submodule_search_locations:
            raise InvalidInputError(
                f"ClawSusceptibilityZone.from_installed_tool: needed the package {TOOL}, which is not installed; "
                f"install it (pip install --no-deps {TOOL}), or give a path to ClawSusceptibilityZone.read"
            )
        return cls.read(Path(found.submodule_search_locations[0]) / "data", module, **settings)

    @cached_property
    def grid(self):
        """V2 and V3 of the outer edge of the first pixel, and pixels per degree along both."""
        (ny, nx), (left, right, low, high) = self.intensity_map.shape, self.extent
        return left, low, nx / (right - left), ny / (high - low)

    @cached_property
    def pixel_middles(self):
        """V2 of the columns and V3 of the rows, deg."""
        (ny, nx), (left, low, across, up) = self.intensity_map.shape, self.grid
        return owned(left + (np.arange(nx) + 0.5) / across), owned(low + (np.arange(ny) + 0.5) / up)

    def intensity(self, v2: u.Quantity, v3: u.Quantity) -> np.ndarray:
        """Return the susceptibility at positions, dimensionless; 0 off the map.

        Parameters
        ----------
        v2, v3
            Quantities that broadcast.

        Raises
        ------
        InvalidInputError
            If one is no finite angle.
        """
        v2, v3 = (np.degrees(radians_of(value, f"{type(self).__name__}.intensity")) for value in (v2, v3))
        return look_up(self.intensity_map, self.grid, v2, v3, bilinear=self.interpolation == "bilinear")

    def contains(self, v2: u.Quantity, v3: u.Quantity) -> Any:
        """Return whether positions lie within the outline: booleans.

        Parameters
        ----------
        v2, v3
            Quantities that broadcast.

        Raises
        ------
        InvalidInputError
            If one is no finite angle.
        """
        v2, v3 = (np.degrees(radians_of(value, f"{type(self).__name__}.contains")) for value in (v2, v3))
        v2, v3 = np.broadcast_arrays(v2, v3)
        inside = self.to_regions().contains(PixCoord(np.atleast_1d(v2), np.atleast_1d(v3)))
        return np.asarray(inside).reshape(v2.shape)

    def to_regions(self, attitude: Any = None) -> Any:
        """Return the outline as a region of the package ``regions``.

        Parameters
        ----------
        attitude
            An `Attitude`: then the region lies on the sky. Without, it lies in the telescope frame, with V2 as x and
            V3 as y, in degrees.
        """
        v2, v3 = self.outline[:-1].T
        if attitude is None:
            return PolygonPixelRegion(PixCoord(v2.to_value(u.deg), v3.to_value(u.deg)))
        return PolygonSkyRegion(attitude.to_coordinates(v2, v3))

    def plot(self, ax: Any = None, stars: Any = None, **artist_options: Any) -> Any:
        """Draw the zone in V2 and V3, as an observer looks at it (V2 to the left).

        Parameters
        ----------
        ax
            Axes to draw on; by default the current one.
        stars
            A table with the columns v2, v3 and flux, as `ClawForecast.contributions` gives it, to draw too.
        **artist_options
            For ``Axes.pcolormesh``.

        Returns
        -------
        matplotlib.collections.QuadMesh
        """
        from nircam_flats.plotting import draw_claw_zone

        return draw_claw_zone(self, ax=ax, stars=stars, **artist_options)


def _outline(module, extent):
    table = packaged("claw_zones")
    rows = table[(table["module"] == module) & (table["extent"] == extent)]
    if not len(rows):
        raise InvalidInputError(f"ClawSusceptibilityZone: outline must be 'full' or 'small'; got {extent!r}")
    return np.stack([rows["v2"], rows["v3"]], axis=1)


@cache
def _default(module):
    table = packaged("claw_intensity")
    (ny, nx), (left, right, low, high) = SHAPE, EXTENT
    v2 = left + (np.arange(nx) + 0.5) * (right - left) / nx
    v3 = (low + (np.arange(ny) + 0.5) * (high - low) / ny)[:, np.newaxis]
    values = np.zeros(SHAPE)
    for row in table[table["module"] == module]:
        x, y = v2 - row["v2"].to_value(u.deg), v3 - row["v3"].to_value(u.deg)
        c, s = np.cos(row["angle"].to_value(u.rad)), np.sin(row["angle"].to_value(u.rad))
        along, across = (x * c + y * s) / row["sigma_1"], (y * c - x * s) / row["sigma_2"]
        values += row["amplitude"] * np.exp(-0.5 * (along.value**2 + across.value**2))
    kept = np.zeros(SHAPE)
    kept[ROWS, COLUMNS] = values[ROWS, COLUMNS]
    return ClawSusceptibilityZone(
        module=module,
        outline=_outline(module, "full"),
        intensity_map=readonly(kept),
        interpolation="nearest",
        source="packaged fit of the published map",
    )
