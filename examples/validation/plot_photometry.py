"""
Do stars repeat?
================

A star must be equally bright wherever it falls on the detector. With a wrong flat it is not; with a right one its
measurements scatter by their noise.
"""

# %%
# A dithered star field
# ---------------------
# Six large dithers of a field with many stars, seen by detector B1. A perfect flat takes the place of a new one here,
# so that what scatters is the old flat, or noise.

import attrs
import matplotlib.pyplot as plt
import numpy as np

import nircam_flats as nf
from nircam_flats.plotting import draw_repeatability, draw_scatter
from nircam_flats.simulation import SimulatedProgram

program = SimulatedProgram(
    detectors="B1",
    filters="F200W",
    shape=(512, 512),
    n_pointings=1,
    n_dithers=6,
    seed=5,
    star_density=3000,
    dither_range=(0.2, 0.4),
)
exposures = nf.ExposureSet.from_exposures(program.exposures())
old = program.ground_flat("B1", "F200W")
truth = np.where(old.good, program.truth("B1").flight_flat("F200W"), 1)
new = attrs.evolve(old, data=truth, name="new.fits")

# %%
# Measure
# -------
# Sources are found once, matched on the sky after a shift of each exposure, and measured in the same apertures with
# both flats. What a bad pixel, saturation or the edge of the detector explains is flagged and counted apart.

photometry = nf.PhotometricRepeatability.from_exposures(exposures, old=old, new=new)
print(photometry)
photometry.outliers["n", "n_clean", "raw_scatter_new", "explanation"]

# %%
# The scatter falls to the noise
# ------------------------------

figure, axes = plt.subplots(1, 2, figsize=(12, 4.6), layout="constrained")
draw_repeatability(photometry, ax=axes[0])
draw_scatter(photometry, ax=axes[1])
