"""What the report page costs, beside the job that it tells of, in the same run.

    python benchmarks/page.py    # 12 full frames of one detector in two filters; a minute or two

The job reads ``_cal`` files, which the system still holds in memory, and makes the flats; then its products are
written, then the page with its section on backgrounds, then the page again with the section that ``--photometry`` adds,
for which all exposures are read again. A smaller job, before, loads the compiled code.
"""

import argparse
import tempfile
import time
from pathlib import Path

from _bench import shared_folder

import nircam_flats as nf
from nircam_flats.report import PAGE, background_section, photometry_section
from nircam_flats.simulation import SimulatedProgram

SEED = 11


def simulate(folder, **settings):
    """Write the files of a job."""
    settings = {"detectors": "NRCB1", "n_pointings": 2, "n_dithers": 3, "seed": SEED} | settings
    SimulatedProgram(**settings).write(folder)


def costs(folder, out):
    """Return seconds and megabytes, by what they are of, of the job whose files lie in ``folder``."""
    ground_flats = folder / "ground_flats"
    exposures = nf.ExposureSet.read(sorted((folder / "cal").iterdir()))
    started = time.perf_counter()
    laps = {}

    def lap(name):
        laps[name] = time.perf_counter() - started - sum(laps.values())

    program = nf.recipes.sky_flat_program(exposures, ground_flats)
    lap("the job [s]")
    for products in program.products:
        products.write(out)
    lap("its products written [s]")
    sections = [background_section(program, exposures)]
    program.write_tables(out, sections=sections)
    lap("the page and the tables [s]")
    sizes = {"the page [MB]": (out / PAGE).stat().st_size / 1e6}
    sections.append(photometry_section(program, exposures, ground_flats))
    lap("photometry [s]")
    program.write_tables(out, sections=sections, overwrite=True)
    lap("the page and the tables again [s]")
    sizes["with photometry [MB]"] = (out / PAGE).stat().st_size / 1e6
    return laps | sizes


def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    with tempfile.TemporaryDirectory() as place, shared_folder("page", simulate) as folder:
        small, out, warm = (Path(place) / name for name in ("small", "out", "warm"))
        simulate(small, shape=(256, 256))
        for path in (out, warm):
            path.mkdir()
        costs(small, warm)
        for name, value in costs(folder, out).items():
            print(f"{name:34}{value:8.2f}")


if __name__ == "__main__":
    main()
