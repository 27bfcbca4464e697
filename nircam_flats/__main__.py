"""The command ``nircam-flats``: the whole procedure on files, or on a campaign simulated on the spot."""

import argparse
import os
import shutil
import sys
import time
import warnings
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import attrs
from astropy import units as u
from tqdm.auto import tqdm

from nircam_flats.exceptions import FlatsError, FlatsWarning, InvalidInputError
from nircam_flats.exposure import ExposureSet
from nircam_flats.fit import Grey, PerFilter, Shrunk
from nircam_flats.recipes import sky_flat_program
from nircam_flats.reference import FlatDelivery
from nircam_flats.report import (
    PAGE,
    RECOVERY_MEANING,
    aligned,
    photometry_section,
    prepared_folder,
    recovery_section,
    recovery_table,
    told,
)
from nircam_flats.simulation import SimulatedProgram

__all__ = ["main"]

DONE, INCOMPLETE, REFUSED, INTERRUPTED = 0, 1, 2, 130
POLICIES = {"grey": Grey(), "per-filter": PerFilter(), "shrunk": Shrunk()}
N_POINTINGS = 2
PATIENCE = 30
"""Seconds to wait for a scheduler and for its workers."""
FULL_SIZE = 2048
BYTES_OF_EXPOSURE = 28
"""For each pixel, of a file with seven images of 32 bits."""
BYTES_OF_MODE = 12 + 12 + 16 + 12 + 12
"""For each pixel: ground flat, truth, delta skyflat, flight flat, filter dependence."""
BYTES_OF_DETECTOR = 10 + 16 + 16 + 17
"""For each pixel: truth, grey delta skyflat, fit, dead pixels."""


def main(arguments=None):
    """Run the command.

    Parameters
    ----------
    arguments
        Texts; by default those of the command line.

    Returns
    -------
    int
        Exit status: 0 if all was made, 1 if something was not, 2 if the input was refused, 130 after Ctrl-C.
    """
    options = _parser().parse_args(arguments)
    with warnings.catch_warnings():  # puts back what shows warnings, too
        warnings.simplefilter("always", FlatsWarning)
        warnings.showwarning = _show_warning
        try:
            return options.command(options)
        except FlatsError as error:
            _complain(error)
            return REFUSED
        except KeyboardInterrupt:
            _complain(f"interrupted; what is in {options.out} is whole, but not all; begin again with --overwrite")
            return INTERRUPTED


def _parser():
    parser = argparse.ArgumentParser(
        prog="nircam-flats",
        description="Sky flats for JWST/NIRCam: from calibrated exposures to new flight flat fields.",
        epilog="Exit status: 0 all was made, 1 something was not made, 2 the input was refused.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('nircam_flats')}")
    commands = parser.add_subparsers(required=True, metavar="run | demo | deliver")
    run = commands.add_parser(
        "run",
        help="make flats of your exposures",
        description="Make delta skyflats and flight flats of _cal.fits files, for every detector and filter in them.",
    )
    run.add_argument("cal", nargs="+", metavar="CAL", help="_cal.fits files of the JWST pipeline, or patterns of them")
    run.add_argument(
        "--ground-flats",
        required=True,
        type=Path,
        metavar="DIR",
        help="folder with the flats that the exposures were divided by (header keyword R_FLAT)",
    )
    run.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder to write to, made if need be")
    run.add_argument("--overwrite", action="store_true", help="replace the products of an earlier run")
    run.add_argument(
        "--store",
        type=Path,
        metavar="DIR",
        help="folder that keeps pixels and masks: an interrupted run goes on, a second one masks nothing again",
    )
    run.add_argument(
        "--memory-limit",
        type=_memory,
        default="1 GiB",
        metavar="SIZE",
        help="memory for the pixels of a detector; more go to a temporary folder (%(default)s)",
    )
    run.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="work on the workers of this Dask scheduler (tcp://host:8786), which see the same files; with several "
        "machines, --store must be on a file system of all of them",
    )
    run.add_argument(
        "--policy",
        choices=POLICIES,
        default="grey",
        help="which surface corrects which filter: one for all, its own, or its own as far as the data demand "
        "(%(default)s)",
    )
    run.add_argument(
        "--photometry",
        action="store_true",
        help="measure stars in all exposures with the old and the new flats, for the page (about doubles the time)",
    )
    run.set_defaults(command=_run)
    demo = commands.add_parser(
        "demo",
        help="simulate a campaign, make its flats, compare them with the truth",
        description="Simulate a campaign, two filters for each detector; make its flats; compare them with the truth.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    demo.add_argument("--out", type=Path, default=Path("nircam_flats_demo"), metavar="DIR", help="folder to write to")
    demo.add_argument("--seed", type=int, default=1, metavar="N", help="of all chance in the simulation")
    demo.add_argument(
        "--size",
        type=int,
        default=FULL_SIZE,
        metavar="PX",
        help="rows and columns of a frame (small ones show how it works, not how well)",
    )
    demo.add_argument(
        "--dithers",
        type=_even,
        default=6,
        metavar="N",
        help="exposures in each filter, an even number: half of them in each of two fields",
    )
    demo.add_argument(
        "--detectors", nargs="+", default=["NRCB1", "NRCALONG"], metavar="DET", help="detectors, by any of their names"
    )
    demo.add_argument("--overwrite", action="store_true", help="replace an earlier demo")
    demo.set_defaults(command=_demo)
    deliver = commands.add_parser(
        "deliver",
        help="make flight flats of all modes from ground flats and fits",
        description="Correct ground flats by the fits of their detectors: flight flats, a manifest, what is missing.",
    )
    deliver.add_argument("--ground-flats", required=True, type=Path, metavar="DIR", help="folder of the ground flats")
    deliver.add_argument("--fits", required=True, nargs="+", type=Path, metavar="FIT", help="fits of the detectors")
    deliver.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder to write to, made if need be")
    deliver.add_argument("--useafter", metavar="DATE", help="USEAFTER; by default that of each ground flat")
    deliver.add_argument("--overwrite", action="store_true", help="make all again, also over files of others")
    deliver.set_defaults(command=_deliver)
    return parser


def _memory(text):
    try:
        return u.Quantity(text).to(u.GiB)
    except (TypeError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"a size with its unit is needed, '2 GiB' say; got {text!r}") from error


def _even(text):
    if not text.isdecimal() or int(text) < N_POINTINGS or int(text) % N_POINTINGS:
        raise argparse.ArgumentTypeError(f"an even number from {N_POINTINGS} on is needed; got {text!r}")
    return int(text)


def _run(options):
    started = time.perf_counter()
    policy = POLICIES[options.policy]
    settings = {"store": options.store, "memory_limit": options.memory_limit, "policy": policy}
    with _workers_of(options.scheduler) as executor:
        exposures = ExposureSet.read(options.cal if executor is None else [os.path.abspath(one) for one in options.cal])
        if options.photometry:
            settings["sections"] = lambda program: [photometry_section(program, exposures, options.ground_flats)]
        return _make(exposures, options.ground_flats, options, started, executor=executor, **settings)


@contextmanager
def _workers_of(address):
    """Context manager that yields an executor on the workers of the Dask scheduler there; None without an address."""
    if address is None:
        yield None
        return
    try:
        from distributed import Client
    except ImportError:
        raise InvalidInputError(
            "--scheduler needs the package distributed: python -m pip install 'nircam_flats[distributed]'"
        ) from None
    try:
        client = Client(address, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        raise InvalidInputError(
            f"--scheduler: needed the address of a Dask scheduler that answers; got {address}: {error}"
        ) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError:
            raise InvalidInputError(
                f"--scheduler: needed a scheduler with workers; got {address}, and none came in {PATIENCE} s"
            ) from None
        yield client.get_executor()


def _demo(options):
    started = time.perf_counter()
    simulated = SimulatedProgram(
        detectors=options.detectors,
        n_pointings=N_POINTINGS,
        n_dithers=options.dithers // N_POINTINGS,
        shape=(options.size, options.size),
        seed=options.seed,
    )
    inputs = options.out / "input"
    if inputs.exists() and not options.overwrite:
        raise InvalidInputError(
            f"{options.out}: holds an earlier demo; replace it with --overwrite, or choose another folder with --out"
        )
    prepared_folder(options.out, overwrite=options.overwrite)
    n_exposures = len(simulated.modes()) * simulated.n_exposures
    print(
        f"Simulating {n_exposures} exposures of {options.size} x {options.size} px of "
        f"{', '.join(map(str, simulated.detectors))} (seed {options.seed}) in {inputs}"
    )
    _need_space(simulated, options.out)
    files = simulated.write(inputs, overwrite=options.overwrite)
    simulated = attrs.evolve(simulated)  # the same, without the large images that it kept for the next exposure
    print("Making flats of them, as of real exposures")
    rows = []

    def truth(program):
        rows.extend(recovery_table(program, simulated))
        return [recovery_section(rows)]

    status = _make(files.exposures, files.ground_flats, options, started, sections=truth)
    print("\nBeside the truth of the simulation:", *aligned(rows, left=2), *RECOVERY_MEANING, sep="\n")
    if options.size < FULL_SIZE:
        print("Small frames show how it works, not how well: stars and galaxies are as large as in full frames")
    print(f"\nAgain: nircam-flats run '{inputs}/cal/*_cal.fits' --ground-flats {inputs}/ground_flats --out DIR")
    return status


def _deliver(options):
    delivery = FlatDelivery.from_ground(
        options.ground_flats, options.fits, out=options.out, useafter=options.useafter, overwrite=options.overwrite
    )
    print(delivery)
    return DONE if set(delivery.not_made["kind"]) <= {"no fit"} else INCOMPLETE


def _make(exposures, ground_flats, options, started, **settings):
    """Make the flats and tell of them; returns the exit status."""
    program = sky_flat_program(exposures, ground_flats, out=options.out, overwrite=options.overwrite, **settings)
    print("", *told(program, options.out), "", sep="\n")
    print(f"Written to {options.out} after {time.perf_counter() - started:.0f} s; {PAGE} there shows all of it")
    return DONE if program.complete else INCOMPLETE


def _need_space(simulated, out):
    """Say how much room a demo takes on the disk, and refuse to begin if there is less."""
    pixels = simulated.shape[0] * simulated.shape[1]
    n_modes = len(simulated.modes())
    exposures = BYTES_OF_EXPOSURE * pixels * n_modes * simulated.n_exposures
    needed = exposures + pixels * (BYTES_OF_MODE * n_modes + BYTES_OF_DETECTOR * len(simulated.detectors))
    earlier = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())  # is replaced
    free = shutil.disk_usage(out).free + earlier
    print(f"This takes {_size(needed)} on the disk, of which the exposures are {_size(exposures)}", flush=True)
    if free < needed:
        raise InvalidInputError(
            f"{out}: {_size(needed)} on the disk are needed; got {_size(free)} free; choose another folder with --out, "
            "or less with --size, --dithers or --detectors"
        )


def _size(n_bytes):
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e8 else f"{n_bytes / 1e6:.1f} MB"


def _show_warning(message, category, filename, lineno, file=None, line=None):
    _complain(message)


def _complain(text):
    tqdm.write(f"nircam-flats: {text}", file=sys.stderr)  # above a progress bar, if there is one


if __name__ == "__main__":
    sys.exit(main())
