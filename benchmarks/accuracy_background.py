"""How accurate are predicted and measured backgrounds?

    python benchmarks/accuracy_background.py --files jbt/         # the compact model against files of the real tool
    python benchmarks/accuracy_background.py --files jbt/ --fit   # tune it to them and write the packaged table
    python benchmarks/accuracy_background.py                      # measured against injected sky, simulated

``jbt/`` holds ``sl_pix_*.bin`` of any number of fields, the wavelengths and the thermal curve of the JWST Backgrounds
Tool.  Each field is scored with a model that was tuned to the others; printed are the median, the root mean square and
the largest of |predicted / file - 1| over all visible days and the wavelengths of the files from 0.7 to 4.8 um.

The measured sky: ten seeds that were not used for tuning (1 to 3 were), a SW and a LW detector without wisps, two
filters each, four exposures in each, of 10, 100 and 1000 s.  The injected sky is that of the simulation times the
median of the response over the ground flat.  Printed are, in per cent, the mean departure, the worst of a
single exposure, the worst of a mean over the exposures of one detector and filter, and the error of such a mean that
the scatter of its exposures tells.

report      the report's mask, no correction
plain       what BackgroundComparison does without corrections
corrected   what it does with the flats' correction, fitted to a campaign of 12 exposures of the usual 837 s
deep        the same, with the sources masked that another dither of that campaign shows in the same filter
"""

import argparse
from collections import defaultdict
from pathlib import Path

import attrs
import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import QTable, Table
from astropy.time import Time
from scipy.optimize import least_squares

import nircam_flats as nf
from nircam_flats.background import _jbt_files as jbt_files
from nircam_flats.background._dust import LineOfSight, black_body, ecliptic_vector
from nircam_flats.instrument import _tables
from nircam_flats.parallel import map_ordered
from nircam_flats.recipes import masked_frames
from nircam_flats.simulation import Effects, SimulatedProgram

KNOTS = (
    0.5,
    0.6,
    0.7,
    0.8,
    0.9,
    1.0,
    1.2,
    1.5,
    1.7,
    1.8,
    2.0,
    2.4,
    2.8,
    2.9,
    3.2,
    3.4,
    3.5,
    3.7,
    4.0,
    4.25,
    4.5,
    4.75,
    5.1,
)
"""Wavelengths of the tuned spectra, um: the files' own, close together where the files have steps."""
EMISSION_FROM = 3.45
"""The files have no thermal light of the dust below this, um."""
SCORED = (0.7, 4.8)
DETECTORS = ("NRCB1", "NRCALONG")
SEEDS = range(301, 311)
TIMES = (10, 100, 1000)
MEASURED = (0, 2, 3, 5)
"""Of the six exposures in a filter: two in each pointing."""
DEEP = (1, 4)
"""The third of each pointing: the simulation's noise is the same in all exposure times, and theirs is another."""
ANYWHERE = nf.ZodiacalBackground(any_angle=True)
YEAR = Time("2022-01-01T12:00:00", scale="utc")


# --- the compact model


@attrs.frozen(kw_only=True, eq=False)
class Field:
    """One field of the tool, and what the dust cloud says of it: arrays (days, wavelengths) at the knots."""

    name: str
    coordinate: SkyCoord
    dates: list
    zodiacal: np.ndarray
    stray: np.ndarray
    other: np.ndarray
    scattered: np.ndarray
    emitted: np.ndarray

    @classmethod
    def read(cls, path, grid):
        record = jbt_files.read_field(path, grid.size)
        coordinate = SkyCoord(*jbt_files.GRID.healpix_to_lonlat(record.pixel))
        dates = [YEAR + day * u.day for day in record.days.tolist()]
        sights = [LineOfSight.towards(ecliptic_vector(coordinate), date) for date in dates]
        at = np.searchsorted(grid, KNOTS)
        return cls(
            name=path.stem,
            coordinate=coordinate,
            dates=dates,
            zodiacal=record.zodiacal[:, at],
            stray=record.stray[:, at],
            other=record.other[at],
            scattered=np.array([sight.scattered(KNOTS) for sight in sights]),
            emitted=np.array([sight.emitted(KNOTS) for sight in sights]),
        )


def tuned(fields, curve, relative_err=np.nan):
    """Return the table that `ZodiacalBackground` is made of, tuned to ``fields``; each field counts alike."""
    wavelength = np.array(KNOTS)

    def mean(values_of):
        return np.mean([np.median(values_of(item), axis=0) for item in fields], axis=0)

    scattering = mean(lambda item: item.zodiacal / item.scattered)
    first, last = wavelength.searchsorted([2.8, 3.4])
    slope = np.log(scattering[last] / scattering[first]) / np.log(wavelength[last] / wavelength[first])
    emits = wavelength > EMISSION_FROM
    scattering[emits] = scattering[last] * (wavelength[emits] / wavelength[last]) ** slope
    emissivity = mean(lambda item: (item.zodiacal - scattering * item.scattered) / item.emitted)
    table = QTable({"wavelength": wavelength * u.um})
    # The stray light follows the whole sky: half of it is taken to be always there, half to go with the zodiacal light.
    table["scattering"] = scattering
    table["emissivity"] = np.where(emits, emissivity, 0)
    table["stray_constant"] = mean(lambda item: item.stray) / 2
    table["stray_part"] = mean(lambda item: item.stray / item.zodiacal) / 2
    table["other"] = np.mean([item.other for item in fields], axis=0)
    for name in table.colnames[1:]:
        table[name] = np.array([float(f"{value:.4g}") for value in table[name]])
    emissivity, temperature = grey_body(curve)
    table.meta["source"] = (
        "tuned by benchmarks/accuracy_background.py --fit to files of the JWST Backgrounds Tool (HEALPix "
        f"{', '.join(item.name.removeprefix('sl_pix_') for item in fields)}) and its thermal curve"
    )
    table.meta["units"] = "stray_constant and other in MJy/sr; scattering in 10^-6 MJy/sr au; the others have none"
    table.meta["thermal"] = {"emissivity": float(f"{emissivity:.4g}"), "temperature": float(f"{temperature:.4g}")}
    table.meta["relative_err"] = float(f"{relative_err:.2g}")
    return table


def grey_body(curve):
    """Return emissivity and temperature (K) of the grey body that follows the thermal curve from 2.5 to 5.2 um."""
    wavelength, brightness = curve
    used = (wavelength > 2.5) & (wavelength < 5.2)

    def departure(numbers):
        return np.log(black_body(wavelength[used], numbers[1])) + numbers[0] - np.log(brightness[used])

    logarithm, temperature = least_squares(departure, [np.log(1e-6), 280.0], x_scale=[1, 10]).x
    return np.exp(logarithm), temperature


def departures(model, field, tool, wavelength):
    """Return predicted / file - 1 for each day and wavelength."""
    rows = []
    for date in field.dates:
        ours = sum(model(field.coordinate, date, wavelength * u.um).values())
        theirs = sum(tool(field.coordinate, date, wavelength * u.um).values())
        rows.append((ours / theirs).to_value(u.one) - 1)
    return np.array(rows)


def score(folder):
    """Return a table of the departures of each field, tuned to the others, and their root mean square."""
    tool = nf.JBTBackground(folder)
    grid = tool.grid
    curve = jbt_files.read_curve(tool.thermal, 2)
    fields = [Field.read(path, grid) for path in sorted(Path(folder).glob("sl_pix_*.bin"))]
    wavelength = grid[(grid >= SCORED[0]) & (grid <= SCORED[1])]
    found = {}
    for left_out in fields:
        others = [item for item in fields if item is not left_out]
        model = nf.ZodiacalBackground(tuning=tuned(others, curve), any_angle=True)
        found[left_out.name] = departures(model, left_out, tool, wavelength)
    rows = [_summary(name, values) for name, values in (found | {"all": np.concatenate(list(found.values()))}).items()]
    return fields, curve, Table(rows=rows)


def _summary(name, values):
    size = np.abs(values)
    numbers = {"median": np.median(size), "rms": np.sqrt(np.mean(values**2)), "largest": size.max()}
    return {"left out": name, "days": len(values)} | {key: round(float(value), 4) for key, value in numbers.items()}


def predicted(folder, *, fit=False):
    """Print how far the compact model is off; write its table if asked to."""
    fields, curve, scores = score(folder)
    print("\n".join(scores.pformat(max_width=-1)))
    table = tuned(fields, curve, relative_err=scores["rms"][-1])
    temperature = table.meta["thermal"]["temperature"]
    print(f"{len(KNOTS)} wavelengths x {len(table.colnames) - 1} spectra; thermal light: grey body of {temperature} K")
    if fit:
        path = Path(_tables.__file__).parents[1] / "background" / "data" / "zodiacal.ecsv"
        table.write(path, format="ascii.ecsv", overwrite=True)
        print(f"written: {path.name}")


# --- the measured sky


def flat_of(program):
    """Return what the campaign of one detector says of its flat, a `FlatModelFit`."""
    jobs = [(*mode, index) for mode in program.modes() for index in range(program.n_exposures)]
    exposures = nf.ExposureSet.from_exposures(map_ordered(lambda job: light(program.exposure(*job)), jobs))
    return nf.FlatModelFit.from_delta(nf.DeltaSkyflat.from_frames(masked_frames(exposures)), n_replicates=0)


def light(exposure):
    """Return the exposure with its data, flags and photon noise only."""
    return attrs.evolve(exposure, err=None, area=None, var_rnoise=None, var_flat=None)


def exposures_of(program, detector, indices):
    """Return these exposures of every filter of a detector."""
    jobs = [(filter, index) for _, filter in program.modes(detector) for index in indices]
    return nf.ExposureSet.from_exposures(light(program.exposure(detector, *job)) for job in jobs)


def measured_ratios(detector, seed, times, shape=(2048, 2048)):
    """Yield (exposure time, recipe, measured / injected for each filter and exposure)."""
    effects = attrs.evolve(Effects(), wisps=False)
    usual = SimulatedProgram(detectors=detector, n_pointings=2, n_dithers=3, seed=seed, effects=effects, shape=shape)
    fit, truth = flat_of(usual), usual.truth(detector)
    recipes = {
        "report": {"masks": nf.Segmentation.of_report()},
        "plain": {},
        "corrected": {"corrections": fit},
        "deep": {"corrections": fit, "deep": exposures_of(usual, detector, DEEP)},
    }
    for time in times:
        program = attrs.evolve(usual, exposure_time=time * u.s)
        jobs = [(filter, index) for _, filter in program.modes() for index in MEASURED]
        exposures = exposures_of(program, detector, MEASURED)
        injected = [truth.sky(*job) * np.nanmedian(truth.delta(job[0])) for job in jobs]
        for name, settings in recipes.items():
            table = nf.BackgroundComparison.from_exposures(exposures, model=ANYWHERE, **settings).exposures
            ratio = (table["measured"] / u.Quantity(injected)).to_value(u.one)
            yield time, name, ratio.reshape(-1, len(MEASURED))


def measured(seeds, detectors=DETECTORS, times=TIMES, **settings):
    """Print the departures of measured from injected skies."""
    for detector in detectors:
        found = defaultdict(list)
        for seed in seeds:
            for time, name, ratio in measured_ratios(detector, seed, times, **settings):
                found[time, name].append(100 * (ratio - 1))
        rows = []
        for (time, name), departures in found.items():
            departures = np.array(departures)
            rows.append(
                {
                    "exposure time": time,
                    "recipe": name,
                    "mean": departures.mean(),
                    "worst exposure": np.abs(departures).max(),
                    "worst mean": np.abs(departures.mean(axis=-1)).max(),
                    "its error": np.sqrt(np.mean(departures.var(axis=-1, ddof=1)) / departures.shape[-1]),
                }
            )
        table = Table(rows=rows)
        for name in table.colnames[2:]:
            table[name].info.format = ".2f"
        print(f"\n{detector}, seeds {', '.join(map(str, seeds))}")
        print("\n".join(table.pformat(max_width=-1)), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", help="folder with files of the JWST Backgrounds Tool")
    parser.add_argument("--fit", action="store_true", help="write the packaged table of the compact model")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="other seeds")
    parser.add_argument("--detectors", nargs="+", default=DETECTORS)
    parser.add_argument("--times", type=float, nargs="+", default=TIMES, help="other exposure times, s")
    options = parser.parse_args()
    if options.files:
        predicted(options.files, fit=options.fit)
    else:
        measured(options.seeds, options.detectors, options.times)


if __name__ == "__main__":
    main()
