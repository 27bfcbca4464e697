"""Random streams and smooth fields."""

import numpy as np
import pytest

from nircam_flats.simulation._random import Stream, generator, smooth_field


def box_means(image, n_boxes=32):
    rows, columns = image.shape[0] // n_boxes, image.shape[1] // n_boxes
    return image.reshape(n_boxes, rows, n_boxes, columns).mean(axis=(1, 3))


def without_cubic(boxes):
    at = np.linspace(-1, 1, 2 * boxes.shape[0] + 1)[1::2]
    y, x = np.meshgrid(at, at, indexing="ij")
    design = np.stack([y.ravel() ** i * x.ravel() ** j for i in range(4) for j in range(4 - i)], axis=1)
    return boxes - (design @ np.linalg.lstsq(design, boxes.ravel(), rcond=None)[0]).reshape(boxes.shape)


@pytest.mark.parametrize("seed", range(4))
def test_field_has_the_ranges_asked_for(seed):
    field = smooth_field(np.random.default_rng(seed), (256, 256), peak_to_peak=0.06, non_cubic=0.004)
    assert field.dtype == np.float32
    assert np.ptp(box_means(field)) == pytest.approx(0.06, rel=0.02)
    assert np.ptp(without_cubic(box_means(field))) == pytest.approx(0.004, rel=0.05)


def test_field_is_the_same_in_a_frame_of_any_size():
    small, large = (
        smooth_field(np.random.default_rng(3), shape, peak_to_peak=0.06, non_cubic=0.004)
        for shape in [(64, 96), (128, 192)]
    )
    np.testing.assert_allclose(large.reshape(64, 2, 96, 2).mean(axis=(1, 3)), small, atol=5e-5)


def test_field_has_structure_at_a_twentieth_of_the_frame():
    rows = smooth_field(np.random.default_rng(5), (256, 256), peak_to_peak=0.06, non_cubic=0.004)
    residual = without_cubic(box_means(rows))
    power = np.abs(np.fft.rfft(residual * np.hanning(32), axis=1)) ** 2
    assert power[:, 6:10].sum() > 1e-3 * power.sum()  # periods of 205 to 340 pixels at 2048: half waves of 100-170
    assert power[:, 13:].sum() < 1e-4 * power.sum()


def test_streams_depend_on_their_key_alone():
    first = generator(1, Stream.NOISE, 489, 3).standard_normal(4)
    generator(1, Stream.NOISE, 489, 4).standard_normal(4)
    np.testing.assert_array_equal(generator(1, Stream.NOISE, 489, 3).standard_normal(4), first)
    for other in [
        generator(2, Stream.NOISE, 489, 3),
        generator(1, Stream.JUMPS, 489, 3),
        generator(1, Stream.NOISE, 488, 3),
        generator(1, Stream.NOISE, 489),
    ]:
        assert not np.any(other.standard_normal(4) == first)


def test_no_two_streams_share_a_number():
    assert len({int(stream) for stream in Stream}) == len(Stream.__members__)
