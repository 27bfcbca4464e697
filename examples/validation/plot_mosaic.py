"""
What does the new flat do to a mosaic?
======================================

Where dithered exposures overlap, each edge of a detector meets the middle of another exposure. What the flat gets wrong
becomes steps and patches on the sky.
"""

# %%
# A new flat, and six large dithers
# ----------------------------------
# Detector B1. Putting images on one grid needs the package reproject:
# ``pip install 'nircam_flats[mosaic]'``.

import attrs
import matplotlib.pyplot as plt

import nircam_flats as nf
from nircam_flats.plotting import before_after
from nircam_flats.simulation import Effects, SimulatedProgram

effects = attrs.evolve(Effects(), large_galaxy=False, saturated_star=False, persistence=False)
program = SimulatedProgram(
    detectors="B1",
    filters="F200W",
    shape=(512, 512),
    n_pointings=3,
    n_dithers=6,
    seed=8,
    dither_range=(0.3, 0.6),
    effects=effects,
)
exposures = nf.ExposureSet.from_exposures(program.exposures())
old = program.ground_flat("B1", "F200W")
new = nf.recipes.sky_flat_detector(exposures[:12], [old]).flats["F200W"]

# %%
# One grid
# --------
# Each exposure is divided by its sky level and reduced to medians of small boxes, which show the sky and not its
# sources; then all are placed by their WCS and averaged.

mosaic = nf.Mosaic.from_exposures(exposures[12:], old=old, new=new)
print(f"{mosaic.n_used.max()} exposures at most lie over each other")

# %%
# Before and after
# ----------------
# The six exposures of the last field, which the flat was not made of.

figure = plt.figure(figsize=(11, 5), layout="constrained")
before_after(mosaic.old, mosaic.new, north_up=True, pixel=8, figure=figure)
