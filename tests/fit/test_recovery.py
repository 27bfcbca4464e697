"""From simulated exposures with all that spoils them to the flat that they were made with, pass by pass."""

from types import SimpleNamespace

import attrs
import numpy as np
import pytest
from astropy.stats import mad_std

from nircam_flats import (
    DeltaSkyflat,
    ExposureSet,
    FlatModelFit,
    FlatReference,
    MedianFilter,
    NormalizedFrames,
    Segmentation,
    SourceMask,
)
from nircam_flats.kernels import peak_to_peak
from nircam_flats.simulation import Effects, SimulatedProgram

FILTERS = {"B1": ("F150W", "F200W"), "ALONG": ("F277W", "F444W")}


@pytest.fixture(scope="module", params=FILTERS)
def campaign(request):
    return made(request.param, seed=3)


def made(detector, seed):
    """24 exposures in two filters, 192 px; what would fill half of so small a frame is left out."""
    effects = attrs.evolve(Effects(), large_galaxy=False, saturated_star=False, persistence=False)
    program = SimulatedProgram(
        detectors=detector,
        filters=FILTERS[detector],
        shape=(192, 192),
        n_pointings=2,
        n_dithers=6,
        seed=seed,
        effects=effects,
    )
    exposures = ExposureSet.from_exposures(program.exposures())
    first = DeltaSkyflat.from_exposures(exposures, masks=Segmentation.for_first_pass())
    rough = FlatModelFit.from_delta(first, strategy=MedianFilter(box_size=32, filter_size=5), n_replicates=0)
    frames = NormalizedFrames.from_exposures(exposures, correction=rough)
    truth = program.truth(detector)
    return SimpleNamespace(
        program=program,
        exposures=exposures,
        first=first,
        rough=rough,
        frames=frames,
        second=DeltaSkyflat.from_frames(frames),
        truth=truth,
        grey=truth.grey(),
        usable=~(truth.dead | truth.known_dead),
    )


def ratio_to(truth, delta, usable):
    """Found over true flat, both as they are and with median 1, and the pixels that have both."""
    good = delta.good & usable & np.isfinite(truth)
    ratio = np.where(good, delta.data / truth, np.nan)
    scale = np.nanmedian(ratio)
    return ratio / scale, delta.err / truth / scale, good


def test_delta_skyflats_are_right_within_their_errors(campaign):
    """The measure of the project: (found - truth) / err has robust width 0.9 to 1.1."""
    assert len(campaign.frames) == 24
    deltas = {"grey": campaign.second}
    for item in campaign.frames.filters:
        deltas[item.name] = DeltaSkyflat.from_frames(campaign.frames.where(filter=item))
    for name, delta in deltas.items():
        truth = campaign.grey if name == "grey" else campaign.truth.delta(name)
        ratio, err, good = ratio_to(truth, delta, campaign.usable)
        assert good.mean() > 0.9
        assert 0.9 < mad_std(((ratio - 1) / err)[good]) < 1.1, name
        assert peak_to_peak(ratio, good, 32) < 0.012, name  # of a change of 7 %


def test_dead_pixels_are_seen(campaign):
    dead = campaign.truth.dead & campaign.second.good
    assert dead.sum() > 10
    ratio, err, _ = ratio_to(campaign.grey, campaign.second, np.ones(dead.shape, bool))
    assert np.abs((ratio - 1) / err)[dead].max() < 5  # the truth has them too
    assert campaign.second.data[dead].max() < 0.85


def test_sky_levels_are_the_injected_ones(campaign):
    for item in campaign.frames.filters:
        injected = [campaign.truth.sky(item, index) for index in range(12)]
        found = [frame.level.value * frame.level.unit for frame in campaign.frames.where(filter=item).frames]
        ratios = np.array([(one / other).to_value("") for one, other in zip(found, injected, strict=True)])
        assert np.abs(ratios - 1).max() < 0.005


def test_the_second_pass_is_better_than_the_mask_of_the_report(campaign):
    """With one level for a frame whose flat is wrong, the mask follows the flat and hides it."""
    second, _, good = ratio_to(campaign.grey, campaign.second, campaign.usable)
    alone = DeltaSkyflat.from_exposures(campaign.exposures, masks=Segmentation.of_report())
    ratio, _, alone_good = ratio_to(campaign.grey, alone, campaign.usable)
    assert peak_to_peak(ratio, alone_good, 32) > 1.5 * peak_to_peak(second, good, 32)


def test_the_second_pass_is_no_worse_than_the_first(campaign):
    """The first, with its local background, is good on large scales already; the second masks fewer true pixels."""
    first, _, first_good = ratio_to(campaign.grey, campaign.first, campaign.usable)
    second, _, second_good = ratio_to(campaign.grey, campaign.second, campaign.usable)
    assert peak_to_peak(second, second_good, 32) < 1.15 * peak_to_peak(first, first_good, 32)
    assert np.median(campaign.second.n_used) >= np.median(campaign.first.n_used)
    scatter = [np.median(delta.err[delta.good]) for delta in (campaign.first, campaign.second)]
    assert scatter[1] < scatter[0]  # the error of the flat is no noise any more


def departure_of_fit(campaign):
    """Return the fit, and what it differs by from the same strategy fitted to the noiseless truth."""
    fit = FlatModelFit.from_delta(campaign.second)
    noiseless = attrs.evolve(campaign.second, data=np.where(campaign.usable, campaign.grey, np.nan))
    ideal = FlatModelFit.from_delta(noiseless, n_replicates=0)
    assert np.std(ideal.surface) > 0.003
    difference = fit.surface / ideal.surface - 1
    return fit, difference - np.median(difference)


def test_fits_are_right(campaign):
    assert np.std(departure_of_fit(campaign)[1]) < 0.002


def test_fits_claim_honest_errors():
    """A smooth surface has few numbers, so that a single frame says little: over 18 campaigns.

    Half of what is masked in frames this small are halos of sources, which the exposures of a pointing share; the
    jackknife takes them as independent, so that some more than 1 is right here.
    """
    results = [departure_of_fit(made("B1", seed)) for seed in range(1, 19)]
    squares = [np.mean((difference / fit.err) ** 2) for fit, difference in results]
    assert 0.8 < np.sqrt(np.mean(squares)) < 1.4


def test_a_flight_flat_with_its_history(campaign, tmp_path):
    """Masks by name, a function of the user: the history of what they made goes into the headers of the flat."""

    def doubled(exposure):
        return attrs.evolve(exposure, data=2 * exposure.data)

    masks = {one.name: SourceMask.from_exposure(one, Segmentation(n_sigma=3)).masked for one in campaign.exposures}
    delta = DeltaSkyflat.from_exposures(campaign.exposures, masks=masks, preprocess=doubled)
    fit = FlatModelFit.from_delta(delta)
    for path, product in ((tmp_path / "delta.fits", delta), (tmp_path / "fit.fits", fit)):
        product.write(path)
    detector, name = campaign.second.detector, campaign.second.filters[0].name
    flight = campaign.program.ground_flat(detector, name).repaired().corrected_by(fit)
    flight.write(tmp_path / "flat.fits")
    text = "".join(FlatReference.read(tmp_path / "flat.fits").history)
    assert "24 masks by name" in text
    assert "doubled" in text
