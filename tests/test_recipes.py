"""The whole procedure: it finds the injected flat, and writes what it made."""

import warnings

import attrs
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable

from nircam_flats import (
    DeltaSkyflat,
    ExposureSet,
    FlatReference,
    FlatsWarning,
    InvalidInputError,
    MedianFilter,
    PerFilter,
    Polynomial2D,
    Shrunk,
    WispTemplate,
    recipes,
)
from nircam_flats.kernels import box_medians
from nircam_flats.report import peak_to_peak
from nircam_flats.simulation import Effects, SimulatedProgram

pytestmark = pytest.mark.usefixtures("empty_figures")


# --- the flat is found


@pytest.mark.parametrize(
    ("detector", "strategy"), [("B1", Polynomial2D()), ("ALONG", MedianFilter(box_size=16, filter_size=3))]
)
def test_the_injected_flat_is_found_within_its_error(detector, strategy):
    effects = attrs.evolve(
        Effects(), large_galaxy=False, saturated_star=False, persistence=False, filter_dependence=False
    )
    program = SimulatedProgram(detectors=detector, shape=(256, 256), seed=11, effects=effects)
    grounds = [program.ground_flat(*mode) for mode in program.modes()]
    exposures = ExposureSet.from_exposures(program.exposures())
    made = recipes.sky_flat_detector(exposures, grounds, strategy=strategy)
    truth, good = program.truth(detector), made.grey.good
    change = peak_to_peak(truth.grey(), good)
    assert change > 0.03
    assert peak_to_peak(made.fit.surface / truth.grey(), good) < change / 5
    # medians of boxes have next to no noise of single pixels: what is left in them is what the fit got wrong
    departure = box_medians(np.where(good, made.fit.surface / truth.grey(), np.nan), 32)[0]
    departure -= np.median(departure)  # a surface has median 1, whatever the level of the truth
    err = box_medians(made.fit.covariance.err(), 32)[0]
    assert 0.4 < np.sqrt(np.mean((departure / err) ** 2)) < 2.5
    assert np.median(err) < change / 5
    for name, flat in made.flats.items():
        flight = np.where(good, truth.flight_flat(name), np.nan)
        assert peak_to_peak(truth.delta(name), good) > 0.03
        assert peak_to_peak(flat.data / flight, good) < change / 5
        # single pixels respond 1 % differently, which only the ground flat knows, to 0.2 %
        assert np.nanstd(flight / made.fit.surface) > 0.009
        alive = good & ~truth.dead
        assert np.std((flat.data / flight * truth.crosshatch)[alive]) < 0.009


def test_exposures_of_a_subarray_are_divided_by_their_part_of_a_full_flat():
    program = SimulatedProgram(detectors="B1", filters="F200W", shape=(256, 256), n_pointings=2, seed=7)
    ground = program.ground_flat("B1", "F200W")
    part = np.s_[40:200, 30:190]
    exposures = ExposureSet.from_exposures(
        attrs.evolve(
            one,
            **{plane: getattr(one, plane)[part] for plane in ("data", "err", "dq", "area")},
            **dict.fromkeys(("var_poisson", "var_rnoise", "var_flat")),
            subarray="SUB160P",
            corner=(31, 41),
        )
        for one in program.exposures()
    )
    made = recipes.sky_flat_detector(exposures, [ground])
    flat = made.flats["F200W"]
    assert (flat.corner, flat.subarray, flat.data.shape) == ((31, 41), "SUB160P", (160, 160))
    expected = ground.repaired().data[part] * made.fit.surface
    good = flat.good
    np.testing.assert_allclose(flat.data[good], expected[good], rtol=1e-5)
    assert flat.provenance.settings("correct the ground flat")["ground"] == ground.name


@pytest.mark.parametrize("make", [recipes.sky_flat_detector, recipes.sky_flat_program])
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"strategy": "cubic"}, r"needs as strategy a FitStrategy, nircam_flats.MedianFilter\(\), say; got 'cubic'"),
        ({"policy": "shrunk"}, r"needs as policy a FlatPolicy, nircam_flats.Shrunk\(\), say; got 'shrunk'"),
        (
            {"combine": "median"},
            r"needs as combine a CombineStrategy, nircam_flats.SigmaClippedMedian\(\), say; got 'median'",
        ),
        ({"masks": 3}, "masks must be a MaskStrategy, .*; got int"),
    ],
)
def test_names_are_no_strategies(make, settings, said):
    """Of all detectors alike, so nothing is begun."""
    program = SimulatedProgram(detectors="B1", filters="F200W", shape=(64, 64), seed=7)
    exposures = ExposureSet.from_exposures(program.exposures())
    with pytest.raises(InvalidInputError, match=said):
        make(exposures, [program.ground_flat("B1", "F200W")], **settings)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_galaxy_upon_the_wisp_in_one_field_of_three_is_masked(seed):
    """Left to the strength of the wisp, a third of it would stay."""
    effects = attrs.evolve(Effects.none(), noise=True, wisps=True)
    program = SimulatedProgram(
        detectors="B4",
        filters="F200W",
        shape=(1024, 1024),
        n_pointings=3,
        n_dithers=4,
        seed=seed,
        effects=effects,
        wisp_range=(0.15, 0.2),
    )
    wisp = program.truth("B4").wisp("F200W")
    row, column = np.unravel_index(np.argmax(wisp), wisp.shape)
    y, x = np.indices(wisp.shape, np.float32)
    galaxy = 0.1 * np.exp(-0.5 * ((y - row - 60) ** 2 + (x - column - 60) ** 2) / 70**2)
    exposures = [
        attrs.evolve(one, data=one.data + galaxy * np.float32(np.nanmedian(one.data))) if number < 4 else one
        for number, one in enumerate(program.exposures())
    ]
    frames = recipes.masked_frames(ExposureSet.from_exposures(exposures))
    assert frames.fields.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    masked = np.array([np.mean(np.isnan(frame.values[galaxy > 0.03])) for frame in frames.frames])
    assert masked[:4].min() > 0.8
    assert masked[4:].max() < 0.4


@pytest.mark.parametrize("seed", [2, 3])
def test_masks_take_nothing_of_what_a_filter_departs_from_grey(seed):
    """Masks that follow one model of all filters take more of this gradient than is allowed here."""
    effects = attrs.evolve(Effects.none(), noise=True)
    program = SimulatedProgram(detectors="ALONG", shape=(256, 256), seed=seed, effects=effects)
    ramp = (1 + 0.1 * ((np.arange(256) + 0.5) / 256 - 0.5)).astype(np.float32)
    exposures = ExposureSet.from_exposures(
        attrs.evolve(one, data=one.data * ramp) if one.filter.name == "F277W" else one for one in program.exposures()
    )
    frames = recipes.masked_frames(exposures)
    grey = DeltaSkyflat.from_frames(frames)
    found = DeltaSkyflat.from_frames(frames.where(filter="F277W")).relative_to(grey)
    departure = box_medians(np.tile(2 * ramp / (1 + ramp), (256, 1)).astype(np.float32), 32)[0]
    true, _ = found.plane.slopes(departure)
    assert true == pytest.approx(0.05, rel=0.01)
    assert found.gradient.x == pytest.approx(true, rel=0.03)


def test_all_is_made(made, program):
    assert made.complete
    assert made.problems == ()
    assert [str(item.detector) for item in made.products] == ["NRCALONG", "NRCB1"]
    for item in made.products:
        names = [one.name for one in program.filters_of(item.detector)]
        assert list(item.by_filter) == list(item.flats) == names
        assert item.grey.is_grey
        assert all(delta.label == name for name, delta in item.by_filter.items())
        for name, flat in item.flats.items():
            assert (flat.detector, flat.filter.name) == (item.detector, name)
            assert flat.check() == ()
            assert flat.pedigree == "INFLIGHT 2022-04-29 2022-04-29"


@pytest.mark.parametrize("policy", [PerFilter(), Shrunk()], ids=repr)
def test_each_filter_by_its_own_surface(program, made, policy, tmp_path):
    exposures = ExposureSet.from_exposures(program.exposures("B1"))
    grounds = [program.ground_flat(*mode) for mode in program.modes("B1")]
    found = recipes.sky_flat_detector(exposures, grounds, policy=policy)
    grey = next(item for item in made.products if item.detector.name == "NRCB1")
    np.testing.assert_array_equal(found.fit.surface, grey.fit.surface)
    assert list(found.fits) == list(found.flats)
    assert grey.fits == {}
    for name, fit in found.fits.items():
        assert fit.label == name
        good = found.flats[name].dq == 0
        change = found.flats[name].data / grey.flats[name].data * grey.fit.surface / fit.surface
        np.testing.assert_allclose(change[good], 1, rtol=1e-5)
    found.write(tmp_path)
    names = {f"nrcb1_{name.lower()}_fit.fits" for name in ("grey", *found.flats)}
    assert {path.name for path in (tmp_path / "fits").iterdir()} == names


def test_exposures_in_memory_serve_as_files_do(made, program, assert_same_pixels):
    exposures = ExposureSet.from_exposures(program.exposures())
    grounds = [program.ground_flat(*mode) for mode in program.modes()]
    again = recipes.sky_flat_program(exposures, grounds)
    for one, other in zip(again.products, made.products, strict=True):
        assert_same_pixels(one, other)


def test_files_are_those_of_the_products(campaign, made, tmp_path, assert_same_planes):
    out = tmp_path / "new"
    recipes.sky_flat_program(campaign.exposures, campaign.folder / "ground_flats", out=out)
    expected = {name for item in made.products for name in (*item.files(), item.figure_file)}
    found = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert found == expected | {"summary.ecsv", "exposures.ecsv", "report.html"}
    for item in made.products:
        for name, product in item.files().items():
            assert_same_planes(type(product).read(out / name), product, name)


# --- wisps


@pytest.fixture(scope="module")
def wisps():
    """A campaign of B4 with bright wisps and few sources, and what the recipe makes of it."""
    effects = attrs.evolve(Effects(), sources=False, large_galaxy=False, saturated_star=False, corner_features=False)
    settings = {"filters": ["F200W"], "shape": (512, 512), "n_pointings": 1, "n_dithers": 6, "effects": effects}
    program = SimulatedProgram(detectors="B4", seed=3, wisp_range=(0.08, 0.2), **settings)
    grounds = [program.ground_flat(*mode) for mode in program.modes()]
    return program, recipes.sky_flat_program(ExposureSet.from_exposures(program.exposures()), grounds)


def test_wisps_are_not_in_the_flat(wisps):
    program, made = wisps
    (products,) = made.products
    truth, good = program.truth("B4"), products.grey.good
    assert peak_to_peak(products.fit.surface / truth.grey(), good) < 0.012
    assert truth.wisp("F200W").max() / truth.sky("F200W", 0).value > 0.1
    assert products.by_filter["F200W"] is products.decompositions["F200W"].delta


def test_wisps_are_a_product(wisps, tmp_path):
    _, made = wisps
    made.write(tmp_path)
    (products,) = made.products
    wisp = WispTemplate.read(tmp_path / "wisps" / "nrcb4_f200w_wisp.fits")
    np.testing.assert_array_equal(wisp.data, products.decompositions["F200W"].wisp.data)
    table = QTable.read(tmp_path / "verdicts.ecsv")
    assert table["kind"][0] == "additive"
    assert table["filter"][0] == "F200W"
    assert made.verdicts["sentence"][0] == table["sentence"][0]
    (note,) = made.notes
    assert note.startswith("NRCB4: wisps in F200W: Light and response are told apart")


def test_too_few_exposures_to_separate_wisps_are_spoken_of(made):
    assert made.notes == ()
    assert len(made.verdicts) == 0
    program = SimulatedProgram(detectors="B4", filters=["F200W"], shape=(96, 96), n_pointings=1, n_dithers=2)
    grounds = [program.ground_flat(*mode) for mode in program.modes()]
    of_b4 = recipes.sky_flat_program(ExposureSet.from_exposures(program.exposures()), grounds)
    (note,) = of_b4.notes
    assert note.startswith("NRCB4: wisps in F200W are not separated from the flat, which may take their light")
    assert note.endswith("at least 3 frames to see light vary; got 2")
    assert of_b4.summary["notes"][0].rstrip(".") in note
    assert of_b4.complete


# --- dead pixels and filters


def test_dead_pixels_and_filter_dependence_are_products(program, made):
    for products in made.products:
        truth = program.truth(products.detector)
        deeply = truth.dead & products.dead.measured & (truth.delta(truth.filters[0]) < 0.6)
        assert deeply.sum() > 5
        assert products.dead.new[deeply].mean() > 0.9
        assert truth.dead[products.dead.new].mean() > 0.9
        assert not products.dead.new[truth.known_dead].any()
        assert set(products.dependences) == set(products.by_filter)
        for name, item in products.dependences.items():
            assert item.filter.name == name
    table = made.summary
    assert list(table["n_dead"]) == [int(item.dead.new.sum()) for item in made.products]


# --- where it is written


def test_nothing_begins_where_an_earlier_run_lies(campaign, tmp_path, monkeypatch):
    (tmp_path / "flats").mkdir()
    (tmp_path / "flats" / "nrcb1_f200w_flat.fits").touch()
    monkeypatch.setattr(recipes, "sky_flat_detector", lambda *args, **settings: pytest.fail("work was begun"))
    with pytest.raises(InvalidInputError, match="holds products of an earlier run; choose another folder, or replace"):
        recipes.sky_flat_program(campaign.exposures, campaign.ground_flats, out=tmp_path)


def test_an_earlier_run_is_replaced_when_asked_and_what_is_left_of_it_told(campaign, tmp_path):
    of_b1 = [path for path in campaign.exposures if path.name.endswith("_nrcb1_cal.fits")]
    recipes.sky_flat_program(campaign.exposures, campaign.ground_flats, out=tmp_path)
    with pytest.warns(FlatsWarning, match=r"10 products of an earlier run are still in .*nrcalong_dead.fits"):
        recipes.sky_flat_program(of_b1, campaign.ground_flats, out=tmp_path, overwrite=True)
    assert list(QTable.read(tmp_path / "summary.ecsv")["detector"]) == ["NRCB1"]


def test_a_file_that_cannot_be_written_costs_itself(campaign, tmp_path, monkeypatch):
    write = FlatReference.write

    def full(self, path, **options):
        if self.filter.name == "F277W":
            raise InvalidInputError(f"{path}: cannot be written; No space left on device")
        write(self, path, **options)

    monkeypatch.setattr(FlatReference, "write", full)
    program = recipes.sky_flat_program(campaign.exposures, campaign.ground_flats, out=tmp_path)
    (problem,) = program.problems
    assert problem.what == "NRCALONG files"
    assert problem.reason.endswith("nrcalong_f277w_flat.fits: cannot be written; No space left on device")
    names = {path.name for path in tmp_path.rglob("*.*")}
    assert "nrcalong_f277w_flat.fits" not in names
    assert {"nrcalong_f444w_flat.fits", "nrcalong.png", "nrcb1_f200w_flat.fits", "summary.ecsv"} <= names


def test_an_interrupted_write_leaves_nothing_under_the_final_name(campaign, tmp_path, monkeypatch):
    def half(self, handle, **options):
        handle.write(b"SIMPLE")
        raise KeyboardInterrupt

    monkeypatch.setattr(fits.HDUList, "writeto", half)
    with pytest.raises(KeyboardInterrupt):
        recipes.sky_flat_program(campaign.exposures, campaign.ground_flats, out=tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_nothing_warns_in_a_clean_run(campaign):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recipes.sky_flat_program(campaign.exposures, campaign.ground_flats)
