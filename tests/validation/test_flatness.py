"""Flatness of skies whose structure and noise are known."""

import attrs
import numpy as np
import pytest
from matplotlib.figure import Figure

from nircam_flats import (
    DeltaSkyflat,
    Flatness,
    FlatnessComparison,
    InvalidInputError,
    NormalizedFrame,
    NormalizedFrames,
    SkyLevel,
    plotting,
)
from nircam_flats.kernels import box_medians
from nircam_flats.testing import assert_same
from nircam_flats.validation.flatness import NoiseFloor

SIZE = 192


@pytest.fixture(scope="module")
def comparison(star_field, old_flat, true_flat):
    return FlatnessComparison.from_exposures(star_field, old=old_flat, new=true_flat)


def images(rng, structure, *, n=4, stripes=0.0):
    for _ in range(n):
        rows = stripes * rng.standard_normal((SIZE, 1))
        yield structure + rows + rng.normal(0, 0.05, (SIZE, SIZE))


# --- one flat


def test_structure_is_measured_and_noise_told_apart(rng):
    structure = 1 + np.repeat(np.repeat([[-0.02, 0.0, 0.03]], 3, axis=0), 64, axis=0).repeat(64, axis=1)
    flatness = Flatness.from_images(images(rng, structure))
    assert flatness.stack.shape == (3, 3)
    assert flatness.peak_to_peak == pytest.approx(0.05, abs=0.005)
    assert flatness.rms == pytest.approx(np.std([-0.02, 0, 0.03]), rel=0.1)
    white = np.sqrt(np.pi / 2) * 0.05 / 64 / 2  # of the median of a box, four exposures
    assert flatness.floor.rms == pytest.approx(white, rel=0.35)  # nine boxes


def test_flat_sky_shows_its_noise_alone(rng):
    flatness = Flatness.from_images(images(rng, 1.0, n=8), box_size=8)
    assert flatness.rms == pytest.approx(flatness.floor.rms, rel=0.1)
    assert flatness.peak_to_peak == pytest.approx(flatness.floor.peak_to_peak, rel=0.15)
    table = flatness.table
    np.testing.assert_allclose(table["rms"], table["floor_rms"], rtol=0.1)


def test_floor_of_a_delta_skyflat_is_its_noise(rng):
    frames = []
    for number, values in enumerate(images(rng, np.linspace(0.95, 1.05, SIZE), n=8)):
        level = SkyLevel.measure(values, np.zeros(values.shape, bool))
        facts = {"detector": "B1", "filter": "F200W", "flat_name": "flat.fits", "start": None, "end": None}
        frames.append(NormalizedFrame(name=str(number), level=level, values=values.astype(np.float32), **facts))
    delta = DeltaSkyflat.from_frames(NormalizedFrames(detector="B1", frames=frames), balance=False)
    noise = box_medians(delta.data - np.linspace(0.95, 1.05, SIZE), 32)[0]
    floor = NoiseFloor.of_delta(delta, box_size=32)
    assert floor.rms == pytest.approx(np.std(noise), rel=0.35)  # 36 boxes, and the median of a box is not its mean
    assert floor.peak_to_peak == pytest.approx(np.ptp(noise), rel=0.5)
    assert floor.peak_to_peak < 0.05  # and not the gradient


def test_boxes_with_less_than_half_of_their_pixels_have_no_value(rng):
    data = np.ones((128, 128), np.float32) + rng.normal(0, 0.01, (128, 128))
    data[:64, :40] = np.nan
    flatness = Flatness.from_images([data, data])
    assert np.isnan(flatness.stack[0, 0])
    assert np.isfinite(flatness.stack).sum() == 3
    assert np.isnan(Flatness.from_images([np.where(np.arange(128) < 70, np.nan, data)] * 2).rows).all()


def test_profile_with_honest_errors(rng):
    gradient = np.linspace(0.97, 1.03, SIZE)
    flatness = Flatness.from_images(images(rng, gradient, n=6))
    place, middle, err = flatness.profile("columns", width=8)
    assert len(place) == SIZE // 8
    pull = (middle - np.interp(place, np.arange(SIZE), gradient) / np.median(gradient)) / err
    assert np.std(pull) == pytest.approx(1, abs=0.35)
    assert np.abs(flatness.profile("rows")[1] - 1).max() < 0.005


def test_stripes_count_in_the_errors_of_rows(rng):
    flatness = Flatness.from_images(images(rng, 1.0, n=6, stripes=0.02))
    rows, columns = (np.median(flatness.profile(along)[2]) for along in ("rows", "columns"))
    assert rows == pytest.approx(0.02 / np.sqrt(16 * 6), rel=0.3)
    assert columns < rows / 3


def test_profile_of_one_exposure(rng):
    flatness = Flatness.from_images(images(rng, 1.0, n=6))
    one, stack = (flatness.profile("columns", exposure, width=2)[2] for exposure in (2, None))
    assert np.median(one) == pytest.approx(np.sqrt(6) * np.median(stack), rel=0.4)
    with pytest.raises(InvalidInputError, match="'rows' or 'columns'; got 'x'"):
        flatness.profile("x")


# --- two flats


def test_old_flat_is_found_wrong_and_new_one_right(comparison, star_program):
    truth = box_medians(star_program.truth("B1").delta("F200W"), 64)[0]
    truth = truth / np.median(truth)
    stack = comparison.old.stack / np.nanmedian(comparison.old.stack)
    noise = comparison.old.floor.rms
    assert np.nanstd(stack / truth) < 1.5 * noise
    assert np.std(truth) > 3 * noise
    assert comparison.new.rms < 1.5 * comparison.new.floor.rms
    assert comparison.new.peak_to_peak < comparison.old.peak_to_peak / 2


def test_both_flats_are_measured_in_the_same_pixels(comparison):
    assert_same(comparison.old.n_pixels.shape, comparison.new.n_pixels.shape)
    np.testing.assert_array_equal(np.isfinite(comparison.old.rows), np.isfinite(comparison.new.rows))
    np.testing.assert_allclose(comparison.old.n_pixels, comparison.new.n_pixels, rtol=0.03)  # but for clipping


def test_numbers_in_a_table_and_in_words(comparison):
    table = comparison.table
    assert list(table["name"]) == [*comparison.exposures["name"], "stack"]
    assert table["new_peak_to_peak"][-1] == comparison.new.peak_to_peak
    assert table["old_floor_rms"][-1] == comparison.old.floor.rms
    assert (table["new_rms"][:-1] > table["new_rms"][-1]).all()
    assert f"new flat: peak to peak {comparison.new.peak_to_peak:.2%} (noise alone" in str(comparison)


def test_files(comparison, tmp_path):
    comparison.write(tmp_path / "flatness.fits")
    assert_same(FlatnessComparison.read(tmp_path / "flatness.fits"), comparison)
    with pytest.raises(InvalidInputError, match="exists already"):
        comparison.write(tmp_path / "flatness.fits")


def test_paths_are_as_good_as_exposures(comparison, star_field, old_flat, true_flat, tmp_path):
    paths = []
    for exposure in star_field[:2]:
        paths.append(tmp_path / f"{exposure.name}_cal.fits")
        exposure.write(paths[-1])
    found = FlatnessComparison.from_exposures(paths, old=old_flat, new={"F200W": true_flat})
    np.testing.assert_allclose(found.new.meshes, comparison.new.meshes[:2], rtol=1e-6)


def test_bad_exposure_is_left_out_with_its_reason(star_field, old_flat, true_flat):
    dark = attrs.evolve(star_field[0], data=star_field[0].data - 10)
    found = FlatnessComparison.from_exposures([dark, *star_field[1:3]], old=old_flat, new=true_flat)
    assert list(found.exposures["used"]) == [True, True, False]
    assert "must be positive" in found.exposures["reason"][-1]
    assert found.new.meshes.shape[0] == 2


def test_what_cannot_be_compared_is_refused(star_field, old_flat, true_flat):
    with pytest.raises(InvalidInputError, match="needed at least two exposures"):
        FlatnessComparison.from_exposures(star_field[:1], old=old_flat, new=true_flat)
    other = attrs.evolve(true_flat, filter="F150W")
    with pytest.raises(InvalidInputError, match=r"got 0; left out: .*a new flat of NRCB1 F200W is needed; .*F150W"):
        FlatnessComparison.from_exposures(star_field, old=old_flat, new=other)
    with pytest.raises(InvalidInputError, match="two are of NRCB1 F200W"):
        FlatnessComparison.from_exposures(star_field, old=old_flat, new=[true_flat, true_flat])
    renamed = attrs.evolve(old_flat, name="another.fits")
    with pytest.raises(InvalidInputError, match="has none of that name"):
        FlatnessComparison.from_exposures(star_field, old=renamed, new=true_flat)


# --- figures


def test_plot(comparison):
    ax = Figure().subplots()
    line = comparison.plot(ax, along="rows", linewidth=3)
    assert line.axes is ax
    assert line.get_linewidth() == 3
    assert ax.get_xlabel() == "y [px]"
    assert ax.get_ylabel() == "sky / its median − 1 [%]"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["old flat", "new flat"]
    old, new = ax.lines[:2]
    assert np.nanstd(old.get_ydata()) > 2 * np.nanstd(new.get_ydata())


def test_figure(comparison):
    figure = plotting.flatness_figure(comparison)
    images = [ax.images[0] for ax in figure.subfigs[0].axes if ax.images]
    assert len(images) == 2
    assert images[0].get_clim() == images[1].get_clim()
    assert "noise alone" in figure.subfigs[0].axes[1].get_title()
    assert figure.subfigs[0].axes[0].get_xlim() == (-0.5, 319.5)
    assert len(figure.subfigs[1].axes) == 2


def test_one_image_tells_no_noise(rng):
    flatness = Flatness.from_images(images(rng, 1.0, n=1))
    assert flatness.peak_to_peak > 0
    with pytest.raises(InvalidInputError, match="needs two exposures or more to tell the noise of their stack; got 1"):
        _ = flatness.floor


def test_images_of_several_shapes_or_none(rng):
    with pytest.raises(InvalidInputError, match="needs images of one shape; got 2 of 2 shapes"):
        Flatness.from_images([np.ones((128, 128)), np.ones((64, 128))])
    with pytest.raises(InvalidInputError, match="needs images of one shape; got 0 of 0 shapes"):
        Flatness.from_images([])
