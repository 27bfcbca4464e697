"""
What did the ground flat get wrong?
===================================

A simulated campaign with a known answer goes through the whole procedure: from exposures to a flight flat, and
back to the truth.
"""

# %%
# A small campaign
# ----------------
# Two pointings with three dithers each, in two filters, of detector B1: the ground flat is wrong by several per cent.
# Small frames are small detectors: what varies smoothly over a full frame varies as much over these.

import matplotlib.pyplot as plt
import numpy as np

import nircam_flats as nf
from nircam_flats.plotting import draw_flat
from nircam_flats.simulation import SimulatedProgram

program = SimulatedProgram(detectors="B1", shape=(512, 512), seed=7)
exposures = nf.ExposureSet.from_exposures(program.exposures())
exposures.table["name", "filter", "start"]

# %%
# From exposures to a flight flat
# -------------------------------
# `nircam_flats.recipes.sky_flat_detector` is the whole procedure of one detector. Each of its steps is one call
# that you can make yourself; the module is worth reading.

ground_flats = [program.ground_flat("B1", filter) for filter in program.filters_of("B1")]
products = nf.recipes.sky_flat_detector(exposures, ground_flats)
products.grey.exposures["name", "used", "level", "masked_fraction"]

# %%
# The answer beside the truth
# ---------------------------
# The surface is what multiplies the ground flat. Divided by the truth it should be white: what is left are the
# structures that no smooth surface holds.

truth = program.truth("B1").grey()
truth /= np.nanmedian(truth)

figure, axes = plt.subplots(1, 3, figsize=(15, 4.3), layout="constrained")
draw_flat(products.grey.data, ax=axes[0], half_range=0.05, title="delta skyflat")
draw_flat(products.fit.surface, ax=axes[1], half_range=0.05, title="fitted surface")
draw_flat(products.fit.surface / truth, ax=axes[2], half_range=0.05, title="fitted surface / truth")

# %%
# The flight flat of each filter is a `~nircam_flats.FlatReference`, ready to be written or applied.

flight = products.flats["F200W"]
before = exposures.where(filter="F200W")[0]
after = flight.apply_to(before, replacing=ground_flats[1])
print(f"sky before: {nf.SkyLevel.measure(before.data, ~before.good).scatter:.4f} MJy/sr rms")
print(f"sky after:  {nf.SkyLevel.measure(after.data, ~after.good).scatter:.4f} MJy/sr rms")
