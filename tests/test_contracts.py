"""What all objects of the public interface promise, checked on one of each kind; a new kind must join the lists."""

import inspect

import attrs
import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable

import nircam_flats as nf
from nircam_flats import testing
from nircam_flats._strategy import Strategy
from nircam_flats.simulation import SimulatedProgram

STRATEGIES = [
    nf.CleanestExposures(),
    nf.Grey(),
    nf.MedianFilter(),
    nf.MultiScale(),
    nf.PerFilter(),
    nf.Polynomial2D(),
    nf.PyramidSegmentation(),
    nf.Segmentation(),
    nf.Shrunk(),
    nf.SigmaClippedMean(),
    nf.SigmaClippedMedian(),
    nf.SmoothResponse(),
]
CHECKS = {
    nf.CombineStrategy: testing.check_combine_strategy,
    nf.FitStrategy: testing.check_fit_strategy,
    nf.FlatPolicy: testing.check_flat_policy,
    nf.Gauge: testing.check_gauge,
    nf.MaskStrategy: testing.check_mask_strategy,
}


def public_classes():
    return [item for item in (getattr(nf, name) for name in nf.__all__) if inspect.isclass(item)]


def validated(detector="B4", shape=(96, 80)):
    """One object of each class that validates flats, made of arrays and tables."""
    rng = np.random.default_rng(9)
    sky = [1 + 0.01 * rng.standard_normal(shape) for _ in range(2)]
    flatness = nf.Flatness.from_images(sky, 32)
    exposures = QTable({"name": ["one", "two"], "used": [True, True]})
    star = np.repeat(np.arange(40), 4)
    table = QTable({"exposure": np.tile(np.arange(4), 40), "star": star})
    table["x"], table["y"] = rng.uniform(0, shape[1] - 1, star.size), rng.uniform(0, shape[0] - 1, star.size)
    for name in ("old", "new"):
        table[f"flux_{name}"] = rng.normal(100, 1, star.size) * u.uJy
        table[f"err_{name}"] = np.ones(star.size) * u.uJy
    table["flags"] = np.zeros(star.size, int)
    positions = QTable({"ra": np.zeros(40) * u.deg, "dec": np.zeros(40) * u.deg})
    photometry = nf.PhotometricRepeatability(
        detector=detector, shape=shape, measurements=table, positions=positions, exposures=exposures
    )
    return [
        flatness,
        nf.FlatnessComparison(detector=detector, old=flatness, new=flatness, exposures=exposures),
        photometry,
        nf.StarFlat.from_photometry(photometry, degree=1),
        nf.Mosaic(old=sky[0], new=sky[1], n_used=np.ones(shape, int), cards="", exposures=exposures),
    ]


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
    x = np.indices(exposures[0].shape)[1]
    wisp = nf.WispTemplate.from_image(np.where(x < 40, 0.02, 0), detector="B4", filter="F200W")
    parts = nf.SkyDecomposition.from_frames(frames)
    dead = nf.DeadPixelMap.from_delta(delta)
    both = nf.NormalizedFrames.from_exposures(nf.ExposureSet.from_exposures(pair.exposures()))
    grey = nf.DeltaSkyflat.from_frames(both)
    days = np.arange(len(exposures)) // 2 * 90 * u.day
    moved = [attrs.evolve(item, start=item.start + day) for item, day in zip(exposures, days, strict=True)]
    series = nf.SkyflatSeries.from_exposures(nf.ExposureSet.from_exposures(moved), min_exposures=2)
    relative = [nf.DeltaSkyflat.from_frames(both.where(filter=item)).relative_to(grey) for item in both.filters]
    made = [
        *(nf.Detector.get("B4"), nf.Filter.get("F200W"), nf.imaging_modes()[0]),
        *(program, exposures, exposures[0], header, header.pointing),
        nf.Exclusion(name="jw01", path="jw01_cal.fits", reason="too bright", header=header),
        *(frames, frames.frames[0], frames.frames[0].level, frames.band(slice(0, 8))),
        nf.SourceMask.from_exposure(exposures[0]),
        *(delta, fit, fit.covariance, nf.Surface(values=fit.surface, pixel_err=fit.err)),
        *(ground, nf.GroundFlats.collect([ground]), ground.compare(flight), nf.Subarray.get("FULL", "B4")),
        *(parts, parts.evidence, parts.identifiability, parts.evidence.judge(exposures[0].good)),
        *(dead, dead.compare(dead), relative[0], relative[0].gradient, nf.WavelengthTrend.from_dependences(relative)),
        *(flight.provenance, flight.provenance.photometry),
        nf.AdmissionRules(first_date="2022-07-01"),
        nf.BackgroundRules(),
        nf.BackgroundComparison.from_exposures(exposures, model=nf.ZodiacalBackground()),
        *(header.pointing.attitude, nf.PlannedPointing.of(header), nf.AngleRanges([(340, 20)])),
        *(nf.ClawSusceptibilityZone.default("B"), nf.StarCatalog.packaged(), nf.ClawForecast.from_pointings(header)),
        *validated(),
        validated()[3].compare(fit),
        *(wisp, wisp.fit_scale(exposures[0])),
        *(series, series.epochs[0], series.coefficient_trend(degree=1)),
        nf.FlatDelivery.from_ground(ground, fit, out=tmp_path_factory.mktemp("delivery")),
    ]
    return {type(value): value for value in made}


@pytest.mark.parametrize("cls", [cls for cls in public_classes() if attrs.has(cls)], ids=lambda cls: cls.__name__)
def test_values(values, cls):
    assert cls in values, f"add a {cls.__name__} to the values of this test"
    testing.check_value(values[cls])
    assert f"<strong>{cls.__name__}</strong>" in values[cls]._repr_html_()
    if cls not in (nf.Detector, nf.Filter):
        assert "sca_id" not in repr(values[cls]), "detectors are shown by their names"


MISTAKEN = {
    "a path for flats": lambda of: of(nf.FlatReference).compare("flat.fits"),
    "a path for the new flat": lambda of: nf.PhotometricShift.between(of(nf.FlatReference), "flat.fits"),
    "a delta skyflat for its fit": lambda of: of(nf.FlatReference).corrected_by(of(nf.DeltaSkyflat)),
    "an exposure without pixels": lambda of: of(nf.FlatReference).apply_to(of(nf.ExposureHeader)),
    "a path for the old flat": lambda of: of(nf.FlatReference).apply_to(of(nf.Exposure), replacing="flat.fits"),
    "no pixels to mask": lambda of: nf.SourceMask.from_exposure(of(nf.ExposureHeader)),
    "no pixels with a wisp": lambda of: of(nf.WispTemplate).fit_scale(of(nf.ExposureHeader)),
    "a list for a wisp": lambda of: nf.WispTemplate.from_exposures([of(nf.ExposureHeader)]),
    "a list for frames": lambda of: nf.NormalizedFrames.from_exposures([of(nf.ExposureHeader)]),
    "a list for the rules": lambda of: nf.AdmissionRules().admit([of(nf.ExposureHeader)]),
    "exposures for frames": lambda of: nf.DeltaSkyflat.from_frames(of(nf.ExposureSet)),
    "exposures to decompose": lambda of: nf.SkyDecomposition.from_frames(of(nf.ExposureSet)),
    "frames for a delta skyflat": lambda of: nf.FlatModelFit.from_delta(of(nf.NormalizedFrames)),
    "a fit for a delta skyflat": lambda of: nf.DeadPixelMap.from_delta(of(nf.FlatModelFit)),
    "a fit for what is grey": lambda of: of(nf.DeltaSkyflat).relative_to(of(nf.FlatModelFit)),
    "pixels that are no map": lambda of: of(nf.DeadPixelMap).compare(of(nf.DeltaSkyflat)),
}


@pytest.mark.parametrize("mistake", MISTAKEN.values(), ids=MISTAKEN)
def test_another_class_is_refused_in_words(values, mistake):
    with pytest.raises(nf.InvalidInputError, match=r"needs .*; got [a-zA-Z]+$"):
        mistake(values.__getitem__)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: type(strategy).__name__)
def test_strategies(strategy):
    (check,) = (check for base, check in CHECKS.items() if isinstance(strategy, base))
    check(strategy)


def test_every_public_strategy_is_checked():
    """Background models are in tests/background, which know a sky that each has an answer for."""
    bases = {cls for cls in public_classes() if issubclass(cls, Strategy) and inspect.isabstract(cls)}
    assert bases == {*CHECKS, nf.BackgroundModel}
    public = {cls for cls in public_classes() if issubclass(cls, tuple(CHECKS)) and cls not in CHECKS}
    assert public <= {type(strategy) for strategy in STRATEGIES}


@pytest.mark.parametrize("cls", public_classes(), ids=lambda cls: cls.__name__)
def test_every_class_says_what_it_is(cls):
    assert cls.__doc__
    assert cls.__doc__.strip()
    for name, member in inspect.getmembers(cls, inspect.isroutine):
        if not name.startswith("_") and member.__qualname__.startswith(cls.__name__ + "."):
            assert inspect.getdoc(member), f"{cls.__name__}.{name} needs a docstring"
