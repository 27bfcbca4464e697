"""
Which strategy keeps which structure?
=====================================

A surface should keep what is flat and drop what is noise. On a long-wavelength detector the flat has structure on two
scales: a smooth change of several per cent, and fine crossed lines, the *crosshatch*.
"""

# %%
# A detector with crosshatch
# --------------------------
# Detector ALONG, four fields without large galaxies and bright stars, six dithers of each in two filters.

import matplotlib.pyplot as plt
import numpy as np

import nircam_flats as nf
from nircam_flats.plotting import draw_flat
from nircam_flats.simulation import Effects, SimulatedProgram

effects = Effects(large_galaxy=False, saturated_star=False)
program = SimulatedProgram(detectors="ALONG", n_pointings=4, n_dithers=6, shape=(256, 256), seed=2, effects=effects)
truth = program.truth("ALONG")
expected = np.where(truth.dead, np.nan, truth.grey())
expected /= np.nanmedian(expected)
exposures = nf.ExposureSet.from_exposures(program.exposures())
delta = nf.DeltaSkyflat.from_frames(nf.recipes.masked_frames(exposures))

# %%
# Three strategies
# ----------------
# The cubic is the report's choice for short wavelengths. The median filter (boxes, a window of 8 x 8 of them, about a
# cubic trend) is our default, with 12 x 12 for short wavelengths. `~nircam_flats.MultiScale` adds to a smooth
# surface what stands out from the noise at finer scales.

strategies = {
    "cubic": nf.Polynomial2D(degree=3),
    "median filter": nf.MedianFilter(),
    "MultiScale": nf.MultiScale(base=nf.MedianFilter()),
}
fits = {name: nf.FlatModelFit.from_delta(delta, strategy=strategy) for name, strategy in strategies.items()}

# %%
# What `~nircam_flats.MultiScale` found at each scale, and how much of it the surface keeps, it tells itself:

strategies["MultiScale"].scales(delta.data, delta.err)

# %%
# The answer
# ----------
# Upper row: the data and the truth that is in them, in the middle of the frame. Lower row: what each surface leaves
# of the truth there, with its scatter from pixel to pixel over the whole frame. Smooth surfaces leave the crosshatch.

middle = slice(64, 192)
inner = slice(8, -8)
figure, axes = plt.subplots(2, 3, figsize=(13, 7.6), layout="constrained")
draw_flat(delta.data[middle, middle], ax=axes[0, 0], half_range=0.05, title="delta skyflat")
draw_flat(fits["MultiScale"].surface[middle, middle], ax=axes[0, 1], half_range=0.05, title="surface: MultiScale")
draw_flat(expected[middle, middle], ax=axes[0, 2], half_range=0.05, title="truth")
for ax, (name, fit) in zip(axes[1], fits.items(), strict=True):
    left = fit.surface / expected
    title = f"{name} / truth: {np.nanstd(left[inner, inner]):.2%} rms"
    draw_flat(left[middle, middle], ax=ax, half_range=0.015, title=title, label="surface / truth")
