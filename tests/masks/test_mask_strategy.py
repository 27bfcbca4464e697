"""What a mask strategy is given and may return."""

import numpy as np
import pytest

from nircam_flats import InvalidInputError, MaskStrategy


class Returns(MaskStrategy):
    """Gives what it was told to, and keeps what it was given."""

    def __init__(self, answer, given=None):
        self.answer = answer
        self.given = [] if given is None else given

    def find(self, data, good):
        self.given.append((data, good))
        return self.answer


DATA = np.array([[1.0, np.nan, 3.0], [4.0, 5.0, np.inf]])
GOOD = np.array([[True, True, False], [True, True, True]])


def test_find_sees_float32_with_nan_where_not_good():
    strategy = Returns(np.zeros((2, 3), bool))
    strategy(DATA.astype(">f8"), GOOD)
    ((data, good),) = strategy.given
    np.testing.assert_array_equal(good, [[True, False, False], [True, True, False]])
    np.testing.assert_array_equal(data, np.array([[1, np.nan, np.nan], [4, 5, np.nan]], np.float32))
    assert (data.dtype, good.dtype) == (np.dtype("f4"), bool)


def test_bad_pixels_are_never_flagged():
    found = Returns(np.ones((2, 3), bool))(DATA, GOOD)
    np.testing.assert_array_equal(found, [[True, False, False], [True, True, False]])


@pytest.mark.parametrize("answer", [np.zeros((3, 2), bool), np.zeros((2, 3)), None, np.zeros((2, 3), int)])
def test_find_must_return_a_boolean_image(answer):
    with pytest.raises(InvalidInputError, match=r"Returns.find\(data, good\) must be a(n| boolean) array"):
        Returns(answer)(DATA, GOOD)


@pytest.mark.parametrize(
    ("data", "good", "text"),
    [
        (DATA[0], GOOD[0], r"two dimensions; got shape \(3,\)"),
        (DATA, GOOD[:1], r"good pixels given to Returns must be an array of shape \(2, 3\)"),
        (DATA, GOOD.astype(int), "must be a boolean array; got dtype int64"),
        (DATA, np.zeros((2, 3), bool), "at least one good pixel; all 6 are bad"),
        (np.full((2, 3), np.nan), GOOD, "at least one good pixel; all 6 are bad"),
    ],
)
def test_bad_input(data, good, text):
    with pytest.raises(InvalidInputError, match=text):
        Returns(np.zeros((2, 3), bool))(data, good)


def test_repr_shows_the_settings():
    assert repr(Returns(3, given=[1])) == "Returns(answer=3, given=[1])"
