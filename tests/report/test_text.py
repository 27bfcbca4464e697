"""What the command prints at its end."""

from pathlib import Path

import attrs

from nircam_flats import Exclusion
from nircam_flats.report import Problem, SkyFlatProgram, aligned, told

OUT = Path("new")


def test_columns_are_aligned():
    assert aligned([("name", "n", "x"), ("a", "12", "0.5"), ("longer", "3", "")], left=1) == [
        "name     n    x",
        "a       12  0.5",
        "longer   3",
    ]


def test_a_row_for_each_detector(made):
    lines = told(made, OUT)
    assert lines[0].split() == ["detector", "filters", "used", "left", "out", "change", "error", "new", "flats"]
    for line, products in zip(lines[1:3], made.products, strict=True):
        row = products.summary
        figures = [f"{row['change']:.2%}", f"{row['fit_err']:.2%}"]
        assert line.split() == [row["detector"], *row["filters"].split(), "12", "0", *figures, "2"]
    assert len(lines) == 4
    assert lines[3].startswith("change: of the flat, peak to peak")


def test_exposures_left_out_come_by_reason_and_then_the_problems(made):
    bad = [Exclusion(name=f"{n}_rate.fits", reason="needed a _cal image") for n in range(5)]
    bad.insert(2, Exclusion(name="notes.txt", reason="not FITS"))
    problem = Problem(what="NRCB1 F200W flight flat", reason="no ground flat")
    lines = told(attrs.evolve(made, left_out=bad, problems=[problem]), OUT)
    assert lines[4:] == [
        "",
        "Left out: 6 of 30 exposures (each is in new/exposures.ecsv)",
        "  5: needed a _cal image: 0_rate.fits, 1_rate.fits, 2_rate.fits and 2 more",
        "  1: not FITS: notes.txt",
        "",
        "Not made: 1 (also in new/summary.ecsv)",
        "  NRCB1 F200W flight flat: no ground flat",
    ]


def test_long_reasons_are_cut(made):
    problem = Problem(what="NRCA1 flats", reason="no\ngood " * 500)
    line = told(attrs.evolve(made, problems=[problem]), OUT)[-1]
    assert line.startswith("  NRCA1 flats: no good no good")
    assert line.endswith(" ...")
    assert len(line) < 510


def test_nothing_made():
    program = SkyFlatProgram(
        products=[],
        problems=[Problem(what="NRCA1 flats", reason="a single exposure")],
        left_out=[Exclusion(name="a", reason="alone")],
    )
    lines = told(program, OUT)
    assert lines[1] == "Left out: 1 of 1 exposures (each is in new/exposures.ecsv)"
    assert lines[-1] == "  NRCA1 flats: a single exposure"


def test_notes_come_last(made):
    class Noted(SkyFlatProgram):
        notes = ("NRCB4: wisps",)

    noted = Noted(products=made.products, problems=[])
    assert told(noted, OUT)[-2:] == ["", "Note: NRCB4: wisps"]
