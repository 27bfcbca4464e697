import numpy as np
import pytest

from nircam_flats.kernels import swap_bytes


@pytest.mark.parametrize("dtype", ["u1", "i2", "f4", "u4", "f8"])
def test_bytes_are_reversed_in_place(dtype):
    array = np.random.default_rng(1).integers(0, 200, (7, 9)).astype(dtype)
    expected = array.astype(array.dtype.newbyteorder(">")).tobytes()
    swap_bytes(array)
    assert array.tobytes() == expected
