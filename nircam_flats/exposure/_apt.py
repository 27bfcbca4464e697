"""Reads the pointings in the ``records.json`` that APT exports."""

import json
from pathlib import Path

from nircam_flats.exceptions import InvalidInputError
from nircam_flats.instrument import Filter

__all__ = ["read_apt_rows"]

TABLES = ("exposures", "nircam_templates", "nircam_exposure_specification")
MODULES = {"A": ("A",), "B": ("B",), "ALL": ("A", "B"), "BOTH": ("A", "B")}


def _tables(path):
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"{path}: needed the records.json that APT exports; got {error}") from error
    missing = [name for name in TABLES if not isinstance(content, dict) or not isinstance(content.get(name), list)]
    if missing:
        raise InvalidInputError(
            f"{path}: needed the records.json that APT exports for a NIRCam program, with {', '.join(TABLES)}; it has "
            f"no {', '.join(missing)}"
        )
    for name in TABLES:
        for row in content[name]:
            lacking = [key for key in ("observation", "visit") if not isinstance(row, dict) or key not in row]
            if lacking:
                raise InvalidInputError(
                    f"{path}: each row of {name} must tell {' and '.join(lacking)}; got {row!s:.80}"
                )
    return (content[name] for name in TABLES)


def _filter(name):
    """Return the filter that APT calls ``name``: F200W, or pupil and filter together, F162M+F150W2."""
    pupil, separator, wide = name.replace("_", "+").partition("+")
    return Filter.from_keywords(wide, pupil) if separator else Filter.get(name)


def _numbers(row, names):
    return [float(row[name]) for name in names]


def read_apt_rows(path, observation=None):
    """Yield a dictionary for each NIRCam exposure: name, ra, dec (deg), v2, v3 (arcsec), modules, filters.

    Raises
    ------
    InvalidInputError
        If the file is no such export, or has no NIRCam imaging with fixed targets in the observation.
    """
    exposures, templates, specifications = _tables(path)
    numbers = sorted({row["observation"] for row in exposures}, key=str)
    if observation is not None and observation not in numbers:
        raise InvalidInputError(
            f"{path}: observation must be one of {', '.join(map(str, numbers))}; got {observation!r}"
        )
    modules = {(row["observation"], row["visit"]): row.get("modules") for row in templates}
    setups = {(row["observation"], row["visit"], row["order_number"]): row for row in specifications}
    n_rows = 0
    for row in exposures:
        visit = row["observation"], row["visit"]
        setup = setups.get((*visit, row.get("exposure_spec_order_number")))
        wanted = observation is None or row["observation"] == observation
        if not wanted or row.get("apt_label") == "BASE" or "NRC" not in row.get("AperName", "") or setup is None:
            continue
        if modules.get(visit) not in MODULES:
            raise InvalidInputError(
                f"{path}: modules of observation {visit[0]} must be one of {', '.join(MODULES)}; got "
                f"{modules.get(visit)!r}"
            )
        names = [setup.get("filter_short"), setup.get("filter_long")]
        try:
            ra, dec, v2, v3 = _numbers(row, ("ra_center_rotation", "dec_center_rotation", "v2", "v3"))
        except (KeyError, TypeError, ValueError):
            raise InvalidInputError(
                f"{path}: an exposure of observation {visit[0]} has no fixed position (ra_center_rotation, "
                "dec_center_rotation, v2, v3), as for a moving target: name another observation"
            ) from None
        n_rows += 1
        yield {
            "name": f"observation {visit[0]} visit {visit[1]} pointing {row.get('pointing_sequence_number')}",
            "ra": ra,
            "dec": dec,
            "v2": v2,
            "v3": v3,
            "modules": MODULES[modules[visit]],
            "filters": [_filter(name) for name in names if name],
        }
    if not n_rows:
        which = "any observation" if observation is None else f"observation {observation}"
        raise InvalidInputError(f"{path}: needed NIRCam exposures; there are none in {which}")
