"""The section of the report page that sets the measured skies beside predicted ones."""

from astropy.table import vstack

from nircam_flats._html import table
from nircam_flats.background import BackgroundComparison
from nircam_flats.exceptions import InvalidInputError
from nircam_flats.report.section import Picture, Section, folded, paragraph

__all__ = ["background_section"]

NUMBERS = ("exposures", "wavelength [µm]", "measured [MJy/sr]", "predicted [MJy/sr]", "measured / predicted", "error")


def background_section(program, exposures, *, model=None):
    """Return the section on the sky levels of a run beside those that a model predicts.

    Nothing is measured again: the levels are those that the frames were divided by.

    Parameters
    ----------
    program
        A `~nircam_flats.report.SkyFlatProgram`.
    exposures
        The `~nircam_flats.ExposureSet` that it was made of, whose headers tell where and when they were taken.
    model
        A `~nircam_flats.BackgroundModel`; by default `~nircam_flats.ZodiacalBackground`.
    """
    levels = [item.grey.exposures["name", "level", "level_err"] for item in program.products]
    if not levels:
        return None
    try:
        comparison = BackgroundComparison.from_levels(exposures, vstack(levels), model=model)
    except InvalidInputError as error:
        return Section(title="Backgrounds", body=paragraph(f"Nothing to compare the sky with: {error}"))
    found = comparison.table
    rows = [
        (
            row["detector"],
            row["filter"],
            f"{row['n_used']} of {row['n_exposures']}",
            f"{row['wavelength'].to_value('um'):.2f}",
            *(f"{row[name].to_value('MJy / sr'):.4f}" for name in ("measured", "predicted")),
            f"{row['ratio']:.3f}",
            f"{row['ratio_err']:.3f}",
        )
        for row in found
    ]
    caption = (
        "Mean sky level of the exposures of each detector and filter beside the prediction; the ratio is the mean of "
        "those of the single exposures. Its error is that of the measurement, by their scatter"
    )
    made = table(("detector", "filter", *NUMBERS), rows, caption=caption, numbers=NUMBERS)
    settings = folded("The model and its settings", paragraph(comparison.model))
    known = comparison.exposures["predicted_err"] / comparison.exposures["predicted"]
    of_model = f"the model claims {known[0]:.0%} (1 sigma)" if known[0] > 0 else "the model claims no error of its own"
    told = paragraph(f"Predicted by {comparison.model.partition('(')[0]}; {of_model}.")
    picture = Picture(
        draw=comparison.plot,
        alt="Sky level of each detector and filter, measured and predicted, against wavelength.",
        caption="Measured levels (dots) and predictions [MJy/sr] against wavelength; grey: the predictions for all "
        "exposures, with the error of the model.",
    )
    return Section(title="Backgrounds", body=(told, settings, made), pictures=[picture])
