"""What is particular to a filter comes back, with an error that knows that the filter is part of grey."""

import attrs
import numpy as np
import pytest
from astropy import units as u

from nircam_flats import (
    DeltaSkyflat,
    FilterDependence,
    FlatModelFit,
    Gradient,
    InvalidInputError,
    WavelengthTrend,
    testing,
)
from nircam_flats.skyflat.gradient import MeshPlane

SHAPE = (192, 160)
FILTERS = ("F115W", "F150W", "F200W")
FLATS = {name: f"{name}.fits" for name in FILTERS}
INJECTED = np.array([0.012, 0.016])


@pytest.fixture
def campaign(frames_of):
    """Make frames of three filters: ``campaign(seed, n, noise, tilt)``; a gradient of 2 % is in the first filter."""

    def make(seed, n=6, noise=0.05, tilt=0.004, masked=0.2):
        rng = np.random.default_rng(seed)
        y, x = (np.indices(SHAPE) + 0.5) / np.array(SHAPE)[:, None, None] - 0.5
        images, names = [], []
        for name in FILTERS:
            flat = (1 + 0.04 * x - 0.03 * y) * (1 + (name == "F115W") * (INJECTED[0] * x + INJECTED[1] * y))
            for _ in range(n):
                slopes = tilt * rng.standard_normal(2)
                image = flat * (1 + slopes[0] * x + slopes[1] * y) * rng.normal(1, noise, SHAPE)
                image[rng.random(SHAPE) < masked] = np.nan
                images.append(image)
                names.append(name)
        return frames_of(images, names, noise)

    return make


@pytest.fixture
def dependences(campaign):
    def make(*args, **settings):
        frames = campaign(*args, **settings)
        grey = DeltaSkyflat.from_frames(frames)
        return [DeltaSkyflat.from_frames(frames.where(filter=name)).relative_to(grey) for name in FILTERS]

    return make


@pytest.mark.parametrize("n", [3, 6])
def test_the_gradient_comes_back_within_its_error(dependences, n):
    pulls, significant = [], []
    for seed in range(12):
        gradient = dependences(seed, n)[0].gradient
        pulls.append((np.array([gradient.x, gradient.y]) - INJECTED * 2 / 3) / (gradient.x_err, gradient.y_err))
        significant.append(gradient.chi2)
    assert np.sqrt(np.mean(np.square(pulls))) == pytest.approx(1, abs=0.3)
    assert np.median(significant) > 20


def test_noise_does_not_make_it_smaller(dependences):
    """The median of the ratios of pixels would be off by a third: where grey is the filter's own value they are 1."""
    found = [dependences(seed, tilt=0.0)[0].gradient.size for seed in range(6)]
    assert np.mean(found) == pytest.approx(0.02 * 2 / 3, rel=0.05)


@pytest.mark.parametrize("n", [4, 6, 12, 20])
def test_errors_of_pixels_know_that_the_filter_is_in_grey(dependences, n):
    item = dependences(1, n, tilt=0.0)[1]
    pulls = ((item.data - 1) / item.err)[item.good]
    assert np.std(pulls) == pytest.approx(1, abs=0.06)
    independent = np.sqrt(2) * 0.05 * 1.2 / np.sqrt(0.8 * n)
    assert np.median(item.err[item.good]) < 0.8 * independent


def test_boxes_that_do_not_differ_are_not_significant(frames_of):
    shape, values = (256, 256), []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        images = rng.normal(1, 0.05, (8, *shape)).astype(np.float32)
        frames = frames_of(images, ["F115W"] * 4 + ["F200W"] * 4, 0.05)
        grey = DeltaSkyflat.from_frames(frames)
        values.append(DeltaSkyflat.from_frames(frames.where(filter="F200W")).relative_to(grey).significance)
    assert np.std(values) == pytest.approx(1, abs=0.15)


def test_boxes_have_their_significance(dependences):
    item = dependences(2, tilt=0.0)[0]
    assert item.mesh.shape == item.mesh_err.shape == item.significance.shape == (6, 5)
    corners = item.significance[[0, -1], [0, -1]]
    assert corners[0] < -3
    assert corners[1] > 3


def test_the_trend_with_wavelength(dependences):
    pulls = []
    for seed in range(10):
        items = dependences(seed)
        trend = WavelengthTrend.from_dependences(items[::-1])
        assert [item.name for item in trend.filters] == list(FILTERS)
        wavelengths = np.array([item.pivot.to_value(u.um) for item in trend.filters])
        true = np.outer([2 / 3, -1 / 3, -1 / 3], INJECTED)
        weights = 1 / np.diag(trend.covariance).reshape(-1, 2)
        slopes = [np.polyfit(wavelengths, true[:, axis], 1, w=np.sqrt(weights[:, axis]))[0] for axis in range(2)]
        found = u.Quantity([trend.slope_x, trend.slope_y]).to_value(1 / u.um)
        errors = u.Quantity([trend.slope_x_err, trend.slope_y_err]).to_value(1 / u.um)
        pulls.append((found - slopes) / errors)
    assert np.sqrt(np.mean(np.square(pulls))) == pytest.approx(1, abs=0.35)
    single = [[item.gradient.x_err, item.gradient.y_err] for item in items]
    np.testing.assert_allclose(np.sqrt(np.diag(trend.covariance)).reshape(-1, 2), single, rtol=1e-6)


@pytest.fixture
def same_fields(frames_of, pointing_at):
    """A filter over grey, from frames of ``n`` fields in each filter; what a field adds is in all its filters alike."""

    def make(seed, n=6, dithers=1, **turned):
        rng = np.random.default_rng(seed)
        y, x = (np.indices(SHAPE) + 0.5) / np.array(SHAPE)[:, None, None] - 0.5
        slopes = 0.01 * rng.standard_normal((n, 2))
        images, names, pointings = [], [], []
        for name in FILTERS:
            for field in np.repeat(np.arange(n), dithers):
                own = slopes[field] + 0.003 * rng.standard_normal(2)
                images.append((1 + own[0] * x + own[1] * y) * rng.normal(1, 0.02, SHAPE))
                names.append(name)
                pointings.append(pointing_at(150 + field / 60 + rng.uniform(0, 5e-5), roll=turned.get(name, 30)))
        frames = frames_of(images, names, 0.02)
        seen = [attrs.evolve(frame, pointing=it) for frame, it in zip(frames.frames, pointings, strict=True)]
        frames = attrs.evolve(frames, frames=seen)
        grey = DeltaSkyflat.from_frames(frames)
        return DeltaSkyflat.from_frames(frames.where(filter="F150W")).relative_to(grey)

    return make


@pytest.mark.parametrize("n", [3, 6])
def test_light_that_the_filters_of_a_field_share_is_no_error(same_fields, n):
    gradients = [same_fields(seed, n).gradient for seed in range(16)]
    seen = np.mean([[gradient.x**2, gradient.y**2] for gradient in gradients])
    claimed = np.mean([[gradient.x_err**2, gradient.y_err**2] for gradient in gradients])
    assert np.sqrt(seen / claimed) == pytest.approx(1, abs=0.3)
    # As independent frames they would err by the scatter of the fields.
    assert np.sqrt(claimed) < 0.5 * 0.01 / np.sqrt(n)


def test_which_frames_saw_the_same_field(same_fields):
    assert same_fields(1, n=3).frames == ("frame0", "frame1", "frame2")
    assert len(same_fields(1, n=3, F150W=32).frames) == 6
    assert len(same_fields(1, n=2, dithers=3).frames) == 2
    assert len(same_fields(1, n=1, dithers=3).frames) == 9  # of one field alone, nothing could be told


def test_a_fit_takes_it_as_a_delta_skyflat(dependences):
    item = dependences(3)[0]
    fit = FlatModelFit.from_delta(item)
    assert fit.filters == item.filters
    assert np.ptp(fit.surface) == pytest.approx(2 / 3 * INJECTED.sum(), rel=0.3)


def test_other_exposures_than_those_in_grey_are_independent(campaign):
    grey = DeltaSkyflat.from_frames(campaign(4))
    frames = campaign(5)
    frames = attrs.evolve(frames, frames=[attrs.evolve(frame, name=f"other {frame.name}") for frame in frames.frames])
    item = DeltaSkyflat.from_frames(frames.where(filter="F150W")).relative_to(grey)
    assert len(item.frames) == 18 + 6
    assert np.std(((item.data - 1) / item.err)[item.good]) == pytest.approx(1, abs=0.1)


def test_files(dependences, tmp_path):
    item = dependences(6)[2]
    item.write(tmp_path / "item.fits")
    testing.assert_same(FilterDependence.read(tmp_path / "item.fits"), item)
    assert str(item.history).endswith("divide by grey: filters=F115W+F150W+F200W")
    with pytest.raises(InvalidInputError, match="needed a DeltaSkyflat written by nircam_flats; got FilterDependence"):
        DeltaSkyflat.read(tmp_path / "item.fits")


def test_bad_input(campaign):
    frames = campaign(7, n=2)
    grey = DeltaSkyflat.from_frames(frames)
    one = DeltaSkyflat.from_frames(frames.where(filter="F115W"))
    with pytest.raises(InvalidInputError, match="needs a delta skyflat of one filter; got one of F115W, F150W, F200W"):
        grey.relative_to(grey)
    with pytest.raises(InvalidInputError, match="grey delta skyflat with other filters besides; got one of F115W"):
        one.relative_to(one)
    with pytest.raises(InvalidInputError, match=r"needs a grey delta skyflat of NRCB1, .* got one of NRCA1"):
        one.relative_to(attrs.evolve(grey, detector="A1"))
    alone = attrs.evolve(grey, n_used=one.n_used)
    with pytest.raises(InvalidInputError, match="needs pixels seen in other filters too; none is"):
        one.relative_to(alone)


def test_a_trend_needs_filters_of_one_detector(dependences):
    one, other, _ = dependences(8, n=2)
    for items, came in (([], "none of none"), ([one], "F115W of NRCB1"), ([one, one], "F115W, F115W of NRCB1")):
        with pytest.raises(InvalidInputError, match=f"two or more different filters of one detector; got {came}"):
            WavelengthTrend.from_dependences(items)
    with pytest.raises(InvalidInputError, match="got F115W, F150W of NRCA1, NRCB1"):
        WavelengthTrend.from_dependences([one, attrs.evolve(other, detector="A1")])


def test_planes():
    y, x = np.indices((64, 80)) + 0.5
    plane = MeshPlane(np.ones((2, 3), bool), 32, (64, 80))
    image = 1 + 0.03 * x / 80 - 0.02 * y / 64
    mesh = np.array([[image[j : j + 32, i : i + 32].mean() for i in (0, 32, 64)] for j in (0, 32)])
    np.testing.assert_allclose(plane.slopes(mesh), [0.03, -0.02], atol=1e-12)
    np.testing.assert_allclose(plane.slopes(np.stack([mesh, 2 * mesh])), [[0.03, -0.02], [0.06, -0.04]], atol=1e-12)
    with pytest.raises(InvalidInputError, match="a gradient needs measured boxes of 32 px in two rows and two columns"):
        MeshPlane(np.array([[True, True, True], [False] * 3]), 32, (64, 80))


def test_a_gradient_knows_its_size():
    gradient = Gradient(x=0.003, y=-0.004, covariance=[[4e-6, 0], [0, 1e-6]])
    assert gradient.size == pytest.approx(0.005)
    assert gradient.size_err == pytest.approx(np.sqrt(0.36 * 4e-6 + 0.64 * 1e-6))
    assert gradient.angle.to_value("deg") == pytest.approx(-53.13, abs=0.01)
    assert gradient.chi2 == pytest.approx(2.25 + 16)
