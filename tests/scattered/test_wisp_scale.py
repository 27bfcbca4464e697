"""Strengths of wisps: found with an honest error, and subtracted with it."""

from functools import partial

import attrs
import numpy as np
import pytest

import nircam_flats as nf
from nircam_flats import testing
from nircam_flats.kernels import box_means, repeat_mesh
from nircam_flats.scattered._strength import fit_strength


def fits_of(world, template, n, *, seed=5, strength=1.0, mask=None, **options):
    """Values less the truth, and errors, of the strength in ``n`` exposures."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(world.shape, bool) if mask is None else mask
    scales = [template.fit_scale(world.exposure(rng, strength=strength, sky=1.0, **options), mask) for _ in range(n)]
    return np.array([item.value - strength for item in scales]), np.array([item.err for item in scales])


@pytest.mark.parametrize("stripes", [0.0, 0.02, 0.1])
def test_strengths_have_no_bias_and_honest_errors(world, perfect, stripes):
    off, err = fits_of(world, perfect, 40, stripes=stripes)
    assert abs(off.mean()) < 3 * err.mean() / np.sqrt(40) < 0.02
    assert 0.75 < np.std(off / err) < 1.25  # 40 values tell it to 11 %


@pytest.mark.parametrize("strength", [0.0, -0.5])
def test_no_light_and_less_than_none_are_told_as_they_are(world, perfect, strength):
    off, err = fits_of(world, perfect, 6, strength=strength)
    assert np.abs(off / err).max() < 4
    rng = np.random.default_rng(2)
    exposure = world.exposure(rng, strength=strength, sky=1.0)
    scale = perfect.fit_scale(exposure)
    clean = scale.subtract_from(exposure)
    np.testing.assert_allclose(clean.data, exposure.data - np.float32(scale.value) * perfect.data, atol=1e-6)


def test_pixels_that_depart_are_left_out(world, perfect):
    rng = np.random.default_rng(4)
    exposure = world.exposure(rng, strength=1.0, sky=1.0)
    data = exposure.data.copy()
    data[rng.random(world.shape) < 0.02] += 5
    scale = perfect.fit_scale(attrs.evolve(exposure, data=data), np.zeros(world.shape, bool))
    assert scale.value == pytest.approx(1, abs=4 * scale.err)
    assert scale.chi2 == pytest.approx(1, abs=4 * np.sqrt(2 / scale.n_dof))


def test_sources_are_masked_by_default(world, perfect):
    rng = np.random.default_rng(6)
    exposure = world.exposure(rng, strength=1.0, sky=1.0)
    y, x = np.indices(world.shape)
    galaxy = np.exp(-0.5 * ((x - 150) ** 2 + (y - 160) ** 2) / 5**2)
    bright = attrs.evolve(exposure, data=exposure.data + galaxy.astype(np.float32))
    scale = perfect.fit_scale(bright)
    assert scale.value == pytest.approx(1, abs=4 * scale.err)
    unmasked = perfect.fit_scale(bright, np.zeros(world.shape, bool))
    assert unmasked.value == pytest.approx(1, abs=4 * unmasked.err)  # its boxes depart, and are left out
    assert scale.chi2 < unmasked.chi2  # but for the faint edge of the source


def test_masks_of_any_kind(world, perfect):
    exposure = world.exposure(np.random.default_rng(7), strength=1.0, sky=1.0)
    masked = np.indices(world.shape)[1] < 100
    by_array = perfect.fit_scale(exposure, masked)
    testing.assert_same(perfect.fit_scale(exposure, nf.SourceMask.from_array(masked)).value, by_array.value)
    assert by_array.err > perfect.fit_scale(exposure, np.zeros_like(masked)).err


def test_variances_grow_by_what_is_not_known_of_the_wisp(world, template, exposures):
    exposure = exposures[1]
    scale = template.fit_scale(exposure)
    clean = scale.subtract_from(exposure)
    variance = (scale.err * template.data) ** 2 + (scale.value * template.err) ** 2
    np.testing.assert_allclose(clean.var_poisson, exposure.var_poisson + variance, rtol=1e-5)
    np.testing.assert_allclose(clean.err**2, exposure.err**2 + variance, rtol=1e-5)
    assert clean.var_flat is None
    assert clean.name == exposure.name
    inside = template.outline
    assert abs(np.mean(clean.data[inside]) - np.mean(clean.data[~inside])) < 0.05 * world.peak


def test_planes_are_not_invented(world, template, exposures):
    bare = attrs.evolve(exposures[0], err=None, var_poisson=None)
    clean = template.fit_scale(bare).subtract_from(bare)
    assert clean.err is None
    assert clean.var_poisson is None


def test_the_error_of_the_template_counts(template, exposures):
    scale = template.fit_scale(exposures[0])
    alone = attrs.evolve(template, amplitude_err=0).fit_scale(exposures[0])
    assert scale.err == pytest.approx(np.hypot(alone.err, template.amplitude_err * scale.value), rel=1e-6)


@pytest.mark.parametrize("own", [None, 2])
def test_noise_of_the_template_does_not_change_strengths(world, own):
    """Patterns of four noisy exposures, fitted to a fifth, and to one of the four: box noise a quarter of the peak."""
    rng = np.random.default_rng(11)
    outline = world.wisp > 0.02 * world.peak
    plain, allowed, errs = [], [], []
    for _ in range(60):
        noise = rng.normal(0, world.peak / 4, (5, 32, 32)).astype(np.float32)
        images = world.wisp + np.stack([repeat_mesh(mesh, 8, world.shape) for mesh in noise])
        pattern = np.where(outline, images[:4].mean(axis=0), 0)
        influences = (noise[:4] - noise[:4].mean(axis=0)) / 4 * box_means(outline.astype(np.float32), 8)
        data = 1 + images[4 if own is None else own] + rng.normal(0, 0.05, world.shape).astype(np.float32)
        everywhere = np.ones(world.shape, bool)
        fit = partial(fit_strength, data, pattern, everywhere, degree=1, find_light=False, place="a test")
        plain.append(fit().value - 1)
        found = fit(influences=influences, own=own)
        allowed.append(found.value - 1)
        errs.append(found.err)
    if own is None:
        assert np.mean(plain) < -0.1  # what the noise takes away if nothing allows for it
    assert abs(np.mean(allowed)) < 3 * np.mean(errs) / np.sqrt(60) < 0.05
    assert 0.6 < np.std(np.divide(allowed, errs)) < 1.25  # noise of the template is in what it leaves as well


def test_one_of_the_template_is_compared_with_the_others(world):
    """A weak exposure finds its own noise in a template, and looks too strong; not if that is taken out first."""
    rng = np.random.default_rng(13)
    outline = world.wisp > 0.02 * world.peak
    strengths = np.array([0.5, 1.2, 1.1, 1.2])
    plain, allowed = [], []
    for _ in range(30):
        noise = rng.normal(0, world.peak / 8, (4, 32, 32)).astype(np.float32)
        images = [s * world.wisp + repeat_mesh(mesh, 8, world.shape) for s, mesh in zip(strengths, noise, strict=True)]
        scaled = noise / strengths[:, None, None]
        pattern = np.where(outline, np.mean([image / s for image, s in zip(images, strengths, strict=True)], axis=0), 0)
        influences = (scaled - scaled.mean(axis=0)) / 4 * box_means(outline.astype(np.float32), 8)
        data = 1 + images[0] + rng.normal(0, 0.05, world.shape)
        everywhere = np.ones(world.shape, bool)
        fit = partial(fit_strength, data, pattern, everywhere, degree=1, find_light=False, place="a test")
        plain.append(fit(influences=influences).value / 0.5 - 1)
        allowed.append(fit(influences=influences, own=0).value / 0.5 - 1)
    assert np.mean(plain) > 0.06
    assert abs(np.mean(allowed)) < 0.04


def test_values_keep_their_promises(template, exposures):
    testing.check_value(template.fit_scale(exposures[0]))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"detector": "B3"}, "detector NRCB4; got one of NRCB3"),
        ({"filter": "F115W"}, "filter F200W; got one of F115W"),
        ({"unit": "DN/s"}, "template's unit, MJy / sr; got DN / s"),
        (
            {"data": np.ones((8, 8)), "err": None, "var_poisson": None},
            r"template's shape, \(256, 256\); got \(8, 8\)",
        ),
    ],
)
def test_exposures_of_another_mode_are_refused(perfect, exposures, changes, text):
    other = attrs.evolve(exposures[0], **changes)
    with pytest.raises(nf.InvalidInputError, match=text):
        perfect.fit_scale(other)
    with pytest.raises(nf.InvalidInputError, match=text):
        perfect.fit_scale(exposures[0]).subtract_from(other)


def test_another_exposure_than_the_fitted_one_is_refused(perfect, exposures):
    with pytest.raises(nf.InvalidInputError, match="the exposure that was fitted, 'exposure 0'; got 'exposure 1'"):
        perfect.fit_scale(exposures[0]).subtract_from(exposures[1])


def test_a_masked_wisp_has_no_strength(world, perfect, exposures):
    with pytest.raises(nf.FitError, match=r"not masked; those left hold 0\.0%"):
        perfect.fit_scale(exposures[0], perfect.outline)
    with pytest.raises(nf.FitError, match="good pixels"):
        perfect.fit_scale(attrs.evolve(exposures[0], data=np.full(world.shape, np.nan)))


def test_a_wisp_behind_a_halo_has_no_strength_unless_a_mask_is_given(world, perfect):
    exposure = world.exposure(np.random.default_rng(8), strength=1.0, sky=1.0)
    y, x = np.indices(world.shape)
    halo = 0.3 * np.exp(-np.hypot(x - 128, y - 150) / 40)
    hidden = attrs.evolve(exposure, data=exposure.data + halo.astype(np.float32))
    with pytest.raises(nf.FitError, match=r"20% of the wisp to be seen; sources and other light leave 1?\d%"):
        perfect.fit_scale(hidden)
    masked = np.hypot(x - 128, y - 150) < 40
    assert perfect.fit_scale(hidden, masked).err < 1


def test_masks_of_another_shape_are_refused(perfect, exposures):
    with pytest.raises(nf.InvalidInputError, match="mask given to"):
        perfect.fit_scale(exposures[0], np.zeros((8, 8), bool))


def test_too_few_boxes_to_tell_wisp_and_background(world, perfect, exposures):
    mask = np.ones(world.shape, bool)
    mask[144:152] = False  # one row of boxes: no slope along y
    with pytest.raises(nf.FitError, match=r"needs more boxes, .* to tell wisp and background apart; got \d+ of"):
        perfect.fit_scale(exposures[0], mask)
