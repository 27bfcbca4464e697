"""The command ``nircam-flats``: the whole procedure on files, or on a campaign simulated on the spot."""

import argparse
import sys
import time
import warnings
from pathlib import Path

from nircam_flats.exceptions import FlatsError, FlatsWarning
from nircam_flats.recipes import sky_flat_program
from nircam_flats.simulation import SimulatedProgram

__all__ = ["main"]

DONE, INCOMPLETE, REFUSED = 0, 1, 2


def main(arguments=None):
    """Run the command; returns the exit status: 0 all was made, 1 something was not, 2 the input was refused."""
    options = _parser().parse_args(arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("always", FlatsWarning)
        warnings.showwarning = _show_warning
        try:
            return options.command(options)
        except FlatsError as error:
            print(f"nircam-flats: {error}", file=sys.stderr)
            return REFUSED


def _run(options):
    program = sky_flat_program(options.cal, options.ground_flats, out=options.out, overwrite=options.overwrite)
    return _tell(program, options.out)


def _demo(options):
    started = time.perf_counter()
    simulated = SimulatedProgram(
        detectors=options.detectors, n_dithers=options.dithers // 2, shape=(options.size, options.size), seed=options.seed
    )
    inputs = options.out / "input"
    print(
        f"Simulating {len(simulated)} exposures of {options.size} x {options.size} px of {', '.join(options.detectors)} "
        f"(seed {options.seed}) in {inputs}"
    )
    files = simulated.write(inputs, overwrite=options.overwrite)
    print(f"Making flats in {options.out} as `nircam-flats run {inputs}/cal/*_cal.fits ...` would")
    program = sky_flat_program(files.cal, files.ground_flats, out=options.out, overwrite=options.overwrite)
    status = _tell(program, options.out)
    for products in program.products:
        left = large_scale_error(products, simulated.truth(products.detector))
        print(f"{products.detector}: the fit differs from the injected truth by {left:.2%} peak to peak")
    print(f"{time.perf_counter() - started:.0f} s in all")
    return status
