"""Extended light: what is in single frames is found, what is in all of them is not."""

import numpy as np
import pytest

import nircam_flats as nf
from nircam_flats.skyflat import BoxMasks, FrameLight
from nircam_flats.skyflat.meshes import MESH_BOX

SIZE = 32
"""Boxes along a side of the meshes: a frame of 1024 px, reduced."""


def flat_with_structure():
    """A response with large and small structure, which every frame shares."""
    y, x = np.indices((SIZE, SIZE)) / SIZE
    flat = 1 + 0.06 * (x - 0.5) - 0.04 * y**2
    flat[3:6, 25:28] *= 1.06
    return flat


def halo(y, x, radius, brightness):
    rows, columns = np.indices((SIZE, SIZE))
    return brightness * np.exp(-np.hypot(rows - y, columns - x) / radius)


def meshes(rng, n, noise=0.002):
    scales = 1 + 0.003 * rng.standard_normal(n)[:, None, None]
    return flat_with_structure() * scales + noise * rng.standard_normal((n, SIZE, SIZE))


@pytest.mark.parametrize("seed", range(3))
def test_light_in_half_of_the_frames_is_found_there_and_only_there(seed):
    frames = meshes(np.random.default_rng(seed), 6)
    light = np.stack([halo(16 + step, 14 - step, 3.0, 0.4) for step in (-1, 0, 1)])
    frames[3:] += light
    flags = nf.ExtendedLight().find(frames)
    assert flags[3:][light > 0.02].all()
    assert flags[:3].mean() < 0.01


def test_structure_of_the_response_is_no_light():
    flags = nf.ExtendedLight().find(meshes(np.random.default_rng(5), 6))
    assert flags.mean() < 0.01


def test_rows_of_one_over_f_noise_are_no_light():
    rng = np.random.default_rng(6)
    frames = meshes(rng, 6) + 0.004 * rng.standard_normal((6, SIZE, 1))
    assert nf.ExtendedLight().find(frames).mean() < 0.01


def images(rng, n):
    flat = np.kron(flat_with_structure(), np.ones((MESH_BOX, MESH_BOX)))
    return [flat + 0.05 * rng.standard_normal(flat.shape, np.float32) for _ in range(n)]


def test_masks_are_grown_and_named_and_say_why(frames_of):
    values = images(np.random.default_rng(7), 4)
    light = np.kron(halo(16, 16, 3.0, 0.4), np.ones((MESH_BOX, MESH_BOX)))
    values[2] = values[2] + light
    masks = nf.ExtendedLight()(frames_of(values, ["F200W"] * 4, 0.05))
    assert set(masks) == {"frame2"}
    assert masks["frame2"].masked[light > 0.01].all()
    assert np.unique(masks["frame2"].flags).tolist() == [0, nf.MaskReason.EXTENDED]
    less = nf.ExtendedLight(grow=0)(frames_of(values, ["F200W"] * 4, 0.05))
    assert less["frame2"].fraction < masks["frame2"].fraction


def test_a_filter_with_few_frames_is_left_alone(frames_of):
    values = images(np.random.default_rng(8), 3)
    values[0] = values[0] + 0.5
    assert nf.ExtendedLight()(frames_of(values, ["F200W"] * 3, 0.05)) == {}


@pytest.mark.parametrize("wrong", [{"n_sigma": 1.0}, {"n_sigma_edge": 0.0}, {"floor": 0.001}, {"grow": -1.0}])
def test_bad_settings_are_refused(wrong):
    with pytest.raises(nf.InvalidInputError, match="ExtendedLight needs"):
        nf.ExtendedLight(**wrong)


def test_boxes_that_known_light_covers_are_not_masked():
    boxes = np.zeros((8, 8), bool)
    boxes[0], boxes[7] = True, True
    mesh = np.repeat([[0.05], [0.05], [0.02], [0.0], [0.0], [0.0], [0.0], [0.0]], 8, axis=1)
    both = BoxMasks({"lit": boxes, "dark": boxes}, (256, 256))
    beside = both.beside({"lit": FrameLight(mesh=mesh, box_size=32)})
    np.testing.assert_array_equal(beside.boxes["dark"], boxes)
    assert not beside.boxes["lit"][:2].any()
    assert beside.boxes["lit"][7].all()


@pytest.mark.parametrize("wrong", [0.85, 1.0, 1.2])
def test_light_upon_known_light_is_found_though_its_strength_is_wrong(wrong):
    """The strength of what was subtracted is refitted, and the light of a galaxy upon it is not part of that."""
    rng = np.random.default_rng(9)
    y, x = np.indices((SIZE, SIZE))
    wisp = 0.15 * np.exp(-0.5 * ((y - 12) ** 2 + (x - 16) ** 2 / 4) / 4**2)
    frames, known = meshes(rng, 6), np.repeat(wisp[None], 6, axis=0)
    frames[0] += (1 - wrong) * wisp
    known[0] *= wrong
    light = halo(14, 20, 3.0, 0.2)
    frames[1] += light
    flags = nf.ExtendedLight().find(frames, known)
    assert flags[1][light > 0.02].all()
    assert flags[0].mean() < 0.01
    assert nf.ExtendedLight().find(frames)[0].any() or wrong >= 1
