"""A good small file of every format that the library reads, and what reading it must give."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import attrs
import numpy as np
from astropy.io import fits

import nircam_flats as nf
from nircam_flats.defects._mask_file import read_mask
from nircam_flats.simulation import Effects, SimulatedProgram

__all__ = ["ANYTHING", "AS_ASTROPY", "FORMATS", "NOT_COMPARED", "REFUSED", "SHAPE"]

REFUSED = "refused"
ANYTHING = "a field of which nothing is asked"
AS_ASTROPY = "refused, or what astropy reads"

SHAPE = (48, 40)  # not square, so that a transposed axis is seen
NOT_COMPARED = ("name", "path", "_header", "_sci_header", "_faults")
"""Fields that hold a file as it is; what they should hold is no question."""


@attrs.frozen(eq=False)
class Format:
    """How a file of a kind is named, written and read."""

    kind: str
    name: str
    read: object
    write: object

    @property
    def content(self):
        """The bytes of the good file."""
        return _content(self)

    @property
    def value(self):
        """What reading the good file gives."""
        return _value(self)


@cache
def _content(made):
    with TemporaryDirectory() as folder:
        made.write(Path(folder) / made.name)
        return (Path(folder) / made.name).read_bytes()


@cache
def _value(made):
    with TemporaryDirectory() as folder:
        path = Path(folder) / made.name
        path.write_bytes(made.content)
        return made.read(path)


@cache
def _made():
    """What the files hold: eight simulated exposures, and what the library makes of them."""
    effects = attrs.evolve(Effects(), large_galaxy=False, saturated_star=False, persistence=False)
    settings = {"n_pointings": 2, "n_dithers": 2, "seed": 8, "effects": effects}
    program = SimulatedProgram(detectors=["B4"], filters=["F150W", "F200W"], shape=SHAPE, **settings)
    exposures = nf.ExposureSet.from_exposures(program.exposures())
    frames = nf.NormalizedFrames.from_exposures(exposures)
    delta, grey = (nf.DeltaSkyflat.from_frames(found) for found in (frames.where(filter="F200W"), frames))
    ground = program.ground_flat("B4", "F200W")
    light = np.where(np.indices(SHAPE)[1] < 20, 0.02, 0)
    fit = nf.FlatModelFit.from_delta(delta)
    return {
        "cal": exposures[-1],
        "FLAT": ground,
        "flight FLAT": ground.corrected_by(fit),
        "DeltaSkyflat": delta,
        "FilterDependence": delta.relative_to(grey),
        "FlatModelFit": fit,
        "DeadPixelMap": nf.DeadPixelMap.from_delta(delta, known=ground),
        "WispTemplate": nf.WispTemplate.from_image(light, detector="B4", filter="F200W"),
    }


def _write_made(kind):
    return lambda path: _made()[kind].write(path)


def _write_rate(path):
    """The image before it is divided by a flat, in counts."""
    _made()["cal"].write(path)
    with fits.open(path, mode="update") as hdus:
        for keyword in ("S_FLAT", "S_PHOTOM", "R_FLAT"):
            hdus[0].header.remove(keyword, ignore_missing=True)
        hdus["SCI"].header["BUNIT"] = "DN/s"


def _write_mask(path):
    texts = {"author": "A. Tester", "description": "A mask", "pedigree": "GROUND", "useafter": "2022-05-01T00:00:00"}
    _made()["DeadPixelMap"].write_mask(path, **texts)


FORMATS = {
    made.kind: made
    for made in (
        Format("cal", "jw01_nrcb4_cal.fits", nf.Exposure.read, _write_made("cal")),
        Format("rate", "jw01_nrcb4_rate.fits", nf.Exposure.read, _write_rate),
        Format("FLAT", "jwst_nircam_flat_9002.fits", nf.FlatReference.read, _write_made("FLAT")),
        Format("flight FLAT", "nrcb4_f200w_flat.fits", nf.FlatReference.read, _write_made("flight FLAT")),
        Format("MASK", "jwst_nircam_mask_0001.fits", read_mask, _write_mask),
        Format("DeltaSkyflat", "delta.fits", nf.DeltaSkyflat.read, _write_made("DeltaSkyflat")),
        Format("FilterDependence", "dependence.fits", nf.FilterDependence.read, _write_made("FilterDependence")),
        Format("FlatModelFit", "fit.fits", nf.FlatModelFit.read, _write_made("FlatModelFit")),
        Format("DeadPixelMap", "dead.fits", nf.DeadPixelMap.read, _write_made("DeadPixelMap")),
        Format("WispTemplate", "wisp.fits", nf.WispTemplate.read, _write_made("WispTemplate")),
    )
}
