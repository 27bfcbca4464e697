"""Make the packaged data of claw forecasts: the stars, and a fit of the published maps in a few parameters.

    python benchmarks/claw_data.py --maps claws/ --stars two_mass_ks_lt_5.fits --out nircam_flats/scattered/data

``--maps`` is the folder of the published maps ``rogue_path_nrca.fits`` and ``rogue_path_nrcb.fits``. What is fitted is
the map as the public tool uses it, smoothed by 5 px, by a sum of two-dimensional Gaussians; the residuals are weighted
so that they count relative to the map down to a 200th of its peak, because where a bright star stands in the wings
alone, they are the forecast. The best of many random starts is kept, and how well it fits is printed. Either option can
be left out. ``--stars`` is a table with the columns ra, dec, j_m, h_m, k_m.
"""

import argparse
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.table import QTable, Table
from scipy.optimize import least_squares

from nircam_flats import ClawSusceptibilityZone

N_COMPONENTS = 6
LOWEST, FLOOR = 0.0003, 0.005
"""Parts of the peak: pixels below the first are left out; residuals are relative to at least the second."""
COLUMNS = ("amplitude", "v2", "v3", "sigma_1", "sigma_2", "angle")


def components_of(p):
    """Return peak, V2, V3, the two widths and the angle of each Gaussian, from the parameters of the fit."""
    amplitude, v2, v3, one, other, angle = p.reshape(-1, 6).T
    return np.exp(amplitude), v2, v3, np.exp(one), np.exp(other), angle


def model(p, v2, v3):
    """Return the sum of Gaussians at positions in degrees, and its derivatives by the parameters."""
    total, derivatives = np.zeros(len(v2)), []
    for amplitude, v2_0, v3_0, one, other, angle in zip(*components_of(p), strict=True):
        c, s = np.cos(angle), np.sin(angle)
        x, y = v2 - v2_0, v3 - v3_0
        along, across = (x * c + y * s) / one, (y * c - x * s) / other
        value = amplitude * np.exp(-0.5 * (along**2 + across**2))
        total += value
        by_v2, by_v3 = along * c / one - across * s / other, along * s / one + across * c / other
        by_angle = along * across * (one / other - other / one)
        derivatives += [value * by for by in (1, by_v2, by_v3, along**2, across**2, by_angle)]
    return total, np.stack(derivatives, axis=1)


def fit_zone(zone, *, n_starts, seed=1):
    """Return the parameters of the best fit of ``zone`` and its departures where the map is above 10 % of its peak."""
    peak = zone.intensity_map.max()
    y, x = np.nonzero(zone.intensity_map > LOWEST * peak)
    v2, v3 = (middles[index] for middles, index in zip(zone.pixel_middles, (x, y), strict=True))
    target = zone.intensity_map[y, x]
    weight = 1 / np.maximum(target, FLOOR * peak)

    def residuals(p):
        return (model(p, v2, v3)[0] - target) * weight

    def slopes(p):
        return model(p, v2, v3)[1] * weight[:, np.newaxis]

    rng, best = np.random.default_rng(seed), None
    for _ in range(n_starts):
        at = rng.choice(len(target), N_COMPONENTS, p=target**0.7 / (target**0.7).sum())
        n = len(at)
        widths = np.log(rng.uniform([0.2, 0.15], [0.5, 0.3], (n, 2)))
        start = np.column_stack([np.log(0.6 * target[at]), v2[at], v3[at], widths, rng.normal(0, 0.4, n)])
        found = least_squares(residuals, start.ravel(), jac=slopes, max_nfev=150)
        if best is None or found.cost < best.cost:
            best = found
    bright = target > 0.1 * peak
    return best.x, residuals(best.x)[bright]


def fit_zones(maps, out, n_starts):
    """Fit both maps and write the table of their components."""
    rows, worst = [], []
    for module in "AB":
        found, departures = fit_zone(ClawSusceptibilityZone.read(maps, module), n_starts=n_starts)
        worst.append(np.abs(departures).max())
        print(
            f"module {module}: {found.size} parameters; departures {departures.std():.3f} rms, {worst[-1]:.3f} at most"
        )
        for values in sorted(zip(*components_of(found), strict=True), reverse=True):
            rows.append((module, *np.round(values, 5)))
    table = QTable(rows=rows, names=("module", *COLUMNS))
    for name in COLUMNS[1:]:
        table[name].unit = u.rad if name == "angle" else u.deg
    table.meta["comments"] = [
        "Claw susceptibility of the two modules as a sum of Gaussians in (V2, V3); angle from +V2 towards +V3.",
        "Fitted by benchmarks/claw_data.py to the maps of jwst_rogue_path_tool 1.1.0 smoothed by 5 px; within "
        f"{100 * worst[0]:.1f} % (A) and {100 * worst[1]:.1f} % (B) of them wherever they exceed 10 % of their peak.",
    ]
    table.write(out / "claw_intensity.ecsv", overwrite=True)


def pack_stars(stars, out):
    """Write the stars as integers: positions in 1e-6 deg, magnitudes in 0.001 mag, -32768 where missing."""
    table = Table.read(stars)
    table.sort("dec")  # neighbouring numbers are alike, which compresses well
    places = np.stack([np.rint(1e6 * np.asarray(table[name], float)) for name in ("ra", "dec")])
    magnitudes = np.stack([np.asarray(table[name], float) for name in ("j_m", "h_m", "k_m")])
    packed = np.where(np.isfinite(magnitudes), np.rint(1e3 * np.nan_to_num(magnitudes)), -32768)
    primary = fits.PrimaryHDU()
    primary.header["ORIGIN"] = ("2MASS Point Source Catalog", "Skrutskie et al. 2006, AJ 131, 1163")
    primary.header["SELECTED"] = ("Ks < 5", "all stars brighter than that")
    primary.header["PLACES"] = ("ra, dec (ICRS)", "rows of PLACES, 1e-6 deg")
    primary.header["BANDS"] = ("J, H, Ks", "rows of MAGNITUDES, 0.001 mag; -32768: missing")
    hdus = [primary]
    for name, values, dtype in (("PLACES", places, np.int32), ("MAGNITUDES", packed, np.int16)):
        hdus.append(fits.CompImageHDU(values.astype(dtype), name=name, compression_type="RICE_1"))
    path = out / "bright_stars.fits"
    fits.HDUList(hdus).writeto(path, overwrite=True)
    print(f"{len(table)} stars in {path.stat().st_size} bytes")


def main():
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", type=Path, help="folder of the published maps")
    parser.add_argument("--stars", type=Path, help="table of the stars")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--starts", type=int, default=20, help="random starts of each fit")
    options = parser.parse_args()
    if options.stars:
        pack_stars(options.stars, options.out)
    if options.maps:
        fit_zones(options.maps, options.out, options.starts)


if __name__ == "__main__":
    main()
