"""The section of the report page on stars: do they repeat better with the new flats, and do they agree with the sky?"""

from functools import partial

from nircam_flats._html import table
from nircam_flats.exceptions import FlatsError
from nircam_flats.plotting import draw_repeatability
from nircam_flats.report.section import Picture, Section, paragraph
from nircam_flats.validation import PhotometricRepeatability, StarFlat

__all__ = ["photometry_section"]

NUMBERS = ("stars", "with the old flat [%]", "with the new [%]", "noise [%]", "unexplained", "chance")
ADDITIVE = 1e-3
"""Chance below which the flats of stars and of the sky are told to differ."""


def photometry_section(program, exposures, ground_flats, *, executor=None):
    """Return the section on the photometry of stars in all exposures that a run used, with the old and the new flats.

    The exposures are read again, with their errors and pixel areas.

    Parameters
    ----------
    program
        A `~nircam_flats.report.SkyFlatProgram`.
    exposures
        The `~nircam_flats.ExposureSet` that it was made of.
    ground_flats
        The flats that calibrated them, as for `~nircam_flats.recipes.sky_flat_program`.
    executor
        Any `concurrent.futures.Executor`; by default threads for all cores.
    """
    rows, pictures, notes = [], [], []
    for products in program.products:
        used = set(products.grey.exposures["name"][products.grey.exposures["used"]])
        for name, flat in products.flats.items():
            chosen = exposures.where(detector=products.detector, filter=name)
            chosen = chosen.exclude([member.name not in used for member in chosen], "not used by the run")
            of = f"{products.detector} {name}"
            try:
                stars = PhotometricRepeatability.from_exposures(chosen, old=ground_flats, new=flat, executor=executor)
                numbers, chance = stars.summary, _chance(stars, products.fits.get(name, products.fit))
            except FlatsError as error:
                notes.append(paragraph(f"{of}: not measured: {error}", class_="note"))
                continue
            shares = (f"{100 * numbers[key]:.2f}" for key in ("scatter_old", "scatter_new", "noise_new"))
            rows.append((products.detector, name, numbers["n_stars"], *shares, numbers["n_unexplained"], chance))
            pictures.append(
                Picture(
                    draw=partial(draw_repeatability, stars),
                    alt=f"Histogram of the scatter of each star in {of}, with the old and with the new flat.",
                    caption=f"{of}: scatter of each star between dithers [%], with both flats.",
                )
            )
    caption = (
        "Scatter of bright stars between dithers, median, and what their errors say it should be; stars that scatter "
        "too much with the new flat, without a flag that explains it; chance that stars and sky see the same response: "
        f"below {ADDITIVE:g} the sky holds light that is no response"
    )
    made = table(("detector", "filter", *NUMBERS), rows, caption=caption, numbers=NUMBERS) if rows else None
    return Section(
        title="Photometry of stars", body=[item for item in (made, *notes) if item is not None], pictures=pictures
    )


def _chance(stars, fit):
    """The chance that stars and sky agree, as text; '' where too few stars determine no flat."""
    try:
        return f"{StarFlat.from_photometry(stars).compare(fit).p_value:.2g}"
    except FlatsError:
        return "too few stars"
