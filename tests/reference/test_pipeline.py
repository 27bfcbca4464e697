"""Our files and our arithmetic against the pipeline's own software: stdatamodels and the flat-field step of jwst."""

import attrs
import numpy as np
import pytest

from nircam_flats import DQ, Exposure, FlatDelivery, FlatModelFit, FlatReference, SurfaceCovariance, imaging_modes
from nircam_flats.reference._deliver import file_name
from nircam_flats.testing import assert_same

pytestmark = pytest.mark.jwst

datamodels = pytest.importorskip("stdatamodels.jwst.datamodels", reason="needs the extra 'jwst'")
flat_field = pytest.importorskip("jwst.flatfield.flat_field", reason="needs the extra 'jwst'")

NO_ANSWER = DQ.NO_FLAT_FIELD | DQ.DO_NOT_USE
PLANES = ("data", "err", "var_poisson", "var_rnoise", "var_flat")
CAL = "jw01234001001_02103_00001_nrcb4_corner256_cal.fits"
GROUND = "jwst_nircam_flat_9002_nrcb4_f200w_corner256.fits"
GROUND_IN_CRDS = "jwst_nircam_flat_9002.fits"


def strict(path):
    return datamodels.FlatModel(path, strict_validation=True, pass_invalid_values=False)


def assert_agree(ours, theirs):
    """SCI, ERR, every VAR and DQ agree to float32 rounding (a handful of roundings: 6e-7)."""
    for name in PLANES:
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=6e-7, atol=0, err_msg=name)
    assert_same(ours.dq, np.asarray(theirs.dq))


@pytest.fixture
def science(raw):
    """Function that makes an ``ImageModel`` of the exposure before any flat."""

    def make():
        model = datamodels.ImageModel(raw["data"].shape)
        for name, plane in raw.items():
            setattr(model, name, plane.copy())
        model.err = np.sqrt(model.var_poisson + model.var_rnoise)
        model.meta.instrument.name = "NIRCAM"
        model.meta.instrument.detector = "NRCB4"
        model.meta.instrument.filter = "F200W"
        model.meta.instrument.pupil = "CLEAR"
        model.meta.exposure.type = "NRC_IMAGE"
        model.meta.bunit_data = "MJy/sr"
        model.meta.subarray.name = "FULL"
        model.meta.subarray.xstart = model.meta.subarray.ystart = 1
        model.meta.subarray.ysize, model.meta.subarray.xsize = model.shape
        return model

    return make


@pytest.fixture
def divided(science, tmp_path):
    """Function that runs the pipeline's step with a flat, which goes through a file where it can be written."""

    def divide(flat):
        path = tmp_path / (flat.name or "flat.fits")
        if flat.check():
            model = datamodels.FlatModel(data=flat.data.copy(), err=flat.err.copy(), dq=flat.dq.copy())
            model.meta.instrument.name = "NIRCAM"
            model.meta.subarray.xstart = model.meta.subarray.ystart = 1
            model.meta.subarray.ysize, model.meta.subarray.xsize = model.shape
        else:
            flat.write(path, overwrite=True)
            model = datamodels.FlatModel(path)
        result, _ = flat_field.do_correction(science(), flat=model)
        assert result.meta.cal_step.flat_field == "COMPLETE"
        return result

    return divide


@pytest.fixture
def exposure(divided):
    """Function that gives the pipeline's result with a flat as our exposure."""

    def make(flat):
        model = divided(flat)
        facts = {"detector": "B4", "filter": "F200W", "name": "jw_nrcb4", "flat_name": flat.name}
        return Exposure(**{name: getattr(model, name).copy() for name in (*PLANES, "dq")}, **facts)

    return make


class TestFile:
    def test_strict_validation(self, flight, tmp_path):
        path = tmp_path / "flat.fits"
        flight.write(path)
        with strict(path) as model:
            model.validate()
            assert_same(np.asarray(model.data, "f4"), flight.data)
            assert_same(np.asarray(model.err, "f4"), flight.err)
            assert_same(np.asarray(model.dq), flight.dq)
            meta = model.meta
            assert meta.model_type == "FlatModel"
            assert meta.reftype == "FLAT"
            assert meta.pedigree == "INFLIGHT 2022-04-28 2022-05-02"
            assert meta.useafter == "2014-10-01T00:00:00"
            assert meta.instrument.detector == "NRCB4"
            assert (meta.instrument.filter, meta.instrument.pupil) == ("F200W", "CLEAR")
            assert (meta.subarray.xsize, meta.subarray.ysize) == (80, 64)
            assert (meta.subarray.fastaxis, meta.subarray.slowaxis) == (-1, 2)

    def test_strict_validation_would_object(self, flight, tmp_path):
        """The check above can fail: without AUTHOR the model refuses."""
        path = tmp_path / "flat.fits"
        flight.write(path)
        with strict(path) as model:
            model.meta.author = None
            with pytest.raises(ValueError, match="author"):
                model.validate()

    def test_opens_as_a_flat_without_being_told(self, flight, tmp_path):
        flight.write(tmp_path / "flat.fits")
        with datamodels.open(tmp_path / "flat.fits", strict_validation=True) as model:
            assert type(model) is datamodels.FlatModel
            assert_same(np.asarray(model.dq), flight.dq)

    def test_every_flag_arrives(self, flight, tmp_path):
        dq = flight.dq.copy()
        dq[20:52, 40] = np.uint32(1) << np.arange(32, dtype=np.uint32)
        flat = attrs.evolve(flight, dq=dq).repaired()
        flat.write(tmp_path / "flat.fits")
        with strict(tmp_path / "flat.fits") as model:
            assert_same(np.asarray(model.dq), flat.dq)

    def test_their_file_is_read_as_they_read_it(self, flight, tmp_path):
        """Saved by stdatamodels with its own packed bits."""
        flight.write(tmp_path / "ours.fits")
        with strict(tmp_path / "ours.fits") as model:
            model.dq_def = np.array(
                [
                    (0, 1, "DO_NOT_USE", ""),
                    (1, 2, "NO_FLAT_FIELD", ""),
                    (2, 4, "DEAD", ""),
                    (3, 8, "UNRELIABLE_FLAT", ""),
                    (4, 16, "LOW_QE", ""),
                    (5, 32, "REFERENCE_PIXEL", ""),
                    (6, 64, "OTHER_BAD_PIXEL", ""),
                ],
                dtype=model.dq_def.dtype,
            )
            model.save(tmp_path / "theirs.fits")
        flat = FlatReference.read(tmp_path / "theirs.fits")
        with datamodels.FlatModel(tmp_path / "theirs.fits") as model:
            assert_same(flat.dq, np.asarray(model.dq))
        assert_same(flat.dq, flight.dq)
        assert_same(flat.data, flight.data)
        assert flat.check() == ()


class TestApplyTo:
    def test_agrees_with_the_step(self, ground, flight, exposure, divided):
        better = flight.apply_to(exposure(ground), replacing=ground)
        theirs = divided(flight)
        assert_agree(better, theirs)
        assert not np.allclose(exposure(ground).data, theirs.data, rtol=0.01, equal_nan=True)

    def test_back_again(self, ground, flight, exposure, divided):
        assert_agree(ground.apply_to(exposure(flight), replacing=flight), divided(ground))

    @pytest.mark.parametrize(
        "spoil",
        [
            {"data": np.nan},
            {"data": 0},
            {"err": np.nan},
            {"dq": DQ.NO_FLAT_FIELD},
            {"dq": DQ.DO_NOT_USE},
            {"dq": DQ.UNRELIABLE_FLAT},
            {"dq": DQ.NO_FLAT_FIELD, "data": np.nan},
        ],
        ids=str,
    )
    def test_faulty_new_flat(self, ground, flight, exposure, divided, spoil):
        planes = {}
        for name, value in spoil.items():
            planes[name] = getattr(flight, name).copy()
            planes[name][30:34, 30:34] = value
        flat = attrs.evolve(flight, **planes)
        assert_agree(flat.apply_to(exposure(ground), replacing=ground), divided(flat))

    def test_unreliable_old_pixel(self, ground, flight, exposure, divided):
        flat = attrs.evolve(flight, dq=flight.dq & ~np.uint32(DQ.UNRELIABLE_FLAT))
        old = exposure(ground)
        assert DQ.UNRELIABLE_FLAT.is_set(old.dq).any()
        assert_agree(flat.apply_to(old, replacing=ground), divided(flat))


class TestUndoFrom:
    @pytest.mark.parametrize(
        "spoil",
        [{}, {"data": np.nan}, {"data": 0}, {"err": np.nan}, {"dq": DQ.NO_FLAT_FIELD}, {"dq": DQ.UNRELIABLE_FLAT}],
        ids=str,
    )
    def test_agrees_with_the_inverse_step(self, ground, exposure, divided, spoil):
        planes = {}
        for name, value in spoil.items():
            planes[name] = getattr(ground, name).copy()
            planes[name][30:34, 30:34] = value
        flat = attrs.evolve(ground, **planes)
        theirs = divided(flat)
        ours = flat.undo_from(exposure(flat))
        model = datamodels.FlatModel(data=flat.data.copy(), err=flat.err.copy(), dq=flat.dq.copy())
        model.meta.instrument.name = "NIRCAM"
        model.meta.subarray.xstart = model.meta.subarray.ystart = 1
        model.meta.subarray.ysize, model.meta.subarray.xsize = model.shape
        flat_field.do_correction(theirs, flat=model, inverse=True)
        assert_agree(ours, theirs)
        assert np.nanmax(ours.var_flat) == 0

    def test_the_step_takes_it_from_there(self, ground, flight, exposure, science, tmp_path):
        """Undone by us, divided again by the pipeline: what ours gives in one step."""
        undone = ground.undo_from(exposure(ground))
        model = science()
        for name in (*PLANES, "dq"):
            setattr(model, name, getattr(undone, name).copy())
        flight.write(tmp_path / "flight.fits")
        theirs, _ = flat_field.do_correction(model, flat=datamodels.FlatModel(tmp_path / "flight.fits"))
        assert_agree(flight.apply_to(undone), theirs)


class TestSubarrays:
    CORNER, SHAPE = (9, 5), (20, 30)

    @pytest.fixture
    def sub_science(self, raw):
        """Function that makes an ``ImageModel`` of a subarray before any flat."""

        def make():
            (x, y), (ny, nx) = self.CORNER, self.SHAPE
            model = datamodels.ImageModel(self.SHAPE)
            for name, plane in raw.items():
                setattr(model, name, plane[y - 1 : y - 1 + ny, x - 1 : x - 1 + nx].copy())
            model.err = np.sqrt(model.var_poisson + model.var_rnoise)
            model.meta.instrument.name = "NIRCAM"
            model.meta.exposure.type = "NRC_IMAGE"
            model.meta.subarray.xstart, model.meta.subarray.ystart = self.CORNER
            model.meta.subarray.ysize, model.meta.subarray.xsize = self.SHAPE
            return model

        return make

    @pytest.fixture
    def as_exposure(self):
        def make(model, flat_name):
            planes = {name: getattr(model, name).copy() for name in (*PLANES, "dq")}
            return Exposure(
                **planes, detector="B4", filter="F200W", name="jw_sub", flat_name=flat_name, corner=self.CORNER
            )

        return make

    def test_full_flat_or_cut_out_make_no_difference(self, ground, flight, sub_science, as_exposure, tmp_path):
        ground.write(tmp_path / ground.name)
        flight.write(tmp_path / "flight.fits")
        part = flight.cutout("SUB64P", corner=self.CORNER, shape=self.SHAPE)
        part.write(tmp_path / "part.fits")
        with strict(tmp_path / "part.fits") as model:
            model.validate()
            assert model.meta.subarray.name == "SUB64P"
        by_name = {
            name: flat_field.do_correction(sub_science(), flat=datamodels.FlatModel(tmp_path / name))[0]
            for name in (ground.name, "flight.fits", "part.fits")
        }
        old = as_exposure(by_name[ground.name], ground.name)
        assert_agree(flight.apply_to(old, replacing=ground), by_name["flight.fits"])
        assert_agree(part.apply_to(old, replacing=ground), by_name["part.fits"])
        assert_same(np.asarray(by_name["part.fits"].data), np.asarray(by_name["flight.fits"].data))


class TestToDatamodel:
    def test_is_what_the_file_gives(self, flight, tmp_path):
        flight.write(tmp_path / "flat.fits")
        model = flight.to_datamodel()
        assert type(model) is datamodels.FlatModel
        with strict(tmp_path / "flat.fits") as theirs:
            for name in ("data", "err", "dq"):
                assert_same(np.asarray(getattr(model, name)), np.asarray(getattr(theirs, name)))
            assert model.meta.useafter == theirs.meta.useafter
        model.validate()

    def test_the_step_takes_it(self, ground, flight, exposure, science):
        theirs, _ = flat_field.do_correction(science(), flat=flight.to_datamodel())
        assert_agree(flight.apply_to(exposure(ground), replacing=ground), theirs)


class TestDelivery:
    @pytest.fixture
    def delivery(self, ground, fit, tmp_path):
        return FlatDelivery.from_ground([ground], [fit], out=tmp_path / "new")

    @pytest.fixture
    def fit(self, fit):
        return FlatModelFit(
            **{name: getattr(fit, name) for name in ("detector", "surface", "flat_names", "exposures", "history")},
            filters=tuple(fit.flat_names),
            residual=np.zeros_like(fit.surface),
            covariance=SurfaceCovariance(
                modes=np.full((1, 2, 3), 0.003),
                misfit=0.001,
                misfit_correlation=[1.0],
                shape=fit.surface.shape,
                box_size=32,
            ),
            strategy="made up",
            first_date=fit.first_date,
            last_date=fit.last_date,
        )

    def test_is_strictly_valid_and_serves_the_step(self, delivery, ground, exposure, science):
        (name,) = delivery.manifest["file"]
        with strict(delivery.folder / name) as model:
            model.validate()
            assert model.meta.pedigree == "INFLIGHT 2022-04-28 2022-05-02"
        theirs, _ = flat_field.do_correction(science(), flat=datamodels.FlatModel(delivery.folder / name))
        assert_agree(FlatReference.read(delivery.folder / name).apply_to(exposure(ground), replacing=ground), theirs)

    def test_names_are_fit_for_submission(self):
        """Lower case, and none that CRDS might take for one of its own."""
        config = pytest.importorskip("crds.core.config")
        for mode in imaging_modes():
            name = file_name(mode.detector, mode.filter)
            config.check_filename(name)
            assert config.is_cdbs_name(name)
            assert not config.is_crds_name(name)


class TestRealFormat:
    """The 256 x 256 corner of an exposure that the pipeline calibrated with the ground flat beside it."""

    @pytest.fixture
    def ground(self, real_data, tmp_path):
        flat = FlatReference.read(real_data / "format" / GROUND)
        return attrs.evolve(flat, name=GROUND_IN_CRDS)

    @pytest.fixture
    def cal(self, real_data):
        return Exposure.read(real_data / "format" / CAL)

    @pytest.fixture
    def flight(self, ground):
        """A flat 4 % off, with pixels of its own that have no answer, are unreliable, and are useless."""
        y, x = np.mgrid[:256, :256] / 256
        dq = ground.dq.copy()
        dq[100, 100:110] = NO_ANSWER
        dq[101, 100:110] = DQ.UNRELIABLE_FLAT
        dq[102, 100:110] = DQ.DO_NOT_USE | DQ.DEAD
        flat = attrs.evolve(
            ground, data=ground.data * (0.98 + 0.04 * x * y), err=ground.err * 2, dq=dq, name="new.fits"
        )
        return flat.repaired()

    @pytest.fixture
    def undivided(self, real_data, ground):
        """Function that opens the exposure as it was before its flat: the pipeline's own inverse."""

        def make():
            model = datamodels.ImageModel(real_data / "format" / CAL)
            flat = datamodels.FlatModel(real_data / "format" / GROUND)
            flat_field.do_correction(model, flat=flat, inverse=True)
            return model

        return make

    def test_agrees_with_the_step(self, cal, ground, flight, undivided, tmp_path):
        flight.write(tmp_path / "new.fits")
        theirs, _ = flat_field.do_correction(undivided(), flat=datamodels.FlatModel(tmp_path / "new.fits"))
        better = flight.apply_to(cal, replacing=ground)
        assert_agree(better, theirs)
        assert np.isnan(better.data[:4]).all()
        assert np.isnan(better.data[100, 100:110]).all()
        assert np.nanmax(np.abs(better.data / cal.data - 1)) > 0.01

    def test_the_same_flat_changes_nothing(self, cal, ground, undivided, tmp_path):
        ground.write(tmp_path / "same.fits")
        theirs, _ = flat_field.do_correction(undivided(), flat=datamodels.FlatModel(tmp_path / "same.fits"))
        assert_agree(ground.apply_to(cal, replacing=ground), theirs)
        assert_agree(cal, theirs)

    def test_undone_as_the_pipeline_does(self, cal, ground, undivided):
        assert_agree(ground.undo_from(cal), undivided())

    def test_undone_exposure_opens_there(self, cal, ground, tmp_path):
        ground.undo_from(cal).write(tmp_path / "undone_cal.fits")
        with datamodels.open(tmp_path / "undone_cal.fits") as model:
            assert model.meta.cal_step.flat_field == "SKIPPED"

    def test_written_exposure_opens_there(self, cal, ground, flight, tmp_path):
        better = flight.apply_to(cal, replacing=ground)
        better.write(tmp_path / "better_cal.fits")
        with datamodels.open(tmp_path / "better_cal.fits") as model:
            assert type(model) is datamodels.ImageModel
            assert model.meta.ref_file.flat.name == "new.fits"
            assert_agree(better, model)
