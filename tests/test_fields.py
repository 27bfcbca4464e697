"""The field makers: what they convert, what they refuse, and that nothing can be changed afterwards."""

import array
import copy
import pickle

import attrs
import numpy as np
import pytest
from astropy import units as u

from nircam_flats import InvalidInputError
from nircam_flats._fields import HoldsArrays, choice, image, mask, owned, quantity
from nircam_flats.testing import assert_same


@attrs.frozen(kw_only=True, eq=False)
class Picture(HoldsArrays):
    data: np.ndarray = image(sets_shape=True)
    dq: np.ndarray = image(np.uint32, optional=True)
    hidden: np.ndarray = mask(optional=True)
    stack: np.ndarray = image(ndim=3, optional=True)
    mesh: np.ndarray = image(optional=True, follows_shape=False)


@attrs.frozen(kw_only=True)
class Setting(HoldsArrays):
    width: u.Quantity = quantity(u.arcsec)
    path: u.Quantity = quantity(u.deg, ndim=1, optional=True, eq=False)
    side: str = choice("left", "right", default="left")


def test_images_are_converted_and_cannot_be_written_to():
    picture = Picture(data=[[1, 2], [3, 4]], dq=np.zeros((2, 2), int), hidden=np.eye(2), stack=np.ones((5, 2, 2)))
    assert [picture.data.dtype, picture.dq.dtype, picture.hidden.dtype] == [np.float32, np.uint32, bool]
    for item in (picture.data, picture.dq, picture.hidden, picture.stack):
        with pytest.raises(ValueError, match="read-only"):
            item[...] = 0
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        picture.data = picture.data


@pytest.mark.parametrize(
    "source",
    [
        np.ones((3, 4), np.float32),
        np.ones((3, 4), np.float64),
        np.ones((3, 4), ">f4"),
        np.ones((4, 3), np.float32).T,
        np.ones((6, 8), np.float32)[::2, ::2],
        np.ones((6, 4), np.float32)[:3],
    ],
    ids=["same type", "wider", "big-endian", "transposed", "strided", "part of a larger array"],
)
def test_a_later_change_of_the_source_does_not_reach_the_object(source):
    picture = Picture(data=source)
    source[...] = 7
    np.testing.assert_array_equal(picture.data, np.ones((3, 4)))
    assert picture.data.flags.c_contiguous
    assert picture.data.dtype.isnative
    assert source.flags.writeable


def test_a_read_only_view_of_a_writable_array_is_copied():
    source = np.ones((3, 4), np.float32)
    view = source.view()
    view.flags.writeable = False
    picture = Picture(data=view)
    source[...] = 7
    np.testing.assert_array_equal(picture.data, np.ones((3, 4)))


def test_memory_behind_the_buffer_protocol_is_copied():
    source = array.array("f", [1, 1])
    result = owned(source)
    source[0] = 7
    np.testing.assert_array_equal(result, [1, 1])


def test_an_array_that_is_frozen_already_is_shared():
    picture = Picture(data=np.ones((3, 4)))
    assert Picture(data=picture.data).data is picture.data
    part = Picture(data=picture.data[:2])
    assert np.shares_memory(part.data, picture.data)


@pytest.mark.parametrize("wrong", [np.ones(4), np.ones((2, 2, 2)), 3.0], ids=["1-D", "3-D", "number"])
def test_an_image_has_two_dimensions(wrong):
    with pytest.raises(InvalidInputError, match=r"Picture\.data must be .* 2 dimensions; got shape"):
        Picture(data=wrong)


def test_an_image_that_is_needed_must_be_given():
    with pytest.raises(InvalidInputError, match=r"Picture\.data must be .* 2 dimensions; got nothing"):
        Picture(data=None)
    assert Picture(data=np.ones((2, 2))).dq is None


@pytest.mark.parametrize("name", ["dq", "hidden", "stack"])
def test_images_of_one_object_share_a_shape(name):
    wrong = np.zeros((5, 3, 3) if name == "stack" else (3, 3), np.uint8)
    with pytest.raises(InvalidInputError, match=rf"Picture\.{name} must have .*\(2, 2\); got \(3, 3\)"):
        Picture(data=np.ones((2, 2)), **{name: wrong})
    assert Picture(data=np.ones((2, 2)), mesh=np.ones((3, 3))).mesh.shape == (3, 3)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (np.ones((2, 2)) * u.MJy / u.sr, r"got one in MJy / sr: pass its to_value"),
        (np.ma.ones((2, 2)), "got a masked one: pass its filled"),
        ([["a", "b"]], "got list"),
        ([[1, 2], [3]], "got list"),
        (np.zeros((2, 2), complex)[0:0].tolist, "got builtin_function_or_method"),
    ],
    ids=["quantity", "masked", "text", "ragged", "no array"],
)
def test_what_would_lose_its_meaning_as_an_image_is_refused(wrong, text):
    with pytest.raises(InvalidInputError, match=rf"Picture\.data: .*needed; .*{text}"):
        Picture(data=wrong)


def test_bits_are_integers():
    with pytest.raises(InvalidInputError, match=r"Picture\.dq: an array of integers is needed; got float64"):
        Picture(data=np.ones((2, 2)), dq=np.full((2, 2), 0.5))
    high = np.full((2, 2), -(1 << 31), np.int32)  # as a signed file holds bit 31
    assert Picture(data=np.ones((2, 2)), dq=high).dq[0, 0] == 1 << 31


@pytest.mark.parametrize("value", [-1, 2**32])
def test_bits_that_do_not_fit_are_refused(value):
    with pytest.raises(InvalidInputError, match=r"Picture\.dq: integers from 0 to 4294967295 are needed; got"):
        Picture(data=np.ones((2, 2)), dq=np.full((2, 2), value, np.int64))


@pytest.mark.parametrize("value", [1j, "1"])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(InvalidInputError, match=r"Picture\.data: an array of numbers is needed; got ndarray of"):
        Picture(data=np.full((2, 2), value))


def test_images_print_in_a_few_characters():
    assert repr(Picture(data=np.ones((64, 32)))) == (
        "Picture(data=<float32 (64, 32)>, dq=None, hidden=None, stack=None, mesh=None)"
    )


@pytest.mark.parametrize(
    "twin_of",
    [lambda x: pickle.loads(pickle.dumps(x)), copy.copy, copy.deepcopy, attrs.evolve],
    ids=["pickle", "copy", "deepcopy", "evolve"],
)
def test_copies_are_whole_and_read_only(twin_of):
    picture = Picture(data=np.full((3, 4), np.nan), dq=np.ones((3, 4), int))
    twin = twin_of(picture)
    assert_same(twin, picture)
    assert not twin.data.flags.writeable
    assert not twin.dq.flags.writeable
    setting = Setting(width=1 * u.arcmin, path=[1, 2] * u.deg)
    twin = twin_of(setting)
    assert twin == setting
    assert not twin.width.flags.writeable
    assert not twin.path.flags.writeable


def test_deep_copies_share_no_memory():
    picture = Picture(data=np.ones((3, 4)))
    assert not np.shares_memory(copy.deepcopy(picture).data, picture.data)


def test_quantities_are_converted_on_entry_so_that_equal_means_equal_hash():
    one, other = Setting(width=1 * u.arcmin), Setting(width=60 * u.arcsec)
    assert one == other
    assert hash(one) == hash(other)
    assert one.width.unit == u.arcsec


def test_a_quantity_cannot_be_changed_in_place():
    width = 1 * u.arcsec
    setting = Setting(width=width)
    with pytest.raises(ValueError, match="read-only"):
        setting.width += 1 * u.arcsec
    assert setting.width == 1 * u.arcsec
    width += 1 * u.arcsec
    assert setting.width == 1 * u.arcsec


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (3.0, "must be a Quantity convertible to 'arcsec'; got 3.0"),
        (3 * u.um, "must be convertible to 'arcsec'; got <Quantity 3. um>"),
        ([1, 2] * u.arcsec, r"must be a scalar; got shape \(2,\)"),
        (None, "must be a Quantity convertible to 'arcsec'; got None"),
    ],
    ids=["bare number", "other dimension", "array", "nothing"],
)
def test_wrong_quantities_are_refused(wrong, text):
    with pytest.raises(InvalidInputError, match=rf"Setting\.width {text}"):
        Setting(width=wrong)


def test_a_quantity_with_dimensions_keeps_their_number():
    with pytest.raises(InvalidInputError, match=r"Setting\.path must be .* 1 dimensions; got shape \(\)"):
        Setting(width=1 * u.arcsec, path=1 * u.deg)


def test_a_choice_is_one_of_the_allowed():
    assert Setting(width=1 * u.arcsec).side == "left"
    with pytest.raises(InvalidInputError, match=r"Setting\.side must be 'left' or 'right'; got 'mid'"):
        Setting(width=1 * u.arcsec, side="mid")
