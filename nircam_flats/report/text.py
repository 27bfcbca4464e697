"""What a run made, told in a few lines."""

from collections import defaultdict
from textwrap import shorten

from nircam_flats.report.products import EXPOSURES, SUMMARY

__all__ = ["aligned", "told"]

SHOWN = 3
"""Exposures named for each reason; the table of exposures has all."""
LONGEST = 500


def told(program, out):
    """Return what a run made, as the lines that the command prints at its end.

    A table with a row per detector, then the exposures left out, grouped by reason, then what was not made and why,
    then what to know about the products.

    Parameters
    ----------
    program
        A `~nircam_flats.report.SkyFlatProgram`.
    out
        The folder it was written to.
    """
    lines = []
    if program.products:
        lines += _table(program)
    left_out = program.exposures[~program.exposures["used"]]
    if len(left_out):
        lines += ["", f"Left out: {len(left_out)} of {len(program.exposures)} exposures (each is in {out / EXPOSURES})"]
        lines += [f"  {line}" for line in _by_reason(left_out)]
    if program.problems:
        lines += ["", f"Not made: {len(program.problems)} (also in {out / SUMMARY})"]
        lines += [f"  {_one_line(problem)}" for problem in program.problems]
    if program.notes:
        lines += ["", *(f"Note: {note}" for note in program.notes)]
    return lines


def _table(program):
    rows = [("detector", "filters", "used", "left out", "change", "error", "new flats")]
    for row in (item.summary for item in program.products):
        counts = (str(row["n_used"]), str(row["n_left_out"]))
        change = (f"{row['change']:.2%}", f"{row['fit_err']:.2%}")
        rows.append((row["detector"], row["filters"], *counts, *change, str(row["n_flats"])))
    meaning = "change: of the flat, peak to peak over boxes of 64 px; error: of that, 1 sigma, as the fit claims"
    return [*aligned(rows, left=2), meaning]


def aligned(rows, *, left):
    """Return rows of texts as lines: the first ``left`` columns are aligned to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            text.ljust(width) if index < left else text.rjust(width)
            for index, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _by_reason(left_out):
    groups = defaultdict(list)
    for row in left_out:
        groups[str(row["reason"])].append(str(row["name"]))
    for reason, names in groups.items():
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        yield f"{len(names)}: {_one_line(reason)}: {', '.join(names[:SHOWN])}{more}"


def _one_line(text):
    return shorten(str(text), LONGEST, placeholder=" ...")
