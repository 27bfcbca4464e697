"""Data-quality bits by name."""

import pickle

import numpy as np
import pytest

from nircam_flats import DQ, InvalidInputError


def test_bits_are_the_documented_ones():
    documented = {
        "DO_NOT_USE": 1, "SATURATED": 2, "JUMP_DET": 4, "PERSISTENCE": 32, "NON_SCIENCE": 512, "DEAD": 1024,
        "HOT": 2048, "LOW_QE": 8192, "NO_FLAT_FIELD": 262144, "UNRELIABLE_FLAT": 33554432, "OPEN": 67108864,
        "REFERENCE_PIXEL": 2147483648,
    }  # fmt: skip
    assert {name: int(DQ[name]) for name in documented} == documented
    assert sorted(int(flag) for flag in DQ) == [1 << bit for bit in range(32)]


@pytest.mark.parametrize("dtype", [np.uint32, np.int32, np.int64, np.uint64], ids=str)
def test_bits_are_found_in_images_of_any_integers(dtype):
    dq = np.array([[0, 1], [1024, 1 << 31]], np.uint32).astype(dtype)
    np.testing.assert_array_equal(DQ.DEAD.is_set(dq), [[False, False], [True, False]])
    np.testing.assert_array_equal(DQ.REFERENCE_PIXEL.is_set(dq), [[False, False], [False, True]])
    np.testing.assert_array_equal((DQ.DO_NOT_USE | DQ.DEAD).is_set(dq), [[False, True], [True, False]])


def test_names_come_back():
    assert DQ.names(0) == ()
    assert DQ.names(np.uint32(1 | 1 << 18 | 1 << 31)) == ("DO_NOT_USE", "NO_FLAT_FIELD", "REFERENCE_PIXEL")
    assert all(DQ.get(name.lower()) is DQ[name] for name in DQ.names(2**32 - 1))
    with pytest.raises(InvalidInputError, match=r"DQ bit must have a name .*; got 'BROKEN'"):
        DQ.get("broken".upper())


def test_bits_pickle():
    assert pickle.loads(pickle.dumps(DQ.DEAD | DQ.HOT)) == DQ.DEAD | DQ.HOT


@pytest.mark.jwst
def test_bits_are_those_of_the_pipeline():
    from stdatamodels.jwst.datamodels import dqflags

    theirs = {name: value for name, value in dqflags.pixel.items() if value}
    assert {flag.name: int(flag) for flag in DQ} == theirs
