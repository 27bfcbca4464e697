"""Which exposures belong in a flat: each rule leaves out what harms it, and says why."""

import attrs
import numpy as np
import pytest
from astropy import units as u
from astropy.time import Time

from nircam_flats import DQ, AdmissionRules, DeltaSkyflat, Exposure, ExposureSet, NormalizedFrames, SourceMask, recipes
from nircam_flats.kernels import box_medians

SHAPE = (256, 288)
SKY, NOISE = 0.3, 0.01
Y, X = np.indices(SHAPE) / np.array(SHAPE)[:, None, None]
FLAT = 1 + 0.04 * X - 0.03 * Y**2
ROWS = 1 + 0.03 * np.sin(40 * Y)
START = Time("2023-05-01T10:00:00")
SPOILED = {False: (1, 3, 5), True: (1, 3)}
"""Which of six: half of them, or fewer where the others must tell what is usual."""


def exposure(number, **facts):
    """A sky with noise through the flat, one of six."""
    rng = np.random.default_rng([7, number])
    defaults = {
        "name": f"jw{number}",
        "detector": "B4",
        "filter": "F200W",
        "data": (SKY * FLAT * ROWS + rng.normal(0, NOISE * SKY, SHAPE)).astype(np.float32),
        "dq": np.zeros(SHAPE, np.uint32),
        "start": START + number * 1000 * u.s,
        "end": START + number * 1000 * u.s + 800 * u.s,
        "exposure_time": 800 * u.s,
        "flat_name": "jwst_nircam_flat_9002.fits",
    }
    return Exposure(**(defaults | facts))


def spoil(one, add=0.0, times=1.0, noise=0.0, **facts):
    """The exposure with its data changed."""
    rng = np.random.default_rng(int(one.name[2:]))
    data = one.data * times + add + rng.normal(0, 1, SHAPE) * noise
    return attrs.evolve(one, data=data.astype(np.float32), **facts)


def cleaned(one):
    """Each row loses its own median, as it is done to take 1/f stripes out, but the level."""
    rows = np.median(one.data, axis=1, keepdims=True)
    return spoil(one, add=np.median(one.data) - rows, steps=one.steps | {"S_CLNFNS": "COMPLETE"})


def faint(one):
    """A sky of 0.01 MJy/sr, with a bias pattern that would not be seen in a bright one."""
    return spoil(one, times=0.03, add=0.001 * np.sin(9 * X))


def object_of(width, height):
    """Light of a round object in a corner."""
    return SKY * height * np.exp(-0.5 * ((X - 0.3) ** 2 + (Y - 0.3) ** 2) / width**2)


CASES = {
    "short": (
        {"min_exposure_time": 300 * u.s},
        lambda one: spoil(one, noise=0.3 * SKY, exposure_time=20 * u.s),
        "its exposure time must be at least 300 s; it is 20 s",
    ),
    "early": (
        {"first_date": START - 1 * u.day},
        lambda one: spoil(one, times=1 + 0.05 * Y, start=START - 900 * u.day),
        "it must not begin before 2023-04-30T10:00:00.000; it did on 2020-",
    ),
    "late": (
        {"last_date": START + 1 * u.day},
        lambda one: spoil(one, times=1 + 0.05 * Y, start=START + 900 * u.day),
        "it must not begin after 2023-05-02T10:00:00.000; it did on 2025-",
    ),
    "cleaned": ({"refuse_cleaned": True}, cleaned, "S_CLNFNS must not be COMPLETE: cleaned of 1/f noise"),
    "faint": ({"min_level": 0.02 * u.MJy / u.sr}, faint, "its sky must be at least 0.02 MJy / sr; it is 0.00"),
    "stray light": (
        {"max_level_ratio": 1.5},
        lambda one: spoil(one, add=2 * SKY * (1 + 0.1 * Y)),
        "its sky must be at most 1.5 times the usual; it is ",
    ),
    "asymmetric": (
        {"max_asymmetry": 0.03},
        lambda one: spoil(one, add=object_of(0.2, 0.9)),
        "mean / median| of its boxes must be at most 0.03; it is 0.",
    ),
    "giant object": (
        {"max_object": 0.3},
        lambda one: spoil(one, add=object_of(0.3, 0.6)),
        "one object may take at most 0.3 of it; it takes 0.",
    ),
    "sky subtracted": (
        {},
        lambda one: spoil(one, add=-0.9 * SKY, steps=one.steps | {"S_BKDSUB": "COMPLETE"}),
        "S_BKDSUB must not be COMPLETE: the sky, which is the lamp, was subtracted",
    ),
    "visit failed": (
        {},
        lambda one: spoil(one, add=SKY * X, visit_status="FAILED"),
        "VISITSTA must be SUCCESSFUL; got FAILED",
    ),
}


def nothing(exposure):
    """A mask of nothing: what the rules find is not hidden before."""
    return SourceMask.from_array(np.zeros(exposure.shape, bool))


def error_of(exposures, masks=nothing):
    """The delta skyflat and how far it is from the truth: of pixels or of boxes, whichever is more of its own noise."""
    delta = DeltaSkyflat.from_exposures(exposures, masks=masks)
    ratio = delta.data / (FLAT * ROWS)
    boxes = box_medians((ratio / np.median(ratio)).astype(np.float32), 32)[0]
    return delta, np.std(boxes) + np.std(ratio - np.median(ratio)) / 10


def hidden(one):
    """The same, without what the header says of it."""
    return attrs.evolve(one, steps={"S_FLAT": "COMPLETE", "S_PHOTOM": "COMPLETE"}, visit_status=None)


@pytest.mark.parametrize("case", CASES)
def test_what_harms_is_left_out(case):
    settings, change, reason = CASES[case]
    spoiled = SPOILED[case in ("asymmetric", "giant object")]
    exposures = ExposureSet.from_exposures(change(exposure(n)) if n in spoiled else exposure(n) for n in range(6))
    _, harmed = error_of(ExposureSet.from_exposures(map(hidden, exposures)))
    rules = attrs.evolve(AdmissionRules.none(), **settings)
    frames = NormalizedFrames.from_exposures(exposures, masks=nothing)
    delta, error = error_of(rules.admit(exposures, frames))
    assert error < 0.5 * harmed
    table = delta.exposures
    assert sorted(table["name"][~table["used"]]) == [f"jw{n}" for n in spoiled]
    for row in table[~table["used"]]:
        assert reason in row["reason"]
    if settings:
        assert not any(AdmissionRules.none().reasons(exposures, frames))


def test_a_crowded_field():
    """What is left between masks is not sky: here 10 % more, on one side of the frame."""
    exposures = ExposureSet.from_exposures(
        spoil(exposure(n), add=0.1 * SKY * X) if n in SPOILED[False] else exposure(n) for n in range(6)
    )
    crowded = np.random.default_rng(1).random(SHAPE) < 0.7
    masks = {f"jw{n}": crowded for n in SPOILED[False]}
    _, harmed = error_of(exposures, masks)
    frames = NormalizedFrames.from_exposures(exposures, masks=masks)
    delta, error = error_of(AdmissionRules().admit(exposures, frames), masks)
    assert error < 0.5 * harmed
    (reason,) = set(delta.exposures["reason"][~delta.exposures["used"]])
    assert reason == "its masked part must be at most 0.6; it is 0.699"


class TestPersistence:
    """A saturated star glows where it was in the exposures after it, until the visit is over or it has faded."""

    star = (slice(100, 164), slice(60, 124))

    def exposures(self, **facts):
        saturated = np.zeros(SHAPE, np.uint32)
        saturated[self.star] = DQ.SATURATED | DQ.JUMP_DET
        glow = np.zeros(SHAPE)
        glow[self.star] = 0.2 * SKY
        visit = {"program": "1", "observation": "1"}
        made = [exposure(0, dq=saturated, visit="1", **visit)]
        made += [spoil(exposure(n), add=glow, visit="1", **visit, **facts) for n in (1, 2)]
        return ExposureSet.from_exposures([*made, *(exposure(n, visit="2", **visit) for n in (3, 4))])

    rules = attrs.evolve(AdmissionRules.none(), max_persistence=0.001)

    def test_harm(self):
        exposures = self.exposures()
        _, harmed = error_of(exposures)
        rules = attrs.evolve(self.rules, persistence_time=2000 * u.s)
        delta, error = error_of(rules.admit(exposures))
        assert error < 0.5 * harmed
        reasons = list(delta.exposures["reason"])
        assert sum("saturated within 2000 s before; it is 0.0556" in reason for reason in reasons) == 2

    def test_it_fades(self):
        rules = attrs.evolve(self.rules, persistence_time=1000 * u.s)  # after 200 s and 1200 s
        assert [bool(reason) for reason in rules.reasons(self.exposures())] == [False, True, False, False, False]

    def test_flags_of_another_detector_say_nothing(self):
        exposures = self.exposures(detector="B3")
        assert not any(self.rules.reasons(exposures))

    def test_off_by_default_and_without_flags(self):
        assert not any(AdmissionRules().reasons(self.exposures()))
        bare = ExposureSet.from_exposures(attrs.evolve(member, dq=None) for member in self.exposures())
        assert not any(self.rules.reasons(bare))


def test_what_is_not_known_is_not_admitted_where_it_is_asked_for():
    exposures = ExposureSet.from_exposures([exposure(0, start=None, end=None, exposure_time=None)])
    (reason,) = AdmissionRules(min_exposure_time=1 * u.s, first_date="2023-01-01").reasons(exposures)
    assert reason == (
        "its exposure time must be at least 1 s; it is not known, and it must not begin before "
        "2023-01-01T00:00:00.000; it is not known when it did"
    )


def test_what_is_right_is_admitted():
    exposures = ExposureSet.from_exposures(exposure(n) for n in range(4))
    frames = NormalizedFrames.from_exposures(exposures)
    assert AdmissionRules().reasons(exposures, frames) == [""] * 4
    assert len(AdmissionRules().admit(exposures, frames)) == 4


def test_in_the_recipe():
    """By default the rules hold there, for headers and pixels; the rest is as if the others had never been given."""
    right = [exposure(n, detector="B1") for n in (0, 2, 4)]
    given = [*right, cleaned(exposure(1, detector="B1")), faint(exposure(3, detector="B1"))]
    frames = recipes.masked_frames(ExposureSet.from_exposures(given))
    assert [frame.name for frame in frames.frames] == ["jw0", "jw2", "jw4"]
    assert {item.name: item.reason.split(" ")[0] for item in frames.excluded} == {"jw1": "S_CLNFNS", "jw3": "its"}
    alone = recipes.masked_frames(ExposureSet.from_exposures(right))
    for one, other in zip(frames.frames, alone.frames, strict=True):
        np.testing.assert_array_equal(one.values, other.values)
    all_in = recipes.masked_frames(ExposureSet.from_exposures(given), admission=AdmissionRules.none())
    assert len(all_in) == 5
