"""Which exposures cannot be combined, and why."""

from collections import Counter, defaultdict

from nircam_flats.exceptions import InvalidInputError

__all__ = ["demand_one_detector", "demand_one_flat", "own_problems", "problems_of"]


def own_problems(member):
    """Yield what speaks against one exposure whatever the others are."""
    steps = member.steps
    if member.exposure_type != "NRC_IMAGE":
        yield f"EXP_TYPE must be NRC_IMAGE (imaging); got {member.exposure_type}"
    if steps.get("S_FLAT") != "COMPLETE":
        yield f"S_FLAT must be COMPLETE, divided by a flat; got {steps.get('S_FLAT', 'nothing')}"
    if steps.get("S_BKDSUB") == "COMPLETE":
        yield "S_BKDSUB must not be COMPLETE: the sky, which is the lamp, was subtracted"
    if (member.visit_status or "SUCCESSFUL").upper() != "SUCCESSFUL":
        yield f"VISITSTA must be SUCCESSFUL; got {member.visit_status}"


def _identities(member):
    """Yield what no two exposures of a detector share: when it began (to the millisecond), and its name."""
    if member.start is not None:
        yield (member.detector, round(member.start.mjd * 86_400_000))
    if member.name:
        yield (member.detector, member.name)


def _layout(member):
    return (member.subarray, member.corner, member.shape, member.unit)


def _describe(layout):
    subarray, corner, shape, unit = layout
    return f"SUBARRAY {subarray}, {shape} from pixel {corner}, in {unit}"


def _usual_layouts(members):
    """Return each detector's layout: the commonest of its full frames, or of all if there are none."""
    layouts = defaultdict(list)
    for member in members:
        layouts[member.detector].append(_layout(member))
    usual = {}
    for detector, found in layouts.items():
        full = [layout for layout in found if layout[0] == "FULL"]
        usual[detector] = Counter(full or found).most_common(1)[0][0]
    return usual


def problems_of(members):
    """Return for each member why it cannot be combined with the others, as a text; empty where it can."""
    own = [list(own_problems(member)) for member in members]
    usual = _usual_layouts(member for member, found in zip(members, own, strict=True) if not found)
    told = {(member.detector, member.filter) for member in members if member.flat_name is not None}
    seen: dict = {}
    for member, found in zip(members, own, strict=True):
        earlier = next((seen[key] for key in _identities(member) if key in seen), None)
        if earlier is not None:
            found.append(f"the same exposure as {earlier.path or earlier.name or 'an earlier one'}")
        layout, needed = _layout(member), usual.get(member.detector)
        if needed is not None and layout != needed:
            found.append(f"must be like the others, {_describe(needed)}; got {_describe(layout)}")
        if member.flat_name is None and (member.detector, member.filter) in told:
            found.append(
                "R_FLAT must name the flat that divided the image, as in the others of its filter; it does not"
            )
        if not found:  # what is left out keeps no good copy of it out
            seen.update((key, member) for key in _identities(member))
    return [", and ".join(found) for found in own]


def demand_one_detector(members):
    """Refuse members of several detectors.

    Raises
    ------
    InvalidInputError
        Naming the detectors.
    """
    detectors = sorted({member.detector.name for member in members})
    if len(detectors) > 1:
        raise InvalidInputError(
            f"ExposureSet: needed exposures of one detector; got {', '.join(detectors)}; select one with "
            ".where(detector=...), or go through them with .group_by('detector')"
        )


def demand_one_flat(members):
    """Refuse members of one detector and filter that were divided by different flats.

    Raises
    ------
    InvalidInputError
        Naming the flats and how many exposures each divided.
    """
    flats: dict = defaultdict(Counter)
    for member in members:
        flats[member.detector, member.filter][member.flat_name or "an unknown flat"] += 1
    for (detector, filter), counts in flats.items():
        if len(counts) > 1:
            came = ", ".join(f"{flat} ({count} exposures)" for flat, count in counts.most_common())
            raise InvalidInputError(
                f"ExposureSet: exposures of {detector} in {filter} must be divided by one flat (R_FLAT); got "
                f"{came}; give only the exposures of one of them, as .where(flat_name=...) selects"
            )
