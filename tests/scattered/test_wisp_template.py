"""Wisp templates: the injected wisp comes back, where there is one, and nothing else does."""

from concurrent.futures import ThreadPoolExecutor

import attrs
import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits

import nircam_flats as nf
from nircam_flats import testing
from nircam_flats.simulation import Effects, SimulatedProgram


def test_shape_and_strengths_come_back(world, template):
    departure = template.data - world.mean_wisp
    assert np.abs(departure).max() < 0.1 * world.peak
    assert np.std(departure[template.outline]) < 0.025 * world.peak
    table, truth = template.exposures, world.strengths / world.strengths.mean()
    assert table["strength"] == pytest.approx(truth, rel=0.06)
    assert np.abs((table["strength"] - truth) / table["strength_err"]).max() < 4
    assert np.mean(table["strength"][table["used"]]) == pytest.approx(1, rel=1e-6)


def test_the_template_is_as_bright_as_its_strengths_say(world, exposures):
    """A template that is too faint by a part is found stronger by that part, also in what it was made of."""
    nothing = np.zeros(world.shape, bool)
    template = nf.WispTemplate.from_exposures(exposures, masks=lambda exposure: nothing)
    found = [template.fit_scale(exposure, nothing).value for exposure in exposures]
    assert np.mean(found) == pytest.approx(1, abs=0.002)


def test_where_no_exposure_saw_the_wisp_it_goes_on_smoothly(world, exposures, template):
    y, x = np.indices(world.shape)
    hole = np.hypot(x - 110, y - 160) < 18

    def blind(exposure):
        return attrs.evolve(exposure, data=np.where(hole, np.float32(np.nan), exposure.data))

    bridged = nf.WispTemplate.from_exposures(nf.ExposureSet.from_exposures(map(blind, exposures)))
    departure = np.abs(bridged.data - world.mean_wisp)[hole]
    assert world.mean_wisp[hole].max() > 0.9 * world.peak
    assert departure.max() < 0.15 * world.peak
    assert np.mean(bridged.err[hole]) > 2 * np.mean(template.err[hole])


def test_errors_of_pixels_are_honest(world, template):
    pull = (template.data - world.mean_wisp)[template.outline] / template.err[template.outline]
    assert 0.7 < 1.4826 * np.median(np.abs(pull)) < 1.3
    assert 0 < template.amplitude_err < 0.03
    assert not template.err[~template.outline].any()


def test_outline_is_where_the_light_is(world, template):
    wisp = world.wisp
    assert template.outline[wisp > 0.05 * world.peak].all()
    assert template.outline[wisp < 1e-4 * world.peak].mean() < 0.1
    assert not template.data[~template.outline].any()


def test_a_given_outline_is_kept(world, exposures):
    outline = world.wisp > 0.02 * world.peak
    template = nf.WispTemplate.from_exposures(exposures, outline=outline)
    np.testing.assert_array_equal(template.outline, outline)
    assert np.std((template.data - world.mean_wisp)[outline]) < 0.03 * world.peak


def test_sources_on_the_wisp_do_not_change_it(world, exposures, template):
    y, x = np.indices(world.shape)
    rng = np.random.default_rng(3)

    def with_stars(exposure):
        stars = sum(
            3 * np.exp(-0.5 * (((x - cx) / 1.5) ** 2 + ((y - cy) / 1.5) ** 2))
            for cx, cy in rng.uniform((20, 120), (236, 190), (12, 2))
        )
        return attrs.evolve(exposure, data=exposure.data + stars.astype(np.float32))

    starry = nf.WispTemplate.from_exposures(nf.ExposureSet.from_exposures(map(with_stars, exposures)))
    assert np.abs(starry.data - world.mean_wisp).max() < 0.12 * world.peak
    assert np.sum(starry.data) == pytest.approx(np.sum(template.data), rel=0.04)


def test_correction_divides_what_the_flat_got_wrong(world):
    program = SimulatedProgram(
        detectors="B4",
        filters="F200W",
        shape=(128, 128),
        n_dithers=2,
        effects=attrs.evolve(Effects.none(), noise=True),
    )
    frames = nf.NormalizedFrames.from_exposures(nf.ExposureSet.from_exposures(program.exposures()))
    fit = nf.FlatModelFit.from_delta(nf.DeltaSkyflat.from_frames(frames), n_replicates=0)
    x = np.linspace(-1, 1, world.shape[1], dtype=np.float32)
    surface = np.broadcast_to(1 + 0.05 * x, world.shape)
    fit = attrs.evolve(fit, surface=surface, residual=np.zeros(world.shape, np.float32))
    exposures = world.exposures(surface=surface)
    template = nf.WispTemplate.from_exposures(exposures, correction=fit)
    assert np.std((template.data - world.mean_wisp)[template.outline]) < 0.03 * world.peak
    scale = template.fit_scale(exposures[1], correction=fit)
    assert scale.value == pytest.approx(world.strengths[1] / world.strengths.mean(), rel=0.03)
    np.testing.assert_allclose(scale.light, scale.value * template.data * surface, rtol=1e-5)


def test_the_result_is_the_same_for_any_executor(exposures, template):
    with ThreadPoolExecutor(1) as executor:
        testing.assert_same(nf.WispTemplate.from_exposures(exposures, executor=executor), template)


def test_round_trip(template, tmp_path):
    template.write(tmp_path / "wisp.fits")
    testing.assert_same(nf.WispTemplate.read(tmp_path / "wisp.fits"), template)
    with fits.open(tmp_path / "wisp.fits") as hdus:
        assert hdus[0].header["FILTER"] == "F200W"
        assert "make wisp template" in hdus["HISTORY"].data["step"]


def test_round_trip_of_a_template_without_error_or_exposures(perfect, tmp_path):
    perfect.write(tmp_path / "wisp.fits")
    testing.assert_same(nf.WispTemplate.read(tmp_path / "wisp.fits"), perfect)


def test_a_public_template_is_a_plain_image(tmp_path, perfect):
    path = tmp_path / "wisps_nrcb4_F200W.fits"
    data = np.where(perfect.data > 0, perfect.data, np.nan)
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(data, name="SCI")]).writeto(path)
    for image in (path, str(path), data):
        found = nf.WispTemplate.from_image(image, detector="NRCB4", filter="F200W")
        np.testing.assert_array_equal(found.data, perfect.data)
        np.testing.assert_array_equal(found.outline, perfect.outline)
    assert str(path) in str(nf.WispTemplate.from_image(path, detector="B4", filter="F200W").history)


def test_a_detector_without_wisps_needs_an_outline(world):
    facts = {"detector": "B1"}
    with pytest.raises(nf.InvalidInputError, match=r"A3, A4, B3 and B4 .* got NRCB1: .* outline="):
        nf.WispTemplate.from_exposures(world.exposures(**facts))
    template = nf.WispTemplate.from_exposures(world.exposures(**facts), outline=world.wisp > 0.01 * world.peak)
    assert np.abs(template.data - world.mean_wisp).max() < 0.15 * world.peak


def test_fewer_than_three_exposures(world, exposures):
    with pytest.raises(nf.InvalidInputError, match="at least 3 exposures; got 2"):
        nf.WispTemplate.from_exposures(exposures[:2])
    broken = [attrs.evolve(exposures[0], data=np.full(world.shape, np.nan)), *exposures[1:3]]
    with pytest.raises(nf.InvalidInputError, match="that can be used; got 2; left out: exposure 0"):
        nf.WispTemplate.from_exposures(nf.ExposureSet.from_exposures(broken))


def test_exposures_left_out_are_named(world, exposures):
    broken = attrs.evolve(exposures[0], data=np.full(world.shape, np.nan))
    template = nf.WispTemplate.from_exposures(nf.ExposureSet.from_exposures([broken, *exposures[1:]]))
    row = template.exposures[template.exposures["name"] == "exposure 0"][0]
    assert not row["used"]
    assert "good pixel" in row["reason"]


def test_exposures_that_hardly_show_the_wisp_are_left_out(world):
    strengths = world.strengths.copy()
    strengths[[2, 5]] = 0.0, -0.3
    template = nf.WispTemplate.from_exposures(world.exposures(strengths=strengths))
    used = strengths > 0
    np.testing.assert_array_equal(template.exposures["used"], used)
    assert "too weak" in template.exposures["reason"][2]
    assert template.exposures["strength"][5] < 0  # kept with its sign
    assert template.exposures["strength"] == pytest.approx(strengths / strengths[used].mean(), abs=0.06)


def test_two_filters_are_refused(exposures):
    other = attrs.evolve(exposures[0], filter="F115W")
    with pytest.raises(nf.InvalidInputError, match=r"one filter.* got F115W, F200W: choose"):
        nf.WispTemplate.from_exposures(nf.ExposureSet.from_exposures([other, *exposures]))


def test_no_wisp_is_an_error(world):
    with pytest.raises(nf.FitError, match="needed light that stands out"):
        nf.WispTemplate.from_exposures(world.exposures(wisp=np.zeros(world.shape, np.float32)))


def test_strengths_like_the_sky_are_no_evidence_of_light(world):
    levels = np.array([1.0, 1.1, 0.9, 1.05])
    exposures = world.exposures(strengths=levels, skies=levels)
    with pytest.warns(nf.FlatsWarning, match="nothing tells it from an error of the flat") as told:
        nf.WispTemplate.from_exposures(exposures)
    assert {item.filename for item in told} == {__file__}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"filter": "F444W"}, "WispTemplate.filter must be a SW filter, as NRCB4 has; got F444W"),
        ({"outline": np.ones((3, 3), bool)}, "WispTemplate.outline must have the shape"),
        ({"data": np.full((256, 256), np.nan)}, "must be finite everywhere"),
        ({"data": np.ones((256, 256))}, "must be 0 outside the outline"),
        ({"data": np.zeros((256, 256))}, "must show some light"),
        ({"unit": "furlong/erg"}, "WispTemplate.unit must be a unit"),
    ],
)
def test_what_no_template_can_be(perfect, changes, text):
    with pytest.raises(nf.InvalidInputError, match=text):
        attrs.evolve(perfect, **changes)


def test_files_that_hold_no_template(tmp_path):
    fits.PrimaryHDU().writeto(tmp_path / "empty.fits")
    with pytest.raises(nf.InvalidInputError, match=r"empty.fits: an image with two dimensions is needed"):
        nf.WispTemplate.from_image(tmp_path / "empty.fits", detector="B4", filter="F200W")
    with pytest.raises(nf.InvalidInputError, match=r"empty.fits: needed a WispTemplate"):
        nf.WispTemplate.read(tmp_path / "empty.fits")


def test_an_outline_of_another_shape_is_refused(exposures):
    with pytest.raises(nf.InvalidInputError, match="outline must be an array of shape"):
        nf.WispTemplate.from_exposures(exposures, outline=np.ones((8, 8), bool))


@pytest.mark.parametrize(
    ("fill", "text"),
    [(True, "got 100% True"), (False, "got 0% True"), (0.5, "a boolean array; got dtype float64")],
)
def test_an_outline_of_everything_or_nothing_is_refused(exposures, fill, text):
    with pytest.raises(nf.InvalidInputError, match=f"outline must be .*{text}"):
        nf.WispTemplate.from_exposures(exposures, outline=np.full(exposures[0].shape, fill))


@pytest.mark.parametrize("unit", ["DN/s", "2.5 MJy/sr"])
def test_unit_follows_the_exposures(exposures, tmp_path, unit):
    changed = [attrs.evolve(exposure, unit=unit) for exposure in exposures]
    template = nf.WispTemplate.from_exposures(nf.ExposureSet.from_exposures(changed))
    assert template.unit == u.Unit(unit)
    template.write(tmp_path / "wisp.fits")
    assert nf.WispTemplate.read(tmp_path / "wisp.fits").unit == u.Unit(unit)


def test_images_that_would_lose_their_meaning_are_refused():
    facts, image = {"detector": "B4", "filter": "F200W"}, np.ones((64, 64))
    with pytest.raises(nf.InvalidInputError, match=r"from_image: a plain array is needed; got one in kJy / sr"):
        nf.WispTemplate.from_image(image * u.kJy / u.sr, **facts)
    with pytest.raises(nf.InvalidInputError, match=r"a plain array is needed; got a masked one"):
        nf.WispTemplate.from_image(np.ma.masked_greater(image, 2), **facts)
    with pytest.raises(nf.InvalidInputError, match=r"outline given to WispTemplate.from_image must be an array of sh"):
        nf.WispTemplate.from_image(image, outline=np.ones((32, 32), bool), **facts)
