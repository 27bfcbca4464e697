"""What became of dead pixels between two epochs."""

import attrs
import numpy as np
import pytest

from nircam_flats import DeadPixelMap, InvalidInputError, PixelClass


def of(*classes):
    """A map of a row of pixels of these classes."""
    row = np.array([classes], np.uint8)
    image = np.zeros(row.shape)
    return DeadPixelMap(detector="B1", classes=row, response=image, err=image, probability=image, known_dq=row * 0)


def test_each_pixel_has_one_fate():
    new, worse, known = PixelClass.NEW, PixelClass.WORSE | PixelClass.KNOWN, PixelClass.KNOWN
    earlier = of(0, new, new, 0, PixelClass.UNCERTAIN, worse, new, PixelClass.UNMEASURED, known)
    later = of(new, 0, new, 0, new, known, PixelClass.UNMEASURED, new, 0)
    found = earlier.compare(later)
    np.testing.assert_array_equal(found.new, [[1, 0, 0, 0, 0, 0, 0, 0, 0]])
    np.testing.assert_array_equal(found.recovered, [[0, 1, 0, 0, 0, 0, 0, 0, 1]])
    np.testing.assert_array_equal(found.persisting, [[0, 0, 1, 0, 0, 1, 0, 0, 0]])
    np.testing.assert_array_equal(found.undecided, [[0, 0, 0, 0, 1, 0, 1, 1, 0]])
    assert found.counts == {"new": 1, "recovered": 2, "persisting": 2, "undecided": 3}


def test_two_epochs(stack, stack_of):
    later = attrs.evolve(stack.grey, data=stack.grey.data.copy())
    before = DeadPixelMap.from_delta(stack.grey)
    same = before.compare(DeadPixelMap.from_delta(later))
    assert same.counts == {"new": 0, "recovered": 0, "persisting": before.new.sum(), "undecided": 0}


@pytest.mark.parametrize("changes", [{"detector": "A1"}, {}])
def test_maps_that_do_not_belong_together(changes):
    with pytest.raises(InvalidInputError, match=r"needs maps of one detector and shape; got NRCB1 \(1, 2\) and"):
        of(0, 0).compare(attrs.evolve(of(0, 0), **changes) if changes else of(0, 0, 0))
