"""What all objects of the public interface promise, checked on one of each kind; a new kind must join the lists."""

import inspect

import attrs
import pytest

import nircam_flats as nf
from nircam_flats import testing
from nircam_flats.simulation import SimulatedProgram

STRATEGIES = [
    nf.MedianFilter(),
    nf.MultiScale(),
    nf.Polynomial2D(),
    nf.Segmentation(),
    nf.SigmaClippedMean(),
    nf.SigmaClippedMedian(),
]
CHECKS = {
    nf.CombineStrategy: testing.check_combine_strategy,
    nf.FitStrategy: testing.check_fit_strategy,
    nf.MaskStrategy: testing.check_mask_strategy,
}


def public_classes():
    return [item for item in (getattr(nf, name) for name in nf.__all__) if inspect.isclass(item)]


@pytest.fixture(scope="module")
def values(tmp_path_factory):
    """One object of each public value class, by class, made of four small simulated exposures."""
    program = SimulatedProgram(detectors=["B4"], filters=["F200W"], shape=(96, 80), n_pointings=2, n_dithers=2)
    pair = SimulatedProgram(detectors=["B4"], shape=(96, 80), n_dithers=2)
    exposures = nf.ExposureSet.from_exposures(program.exposures())
    frames = nf.NormalizedFrames.from_exposures(exposures)
    delta = nf.DeltaSkyflat.from_frames(frames)
    fit = nf.FlatModelFit.from_delta(delta)
    ground = program.ground_flat("B4", "F200W")
    flight = ground.corrected_by(fit)
    header = exposures[0].without_pixels()
    dead = nf.DeadPixelMap.from_delta(delta)
    both = nf.NormalizedFrames.from_exposures(nf.ExposureSet.from_exposures(pair.exposures()))
    grey = nf.DeltaSkyflat.from_frames(both)
    relative = [nf.DeltaSkyflat.from_frames(both.where(filter=item)).relative_to(grey) for item in both.filters]
    made = [
        *(nf.Detector.get("B4"), nf.Filter.get("F200W"), nf.imaging_modes()[0]),
        *(program, exposures, exposures[0], header, header.pointing),
        nf.Exclusion(name="jw01", path="jw01_cal.fits", reason="too bright", header=header),
        *(frames, frames.frames[0], frames.frames[0].level, frames.band(slice(0, 8))),
        nf.SourceMask.from_exposure(exposures[0]),
        *(delta, fit, fit.covariance, nf.Surface(values=fit.surface, pixel_err=fit.err)),
        *(ground, nf.GroundFlats.collect([ground]), ground.compare(flight), nf.Subarray.get("FULL", "B4")),
        *(dead, dead.compare(dead), relative[0], relative[0].gradient, nf.WavelengthTrend.from_dependences(relative)),
        *(flight.provenance, flight.provenance.photometry),
        nf.FlatDelivery.from_ground(ground, fit, out=tmp_path_factory.mktemp("delivery")),
    ]
    return {type(value): value for value in made}


@pytest.mark.parametrize("cls", [cls for cls in public_classes() if attrs.has(cls)], ids=lambda cls: cls.__name__)
def test_values(values, cls):
    assert cls in values, f"add a {cls.__name__} to the values of this test"
    testing.check_value(values[cls])


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: type(strategy).__name__)
def test_strategies(strategy):
    (check,) = (check for base, check in CHECKS.items() if isinstance(strategy, base))
    check(strategy)


def test_every_public_strategy_is_checked():
    public = {cls for cls in public_classes() if issubclass(cls, tuple(CHECKS)) and cls not in CHECKS}
    assert public <= {type(strategy) for strategy in STRATEGIES}


@pytest.mark.parametrize("cls", public_classes(), ids=lambda cls: cls.__name__)
def test_every_class_says_what_it_is(cls):
    assert cls.__doc__
    assert cls.__doc__.strip()
    for name, member in inspect.getmembers(cls, inspect.isroutine):
        if not name.startswith("_") and member.__qualname__.startswith(cls.__name__ + "."):
            assert inspect.getdoc(member), f"{cls.__name__}.{name} needs a docstring"
