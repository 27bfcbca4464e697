"""How much of a simulated change of the flat was found: products beside the truth they should show."""

import numpy as np

from nircam_flats._html import table
from nircam_flats.kernels import peak_to_peak
from nircam_flats.report.section import Section, paragraph

__all__ = ["RECOVERY_MEANING", "recovery", "recovery_section", "recovery_table"]

RECOVERY_MEANING = (
    "injected: the change of the flat, peak to peak over boxes of 64 px; left: what of it the new flat leaves;",
    "error: of the fit, 1 sigma, as it claims; sky level: found / injected.",
    "A new flat is the ground flat times the grey fit: what it leaves in one filter is mostly what that filter",
    "does not share with the others.",
)
"""What the columns of `recovery_table` say, as lines."""


def recovery(products, truth):
    """Compare the products of a simulated detector with the truth.

    Parameters
    ----------
    products
        A `~nircam_flats.report.DetectorProducts`.
    truth
        The `~nircam_flats.simulation.SimulatedTruth` of the same detector.

    Returns
    -------
    list of dict
        First for the grey fit, then for the flight flat of each filter: ``what`` ('grey', or the filter), the
        ``change`` that was injected and what is ``left`` of it after correction (both as
        `~nircam_flats.report.peak_to_peak`). For the grey fit also ``err``, the median error that it claims (1 sigma);
        for a filter ``sky``, the sky levels found divided by those injected, mean over the exposures. The other of the
        two is None.
    """
    good = products.grey.good
    grey = truth.grey()
    rows = [
        {
            "what": "grey",
            "change": peak_to_peak(grey, good),
            "left": peak_to_peak(products.fit.surface / grey, good),
            "err": float(np.median(products.fit.covariance.err())),
            "sky": None,
        }
    ]
    for name, flat in products.flats.items():
        with np.errstate(divide="ignore"):  # pixels dead from the beginning, which are not good
            found = flat.data / truth.flight_flat(name)
        rows.append(
            {
                "what": name,
                "change": peak_to_peak(truth.delta(name), good),
                "left": peak_to_peak(found, good),
                "err": None,
                "sky": _sky_ratio(products.grey, truth, name),
            }
        )
    return rows


def recovery_table(program, simulated):
    """Return the rows of `recovery` of all detectors as texts, the headings first.

    Parameters
    ----------
    program
        A `~nircam_flats.report.SkyFlatProgram`.
    simulated
        The `~nircam_flats.simulation.SimulatedProgram` that its exposures were taken from.
    """
    rows = [("detector", "flat", "injected", "left", "error", "sky level")]
    for products in program.products:
        for item in recovery(products, simulated.truth(products.detector)):
            err = "" if item["err"] is None else f"{item['err']:.2%}"
            sky = "" if item["sky"] is None else f"{item['sky']:.4f}"
            changes = (f"{item['change']:.2%}", f"{item['left']:.2%}")
            rows.append((str(products.detector), item["what"], *changes, err, sky))
    return rows


def recovery_section(rows):
    """Return the section of the report page that shows a `recovery_table`."""
    columns, *others = rows
    made = table(columns, others, caption="Beside the truth of the simulation", numbers=columns[2:])
    return Section(title="Truth", body=(made, paragraph(" ".join(RECOVERY_MEANING))))


def _sky_ratio(grey, truth, name):
    """Mean of the sky levels found, divided by the injected ones as the injected change of the flat shows them."""
    program, detector = truth.program, truth.detector
    used = {row["name"]: row["level"] for row in grey.exposures if row["used"]}
    names = [program.exposure_name(detector, name, index) for index in range(program.n_exposures)]
    ratios = [(used[root] / truth.sky(name, index)).to_value("") for index, root in enumerate(names) if root in used]
    return float(np.mean(ratios) / np.median(truth.delta(name)[grey.good]))
