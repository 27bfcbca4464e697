import attrs
import numpy as np
import pytest

from nircam_flats import DQ
from nircam_flats.reference.rules import RULES, violations


def with_pixel(flat, **values):
    planes = {}
    for name, value in values.items():
        plane = getattr(flat, name).copy()
        plane[30, 40] = value
        planes[name] = plane
    return attrs.evolve(flat, **planes)


BREAK = {
    "texts_are_given": [
        (lambda flat: attrs.evolve(flat, author=None), "author (AUTHOR) must be given"),
        (lambda flat: attrs.evolve(flat, author="  "), "author (AUTHOR) must be given"),
        (lambda flat: attrs.evolve(flat, description="Größe"), "got 'Größe'"),
    ],
    "history_is_told": [(lambda flat: attrs.evolve(flat, history=()), "it is empty")],
    "pedigree_is_known": [
        (lambda flat, text=text: attrs.evolve(flat, pedigree=text), f"got {text!r}")
        for text in (
            None,
            "LAMP",
            "INFLIGHT",
            "INFLIGHT 2022-05-02 2022-04-28",
            "INFLIGHT 2022-05-02",
            "INFLIGHT 02/05/2022 03/05/2022",
            "INFLIGHT 2022-05-02 2022-05-32",
            "GROUND 2022-05-02 2022-05-03",
        )
    ],
    "useafter_has_no_fraction": [
        (lambda flat, text=text: attrs.evolve(flat, useafter=text), f"got {text!r}")
        for text in (None, "2022-05-02T00:00:00.0", "2022-05-02 00:00:00", "2022-05-02", "2022-5-2T0:0:0")
    ],
    "place_is_on_the_detector": [
        (lambda flat: attrs.evolve(flat, subarray="SUB", corner=(0, 1)), "got (0, 1) to (79, 64)"),
        (lambda flat: attrs.evolve(flat, subarray="SUB", corner=(1, 1986)), "got (1, 1986) to (80, 2049)"),
        (lambda flat: attrs.evolve(flat, corner=(5, 1)), "(SUBARRAY FULL) must be (1, 1); got (5, 1)"),
    ],
    "level_is_about_one": [
        (lambda flat, factor=factor: attrs.evolve(flat, data=np.where(flat.dq == 0, factor * flat.data, 1)), told)
        for factor, told in ((1e6, "e+06: divide data by it, and err"), (0.3, "pixels is 0.30"))
    ],
    "pixels_are_settled": [
        *(
            (lambda flat, value=value: with_pixel(flat, data=value), "data must be finite and positive everywhere; 1 ")
            for value in (np.nan, np.inf, -np.inf, 0, -0.1)
        ),
        (lambda flat: attrs.evolve(flat, err=None), "err must be given"),
        *(
            (
                lambda flat, value=value: with_pixel(flat, err=value),
                "err must be finite and not negative everywhere; 1 ",
            )
            for value in (np.nan, np.inf, -0.1)
        ),
        (lambda flat: with_pixel(flat, dq=DQ.NO_FLAT_FIELD, data=1), "must be 1.0 and flagged DO_NOT_USE | NO_FLAT"),
        (lambda flat: with_pixel(flat, dq=DQ.NO_FLAT_FIELD | DQ.DO_NOT_USE, data=0.9), "[y, x] = [30, 40]"),
        (lambda flat: with_pixel(flat, err=-1), "[y, x] = [30, 40]"),
        (lambda flat: attrs.evolve(flat, dq=np.full_like(flat.dq, DQ.DO_NOT_USE)), "one pixel must be usable; none is"),
    ],
}


def test_every_rule_is_tested():
    assert list(BREAK) == [rule.__name__ for rule in RULES]


def test_valid_flats_break_none(ground, flight):
    assert violations(ground) == ()
    assert violations(flight) == ()


@pytest.mark.parametrize(
    ("rule", "change", "words"), [(rule, *case) for rule, cases in BREAK.items() for case in cases]
)
def test_each_rule_alone_is_broken(ground, rule, change, words):
    broken = change(ground)
    by_rule = {function.__name__: tuple(function(broken)) for function in RULES}
    assert [name for name, found in by_rule.items() if found] == [rule]
    assert len(by_rule[rule]) == 1
    assert words in by_rule[rule][0]
    assert broken.check() == violations(broken) == by_rule[rule]


@pytest.mark.parametrize("pedigree", ["GROUND", "DUMMY", "SIMULATION", "INFLIGHT 2022-05-02 2022-05-02"])
def test_pedigrees_that_crds_knows(ground, pedigree):
    assert violations(attrs.evolve(ground, pedigree=pedigree)) == ()
