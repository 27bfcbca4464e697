import attrs
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from astropy.time import Time

from nircam_flats import (
    DQ,
    Detector,
    Filter,
    FlatModelFit,
    FlatReference,
    FlatsWarning,
    InvalidInputError,
    Subarray,
    SurfaceCovariance,
)
from nircam_flats.provenance import History
from nircam_flats.skyflat.dependence import DIVIDE_BY_GREY
from nircam_flats.testing import assert_same, check_value

NO_ANSWER = DQ.NO_FLAT_FIELD | DQ.DO_NOT_USE
GROUND_NAME = "jwst_nircam_flat_9002.fits"
PLANES = ("data", "err", "var_poisson", "var_rnoise", "var_flat")


class TestFields:
    def test_keeps_the_promises_of_a_value(self, ground, flight):
        check_value(ground)
        check_value(flight)

    def test_read_flat_keeps_them_too(self, flat_file):
        check_value(FlatReference.read(flat_file()))

    def test_names_of_a_mode(self, ground):
        flat = attrs.evolve(ground, detector=489, filter="f200w")
        assert flat.detector is Detector.get("NRCB4")
        assert flat.filter is Filter.get("F200W")

    def test_needs_little(self):
        flat = FlatReference(data=np.ones((8, 8)), detector="ALONG", filter="F405N")
        assert flat.data.dtype == np.float32
        assert flat.dq.dtype == np.uint32
        assert not flat.dq.any()
        assert flat.err is None

    def test_filter_of_the_other_channel(self, ground):
        with pytest.raises(InvalidInputError, match="of the SW channel, as NRCB4; got F444W"):
            attrs.evolve(ground, filter="F444W")

    @pytest.mark.parametrize("plane", ["err", "dq"])
    def test_planes_of_another_shape(self, ground, plane):
        with pytest.raises(
            InvalidInputError, match=rf"FlatReference.{plane} must have the shape.*\(64, 80\); got \(64, 64\)"
        ):
            attrs.evolve(ground, **{plane: getattr(ground, plane)[:, :64]})

    @pytest.mark.parametrize("data", [None, np.ones(5), np.ones((2, 8, 8))])
    def test_data_that_are_no_image(self, data):
        with pytest.raises(InvalidInputError, match=r"FlatReference.data must be an array with 2 dimensions"):
            FlatReference(data=data, detector="B4", filter="F200W")

    @pytest.mark.parametrize(
        ("given", "kept"),
        [
            ("crds://jwst_nircam_flat_0123.fits", "jwst_nircam_flat_0123.fits"),
            ("/some/folder/my_flat.fits", "my_flat.fits"),
            ("override://a_flat", None),
            (None, None),
        ],
    )
    def test_name_is_a_bare_file_name(self, ground, given, kept):
        assert attrs.evolve(ground, name=given).name == kept

    def test_useafter_as_time_loses_its_fraction(self, ground):
        assert attrs.evolve(ground, useafter=Time("2022-04-01T01:02:03.9")).useafter == "2022-04-01T01:02:03"

    def test_history_fits_cards(self, ground):
        words = "settings of a step that are longer than any card of a FITS header can hold; " * 3
        flat = attrs.evolve(ground, history=(words, "two\nlines", "µm and\ttab"))
        assert max(map(len, flat.history)) <= 72
        assert " ".join(flat.history).split() == [*words.split(), "two", "lines", "?m", "and", "tab"]
        assert attrs.evolve(flat).history == flat.history
        spaced = attrs.evolve(ground, history="one\n\ntwo")
        assert attrs.evolve(spaced).history == spaced.history == ("one", "", "two")

    def test_good(self, ground):
        data = ground.data.copy()
        data[30, 30:35] = [np.nan, np.inf, 0, -1, 2]
        flat = attrs.evolve(ground, data=data)
        assert flat.good[30, 30:35].tolist() == [False, False, False, False, True]
        assert not flat.good[:4].any()
        assert not flat.good[10:12, 20:24].any()
        assert flat.good[12:14, 20:24].all()  # unreliable, but corrected


class TestCorrectedBy:
    def test_ground_times_change(self, ground, fit, change):
        flight = ground.corrected_by(fit)
        known = ~DQ.NO_FLAT_FIELD.is_set(ground.dq)
        np.testing.assert_allclose(flight.data[known], (ground.data * change)[known], rtol=1e-6)
        assert_same(flight.dq, ground.dq)

    def test_relative_errors_in_quadrature(self, ground, fit, change):
        flight = ground.corrected_by(fit)
        relative = np.hypot(ground.err / ground.data, fit.err / change)
        known = ground.good
        np.testing.assert_allclose((flight.err / flight.data)[known], relative[known], rtol=1e-5)

    def test_error_is_that_of_repeated_trials(self, ground, fit, rng):
        trials = np.array(
            [
                (ground.data + ground.err * rng.normal(size=fit.err.shape))
                * (fit.surface + fit.err * rng.normal(size=fit.err.shape))
                for _ in range(400)
            ]
        )
        ratio = trials.std(axis=0)[ground.good] / ground.corrected_by(fit).err[ground.good]
        assert np.mean(ratio) == pytest.approx(1, abs=0.01)

    def test_border_stays_one_whatever_the_surface_says_there(self, ground, fit):
        missing = DQ.NO_FLAT_FIELD.is_set(ground.dq)
        flight = ground.corrected_by(fit)
        assert (flight.data[missing] == 1).all()
        assert_same(flight.err[missing], ground.err[missing])

    def test_no_answer_of_the_fit(self, ground, fit, tmp_path):
        surface = fit.surface.copy()
        surface[40, 40:43] = [np.nan, 0, -1]
        fit.surface = surface
        flight = ground.corrected_by(fit)
        assert (flight.data[40, 40:43] == 1).all()
        assert np.isfinite(flight.err).all()
        assert (flight.dq[40, 40:43] == NO_ANSWER).all()
        assert np.count_nonzero(flight.dq != ground.dq) == 3
        assert flight.check() == ()

    def test_faulty_ground_becomes_a_valid_flat(self, ground, fit):
        data, err = ground.data.copy(), ground.err.copy()
        data[40, 40:44] = [np.nan, 0, -0.5, np.inf]
        err[40, 44:47] = [np.nan, -1, np.inf]
        flight = attrs.evolve(ground, data=data, err=err).corrected_by(fit)
        assert (flight.data[40, 40:47] == 1).all()
        assert (flight.dq[40, 40:47] == NO_ANSWER).all()
        assert flight.dq[40, 47] == 0
        assert flight.check() == ()

    def test_pedigree_and_history(self, ground, fit):
        flight = ground.corrected_by(fit)
        assert flight.pedigree == "INFLIGHT 2022-04-28 2022-05-02"
        assert flight.history[0] == "Made by a test"
        assert "jwst_nircam_flat_9002.fits" in flight.history[1]
        assert "fit: strategy=Polynomial2D(3)" in flight.history
        assert "numpy " in " ".join(flight.history)
        assert flight.useafter == ground.useafter
        assert flight.name is None

    def test_without_dates_it_cannot_be_written_as_inflight(self, ground, fit, tmp_path):
        fit.first_date = fit.last_date = None
        with pytest.raises(InvalidInputError, match=r"PEDIGREE\) must be .*; got 'INFLIGHT'"):
            ground.corrected_by(fit).write(tmp_path / "flat.fits")

    def test_corrects_with_a_real_fit(self, ground, change):
        fit = FlatModelFit(
            detector="B4",
            filters=("F200W", "F150W"),
            surface=change,
            residual=np.zeros_like(change),
            covariance=SurfaceCovariance(
                modes=np.full((1, 2, 3), 0.003, np.float32),
                misfit=0.004,
                misfit_correlation=[1.0],
                shape=change.shape,
                box_size=32,
            ),
            strategy="made up",
            flat_names={"F200W": ground.name, "F150W": None},
            exposures=QTable({"name": ["jw_nrcb4"], "used": [True]}),
            first_date=Time("2022-04-28"),
            last_date=Time("2022-05-02"),
            history=History().then("invented"),
        )
        flight = ground.corrected_by(fit)
        assert flight.check() == ()
        relative = np.hypot(ground.err / ground.data, 0.005 / change)[ground.good]
        np.testing.assert_allclose((flight.err / flight.data)[ground.good], relative, rtol=1e-4)

    def test_fit_of_another_detector(self, ground, fit):
        fit.detector = Detector.get("B3")
        with pytest.raises(InvalidInputError, match=r"detector of jwst_nircam_flat_9002.fits, NRCB4; got NRCB3"):
            ground.corrected_by(fit)

    def test_a_flat_that_is_not_about_1(self, ground, fit):
        bright = attrs.evolve(ground, data=1000 * ground.data)
        with pytest.raises(
            InvalidInputError, match=r"flat_9002.fits: data must be about 1, .* is 1.01e\+03: divide data by"
        ):
            bright.corrected_by(fit)

    def test_fit_of_another_shape(self, ground, fit):
        fit.surface = fit.surface[:-1]
        with pytest.raises(InvalidInputError, match=r"shape of jwst.*, \(64, 80\); got \(63, 80\)"):
            ground.corrected_by(fit)

    def test_exposures_divided_by_another_flat(self, ground, fit):
        fit.flat_names = {"F200W": "jwst_nircam_flat_0001.fits"}
        with pytest.raises(
            InvalidInputError,
            match=r"F200W were divided by, jwst_nircam_flat_0001.fits.*got jwst_nircam_flat_9002.fits",
        ):
            ground.corrected_by(fit)

    def test_name_of_the_same_flat_in_crds(self, ground, fit):
        fit.flat_names = {"F200W": f"crds://{ground.name}"}
        assert ground.corrected_by(fit).check() == ()

    def test_no_exposures_in_the_filter(self, ground, fit):
        fit.flat_names = {"F150W": "jwst_nircam_flat_9001.fits", "F090W": None}
        with pytest.raises(InvalidInputError, match=r"exposures in F200W, .*; got one of F150W, F090W"):
            ground.corrected_by(fit)

    def test_fit_of_a_filter_dependence(self, ground, fit):
        fit.history = History().then(DIVIDE_BY_GREY, filters="F150W+F200W").then("fit", strategy="Polynomial2D(3)")
        with pytest.raises(InvalidInputError, match="got that of a FilterDependence, which is only what F200W adds"):
            ground.corrected_by(fit)
        fit.history = fit.history.then("shrink toward grey")  # the grey surface is in it again
        assert ground.corrected_by(fit).check() == ()

    @pytest.mark.parametrize("side", ["ground", "fit"])
    def test_name_not_known(self, ground, fit, side):
        if side == "ground":
            ground = attrs.evolve(ground, name=None)
        else:
            fit.flat_names = {"F200W": None}
        with pytest.warns(FlatsWarning, match="it cannot be checked"):
            ground.corrected_by(fit)

    def test_ground_without_errors(self, ground, fit):
        with pytest.raises(InvalidInputError, match=r"corrected_by needs the errors of jwst_nircam_flat_9002.fits"):
            attrs.evolve(ground, err=None).corrected_by(fit)


def part_of(exposure, corner, shape):
    """The same pixels, as a subarray would have read them."""
    x, y = corner[0] - 1, corner[1] - 1
    planes = {name: getattr(exposure, name)[y : y + shape[0], x : x + shape[1]] for name in (*PLANES, "dq")}
    return attrs.evolve(exposure, **planes, corner=corner, subarray="SUB")


class TestCutout:
    CORNER, SHAPE = (9, 5), (20, 30)

    def test_the_pixels_of_that_place(self, flight):
        part = flight.cutout("SUB", corner=self.CORNER, shape=self.SHAPE)
        for name in ("data", "err", "dq"):
            assert_same(getattr(part, name), getattr(flight, name)[4:24, 8:38].copy())
        assert (part.subarray, part.corner, part.name) == ("SUB", (9, 5), None)
        assert "SUB: 30 x 20 pixels from (9, 5) of flight.fits" in part.history[-1]
        assert part.check() == ()
        check_value(part)

    def test_keywords(self, flight, tmp_path):
        flight.cutout("SUB", corner=self.CORNER, shape=self.SHAPE).write(tmp_path / "part.fits")
        header = fits.getheader(tmp_path / "part.fits")
        names = ("SUBARRAY", "SUBSTRT1", "SUBSTRT2", "SUBSIZE1", "SUBSIZE2")
        assert [header[name] for name in names] == ["SUB", 9, 5, 30, 20]
        again = FlatReference.read(tmp_path / "part.fits")
        assert again.check() == ()
        assert (again.corner, again.data.shape, again.subarray) == (self.CORNER, self.SHAPE, "SUB")

    def test_a_part_of_a_part(self, flight):
        part = flight.cutout("SUB", corner=self.CORNER, shape=self.SHAPE)
        smaller = part.cutout("SMALL", corner=(12, 10), shape=(4, 6))
        assert_same(smaller.data, flight.data[9:13, 11:17].copy())

    def test_subarrays_that_siaf_knows(self):
        data = np.arange(2048**2, dtype=np.float32).reshape(2048, 2048)
        flat = FlatReference(data=data, detector="B1", filter="F200W")
        part = flat.cutout("SUB160P")
        assert (part.subarray, part.corner, part.data.shape, part.err) == ("SUB160P", (1803, 1769), (160, 160), None)
        assert part.data[0, 0] == 1768 * 2048 + 1802
        assert_same(flat.cutout(Subarray.get("SUB160P", "B1")).data, part.data)
        assert flat.cutout("FULL").data is flat.data

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (
                ("SUB160",),
                r"needs a part of flight.fits, .* at \(1, 1\) .*; got one that begins at \(1889, 1889",
            ),
            (("SUB99",), "Subarray of NRCB4 must be one of FULL, SUB160, SUB320, SUB640; got 'SUB99'"),
            (("SUB", (1, 1), None), "needs both corner .* and shape .*, or neither"),
            (("SUB", (0, 1), (4, 4)), r"got one that begins at \(0, 1\) with shape \(4, 4\)"),
            (("SUB", (78, 1), (4, 4)), "got one that begins at"),
            (("SUB", (1, 1), (0, 4)), "got one that begins at"),
        ],
    )
    def test_refused(self, flight, arguments, message):
        name, corner, shape = (*arguments, None, None)[:3]
        with pytest.raises(InvalidInputError, match=message):
            flight.cutout(name, corner=corner, shape=shape)

    def test_a_subarray_of_another_detector_or_with_a_place_of_its_own(self, flight):
        with pytest.raises(InvalidInputError, match=r"needs a Subarray of NRCB4, .*; got one of NRCB1"):
            flight.cutout(Subarray.get("SUB160P", "B1"))
        with pytest.raises(InvalidInputError, match=r"tells corner and shape itself; got .* corner \(5, 5\)"):
            flight.cutout(Subarray.get("SUB160", "B4"), corner=(5, 5), shape=(8, 8))

    def test_full_flats_serve_exposures_of_subarrays(self, ground, flight, calibrate):
        exposure = part_of(calibrate(ground), self.CORNER, self.SHAPE)
        better = flight.apply_to(exposure, replacing=ground)
        expected = part_of(flight.apply_to(calibrate(ground), replacing=ground), self.CORNER, self.SHAPE)
        for name in (*PLANES, "dq"):
            assert_same(getattr(better, name), getattr(expected, name), name=name)
        assert (better.subarray, better.corner, better.flat_name) == ("SUB", self.CORNER, "flight.fits")

    def test_so_do_flats_of_a_larger_part(self, ground, flight, calibrate):
        exposure = part_of(calibrate(ground), (12, 10), (4, 6))
        part = flight.cutout("SUB", corner=self.CORNER, shape=self.SHAPE)
        expected = flight.apply_to(exposure, replacing=ground)
        assert_same(part.apply_to(exposure, replacing=ground).data, expected.data)


class TestExtrapolated:
    @pytest.fixture
    def other(self, ground):
        return attrs.evolve(ground, filter="F070W", name="jwst_nircam_flat_0007.fits")

    def test_only_on_request(self, other, fit):
        with pytest.raises(InvalidInputError, match=r"exposures in F070W.*got one of F200W, F150W; extrapolate=True"):
            other.corrected_by(fit)

    def test_the_grey_surface(self, other, ground, fit):
        flat = other.corrected_by(fit, extrapolate=True)
        assert_same(flat.data, ground.corrected_by(fit).data)
        assert "No exposures in F070W: the grey surface of F200W+F150W is taken for it" in flat.history
        assert flat.description.endswith("x sky flat of other filters")
        assert flat.provenance.settings("correct the ground flat")["extrapolated"] == "True"
        assert flat.check() == ()

    def test_it_changes_nothing_where_there_are_exposures(self, ground, fit):
        assert_same(ground.corrected_by(fit, extrapolate=True), ground.corrected_by(fit))
        wrong = attrs.evolve(ground, name="jwst_nircam_flat_0001.fits")
        with pytest.raises(InvalidInputError, match="needs the flat that the exposures in F200W were divided by"):
            wrong.corrected_by(fit, extrapolate=True)

    def test_what_cannot_be_checked_is_still_told(self, ground, fit):
        fit.flat_names["F200W"] = None
        with pytest.warns(FlatsWarning, match="cannot be checked"):
            ground.corrected_by(fit, extrapolate=True)

    def test_a_fit_of_one_filter_says_nothing_of_others(self, other, fit):
        fit.flat_names = {"F200W": GROUND_NAME}
        with pytest.raises(InvalidInputError, match=r"got one of F200W$"):
            other.corrected_by(fit, extrapolate=True)


class TestRepaired:
    def test_nothing_to_mend(self, ground):
        assert ground.repaired() is ground

    def test_flags_and_sets_one(self, ground):
        data, err, dq = ground.data.copy(), ground.err.copy(), ground.dq.copy()
        data[40, 40:45] = [np.nan, 0, -0.5, np.inf, -np.inf]
        err[40, 45:48] = [np.nan, -1, np.inf]
        dq[40, 48] = DQ.NO_FLAT_FIELD
        mended = attrs.evolve(ground, data=data, err=err, dq=dq).repaired()
        assert (mended.data[40, 40:49] == 1).all()
        assert (mended.dq[40, 40:49] == NO_ANSWER).all()
        assert (mended.err[40, 45:48] == 1).all()
        elsewhere = np.ones(data.shape, bool)
        elsewhere[40, 40:49] = False
        assert_same(mended.data[elsewhere], ground.data[elsewhere])
        assert_same(mended.err[elsewhere], ground.err[elsewhere])
        assert mended.check() == ()
        assert "9 pixels" in mended.history[-1]

    def test_invents_no_errors(self, ground):
        with pytest.raises(InvalidInputError, match="repaired needs the errors"):
            attrs.evolve(ground, err=None).repaired()


def test_example_of_the_design(ground, fit, calibrate, tmp_path):
    """Read, correct, write, read again, apply."""
    ground.write(tmp_path / ground.name)
    ground = FlatReference.read(tmp_path / ground.name)
    ground.corrected_by(fit).write(tmp_path / "nrcb4_f200w_flat.fits")
    flight = FlatReference.read(tmp_path / "nrcb4_f200w_flat.fits")
    better = flight.apply_to(calibrate(ground), replacing=ground)
    np.testing.assert_allclose(better.data, calibrate(flight).data, rtol=1e-6)
    better.write(tmp_path / "better_cal.fits")
    assert fits.getval(tmp_path / "better_cal.fits", "R_FLAT") == "nrcb4_f200w_flat.fits"
