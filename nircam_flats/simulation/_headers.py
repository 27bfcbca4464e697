"""The headers of simulated `_cal` files."""

from astropy import units as u
from astropy.io import fits
from astropy.time import Time

from nircam_flats.simulation._levels import GROUP_TIME

__all__ = ["exposure_facts", "exposure_name"]

PROGRAM = "09999"
START = Time("2022-04-29T06:00:00", scale="utc")
OVERHEAD = 120.0
STEPS = ("DARK", "DQINIT", "FLAT", "JUMP", "LINEAR", "PHOTOM", "RAMP", "REFPIX", "SATURA", "SUPERB", "WCS")
SKIPPED_STEPS = ("GANSCL", "GRPSCL")


def exposure_name(detector, pointing, setup, dither):
    """Return the root of the file name: program, observation, visit, activity, exposure, detector."""
    return f"jw{PROGRAM}{pointing + 1:03d}001_021{setup + 1:02d}_{dither + 1:05d}_{detector.name.lower()}"


def exposure_times(sequence, exposure_time):
    """Return start and end of the exposure with the given place in the program's sequence."""
    start = START.mjd + sequence * (exposure_time + OVERHEAD) / 86400
    return tuple(Time(mjd, format="mjd", scale="utc") for mjd in (start, start + exposure_time / 86400))


def exposure_facts(
    *, detector, filter, geometry, pointing, flat_name, photmjsr, position, sequence, n_dithers, exposure_time
):
    """Return what an `~nircam_flats.Exposure` holds besides its pixels, by name.

    Parameters
    ----------
    detector, filter, geometry, pointing, flat_name, photmjsr
        Of the exposure.
    position
        Number of the pointing, of the filter and of the dither, from 0.
    sequence
        Its place in time among those of its detector.
    n_dithers
        Dithers in a pointing.
    exposure_time
        Of each exposure, s.
    """
    times = exposure_times(sequence, exposure_time)
    primary = _primary_header(detector, filter, geometry.shape, flat_name, times, position, n_dithers, exposure_time)
    return {
        "name": exposure_name(detector, *position),
        "detector": detector,
        "filter": filter,
        "start": times[0],
        "end": times[1],
        "exposure_time": exposure_time * u.s,
        "program": primary["PROGRAM"],
        "observation": primary["OBSERVTN"],
        "visit": primary["VISIT"],
        "visit_status": primary["VISITSTA"],
        "flat_name": flat_name,
        "steps": {keyword: primary[keyword] for keyword in primary if keyword.startswith("S_")},
        "pointing": pointing,
        "photmjsr": photmjsr,
        "header": primary,
        "sci_header": _sci_header(geometry, pointing, photmjsr, times, exposure_time),
    }


def _middle(times):
    return sum(time.mjd for time in times) / 2


def _primary_header(detector, filter, shape, flat_name, times, position, n_dithers, exposure_time):
    start, end = times
    observation, setup, dither = position
    filter_keyword, pupil_keyword = filter.keywords
    rows, columns = shape
    date, clock = start.isot.split("T")
    primary = fits.Header()
    primary["ORIGIN"] = ("SIMULATED", "Organization responsible for creating file")
    primary["TIMESYS"] = ("UTC", "principal time system for time-related keywords")
    primary["TIMEUNIT"] = ("s", "Default unit applicable to all time values")
    primary["DATAMODL"] = ("ImageModel", "Type of data model")
    primary["TELESCOP"] = ("JWST", "Telescope used to acquire the data")
    primary["TITLE"] = ("Simulated sky flat campaign", "Proposal title")
    primary["CATEGORY"] = ("CAL", "Program category")
    primary["DATE-OBS"] = (date, "[yyyy-mm-dd] UTC date at start of exposure")
    primary["TIME-OBS"] = (clock, "[hh:mm:ss.sss] UTC time at start of exposure")
    primary["DATE-BEG"] = (start.isot, "Date-time start of exposure")
    primary["DATE-END"] = (end.isot, "Date-time end of exposure")
    visit_id = f"{PROGRAM}{observation + 1:03d}001"
    primary["OBS_ID"] = (f"V{visit_id}P00000000021{setup + 1:02d}", "Programmatic observation identifier")
    primary["VISIT_ID"] = (visit_id, "Visit identifier")
    primary["PROGRAM"] = (PROGRAM, "Program number")
    primary["OBSERVTN"] = (f"{observation + 1:03d}", "Observation number")
    primary["VISIT"] = ("001", "Visit number")
    primary["VISITGRP"] = ("02", "Visit group identifier")
    primary["SEQ_ID"] = ("1", "Parallel sequence identifier")
    primary["ACT_ID"] = (f"{setup + 1:02d}", "Activity identifier")
    primary["EXPOSURE"] = (str(dither + 1), "Exposure request number")
    primary["BKGDTARG"] = (False, "Background target")
    primary["TEMPLATE"] = ("NIRCam Imaging", "Observation template used")
    primary["VISITYPE"] = ("PRIME_TARGETED_FIXED", "Visit type")
    primary["VISITSTA"] = ("SUCCESSFUL", "Status of a visit")
    primary["TSOVISIT"] = (False, "Time Series Observation visit indicator")
    primary["TARGPROP"] = (f"FIELD-{observation + 1}", "Proposer's name for the target")
    primary["TARGTYPE"] = ("FIXED", "Type of target (fixed, moving, generic)")
    primary["INSTRUME"] = ("NIRCAM", "Instrument used to acquire the data")
    primary["DETECTOR"] = (detector.name, "Name of detector used to acquire the data")
    primary["MODULE"] = (detector.module, "NIRCam module: A, B or MULTIPLE")
    primary["CHANNEL"] = ({"SW": "SHORT", "LW": "LONG"}[detector.channel], "Instrument channel")
    primary["FILTER"] = (filter_keyword, "Name of the filter element used")
    primary["PUPIL"] = (pupil_keyword, "Name of the pupil element used")
    primary["EXP_TYPE"] = ("NRC_IMAGE", "Type of data in the exposure")
    primary["EXPSTART"] = (start.mjd, "[d] exposure start time in MJD")
    primary["EXPMID"] = (_middle(times), "[d] exposure mid time in MJD")
    primary["EXPEND"] = (end.mjd, "[d] exposure end time in MJD")
    primary["READPATT"] = ("MEDIUM8", "Readout pattern")
    primary["NOUTPUTS"] = (4, "Number of detector outputs used")
    primary["NINTS"] = (1, "Number of integrations in exposure")
    primary["NGROUPS"] = (8, "Number of groups in integration")
    primary["NFRAMES"] = (8, "Number of frames per group")
    primary["GROUPGAP"] = (2, "Number of frames dropped between groups")
    primary["TGROUP"] = (GROUP_TIME, "[s] Time between groups")
    primary["EFFINTTM"] = (exposure_time, "[s] Effective integration time")
    primary["EFFEXPTM"] = (exposure_time, "[s] Effective exposure time")
    primary["DURATION"] = (exposure_time, "[s] Total duration of exposure")
    primary["SCA_NUM"] = (detector.sca_id, "Sensor Chip Assembly number")
    primary["SUBARRAY"] = ("FULL", "Subarray used")
    primary["SUBSTRT1"] = (1, "Starting pixel in axis 1 direction")
    primary["SUBSTRT2"] = (1, "Starting pixel in axis 2 direction")
    primary["SUBSIZE1"] = (columns, "Number of pixels in axis 1 direction")
    primary["SUBSIZE2"] = (rows, "Number of pixels in axis 2 direction")
    primary["FASTAXIS"] = (detector.fast_axis, "Fast readout axis direction")
    primary["SLOWAXIS"] = (detector.slow_axis, "Slow readout axis direction")
    primary["PATTTYPE"] = ("NONE" if n_dithers == 1 else "INTRAMODULEX", "Primary dither pattern type")
    primary["PATT_NUM"] = (dither + 1, "Position number within dither pattern")
    primary["NUMDTHPT"] = (n_dithers, "Total number of points in dither pattern")
    primary["APERNAME"] = (detector.aperture, "S&OC PRD science aperture used")
    primary["PPS_APER"] = ("NRCALL_FULL", "original AperName supplied by PPS")
    primary["R_FLAT"] = (f"crds://{flat_name}", "Flat reference file name")
    for step in sorted((*STEPS, *SKIPPED_STEPS)):
        primary[f"S_{step}"] = "SKIPPED" if step in SKIPPED_STEPS else "COMPLETE"
    return primary


def _sci_header(geometry, pointing, photmjsr, times, exposure_time):
    start, end = times
    sci = fits.Header()
    sci["MJD-BEG"] = (start.mjd, "[d] exposure start time in MJD")
    sci["MJD-AVG"] = (_middle(times), "[d] exposure mid-point in MJD")
    sci["MJD-END"] = (end.mjd, "[d] exposure end time in MJD")
    sci["XPOSURE"] = (exposure_time, "[s] Effective exposure time")
    sci["VA_SCALE"] = (1.0, "Velocity aberration scale factor")
    sci["BUNIT"] = ("MJy/sr", "physical units of the array values")
    sci["PHOTMJSR"] = (photmjsr, "Flux density (MJy/steradian) producing 1 cps")
    sci["PHOTUJA2"] = (photmjsr * 23.5044305, "Flux density (uJy/arcsec2) producing 1 cps")
    sci.extend(geometry.header(pointing).cards)
    return sci
