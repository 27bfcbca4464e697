"""The whole job, from files to new flats, against plain scripts.

    python benchmarks/whole_job.py            # 18 full frames of one detector in two filters; some minutes

The first script (`plain.py`) does the same recipe (with the cubic of the report), the second a simpler one of two
passes. Both sides read the same ``_cal`` files, which the system still holds in memory, and write the new flats. The
limit is the time to read the pixels and their flags once; the recipe reads them three times.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import plain
from _bench import N_CORES, Case, main, shared_folder

import nircam_flats as nf
from nircam_flats.simulation import SimulatedProgram

SEED = 11
TOLERANCE = 3e-3


@dataclass(frozen=True)
class Job:
    """Exposures of one detector, the folder of their ground flats, and where to write."""

    paths: tuple
    ground_flats: Path
    out: Path

    @classmethod
    def of(cls, folder):
        """The job whose files lie in ``folder``, as `SimulatedProgram.write` leaves them."""
        out = folder / "new_flats"
        out.mkdir(exist_ok=True)
        return cls(paths=tuple(sorted((folder / "cal").iterdir())), ground_flats=folder / "ground_flats", out=out)

    @property
    def n_bytes(self):
        """Of the pixels (float32) and their flags (uint32)."""
        return sum(8 * np.prod(member.shape) for member in nf.ExposureSet.read(self.paths))


def simulate(folder, **settings):
    """Write the files of a job."""
    settings = {"detectors": "NRCB1", "n_pointings": 3, "n_dithers": 3, "seed": SEED} | settings
    with ThreadPoolExecutor(N_CORES) as executor:
        SimulatedProgram(**settings).write(folder, executor=executor)


def with_scripts(job, *, two_passes=False):
    """Return the surface that plain.py fits."""
    return plain.make_flats(job.paths, job.ground_flats, job.out, two_passes=two_passes)


def with_nircam_flats(job):
    """Return the surface that we fit."""
    exposures = nf.ExposureSet.read(job.paths)
    products = nf.recipes.sky_flat_detector(exposures, job.ground_flats, strategy=nf.Polynomial2D())  # as the script
    for name, flat in products.flats.items():
        flat.write(job.out / f"{name}_flat.fits", overwrite=True)
    return products.fit.surface


def difference(theirs, ours):
    """How far the ratio of two surfaces is from constant, peak to peak."""
    return float(np.ptp(theirs / ours))


def agreement(theirs, ours):
    """Say how well two surfaces of one recipe agree."""
    apart = difference(theirs, ours)
    if not apart < TOLERANCE:
        raise ValueError(f"the fitted surfaces differ by {100 * apart:.2f} % peak to peak")
    return f"fitted surfaces within {100 * apart:.2f} % peak to peak"


def other_recipe(theirs, ours):
    """Say how far the simpler recipe is off."""
    return f"another recipe: surfaces {100 * difference(theirs, ours):.1f} % apart, peak to peak"


def cases():
    with shared_folder("whole_job", simulate) as folder:
        common = {"prepare": partial(Job.of, folder), "ours": with_nircam_flats}
        common |= {"n_bytes": lambda job: int(job.n_bytes), "files": lambda job: job.paths}
        yield Case(label="18 exposures", baseline=with_scripts, same=agreement, target=10, repeats=3, **common)
        yield Case(
            label="18 exposures, two passes",
            baseline=partial(with_scripts, two_passes=True),
            same=other_recipe,
            repeats=1,
            **common,
        )


if __name__ == "__main__":
    main("whole job", __doc__, cases)
