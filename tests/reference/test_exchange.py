"""Flats exchanged in exposures: applied in place of another, or taken out."""

import attrs
import numpy as np
import pytest

from nircam_flats import (
    DQ,
    InvalidInputError,
)
from nircam_flats.testing import assert_same

NO_ANSWER = DQ.NO_FLAT_FIELD | DQ.DO_NOT_USE
GROUND_NAME = "jwst_nircam_flat_9002.fits"
PLANES = ("data", "err", "var_poisson", "var_rnoise", "var_flat")


class TestApplyTo:
    def assert_exposure(self, found, expected, *, where=...):
        for name in PLANES:
            np.testing.assert_allclose(
                getattr(found, name)[where], getattr(expected, name)[where], rtol=1e-6, err_msg=name
            )
        assert_same(found.dq[where], expected.dq[where])

    def test_as_if_calibrated_with_it(self, ground, flight, calibrate):
        exposure = attrs.evolve(calibrate(ground), path="jw_nrcb4_cal.fits")
        better = flight.apply_to(exposure, replacing=ground)
        self.assert_exposure(better, calibrate(flight))
        assert better.flat_name == "flight.fits"
        assert better.path is None

    def test_there_and_back(self, ground, flight, calibrate):
        exposure = calibrate(ground)
        better = flight.apply_to(exposure, replacing=ground)
        self.assert_exposure(ground.apply_to(better, replacing=flight), exposure)
        assert not np.allclose(better.data, exposure.data, rtol=0.01, equal_nan=True)

    def test_the_sky_is_recovered(self, ground, flight, calibrate):
        bare = attrs.evolve(calibrate(ground), **dict.fromkeys(PLANES[1:]))
        sky = attrs.evolve(bare, data=0.3 * flight.data / ground.data, dq=None)
        better = flight.apply_to(sky, replacing=ground)
        np.testing.assert_allclose(better.data[flight.good], 0.3, rtol=1e-6)

    @pytest.mark.parametrize("value", [np.nan, 0])
    def test_pixel_without_answer_in_the_new_flat(self, ground, flight, calibrate, value):
        data = flight.data.copy()
        data[40, 40:45] = value
        flat = attrs.evolve(flight, data=data)
        better = flat.apply_to(calibrate(ground), replacing=ground)
        self.assert_exposure(better, calibrate(flat))
        assert (better.dq[40, 40:45] == NO_ANSWER).all()
        assert np.isnan(better.err[40, 40:45]).all()

    def test_no_flat_field_implies_do_not_use(self, ground, flight, calibrate):
        dq = flight.dq.copy()
        dq[40, 40:45] = DQ.NO_FLAT_FIELD
        flat = attrs.evolve(flight, dq=dq)
        better = flat.apply_to(calibrate(ground), replacing=ground)
        self.assert_exposure(better, calibrate(flat))
        assert (better.dq[40, 40:45] == NO_ANSWER).all()

    @pytest.mark.parametrize("with_planes", [True, False])
    def test_unknown_error_loses_the_pixel(self, ground, flight, calibrate, with_planes):
        err = flight.err.copy()
        err[40, 40:45] = np.nan
        flat = attrs.evolve(flight, err=err)
        exposure = calibrate(ground)
        if not with_planes:
            exposure = attrs.evolve(exposure, **dict.fromkeys(PLANES[1:]))
        better = flat.apply_to(exposure, replacing=ground)
        assert np.isnan(better.data[40, 40:45]).all()
        assert (better.dq[40, 40:45] == DQ.DO_NOT_USE).all()
        if with_planes:
            self.assert_exposure(better, calibrate(flat))

    def test_what_the_old_flat_lost_stays_lost(self, ground, flight, calibrate):
        data = ground.data.copy()
        data[40, 40:42] = [np.nan, 0]
        old = attrs.evolve(ground, data=data)
        better = flight.apply_to(calibrate(old), replacing=old)
        assert np.isnan(better.data[40, 40:42]).all()
        assert (better.dq[40, 40:42] == NO_ANSWER).all()
        elsewhere = np.ones(data.shape, bool)
        elsewhere[40, 40:42] = False
        self.assert_exposure(better, calibrate(flight), where=elsewhere)

    def test_negative_value_of_the_old_flat_is_undone(self, ground, flight, calibrate):
        data = ground.data.copy()
        data[40, 40] *= -1
        old = attrs.evolve(ground, data=data)
        self.assert_exposure(flight.apply_to(calibrate(old), replacing=old), calibrate(flight))

    def test_unreliable_flat_follows_the_flat(self, ground, flight, calibrate):
        dq = flight.dq.copy()
        dq[12, 20:24] = 0
        dq[40, 40] = DQ.UNRELIABLE_FLAT
        flat = attrs.evolve(flight, dq=dq)
        exposure = calibrate(ground)
        assert (exposure.dq[12, 20:24] == DQ.UNRELIABLE_FLAT).all()
        self.assert_exposure(flat.apply_to(exposure, replacing=ground), calibrate(flat))

    def test_other_flags_of_the_old_flat_stay(self, ground, flight, calibrate):
        flat = attrs.evolve(flight, dq=np.where(ground.dq == DQ.LOW_QE, np.uint32(0), flight.dq))
        better = flat.apply_to(calibrate(ground), replacing=ground)
        assert (better.dq[13, 20:24] == DQ.LOW_QE).all()

    def test_makes_no_planes(self, ground, flight, calibrate):
        exposure = attrs.evolve(calibrate(ground), **dict.fromkeys(PLANES[1:]))
        better = flight.apply_to(exposure, replacing=ground)
        assert [getattr(better, name) for name in PLANES[1:]] == [None] * 4
        np.testing.assert_allclose(better.data, calibrate(flight).data, rtol=1e-6)

    def test_exposure_without_dq_gets_the_flags_of_the_flat(self, ground, flight, calibrate):
        better = flight.apply_to(attrs.evolve(calibrate(ground), dq=None), replacing=ground)
        assert_same(better.dq & np.uint32(NO_ANSWER), calibrate(flight).dq & np.uint32(NO_ANSWER))

    @pytest.mark.parametrize("role", ["flat", "flat to replace"])
    @pytest.mark.parametrize(
        ("other", "message"),
        [
            ({"detector": "B3"}, "detector of jw_nrcb4, NRCB4; got NRCB3"),
            ({"filter": "F150W"}, "filter of jw_nrcb4, F200W; got F150W"),
        ],
    )
    def test_another_mode(self, ground, flight, calibrate, role, other, message):
        exposure = calibrate(ground)
        new, old = flight, ground
        if role == "flat":
            new = attrs.evolve(new, **other)
        else:
            old = attrs.evolve(old, **other)
        with pytest.raises(InvalidInputError, match=f"apply_to needs a {role} with the {message}"):
            new.apply_to(exposure, replacing=old)

    @pytest.mark.parametrize("role", ["flat", "flat to replace"])
    @pytest.mark.parametrize("place", [((5, 1), (64, 76)), ((1, 2), (63, 80)), ((1, 1), (8, 8))])
    def test_flat_of_another_place(self, ground, flight, calibrate, role, place):
        exposure = calibrate(ground)
        other = attrs.evolve((flight if role == "flat" else ground).cutout("SUB", corner=place[0], shape=place[1]))
        other = attrs.evolve(other, name=GROUND_NAME)
        new, old = (other, ground) if role == "flat" else (flight, other)
        with pytest.raises(InvalidInputError) as error:
            new.apply_to(exposure, replacing=old)
        assert f"needs a {role} that covers jw_nrcb4, corner (1, 1) and shape (64, 80)" in str(error.value)
        assert f"got corner {place[0]} and shape {place[1]}" in str(error.value)

    def test_a_flat_that_was_not_named(self, flight, calibrate, ground):
        with pytest.raises(InvalidInputError, match=r"S_FLAT COMPLETE\), as replacing=.*; got none"):
            flight.apply_to(calibrate(ground))

    def test_another_flat_to_replace(self, ground, flight, calibrate):
        other = attrs.evolve(ground, name="jwst_nircam_flat_0001.fits")
        with pytest.raises(
            InvalidInputError, match=r"jwst_nircam_flat_9002.fits \(R_FLAT\); got jwst_nircam_flat_0001.fits$"
        ):
            flight.apply_to(calibrate(ground), replacing=other)

    def test_flat_to_replace_not_known(self, ground, flight, calibrate):
        with pytest.raises(InvalidInputError, match=r"which it does not name .*evolve"):
            flight.apply_to(attrs.evolve(calibrate(ground), flat_name=None), replacing=ground)

    def test_exposure_without_flat(self, ground, flight, calibrate):
        exposure = attrs.evolve(calibrate(ground), steps={"S_FLAT": "SKIPPED"})
        with pytest.raises(InvalidInputError, match=r"S_FLAT COMPLETE.*S_FLAT SKIPPED"):
            flight.apply_to(exposure, replacing=ground)

    @pytest.mark.parametrize("value", [np.inf, -np.inf, -0.5])
    def test_senseless_values_are_not_applied_without_a_flag(self, ground, flight, calibrate, value):
        data = flight.data.copy()
        data[40, 40:42] = value
        flat = attrs.evolve(flight, data=data)
        with pytest.raises(InvalidInputError, match=r"flight.fits has 2 that are not; repaired\(\) flags them"):
            flat.apply_to(calibrate(ground), replacing=ground)
        better = flat.repaired().apply_to(calibrate(ground), replacing=ground)
        assert (better.dq[40, 40:42] == NO_ANSWER).all()

    def test_error_without_its_parts(self, ground, flight, calibrate):
        exposure = attrs.evolve(calibrate(ground), var_rnoise=None)
        with pytest.raises(InvalidInputError, match=r"needs var_poisson and var_rnoise .* jw_nrcb4 lacks them"):
            flight.apply_to(exposure, replacing=ground)

    def test_flat_without_errors(self, ground, flight, calibrate):
        with pytest.raises(InvalidInputError, match=r"apply_to needs the errors of flight.fits"):
            attrs.evolve(flight, err=None).apply_to(calibrate(ground), replacing=ground)


class TestUndoFrom:
    def test_the_exposure_before_its_flat(self, ground, calibrate, raw):
        undone = ground.undo_from(calibrate(ground))
        usable = ~DQ.DO_NOT_USE.is_set(calibrate(ground).dq)
        for name in ("data", "var_poisson", "var_rnoise"):
            np.testing.assert_allclose(getattr(undone, name)[usable], raw[name][usable], rtol=1e-6)
            assert np.isnan(getattr(undone, name)[~usable]).all()
        assert (undone.var_flat[usable] == 0).all()
        np.testing.assert_allclose(undone.err, np.sqrt(undone.var_poisson + undone.var_rnoise), rtol=1e-6)
        assert_same(undone.dq, calibrate(ground).dq)
        assert (undone.steps["S_FLAT"], undone.flat_name, undone.path) == ("SKIPPED", None, None)
        assert undone.steps["S_PHOTOM"] == "COMPLETE"

    def test_another_flat_can_follow(self, ground, flight, calibrate):
        two_steps = flight.apply_to(ground.undo_from(calibrate(ground)))
        one_step = flight.apply_to(calibrate(ground), replacing=ground)
        for name in PLANES:
            np.testing.assert_allclose(getattr(two_steps, name), getattr(one_step, name), rtol=6e-7)
        assert (two_steps.steps["S_FLAT"], two_steps.flat_name) == ("COMPLETE", "flight.fits")

    def test_makes_no_planes(self, ground, calibrate):
        exposure = attrs.evolve(calibrate(ground), **dict.fromkeys(PLANES[1:]))
        undone = ground.undo_from(exposure)
        assert [getattr(undone, name) for name in PLANES[1:]] == [None] * 4

    def test_it_needs_no_errors_of_the_flat(self, ground, calibrate):
        undone = attrs.evolve(ground, err=None).undo_from(calibrate(ground))
        assert_same(undone.err, ground.undo_from(calibrate(ground)).err)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"flat_name": "other.fits"}, r"needs as flat the one that jw_nrcb4 was divided by, other.fits"),
            ({"steps": {"S_FLAT": "SKIPPED"}}, "needs an exposure that a flat divided"),
            ({"detector": "B3"}, "undo_from needs a flat with the detector of jw_nrcb4, NRCB3"),
            ({"var_rnoise": None}, "undo_from needs var_poisson and var_rnoise"),
        ],
    )
    def test_refused(self, ground, calibrate, change, message):
        with pytest.raises(InvalidInputError, match=message):
            ground.undo_from(attrs.evolve(calibrate(ground), **change))
