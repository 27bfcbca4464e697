"""Which exposures cannot be combined with which, and why."""

from collections import Counter, defaultdict

from nircam_flats.exceptions import InvalidInputError

__all__ = ["demand_one_flat", "member_problems"]


def _own_problems(member):
    """Return what speaks against one exposure whatever the others are."""
    steps = member.steps
    if member.exposure_type != "NRC_IMAGE":
        yield f"EXP_TYPE must be NRC_IMAGE (imaging); got {member.exposure_type}"
    if steps.get("S_FLAT") != "COMPLETE":
        yield f"S_FLAT must be COMPLETE (a flat divided the image); got {steps.get('S_FLAT', 'nothing')}"
    if steps.get("S_BKDSUB") == "COMPLETE":
        yield "S_BKDSUB must not be COMPLETE: the background, which is the lamp, was subtracted"
    if (member.visit_status or "SUCCESSFUL").upper() != "SUCCESSFUL":
        yield f"VISITSTA must be SUCCESSFUL; got {member.visit_status}"


def _identities(member):
    """Yield what no two exposures share: a detector's start time, and its name."""
    if member.start is not None:
        yield (member.detector.name, round(member.start.mjd * 86400, 3))
    if member.name:
        yield (member.detector.name, member.name)


def _layout(member):
    return (member.subarray, tuple(member.corner), tuple(member.shape))


def _expected_layouts(members):
    """Return the layout that each detector's exposures should have: of the full frames if any, the commonest."""
    layouts = defaultdict(list)
    for member in members:
        layouts[member.detector].append(_layout(member))
    expected = {}
    for detector, found in layouts.items():
        full = [layout for layout in found if layout[0] == "FULL"]
        expected[detector] = Counter(full or found).most_common(1)[0][0]
    return expected


def member_problems(members):
    """Return for each member the list of reasons why it cannot be combined with the others."""
    problems = [list(_own_problems(member)) for member in members]
    expected = _expected_layouts(
        [member for member, found in zip(members, problems, strict=True) if not found]
    )
    seen = {}
    for member, found in zip(members, problems, strict=True):
        earlier = next((seen[key] for key in _identities(member) if key in seen), None)
        if earlier is not None:
            found.append(f"the same exposure as {earlier.path or earlier.name or 'an earlier one'}")
        for key in _identities(member):
            seen.setdefault(key, member)
        wanted = expected.get(member.detector, _layout(member))
        if _layout(member) != wanted:
            found.append(
                f"must be like the others of {member.detector}, {_describe(wanted)}; got {_describe(_layout(member))}"
            )
    return problems


def _describe(layout):
    subarray, corner, shape = layout
    return f"SUBARRAY {subarray} of shape {shape} from pixel {corner}"


def demand_one_flat(members):
    """Refuse exposures of one detector and filter that were divided by different flats.

    Raises
    ------
    InvalidInputError
        Naming each flat and how many exposures it divided.
    """
    flats = defaultdict(Counter)
    for member in members:
        flats[member.detector, member.filter][member.flat_name or "an unknown flat"] += 1
    for (detector, filter), counts in flats.items():
        if len(counts) > 1:
            came = ", ".join(f"{flat} ({count})" for flat, count in counts.most_common())
            raise InvalidInputError(
                f"ExposureSet: exposures of {detector} in {filter} must all have been divided by one flat (R_FLAT); "
                f"got {came}; select one with .where(flat_name=...) or run the pipeline again with one"
            )
