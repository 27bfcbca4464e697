"""
Is one surface enough for all filters?
======================================

All filters of a detector together, *grey*, give the least noise, and the report corrects every filter by the grey
surface. What filters differ by then stays in their flats.
"""

# %%
# One detector, two filters
# -------------------------
# In this simulation the change of the flat has a part that all filters share, and one of each filter's own, 2 per
# cent from peak to peak.

import matplotlib.pyplot as plt
import numpy as np
from astropy.nddata import block_reduce

import nircam_flats as nf
from nircam_flats.plotting import draw_flat
from nircam_flats.simulation import SimulatedProgram

program = SimulatedProgram(detectors="B1", shape=(512, 512), n_dithers=6, seed=8)
truth = program.truth("B1")
frames = nf.recipes.masked_frames(nf.ExposureSet.from_exposures(program.exposures()))
grey = nf.DeltaSkyflat.from_frames(frames)
by_filter = {item.name: nf.DeltaSkyflat.from_frames(frames.where(filter=item)) for item in frames.filters}
print({name: len(delta.influences) for name, delta in by_filter.items()}, "exposures;", len(grey.influences), "in all")

# %%
# Three policies
# --------------
# `~nircam_flats.Grey` takes one surface for all, `~nircam_flats.PerFilter` each filter's own; `~nircam_flats.Shrunk`
# starts from grey and departs from it as far as the exposures of the filter demand.

policies = (nf.Grey(), nf.PerFilter(), nf.Shrunk())
fits = {repr(policy): policy(grey, by_filter) for policy in policies}

# %%
# The answer
# ----------
# What each leaves of the truth (white is nothing), with the scatter of its medians in boxes of 64 px. What is left
# with the filters' own surfaces is alike in both: faint light of the field that they share, and what a smooth surface
# cannot follow.

figure, axes = plt.subplots(2, 3, figsize=(13, 7.6), layout="constrained")
for row, name in zip(axes, by_filter, strict=True):
    for ax, (policy, found) in zip(row, fits.items(), strict=True):
        left = np.where(truth.dead, np.nan, found[name].surface / truth.delta(name))
        left /= np.nanmedian(left)
        rms = np.std(block_reduce(left, 64, np.nanmedian))
        draw_flat(left, ax=ax, half_range=0.02, title=f"{name}, {policy}: {rms:.2%}", label="surface / truth")
