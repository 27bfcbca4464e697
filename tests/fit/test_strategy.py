"""What a fit strategy is given and may return."""

import numpy as np
import pytest
from astropy import units as u

from nircam_flats import FitError, FitStrategy, InvalidInputError


class Returns(FitStrategy):
    """Gives what it was told to, and keeps what it was given."""

    def __init__(self, answer):
        self.answer = answer
        self.given = []

    def smooth(self, data, err, good):
        self.given.append((data, err, good))
        return self.answer


DATA = np.array([[1.0, np.nan, 3.0], [4.0, 5.0, np.inf]])
GOOD = np.array([[True, True, False], [True, True, True]])
ONES = np.ones((2, 3))


def test_smooth_sees_float32_with_nan_where_not_good():
    strategy = Returns(ONES)
    err = np.array([[1, 1, 1], [np.nan, 2, 1]], ">f8")
    surface = strategy(DATA.astype(">f8"), err, GOOD)
    ((data, seen, good),) = strategy.given
    np.testing.assert_array_equal(good, [[True, False, False], [False, True, False]])
    np.testing.assert_array_equal(data, np.array([[1, np.nan, np.nan], [np.nan, 5, np.nan]], np.float32))
    assert {item.dtype for item in (data, seen, surface)} == {np.dtype("f4")}


def test_without_errors_and_flags_all_finite_pixels_are_good():
    strategy = Returns(ONES)
    strategy(DATA)
    ((_, err, good),) = strategy.given
    assert err is None
    np.testing.assert_array_equal(good, np.isfinite(DATA))


def test_what_smooth_leaves_open_beside_good_pixels_is_the_nearest_answer():
    answer = np.array([[1.0, np.nan, np.inf], [4.0, 5.0, np.nan]])
    np.testing.assert_array_equal(Returns(answer)(DATA, good=GOOD), [[1, 1, 5], [4, 5, 5]])


def test_no_answer_for_a_good_pixel():
    with pytest.raises(FitError, match="must be finite at all good pixels; 1 of 3 are not"):
        Returns(np.array([[1.0, 1.0, 1.0], [1.0, np.nan, 1.0]]))(DATA, good=GOOD)


@pytest.mark.parametrize("answer", [None, np.ones((3, 2)), 1.0])
def test_smooth_must_return_an_image(answer):
    with pytest.raises(
        InvalidInputError, match=r"Returns.smooth\(data, err, good\) must be an array of shape \(2, 3\)"
    ):
        Returns(answer)(DATA)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((DATA[0],), r"two dimensions; got shape \(3,\)"),
        ((DATA, ONES[:1]), r"err given to Returns must be an array of shape \(2, 3\)"),
        ((DATA, None, GOOD.T), r"good pixels given to Returns must be an array of shape \(2, 3\)"),
        ((DATA, None, ONES), "must be a boolean array; got dtype float64"),
        ((np.full((2, 3), np.nan),), "at least one good pixel; all 6 are bad"),
        ((DATA, 0 * ONES), "at least one good pixel; all 6 are bad"),
    ],
)
def test_bad_input(arguments, text):
    with pytest.raises(InvalidInputError, match=text):
        Returns(ONES)(*arguments)


@pytest.mark.parametrize("data", [np.ones((8, 8)) * u.one, np.ma.masked_less(np.ones((8, 8)), 0)])
def test_data_that_would_lose_their_unit_or_mask_are_refused(data):
    with pytest.raises(InvalidInputError, match="data given to Returns: a plain array is needed"):
        Returns(None)(data)


def test_the_errors_of_the_caller_cannot_be_changed():
    class Careless(FitStrategy):
        def smooth(self, data, err, good):
            err[:] = 7
            return data

    err = np.full((8, 8), np.float32(0.1))
    with pytest.raises(ValueError, match="read-only"):
        Careless()(np.ones((8, 8)), err)
    assert (err == np.float32(0.1)).all()
