"""The report page: the whole result of a run in one file that needs nothing else.

Nothing on it is loaded from anywhere (a browser is told to refuse), and nothing in it runs.
"""

from functools import partial
from importlib.resources import files
from pathlib import Path

from nircam_flats._files import atomic_path
from nircam_flats._html import Html, element, table
from nircam_flats.plotting import focal_plane
from nircam_flats.provenance import software_versions
from nircam_flats.report.checks import checks_of
from nircam_flats.report.detector_sections import detector_section
from nircam_flats.report.section import Picture, Section, folded, paragraph

__all__ = ["PAGE", "report_page", "write_page"]

PAGE = "report.html"
TITLE = "NIRCam sky flats"
UNFOLDED = 12
"""Rows of a table that is shown without being asked for."""
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""What a browser may load for the page (content security policy): images and style that it holds itself."""


def write_page(program, out, *, overwrite=False, sections=()):
    """Write report.html into the folder ``out``; parameters as for `report_page`.

    Raises
    ------
    InvalidInputError
        If the file exists and ``overwrite`` is false, or cannot be written.
    """
    text = report_page(program, sections=sections)
    with atomic_path(Path(out) / PAGE, overwrite=overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8")


def report_page(program, *, sections=()):
    """Return the page that tells of a run, a text of HTML.

    Parameters
    ----------
    program
        A `~nircam_flats.report.SkyFlatProgram`.
    sections
        Further sections, each a `~nircam_flats.report.Section`; they stand before those of the detectors.
    """
    checks = [check for item in program.products for check in checks_of(item)]
    parts = [
        summary_section(program, checks),
        problem_section(program),
        left_out_section(program),
        check_section(checks),
        focal_plane_section(program),
        *sections,
        *map(detector_section, program.products),
        software_section(program),
    ]
    parts = [part for part in parts if part is not None]
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{TITLE}: {', '.join(_detectors(program)) or 'nothing made'}"),
        element("link", rel="icon", href="data:,"),
        element("style", Html((files("nircam_flats.report") / "page.css").read_text(encoding="utf-8"))),
    )
    contents = element(
        "nav", element("h2", "Contents"), element("ul", [part.contents() for part in parts]), aria_label="Contents"
    )
    header = element("header", element("h1", TITLE), _what(program))
    main = element("main", [part.to_html() for part in parts])
    return f"<!DOCTYPE html>\n{element('html', head, element('body', header, contents, main), lang='en')}\n"


def _detectors(program):
    return [item.detector.name for item in program.products]


def _what(program):
    """Of what this is the page: detectors, dates, software."""
    dates = [(item.grey.first_date, item.grey.last_date) for item in program.products]
    days = sorted(date.utc.strftime("%Y-%m-%d") for pair in dates for date in pair if date is not None)
    taken = f"exposures of {' to '.join(dict.fromkeys((days[0], days[-1])))}" if days else None
    software = " ".join(software_versions()[0])
    return paragraph("; ".join(filter(None, (", ".join(_detectors(program)), taken, software))), class_="of")


def summary_section(program, checks):
    """What came of the run, in a few numbers, and a row for each detector."""
    exposures = program.exposures
    used = int(sum(exposures["used"])) if len(exposures) else 0
    failed = sum(not check.passed for check in checks)
    if not program.products:
        verdict = paragraph("Nothing was made. The next sections say why.", class_="verdict problem")
    elif program.problems:
        text = f"{_counted(len(program.problems), 'thing')} asked for could not be made; all else was."
        verdict = paragraph(text, class_="verdict problem")
    else:
        verdict = paragraph("Everything that was asked for was made.", class_="verdict good")
    facts = (
        ("detectors", len(program.products)),
        ("new flats", sum(len(item.flats) for item in program.products)),
        ("exposures used", used),
        ("exposures left out", len(exposures) - used),
        ("not made", len(program.problems)),
        ("checks passed", len(checks) - failed),
        ("checks failed", failed),
    )
    numbers = element("dl", [_number(name, value, bad=name in ("not made", "checks failed")) for name, value in facts])
    body = [verdict, numbers]
    if program.products:
        body.append(_summary_table(program))
    return Section(title="Summary", body=body)


def _number(name, value, *, bad):
    """A number under its name, marked if there should be none of it and there is."""
    return element("div", element("dt", name), element("dd", value, class_="problem" if bad and value else None))


def _summary_table(program):
    numbers = ("used", "left out", "change", "error", "misfit", "new flats")
    rows = []
    for item in program.products:
        row = item.summary
        name = element("a", row["detector"], href=f"#{row['detector'].lower()}")
        shares = (f"{row[key]:.2%}" for key in ("change", "fit_err", "misfit"))
        rows.append((name, row["filters"], row["n_used"], row["n_left_out"], *shares, row["n_flats"]))
    caption = (
        "Change of the flat (peak to peak over boxes of 64 px), error of the surface that corrects it, and the part of "
        "it that is misfit (1 sigma)"
    )
    return table(("detector", "filters", *numbers), rows, caption=caption, numbers=numbers, words=("filters",))


def problem_section(program):
    """What was asked for and not made, and what to know about what was."""
    if not program.problems:
        return None
    rows = [(problem.what, problem.reason) for problem in program.problems]
    made = table(("what", "why"), rows, caption="Asked for and not made", words=("why",))
    return Section(title="Not made", body=made)


def left_out_section(program):
    """Every exposure that was left out, with its reason."""
    exposures = program.exposures
    left_out = [row for row in exposures if not row["used"]]
    if not left_out:
        return Section(title="Exposures left out", body=paragraph("None."))
    rows = [(element("code", row["name"]), row["detector"], row["filter"], row["reason"]) for row in left_out]
    columns = ("exposure", "detector", "filter", "why")
    made = table(columns, rows, caption="Exposures that no flat was made of", words=columns[3:])
    told = paragraph(f"{len(left_out)} of {len(exposures)} exposures were left out.")
    made = made if len(rows) <= UNFOLDED else folded("Show them, with the reason of each", made)
    return Section(title="Exposures left out", body=(told, made))


def check_section(checks):
    """The checks: those that failed first."""
    if not checks:
        return None
    ordered = sorted(checks, key=lambda check: check.passed)
    failed = sum(not check.passed for check in checks)
    verdicts = {True: element("span", "✓ passed", class_="good"), False: element("span", "✗ failed", class_="problem")}
    rows = [(verdicts[check.passed], check.of, check.what, check.told) for check in ordered]
    columns = ("result", "of", "what must hold", "numbers")
    words = columns[2:]
    told = f"{len(checks) - failed} passed, {failed} failed. A check that failed wants a look; it kept nothing back."
    parts = [paragraph(told)]
    if failed:
        parts.append(table(columns, rows[:failed], caption="Checks that failed", words=words))
    if failed < len(rows):
        passed = table(columns, rows[failed:], caption="Checks that passed", words=words)
        parts.append(folded(_counted(len(rows) - failed, "check") + " passed", passed))
    return Section(title="Checks", body=parts)


def focal_plane_section(program):
    """The change of the flat of all detectors, as they lie on the sky."""
    if len(program.products) < 2:
        return None
    surfaces = {item.detector.name: item.fit.surface for item in program.products}
    n_channels = len({item.detector.channel for item in program.products})
    picture = Picture(
        draw=partial(focal_plane, surfaces),
        alt=f"Smooth change of the flats of {', '.join(surfaces)}, each detector where it lies on the sky.",
        caption="Surfaces fitted to the sky, relative to the ground flats, in one range of colours; dot: pixel (0, 0).",
        size=(8.5, 0.5 + 3.2 * n_channels),
        wide=True,
    )
    return Section(title="Focal plane", pictures=[picture])


def software_section(program):
    """The versions of the software that made the products."""
    versions = dict.fromkeys(pair for item in program.products for pair in item.fit.history.versions)
    made = table(
        ("package", "version"), list(versions) or software_versions(), caption="Software that made the products"
    )
    return Section(title="Software", body=made)


def _counted(number, noun):
    return f"{number} {noun}{'' if number == 1 else 's'}"
