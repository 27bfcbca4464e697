"""Ground flats, the change since, and defects."""

import attrs
import numpy as np
import pytest

from nircam_flats import DQ, Filter
from nircam_flats.simulation import Effects, SimulatedProgram
from nircam_flats.skyflat import SigmaClippedMean, SigmaClippedMedian

NONE = Effects.none()
SHAPE = (256, 256)
FILTERS = ("F115W", "F200W", "F277W", "F356W", "F444W")


def program(detector="B4", seed=1, shape=SHAPE, **effects):
    return SimulatedProgram(
        detectors=detector, filters=FILTERS, seed=seed, shape=shape, effects=attrs.evolve(NONE, **effects)
    )


def ratio(detector, filter, **effects):
    """What some effects do to the true response."""
    return inner(program(detector, **effects).truth(detector).flight_flat(filter)) / inner(
        program(detector).truth(detector).flight_flat(filter)
    )


def inner(image):
    return image[4:-4, 4:-4]


def boxes(image):
    n = image.shape[0] // 32
    values = image.reshape(32, n, 32, n).swapaxes(1, 2).reshape(32, 32, -1)
    return np.nanmedian(values, axis=-1)


@pytest.mark.parametrize("detector", ["A1", "B4", "ALONG"])
@pytest.mark.parametrize("seed", [0, 5, 11])
def test_change_is_5_to_8_per_cent_and_nearly_cubic(detector, seed):
    grey = boxes(program(detector, seed, filter_dependence=True).truth(detector).grey())
    assert 0.045 < np.ptp(grey) / np.median(grey) < 0.085
    at = np.linspace(-1, 1, 65)[1::2]
    y, x = np.meshgrid(at, at, indexing="ij")
    design = np.stack([y.ravel() ** i * x.ravel() ** j for i in range(4) for j in range(4 - i)], axis=1)
    fit = (design @ np.linalg.lstsq(design, grey.ravel(), rcond=None)[0]).reshape(grey.shape)
    assert 0.002 < np.ptp(grey / fit) < 0.006


def test_ground_flat_scatters_about_the_true_one_by_its_errors():
    one = program("B4")
    flat = one.ground_flat("B4", "F200W")
    before = one.truth("B4").flight_flat("F200W") / one._change(one.detectors[0]).common
    pull = inner((flat.data - before) / flat.err)
    assert np.std(pull) == pytest.approx(1, abs=0.01)
    assert np.mean(pull) == pytest.approx(0, abs=0.01)
    assert 0.001 <= flat.err.min() < flat.err.max() <= 0.002


def test_ground_flat_has_pixel_structure_that_filters_share():
    one, other = (inner(program("B4").ground_flat("B4", name).data) for name in ("F115W", "F200W"))
    detail = [np.diff(image, axis=1).ravel() for image in (one, other)]
    assert np.std(detail[0]) / np.sqrt(2) == pytest.approx(0.0125, abs=0.003)
    assert np.corrcoef(*detail)[0, 1] > 0.95
    assert (
        np.std(boxes(program("B4").ground_flat("B4", "F115W").data / program("B4").ground_flat("B4", "F200W").data))
        > 0.005
    )


def test_reference_pixels_have_no_answer():
    flat = program("B4").ground_flat("B4", "F200W")
    border = np.ones(SHAPE, bool)
    border[4:-4, 4:-4] = False
    np.testing.assert_array_equal(DQ.NO_FLAT_FIELD.is_set(flat.dq), border)
    assert (flat.data[border] == 1).all()
    exposure = program("B4").exposure("B4", "F200W", 0)
    assert (exposure.dq[border] == np.uint32(DQ.REFERENCE_PIXEL | DQ.NO_FLAT_FIELD | DQ.DO_NOT_USE)).all()
    assert np.isnan(exposure.data[border]).all()
    assert np.isfinite(exposure.data[~border]).all()


def test_ground_flat_keeps_all_rules():
    for detector in ("B4", "ALONG"):
        one = SimulatedProgram(detectors=detector, shape=(64, 64))
        for _, filter in one.modes():
            assert one.ground_flat(detector, filter).check() == ()


# --- the parts of the change


def test_crosshatch_is_crossed_lines_ten_pixels_apart():
    lines = ratio("ALONG", "F444W", crosshatch=True)
    truth = program("ALONG", crosshatch=True).truth("ALONG")
    np.testing.assert_allclose(lines, inner(truth.crosshatch), rtol=1e-5)
    np.testing.assert_allclose(ratio("ALONG", "F277W", crosshatch=True), lines, rtol=1e-5)
    assert 0.019 < np.ptp(lines) < 0.031
    power = np.abs(np.fft.fft2(lines - lines.mean())) ** 2
    fy, fx = np.meshgrid(*(np.fft.fftfreq(n) for n in lines.shape), indexing="ij")
    frequency = np.hypot(fy, fx)
    assert power[(frequency > 1 / 15) & (frequency < 1 / 7)].sum() > 0.95 * power.sum()
    rising, falling = power[fy * fx > 0].sum(), power[fy * fx < 0].sum()
    assert 0.5 < rising / falling < 2


def test_crosshatch_is_absent_in_the_short_channel():
    assert (ratio("B4", "F200W", crosshatch=True) == 1).all()
    assert (program("B4", crosshatch=True).truth("B4").crosshatch == 1).all()


@pytest.mark.parametrize("detector", ["A3", "B3", "B4"])
def test_corner_features_reach_6_per_cent_in_corners_alone(detector):
    corners = ratio(detector, "F200W", corner_features=True)
    assert 0.029 < np.abs(corners - 1).max() <= 0.0601
    middle = corners.copy()
    for rows in (slice(None, 16), slice(-16, None)):
        for columns in (slice(None, 16), slice(-16, None)):
            middle[rows, columns] = 1
    np.testing.assert_allclose(middle, 1, atol=1e-4)


def test_corner_features_are_absent_elsewhere():
    assert (ratio("A1", "F200W", corner_features=True) == 1).all()


def test_filter_dependence_is_2_per_cent_and_differs_in_the_short_channel():
    one, other = (ratio("B4", name, filter_dependence=True) - 1 for name in ("F115W", "F200W"))
    assert np.ptp(one) == pytest.approx(0.02, abs=0.004)
    assert np.ptp(other) == pytest.approx(0.02, abs=0.004)
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.97


def test_filter_dependence_follows_wavelength_in_the_long_channel():
    names = ("F277W", "F356W", "F444W")
    pattern = [ratio("ALONG", name, filter_dependence=True).ravel() - 1 for name in names]
    slope = [float(part @ pattern[2] / (pattern[2] @ pattern[2])) for part in pattern]
    wavelength = [Filter.get(name).pivot.to_value("um") for name in names]
    for part, factor in zip(pattern, slope, strict=True):
        np.testing.assert_allclose(part, factor * pattern[2], atol=1e-5)
    assert np.corrcoef(slope, wavelength)[0, 1] > 0.9999
    assert slope[0] < -0.5


# --- dead pixels


def test_new_dead_pixels_are_dim_and_known_ones_are_flagged():
    one = program("B4", dead_pixels=True)
    truth, flat = one.truth("B4"), one.ground_flat("B4", "F200W")
    response = ratio("B4", "F200W", dead_pixels=True)
    dead, known = inner(truth.dead), inner(truth.known_dead)
    np.testing.assert_array_equal(dead, (response < 0.9) & ~known)
    assert 0.2 <= response[dead].min() < 0.3
    assert 0.65 < response[dead].max() <= 0.75
    assert not (truth.dead & truth.known_dead).any()
    assert truth.dead.sum() == pytest.approx(5e-4 * dead.size + 100, abs=30)
    assert truth.known_dead.sum() == pytest.approx(3e-4 * dead.size, abs=15)
    np.testing.assert_array_equal(DQ.DEAD.is_set(flat.dq), truth.known_dead)
    assert not DQ.DO_NOT_USE.is_set(flat.dq)[truth.dead].any()
    exposure = one.exposure("B4", "F200W", 0)
    np.testing.assert_array_equal(DQ.DEAD.is_set(exposure.dq), truth.known_dead)
    assert np.isnan(exposure.data[truth.known_dead]).all()
    assert np.isfinite(exposure.data[truth.dead]).all()


def test_concentration_is_where_the_table_says():
    truth = program("B4", dead_pixels=True).truth("B4")
    (row,) = truth.concentrations
    y, x = np.nonzero(truth.dead)
    near = np.hypot(x - row["x"].value, y - row["y"].value) < 12
    assert near.sum() == pytest.approx(row["n_pixels"], abs=4)
    assert row["n_pixels"] == pytest.approx(100, abs=25)


# --- grey


def test_grey_is_the_median_over_normalised_frames():
    one = SimulatedProgram(detectors="B4", filters=("F115W", "F150W", "F200W"), shape=(64, 64), n_dithers=2)
    truth = one.truth("B4")
    frames = [truth.delta(filter) for filter in truth.filters for _ in range(one.n_exposures)]
    stack = np.stack([frame / np.nanmedian(frame) for frame in frames])
    np.testing.assert_array_equal(truth.grey(), np.median(stack, axis=0).astype(np.float32))


def test_grey_with_a_strategy_combines_all_frames():
    names = ("F277W", "F356W", "F444W")
    one = SimulatedProgram(detectors="ALONG", filters=names, shape=(64, 64), n_pointings=1, n_dithers=2)
    truth = one.truth("ALONG")
    median, mean = truth.grey(SigmaClippedMedian()), truth.grey(SigmaClippedMean(n_sigma=10))
    np.testing.assert_allclose(median, truth.grey(), rtol=1e-6)
    frames = [truth.delta(filter) / np.nanmedian(truth.delta(filter)) for filter in truth.filters]
    np.testing.assert_allclose(mean, np.mean(frames, axis=0), rtol=1e-5)
    assert np.nanmax(np.abs(mean - median)) > 1e-4
