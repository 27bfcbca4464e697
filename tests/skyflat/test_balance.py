"""Balanced frames: a stack does not show where sources were masked."""

import numpy as np
import pytest

import nircam_flats as nf

SHAPE = (256, 256)
HOLE = (slice(16, 112), slice(96, 224))


def campaign(rng, *, masked):
    """Images, filters and noise: two filters that differ by 2 %; ``masked`` frames of the first have a hole."""
    y, x = np.indices(SHAPE) / SHAPE[0]
    common = 1 + 0.03 * (x - 0.5)
    filters = {"F115W": 1 + 0.02 * (y - 0.5), "F200W": 1 - 0.02 * (y - 0.5)}
    images, names = [], []
    for name, dependence in filters.items():
        for index in range(6):
            scale = 1 + 0.004 * rng.standard_normal()
            values = common * dependence * scale + 0.02 * rng.standard_normal(SHAPE)
            if name == "F115W" and index < masked:
                values[HOLE] = np.nan
            images.append(values)
            names.append(name)
    truth = common * (filters["F115W"] + filters["F200W"]) / 2
    return (images, names, 0.02), truth


def step(delta, truth):
    """Mean departure from the truth inside the hole minus that outside."""
    departure = delta.data / truth
    outside = np.ones(SHAPE, bool)
    outside[HOLE] = False
    return departure[HOLE].mean() - departure[outside].mean()


@pytest.mark.parametrize("seed", range(3))
def test_a_hole_in_one_filter_leaves_no_step(frames_of, seed):
    settings, truth = campaign(np.random.default_rng(seed), masked=5)
    frames = frames_of(*settings)
    assert abs(step(nf.DeltaSkyflat.from_frames(frames), truth)) < 0.001
    assert abs(step(nf.DeltaSkyflat.from_frames(frames, balance=False), truth)) > 0.002


def test_grey_is_the_mean_of_the_filters_where_nothing_is_masked(frames_of):
    settings, truth = campaign(np.random.default_rng(4), masked=0)
    frames = frames_of(*settings)
    balanced = nf.DeltaSkyflat.from_frames(frames)
    ratio = nf.kernels.box_medians(balanced.data / truth, 64)[0]
    assert np.ptp(ratio) < 0.003


def test_levels_of_the_frames_are_brought_together(frames_of):
    settings, _ = campaign(np.random.default_rng(5), masked=0)
    frames = frames_of(*settings)
    levels = [np.nanmedian(frame.rows(slice(None))) for frame in frames.balanced().frames]
    assert np.std(levels) < 5e-4
    assert np.std([np.nanmedian(frame.values) for frame in frames.frames]) > 2e-3


@pytest.mark.parametrize("balance", [True, False])
def test_stripes_stay_in_the_error(frames_of, balance):
    """Stripes are levelled where frames are masked, but their mean stays in the stack: the jackknife must know it."""
    n, stripe = 12, 0.005
    rng = np.random.default_rng(6)
    images = rng.normal(1, 0.005, (n, *SHAPE))
    images *= 1 + stripe * np.repeat(rng.standard_normal((n, SHAPE[0] // 32)), 32, axis=1)[:, :, None]
    delta = nf.DeltaSkyflat.from_frames(frames_of(list(images), ["F200W"] * n, 0.007), balance=balance)
    claimed = np.sqrt((delta.influences**2).sum(axis=0))
    assert np.median(claimed) == pytest.approx(stripe / np.sqrt(n), rel=0.3)


def test_stripes_that_few_frames_show_count_as_the_mean_of_few(frames_of):
    """Nine of twelve frames are masked in one amplifier: there the stack has the stripes of three."""
    n, stripe, shape = 12, 0.005, (512, 640)
    found, claimed = [], []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        images = rng.normal(1, 0.002, (n, *shape))
        shared, own = rng.standard_normal((n, 16, 1)), rng.standard_normal((n, 16, 4))
        stripes = stripe * (np.sqrt(0.7) * shared + np.sqrt(0.3) * own)
        images *= 1 + np.repeat(np.repeat(stripes, 32, axis=1), 160, axis=2)
        images[3:, :, 160:320] = np.nan
        delta = nf.DeltaSkyflat.from_frames(frames_of(list(images), ["F200W"] * n, 0.005))
        found.append(nf.kernels.box_medians(delta.data, 32)[0])
        claimed.append(n / (n - 1) * np.sum(delta.influences.astype(float) ** 2, axis=0))
    hidden = np.repeat([False, True, False, False], 5)
    for columns, variance in ((hidden, 0.7 / n + 0.3 / 3), (~hidden, 1 / n)):
        seen = np.std([mesh[:, columns] - np.mean(mesh[:, columns]) for mesh in found])
        assert seen == pytest.approx(stripe * np.sqrt(variance), rel=0.2)
        assert np.sqrt(np.mean([mesh[:, columns] for mesh in claimed])) == pytest.approx(seen, rel=0.15)


def test_filters_have_one_level(frames_of):
    """The median of a product is not the product of the medians: the flat and the filter depart at different places."""
    rng = np.random.default_rng(9)
    y, x = np.indices(SHAPE) / SHAPE[0]
    common, departure = 1 + 0.2 * x**2, 1 + 0.1 * y**3
    images = [common * item * rng.normal(1, 0.005, SHAPE) for item in [departure] * 6 + [1 / departure] * 6]
    frames = frames_of(images, ["F115W"] * 6 + ["F200W"] * 6, 0.005).balanced()
    levels = [np.median(frame.rows(slice(None))) for frame in frames.frames]
    assert np.mean(levels[:6]) == pytest.approx(np.mean(levels[6:]), abs=0.002)  # 0.026 if each had a median of 1


def test_stripes_leave_no_step_where_frames_are_masked(frames_of):
    n, stripe = 12, 0.005
    rng = np.random.default_rng(7)
    images = rng.normal(1, 0.002, (n, *SHAPE))
    images *= 1 + stripe * np.repeat(rng.standard_normal((n, SHAPE[0] // 32)), 32, axis=1)[:, :, None]
    images[: n // 2, :, 128:] = np.nan
    frames = frames_of(list(images), ["F200W"] * n, 0.005)

    def steps(balance):
        data = nf.kernels.box_medians(nf.DeltaSkyflat.from_frames(frames, balance=balance).data, 32)[0]
        return np.std(np.median(data[:, 4:], axis=1) / np.median(data[:, :4], axis=1))

    assert steps(True) < 0.3 * steps(False)


def test_light_around_masked_objects_leaves_no_trace(frames_of):
    """A large object in half of the frames, its faint light beyond the mask fading in proportion to its size."""
    n, shape = 12, (384, 384)
    rng = np.random.default_rng(8)
    y, x = np.indices(shape)
    distance = np.hypot(y - 150, x - 200) - 110
    light = 0.006 * (1 + np.maximum(distance, 0) / 110) ** -3.0
    images = rng.normal(1, 0.002, (n, *shape))
    images[: n // 2] += np.where(distance > 0, light, np.nan)
    frames = frames_of(list(images), ["F200W"] * n, 0.002)
    bare = nf.kernels.box_medians(nf.DeltaSkyflat.from_frames(frames, balance=False).data, 32)[0]
    balanced = nf.kernels.box_medians(nf.DeltaSkyflat.from_frames(frames).data, 32)[0]
    assert np.ptp(bare) > 0.002
    assert np.ptp(balanced) < 0.5 * np.ptp(bare)


def test_frames_that_show_no_box_are_left_as_they_are(frames_of):
    rng = np.random.default_rng(6)
    images = [rng.normal(1, 0.02, SHAPE) for _ in range(3)]
    for image in images:
        image[rng.random(SHAPE) < 0.99] = np.nan  # too few pixels for the median of any box
    frames = frames_of(images, ["F200W"] * 3, 0.02)
    assert not np.isfinite(frames.meshes).any()
    for frame, balanced in zip(frames.frames, frames.balanced().frames, strict=True):
        np.testing.assert_array_equal(balanced.values, frame.values)
