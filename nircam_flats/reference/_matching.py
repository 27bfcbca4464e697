"""Whether a flat, a fit and an exposure belong together; what does not is refused, with both sides named."""

import warnings

import numpy as np

from nircam_flats._files import bare_file_name
from nircam_flats.exceptions import FlatsWarning, InvalidInputError
from nircam_flats.reference._arithmetic import NO_ANSWER

__all__ = ["refuse_other_fit", "refuse_unsuited_exposure"]


def _called(thing, kind):
    return thing.name or f"a{'n' if kind[0] in 'aeiou' else ''} {kind} without a name"


def refuse_other_fit(ground, fit):
    """Raise `InvalidInputError` unless ``fit`` was made of exposures that ``ground`` calibrated."""
    here, filter = "FlatReference.corrected_by", ground.filter.name
    for what, needed, came in (
        ("detector", ground.detector, fit.detector),
        ("shape", ground.data.shape, fit.surface.shape),
    ):
        if needed != came:
            raise InvalidInputError(
                f"{here} needs a fit with the {what} of {_called(ground, 'flat')}, {needed}; got {came}"
            )
    if filter not in fit.flat_names:
        raise InvalidInputError(
            f"{here} needs a fit with exposures in {filter}, the filter of {_called(ground, 'flat')}; "
            f"got one of {', '.join(fit.flat_names) or 'no filter'}"
        )
    used = bare_file_name(fit.flat_names[filter])
    if used is None or ground.name is None:
        warnings.warn(
            f"{_called(ground, 'flat')} is taken for the one that the exposures in {filter} were divided by, "
            f"{used or 'which they do not name'} (R_FLAT); it cannot be checked",
            FlatsWarning,
            stacklevel=3,
        )
    elif used != ground.name:
        raise InvalidInputError(
            f"{here} needs the flat that the exposures in {filter} were divided by, {used} (R_FLAT); got {ground.name}"
        )


def refuse_unsuited_exposure(exposure, new, old):
    """Raise `InvalidInputError` unless flat ``new`` can take the place of ``old`` in ``exposure``."""
    here, name = "FlatReference.apply_to", _called(exposure, "exposure")
    for flat, role in ((new, "flat"), (old, "flat to replace")):
        for what, needed, came in (
            ("detector", exposure.detector, flat.detector),
            ("filter", exposure.filter, flat.filter),
            ("shape", exposure.data.shape, flat.data.shape),
            ("corner", tuple(exposure.corner), flat.corner),
        ):
            if needed != came:
                raise InvalidInputError(
                    f"{here} needs a {role} with the {what} of {name}, {needed}; got {came} in {_called(flat, 'flat')}"
                )
    step = exposure.steps.get("S_FLAT")
    if step != "COMPLETE":
        raise InvalidInputError(
            f"{here} needs an exposure that a flat divided (S_FLAT COMPLETE); got {name} with S_FLAT {step}"
        )
    used = bare_file_name(exposure.flat_name)
    if used is None or used != old.name:
        remedy = "" if used and old.name else "; give the name with attrs.evolve if you know it"
        raise InvalidInputError(
            f"{here} needs as flat to replace the one that {name} was divided by, "
            f"{used or 'which it does not name'} (R_FLAT); got {_called(old, 'flat')}{remedy}"
        )
    with np.errstate(invalid="ignore"):
        senseless = ((new.data < 0) | np.isinf(new.data)) & ~NO_ANSWER.is_set(new.dq)
    if senseless.any():
        raise InvalidInputError(
            f"{here} needs a flat whose negative and infinite values are flagged; {_called(new, 'flat')} has "
            f"{np.count_nonzero(senseless)} that are not; repaired() flags them"
        )
    if exposure.err is not None and (exposure.var_poisson is None or exposure.var_rnoise is None):
        raise InvalidInputError(
            f"{here} needs var_poisson and var_rnoise to make the new err; {name} lacks them; read it with "
            "these planes, or without err"
        )
