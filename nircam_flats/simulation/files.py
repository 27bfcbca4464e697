"""The files of a simulated program."""

from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import QTable
from attrs import field, frozen

from nircam_flats._fields import to_tuple
from nircam_flats._files import atomic_path, write_fits
from nircam_flats.parallel import map_ordered

__all__ = ["SimulatedFiles"]


@frozen(kw_only=True)
class SimulatedFiles:
    """Where a program was written.

    Attributes
    ----------
    folder
        The folder that holds all.
    exposures, ground_flats, truth
        Paths: ``_cal.fits`` files; FLAT files; per mode a file with the planes DELTA and FLIGHT (and WISP), per
        detector one with GREY, CROSSHATCH, DEAD and KNOWN_DEAD, and the table ``levels.ecsv`` of the injected
        brightness of sky and wisp.
    """

    folder: Path = field(converter=Path)
    exposures: tuple = field(converter=to_tuple, repr=False)
    ground_flats: tuple = field(converter=to_tuple, repr=False)
    truth: tuple = field(converter=to_tuple, repr=False)

    @classmethod
    def write(
        cls, program: Any, folder: str | Path, *, executor: Executor | None = None, overwrite: bool = False
    ) -> Any:
        """Write ``program`` into ``folder``; see `SimulatedProgram.write`."""
        folder = Path(folder)
        for name in ("cal", "ground_flats", "truth"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        tasks = []  # in an order in which what a mode's files share is made once
        for detector in program.detectors:
            for mode in program.modes(detector):
                tasks += [(_write_exposure, *mode, index) for index in range(program.n_exposures)]
                tasks.append((_write_mode, *mode))
            tasks.append((_write_detector, detector))
        work = partial(_carry_out, program, folder, overwrite)
        paths = [path for made in map_ordered(work, tasks, executor=executor, stage="simulate") for path in made]
        levels = folder / "truth" / "levels.ecsv"
        with atomic_path(levels, overwrite=overwrite) as temporary:
            _levels(program).write(temporary, format="ascii.ecsv", overwrite=True)
        by_folder = {
            name: [path for path in paths if path.parent.name == name] for name in ("cal", "ground_flats", "truth")
        }
        return cls(
            folder=folder,
            exposures=by_folder["cal"],
            ground_flats=by_folder["ground_flats"],
            truth=[*by_folder["truth"], levels],
        )


def _carry_out(program, folder, overwrite, task):
    write, *arguments = task
    return write(program, folder, overwrite, *arguments)


def _write_exposure(program, folder, overwrite, detector, filter, index):
    exposure = program.exposure(detector, filter, index)
    path = folder / "cal" / f"{exposure.name}_cal.fits"
    exposure.write(path, overwrite=overwrite)
    return [path]


def _write_mode(program, folder, overwrite, detector, filter):
    flat = program.ground_flat(detector, filter)
    path = folder / "ground_flats" / flat.name
    flat.write(path, overwrite=overwrite)
    truth = program.truth(detector)
    planes = {"DELTA": truth.delta(filter), "FLIGHT": truth.flight_flat(filter)}
    if truth.wisp(filter).any():
        planes["WISP"] = truth.wisp(filter)
    name = f"{detector.name.lower()}_{filter.name.lower()}_truth.fits"
    return [path, _write_planes(folder / "truth" / name, planes, overwrite)]


def _write_detector(program, folder, overwrite, detector):
    truth = program.truth(detector)
    planes = {
        "GREY": truth.grey(),
        "CROSSHATCH": truth.crosshatch,
        "DEAD": truth.dead.astype(np.uint8),
        "KNOWN_DEAD": truth.known_dead.astype(np.uint8),
    }
    return [_write_planes(folder / "truth" / f"{detector.name.lower()}_truth.fits", planes, overwrite)]


def _write_planes(path, planes, overwrite):
    hdus = fits.HDUList([fits.PrimaryHDU(), *(fits.ImageHDU(plane, name=name) for name, plane in planes.items())])
    write_fits(hdus, path, overwrite=overwrite)
    return path


def _levels(program):
    rows = [
        (
            f"{program.exposure_name(detector, filter, index)}",
            detector.name,
            filter.name,
            index,
            program.sky_level(detector, filter, index),
            program.truth(detector).wisp_level(filter, index),
        )
        for detector, filter in program.modes()
        for index in range(program.n_exposures)
    ]
    return QTable(rows=rows, names=("name", "detector", "filter", "index", "sky", "wisp"))
