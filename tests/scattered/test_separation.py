import numpy as np

from nircam_flats.scattered._separation import outline_of


def test_light_stands_out_from_a_part_of_the_frame_without_it():
    rng = np.random.default_rng(1)
    excess = rng.normal(0, 0.001, (32, 32))
    excess[8:16, 8:16] += 0.02
    outline = outline_of(excess, 0.001)
    assert outline[8:16, 8:16].all()
    assert outline.mean() < 0.2
    excess[:, :26] += 0.02
    assert not outline_of(excess, 0.001).any()
