"""Checks of what a run made: each a question with its answer and the numbers behind it."""

from attrs import field, frozen

from nircam_flats.kernels import peak_to_peak
from nircam_flats.validation.flatness import NoiseFloor

__all__ = ["Check", "checks_of", "left_by"]

FLAT_ENOUGH = 0.01
"""Peak to peak, in boxes of 64 px, of what a new flat may leave in the sky."""
SIGNIFICANT = 5
"""How many times its own error a change must be to be worth correcting."""
UNDESCRIBED = 0.1
"""Part of the change that a surface may leave undescribed."""


@frozen(kw_only=True)
class Check:
    """The answer to one question about the products.

    Attributes
    ----------
    of
        What was checked, such as 'NRCB4 F200W'.
    what
        What must hold.
    passed
        Whether it does.
    told
        The numbers, or what is wrong.
    """

    of: str = field(converter=str)
    what: str = field(converter=str)
    passed: bool = field(converter=bool)
    told: str = field(default="", converter=str)


def left_by(products, name):
    """Return what the surface that corrected filter ``name`` leaves of its delta skyflat: delta skyflat / surface."""
    return products.by_filter[name].data / products.fits.get(name, products.fit).surface


def checks_of(products):
    """Return the checks of the `~nircam_flats.report.DetectorProducts` of one detector, a list of `Check`."""
    name, fit, row = products.detector.name, products.fit, products.summary
    wanted = {str(item) for item in products.grey.exposures["filter"] if item}
    missing = sorted(wanted - set(products.flats))
    told = f"{len(products.flats)} of {len(wanted)}" + (f"; without: {', '.join(missing)}" if missing else "")
    checks = [
        Check(of=name, what="there is a new flat for each filter of the exposures", passed=not missing, told=told)
    ]
    change, err, misfit = row["change"], row["fit_err"], row["misfit"]
    checks.append(
        Check(
            of=name,
            what=f"the change of the flat is at least {SIGNIFICANT} times the error of the fit",
            passed=change >= SIGNIFICANT * err,
            told=f"change {change:.2%} peak to peak, error {err:.2%} (1 sigma)",
        )
    )
    checks.append(
        Check(
            of=name,
            what=f"the surface describes the change: its misfit is at most {UNDESCRIBED:.0%} of it",
            passed=misfit <= UNDESCRIBED * change,
            told=f"misfit {misfit:.2%} of an error of {err:.2%} in all (1 sigma), change {change:.2%}; {fit.strategy}",
        )
    )
    for label in products.by_filter:
        delta = products.by_filter[label]
        left, floor = peak_to_peak(left_by(products, label), delta.good), NoiseFloor.of_delta(delta).peak_to_peak
        checks.append(
            Check(
                of=f"{name} {label}",
                what=f"the new flat leaves at most {FLAT_ENOUGH:.0%} in the sky, peak to peak in boxes of 64 px, or no "
                "more than noise alone would show",
                passed=left <= max(FLAT_ENOUGH, floor),
                told=f"left {left:.2%}; noise alone would show {floor:.2%}",
            )
        )
    for label, flat in products.flats.items():
        broken = flat.check()
        checks.append(
            Check(
                of=f"{name} {label}",
                what="the new flat keeps the rules of CRDS and of the pipeline",
                passed=not broken,
                told="; ".join(broken) or "all rules",
            )
        )
    return checks
