"""
Is the sky as bright as predicted?
==================================

The sky of each exposure is measured between the sources and set beside what a model predicts for that field and date.
What departs is light that does not belong to the sky, a detector whose flux calibration is off, or the model.
"""

# %%
# Exposures, and a model of the background
# ----------------------------------------
# A simulated campaign: two fields, in four filters, on two short-wavelength detectors and a long-wavelength one. Its
# sky is not that of a real field, so the model here is one of our own: a class with one method. For real exposures
# take `~nircam_flats.ZodiacalBackground`, which needs no files, or `~nircam_flats.JBTBackground` with the files of the
# JWST Backgrounds Tool.

import attrs
import matplotlib.pyplot as plt
import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord

import nircam_flats as nf
from nircam_flats.simulation import Effects, SimulatedProgram


class TypicalSky(nf.BackgroundModel):
    """Zodiacal light falling with wavelength, thermal light rising."""

    relative_err = 0.15

    def spectrum(self, coordinate, date, wavelength):
        zodiacal = 0.25 * (wavelength / 1.2) ** -0.9
        return {"zodiacal": zodiacal, "thermal": 0.2 * np.exp((wavelength - 4.4) / 0.35)}


effects = attrs.evolve(Effects(), large_galaxy=False, saturated_star=False, persistence=False, wisps=False)
program = SimulatedProgram(detectors=["A1", "B1", "BLONG"], n_dithers=2, shape=(512, 512), seed=3, effects=effects)
exposures = nf.ExposureSet.from_exposures(program.exposures())

# %%
# An intruder
# -----------
# One exposure also gets a claw: starlight on one side of the detector.

claw = 0.1 * np.clip(1 - np.arange(512) / 200, 0, 1).astype(np.float32)
members = list(exposures)
members[1] = members[1].with_pixels(members[1].data + claw)
exposures = nf.ExposureSet.from_exposures(members)

# %%
# The comparison
# --------------
# A row for each exposure; the rules of the mission's background monitor say which of them show no clean sky.

comparison = nf.BackgroundComparison.from_exposures(exposures, model=TypicalSky())
flagged = comparison.exposures[comparison.flags]
print(flagged["name", "measured", "predicted", "reason"])

# %%
# Flagged exposures stay out of whatever comes next.

clean = exposures.exclude(comparison.flags, comparison.reasons)
print(f"{len(clean)} of {len(exposures)} exposures are left")

# %%
# By detector and filter; ``consistency`` compares detectors in the same exposures.

table = comparison.table
table["detector", "filter", "n_used", "ratio", "ratio_err", "consistency"]

# %%
# Measured levels lie where they were predicted, within the differences between the fields.

comparison.plot(ax=plt.figure(figsize=(8, 5)).subplots(), title="measured and predicted sky")

# %%
# What a real field is predicted to look like, without any file:

cosmos = SkyCoord(150.1 * u.deg, 2.2 * u.deg)
model = nf.ZodiacalBackground()
for name, brightness in model.components(cosmos, "2026-05-01", "F200W").items():
    print(f"{name:10} {brightness:.4f}")
print(f"in all     {model.predict(cosmos, '2026-05-01', 'F200W'):.3f}")
