"""Balanced frames: a stack does not show where sources were masked."""

import numpy as np
import pytest

import nircam_flats as nf

SHAPE = (256, 256)
HOLE = (slice(16, 112), slice(96, 224))


def campaign(rng, *, masked):
    """Frames of two filters that differ by 2 % on large scales; ``masked`` frames of the first have a large hole."""
    y, x = np.indices(SHAPE) / SHAPE[0]
    common = 1 + 0.03 * (x - 0.5)
    filters = {"F115W": 1 + 0.02 * (y - 0.5), "F200W": 1 - 0.02 * (y - 0.5)}
    frames = []
    for name, dependence in filters.items():
        for index in range(6):
            scale = 1 + 0.004 * rng.standard_normal()
            values = common * dependence * scale + 0.02 * rng.standard_normal(SHAPE)
            if name == "F115W" and index < masked:
                values[HOLE] = np.nan
            level = nf.SkyLevel(value=1.0, err=1e-4, scatter=0.02, n_pixels=1000, masked_fraction=0.0)
            frames.append(
                nf.NormalizedFrame(
                    name=f"{name} {index}",
                    detector="B1",
                    filter=name,
                    flat_name=None,
                    start=None,
                    end=None,
                    level=level,
                    values=values,
                )
            )
    truth = common * (filters["F115W"] + filters["F200W"]) / 2
    return nf.NormalizedFrames(detector="B1", frames=frames), truth


def step(delta, truth):
    """Mean departure from the truth inside the hole minus that outside."""
    departure = delta.data / truth
    outside = np.ones(SHAPE, bool)
    outside[HOLE] = False
    return departure[HOLE].mean() - departure[outside].mean()


@pytest.mark.parametrize("seed", range(3))
def test_a_hole_in_one_filter_leaves_no_step(seed):
    frames, truth = campaign(np.random.default_rng(seed), masked=5)
    assert abs(step(nf.DeltaSkyflat.from_frames(frames), truth)) < 0.001
    assert abs(step(nf.DeltaSkyflat.from_frames(frames, balance=False), truth)) > 0.002


def test_grey_is_the_mean_of_the_filters_where_nothing_is_masked():
    frames, truth = campaign(np.random.default_rng(4), masked=0)
    balanced = nf.DeltaSkyflat.from_frames(frames)
    ratio = nf.kernels.box_medians(balanced.data / truth, 64)[0]
    assert np.ptp(ratio) < 0.003


def test_levels_of_the_frames_are_brought_together():
    frames, _ = campaign(np.random.default_rng(5), masked=0)
    levels = [np.nanmedian(frame.rows(slice(None))) for frame in frames.balanced().frames]
    assert np.std(levels) < 5e-4
    assert np.std([np.nanmedian(frame.values) for frame in frames.frames]) > 2e-3
