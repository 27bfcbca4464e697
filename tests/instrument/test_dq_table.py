"""Bits of a file and those of the pipeline, by the names in DQ_DEF."""

import numpy as np

from nircam_flats import DQ
from nircam_flats.instrument.dq_table import decoded_flags, dq_definition


def test_what_is_explained_is_understood_again():
    dq = np.array([[0, DQ.DEAD | DQ.DO_NOT_USE, DQ.REFERENCE_PIXEL]], np.uint32)
    table = dq_definition(dq, always=DQ.LOW_QE).data
    assert [str(name) for name in table["NAME"]] == ["DO_NOT_USE", "DEAD", "LOW_QE", "REFERENCE_PIXEL"]
    found, told, faults = decoded_flags(dq, table)
    np.testing.assert_array_equal(found, dq)
    assert not told
    assert not faults


def test_bits_have_other_places():
    table = np.array([(0, "DEAD"), (1, "WEIRD"), (2, "MOOD")], [("BIT", "i4"), ("NAME", "U40")])
    found, told, faults = decoded_flags(np.array([[1, 2, 9]], np.uint32), table)
    np.testing.assert_array_equal(found, [[DQ.DEAD, 0, DQ.DEAD]])
    assert told == [
        "DQ_DEF must use the pipeline's names; 'WEIRD' is left out, set at 1 pixels",
        "DQ_DEF must have a row for every bit of DQ; bits [3] have none, and are left out at 1 pixels",
    ]
    assert faults == ["DQ_DEF must use the pipeline's names; 'MOOD' is left out, set at 0 pixels"]


def test_without_a_table_the_bits_are_the_standard_ones():
    flagged, nothing = np.array([[4]], np.uint32), np.zeros((1, 1), np.uint32)
    assert decoded_flags(flagged, None)[1][0].startswith("extension DQ_DEF must name the bits")
    dq, told, faults = decoded_flags(nothing, None)
    assert (dq.sum(), told, len(faults)) == (0, [], 1)
