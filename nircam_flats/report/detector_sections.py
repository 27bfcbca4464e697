"""The sections of the report page that tell of one detector.

A further product gets its section by a function here, or one's own, that takes the `DetectorProducts` and returns a
`Section`, or None where there is nothing to tell; `DETECTOR_SECTIONS` says which there are, in order.
"""

from functools import partial

import numpy as np

from nircam_flats._html import element, table
from nircam_flats.kernels import peak_to_peak
from nircam_flats.plotting import (
    draw_change,
    draw_contours,
    draw_dead_pixels,
    draw_flat,
    draw_map,
    draw_sky_levels,
    draw_wisp,
)
from nircam_flats.reference.correction import STEP
from nircam_flats.report.checks import left_by
from nircam_flats.report.section import Picture, Section, folded, paragraph
from nircam_flats.validation.flatness import NoiseFloor

__all__ = ["DETECTOR_SECTIONS", "detector_section", "exposure_table"]


def detector_section(products):
    """Return the section of one detector, with a section of each of its products below it."""
    row, grey = products.summary, products.grey
    filters = ", ".join(f"{item.name} ({item.pivot.to_value('um'):.2f} µm)" for item in grey.filters)
    facts = paragraph(
        f"{row['n_used']} exposures used, {row['n_left_out']} left out, in {filters}{_dates(grey)}. The flat has "
        f"changed by {row['change']:.2%} peak to peak (medians of boxes of 64 px); the surface that corrects it claims "
        f"an error of {row['fit_err']:.2%} over such boxes (1 sigma, median)."
    )
    notes = [paragraph(element("strong", "Note: "), note, class_="note") for note in products.notes]
    problems = [paragraph(element("strong", "Not made: "), problem, class_="problem") for problem in products.problems]
    made = (make(products) for make in DETECTOR_SECTIONS)
    sections = [item for item in made if item is not None]
    return Section(title=products.detector.name, body=(facts, problems, notes), sections=sections)


def _dates(product):
    days = [date.utc.strftime("%Y-%m-%d") for date in (product.first_date, product.last_date) if date is not None]
    return f", taken {' to '.join(dict.fromkeys(days))}" if days else ""


def change_section(products):
    """What the sky says about the ground flats: all filters together, the surface, what it leaves."""
    grey, fit, name = products.grey, products.fit, products.detector.name
    half_range = 1.1 * float(np.percentile(np.abs(fit.surface - 1), 99.9))
    change = peak_to_peak(fit.surface, grey.good)
    pictures = [
        Picture(
            draw=partial(draw_flat, grey.data, half_range=half_range, title="delta skyflat"),
            alt=f"Map of the delta skyflat of {name}.",
            caption=f"Response relative to the ground flats, from {len(grey.influences)} exposures. Grey: no value.",
        ),
        Picture(
            draw=partial(_draw_surface, fit.surface, half_range),
            alt=f"Map of the smooth surface fitted to the delta skyflat of {name}; it varies by {change:.1%}.",
            caption=f"The same, smooth: {fit.strategy}. Contours in per cent, dashed below 1.",
        ),
        Picture(
            draw=partial(draw_flat, fit.residual, centre=0.0, title="residual", label="delta skyflat / surface − 1"),
            alt=f"Map of what the surface of {name} leaves.",
            caption="What the surface leaves, relative; in colours of its own.",
        ),
        *(
            Picture(
                draw=partial(draw_change, grey, fit, along=along),
                alt=f"Mean departure of the sky from flat along the {along} of {name}, before and after.",
                caption=f"Departure from flat [%], mean of {along} of boxes of 32 px. Orange, dashed: with the old "
                "flats; blue: with the new. Grey band: the error that the fit claims, 1 sigma.",
            )
            for along in ("columns", "rows")
        ),
        Picture(
            draw=partial(draw_map, 100 * fit.err, title="error in each pixel", label="1 sigma [%]"),
            alt=f"Map of the error of the surface of {name}, median {np.median(fit.err):.2%}.",
            caption="Error of the surface in each pixel, 1 sigma [%]: jackknife over the exposures, misfit, and "
            "structure of pixels, which boxes average away.",
        ),
    ]
    return Section(title="The change of the flat", pictures=pictures)


def _draw_surface(surface, half_range, *, ax):
    draw_flat(surface, ax=ax, half_range=half_range, title="surface")
    draw_contours(surface, ax=ax)


def filter_section(products):
    """Each filter by itself: which surface corrects it, and what that leaves."""
    if not products.by_filter:
        return None
    rows, pictures = [], []
    for name, delta in products.by_filter.items():
        left, floor = left_by(products, name), NoiseFloor.of_delta(delta).peak_to_peak
        change, rest = (peak_to_peak(image, delta.good) for image in (delta.data, left))
        own = products.fits.get(name)
        surface = "grey" if own is None else f"its own: {own.strategy}"
        rows.append((name, len(delta.influences), f"{change:.2%}", f"{rest:.2%}", f"{floor:.2%}", surface))
        pictures.append(
            Picture(
                draw=partial(draw_flat, left - 1, centre=0.0, title=name, label="delta skyflat / surface − 1"),
                alt=f"Map of what the new flat leaves in {name} on {products.detector}: {rest:.2%} peak to peak.",
                caption=f"{name}: what the new flat leaves, relative; {rest:.2%} peak to peak, where noise "
                f"alone would show {floor:.2%}.",
            )
        )
    columns = ("filter", "exposures", "with the old flat", "with the new", "noise alone", "corrected by")
    caption = (
        "How flat the sky is in the stack of each filter, peak to peak in boxes of 64 px, with the old and with the "
        "new flat, and what the noise of the exposures would show with a perfect one. They are the exposures that the "
        f"flat was made of; policy: {products.policy}"
    )
    made = table(columns, rows, caption=caption, numbers=columns[1:5], words=columns[5:])
    return Section(title="Flatness, before and after", body=made, pictures=pictures)


def dependence_section(products):
    """How each filter departs from grey on large scales, with errors."""
    if not products.dependences:
        return None
    rows, pictures = [], []
    for name, item in products.dependences.items():
        slope = item.gradient
        pairs = ((slope.x, slope.x_err), (slope.y, slope.y_err))
        rows.append((name, *(f"{100 * value:+.2f} ± {100 * err:.2f}" for value, err in pairs)))
        pictures.append(
            Picture(
                draw=partial(draw_flat, item.data, title=f"{name} / grey", label="relative response"),
                alt=f"Map of the response of {products.detector} in {name} relative to all filters.",
                caption=f"{name} over grey.",
            )
        )
    columns = ("filter", "along x [%]", "along y [%]")
    caption = "Each filter over grey: gradient from edge to edge, 1 sigma errors"
    made = table(columns, rows, caption=caption, numbers=columns[1:])
    return Section(title="Filter dependence", body=made, pictures=pictures)


def dead_section(products):
    """The pixels that died, and where they cluster."""
    if products.dead is None:
        return None
    dead = products.dead
    counts = dead.counts
    told = paragraph(
        f"{counts['NEW']} pixels died since the bad-pixel mask was made; {counts['WORSE']} known ones got worse; "
        f"{counts['VIGNETTED']} lie in strips along an edge that see less light; {counts['UNCERTAIN']} are low, but as "
        f"likely noisy. {1 - dead.measured.mean():.1%} of the detector is not measured: nothing is known there."
    )
    rows = [
        (f"{row['x'].value:.0f}", f"{row['y'].value:.0f}", int(row["n_pixels"]), f"{float(row['response']):.2f}")
        for row in dead.concentrations()
    ]
    columns = ("x [px]", "y [px]", "pixels", "mean response")
    caption = "Concentrations of dead pixels, zero-based centres"
    made = table(columns, rows, caption=caption, numbers=columns) if rows else paragraph("No concentrations.")
    picture = Picture(
        draw=partial(draw_dead_pixels, dead),
        alt=f"Map of the dead pixels of {products.detector}.",
        caption="Where they lie; circles: concentrations.",
    )
    return Section(title="Dead pixels", body=(told, made), pictures=[picture])


def light_section(products):
    """What was told apart of response and scattered light."""
    if not products.decompositions:
        return None
    rows = [(row["filter"], row["kind"], row["sentence"]) for row in products.verdicts]
    columns = ("filter", "kind", "verdict")
    made = table(columns, rows, caption="Structure that may be light", words=columns) if rows else paragraph("None.")
    pictures = [
        Picture(
            draw=partial(draw_wisp, part.wisp),
            alt=f"Map of the light that varies in {name} on {products.detector}.",
            caption=f"{name}: the light that was taken out of the flat, at its mean strength.",
        )
        for name, part in products.decompositions.items()
        if part.wisp is not None
    ]
    return Section(title="Scattered light", body=made, pictures=pictures)


def flat_section(products):
    """The new flats: what they were made of, and what they do to photometry."""
    if not products.flats:
        return Section(title="New flats", body=paragraph("None was made.", class_="problem"))
    files = {id(product): path.rpartition("/")[2] for path, product in products.files().items()}
    rows = []
    for name, flat in products.flats.items():
        told = flat.provenance
        ground = "" if told is None else told.settings(STEP).get("ground", "")
        lost = f"{np.count_nonzero(~flat.good)} ({np.mean(~flat.good):.2%})"
        names = (element("code", text) for text in (files[id(flat)], ground))
        rows.append((name, *names, lost, *_shifts(None if told is None else told.photometry)))
    numbers = ("pixels without answer", "fluxes, mean [%]", "at FULL [%]", "scatter [%]")
    caption = (
        "New flats, in the folder flats. Fluxes measured with them change by these, new / old − 1: mean over the "
        "detector, at the reference point of FULL, and the scatter over the detector; PHOTMJSR must follow"
    )
    made = table(("filter", "file", "ground flat", *numbers), rows, caption=caption, numbers=numbers)
    return Section(title="New flats", body=made)


def _shifts(photometry):
    """Return what a flat does to fluxes as three texts, per cent: mean, at FULL, scatter; empty where not known."""
    if photometry is None:
        return ("", "", "")
    at_full = photometry.at("FULL")  # NaN in frames that are smaller than the detector
    full = "" if np.isnan(at_full) else f"{100 * at_full:+.2f}"
    return (f"{100 * photometry.mean:+.2f}", full, f"{100 * photometry.scatter:.2f}")


def exposures_section(products):
    """The exposures: their sky levels, how many stand behind each pixel, and the table of all."""
    grey = products.grey
    pictures = [
        Picture(
            draw=partial(draw_sky_levels, grey.exposures),
            alt=f"Sky level of each exposure of {products.detector}, by filter.",
            caption="Sky level [MJy/sr] with its error against the number of the exposure in the table.",
        ),
        Picture(
            draw=partial(draw_map, grey.n_used, title="frames used", label="frames"),
            alt=f"Map of the number of frames behind each pixel of {products.detector}.",
            caption="Frames behind each pixel: those not masked there, nor clipped. Medians of small boxes.",
        ),
    ]
    n = len(grey.exposures)
    made = folded(
        f"All {n} exposures of {products.detector}", exposure_table(grey.exposures, f"Exposures of {products.detector}")
    )
    return Section(title="Exposures", body=made, pictures=pictures)


def exposure_table(exposures, caption):
    """Return a table of exposures, numbered: used or not and why not, sky level, noise, masked fraction."""
    unit = exposures["level"].unit
    numbers = ("number", f"sky level [{unit}]", f"error [{unit}]", "noise [%]", "masked [%]")
    columns = (numbers[0], "exposure", "filter", "used", *numbers[1:], "start (UTC)", "why not")
    rows = []
    for number, row in enumerate(exposures, 1):
        level, err = (row[name].to_value(unit) for name in ("level", "level_err"))
        values = (f"{level:.4f}", f"{err:.5f}", f"{100 * row['noise']:.2f}", f"{100 * row['masked_fraction']:.1f}")
        used = ("yes", *values) if row["used"] else ("no", *[""] * len(values))
        why = element("span", row["reason"], class_="problem")
        rows.append((number, element("code", row["name"]), row["filter"], *used, str(row["start"])[:19], why))
    if all(exposures["used"]):
        columns, rows = columns[:-1], [row[:-1] for row in rows]  # type: ignore[assignment]
    return table(columns, rows, caption=caption, numbers=numbers, words=("why not",))


def making_section(products):
    """How the products were made: each step with its settings."""
    steps = [(str(index), step) for index, step in enumerate(products.fit.history.steps, 1)]
    rows = [
        (number, step.name, key, element("code", value))
        for number, step in steps
        for key, value in step.settings or (("", ""),)
    ]
    made = table(
        ("step", "what", "setting", "value"), rows, caption=f"Steps to the fit of {products.detector}", words=("value",)
    )
    return Section(title="Settings", body=folded(f"{len(steps)} steps, and the settings of each", made))


DETECTOR_SECTIONS = (
    change_section,
    filter_section,
    dependence_section,
    flat_section,
    dead_section,
    light_section,
    exposures_section,
    making_section,
)
