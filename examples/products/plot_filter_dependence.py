"""
How does the flat depend on the filter?
=======================================

One flat for all filters has the least noise, and is wrong by what they differ. The delta skyflat of a filter, divided
by the grey one, shows that difference, with its error.
"""

# %%
# A long-wavelength detector in three filters
# -------------------------------------------
# In this simulation a pattern grows with wavelength, 2 per cent peak to peak from the middle of the channel to an end.

import matplotlib.pyplot as plt
import numpy as np

import nircam_flats as nf
from nircam_flats.plotting import filter_grid
from nircam_flats.simulation import SimulatedProgram

program = SimulatedProgram(detectors="BLONG", filters=["F277W", "F356W", "F444W"], shape=(512, 512), seed=9)
frames = nf.NormalizedFrames.from_exposures(nf.ExposureSet.from_exposures(program.exposures()))
grey = nf.DeltaSkyflat.from_frames(frames)
filters = [nf.DeltaSkyflat.from_frames(frames.where(filter=item)).relative_to(grey) for item in frames.filters]

# %%
# Ratios
# ------
# `~nircam_flats.plotting.filter_grid` puts the filters in rows and the detectors in columns. With ``significance=True``
# it shows by how many standard deviations boxes of 32 px depart.

for item in filters:
    print(f"{item.label}: rms departure of boxes {np.nanstd(item.significance):.1f} sigma")
figure = plt.figure(figsize=(4.6, 9.5), layout="constrained")
filter_grid(filters, figure=figure)

# %%
# The trend with wavelength
# -------------------------
# The gradient across the detector in each filter, and a straight line through them. All filters share the grey flat;
# the error of the slope knows that.

trend = nf.WavelengthTrend.from_dependences(filters)
figure, ax = plt.subplots(layout="constrained")
trend.plot(ax=ax)
