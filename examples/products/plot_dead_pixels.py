"""
Which pixels died since launch?
===============================

A dead pixel is low in the delta skyflat. So is a noisy one now and then, and in a stack of few frames there are more of
those. A map of dead pixels tells them apart, and here the truth is known.
"""

# %%
# Six exposures
# -------------
# Three in each of two filters, and the delta skyflat of all.

import matplotlib.pyplot as plt
import numpy as np

import nircam_flats as nf
from nircam_flats.plotting import dead_pixel_cutouts, dead_pixel_figure
from nircam_flats.simulation import SimulatedProgram

program = SimulatedProgram(detectors="B1", shape=(512, 512), n_pointings=1, n_dithers=3, seed=4)
exposures = nf.ExposureSet.from_exposures(program.exposures())
frames = nf.NormalizedFrames.from_exposures(exposures)
grey = nf.DeltaSkyflat.from_frames(frames)

# %%
# The rule of the report, and the odds
# ------------------------------------
# The report takes all pixels below 0.8 that were not dead on the ground. The map asks of each how likely it is dead,
# given its value, its error, and the scatter of its frames.

ground = program.ground_flat("B1", "F200W")
dead = nf.DeadPixelMap.from_delta(grey, known=ground, frames=frames)
truth = program.truth("B1").dead

bare = grey.good & (grey.data < 0.8) & ~dead.known
for name, found in (("below 0.8", bare), ("map", dead.new)):
    recall, purity = found[truth & grey.good].mean(), truth[found].mean()
    print(f"{name}: {found.sum()} pixels, {purity:.1%} of them dead; {recall:.1%} of the dead ones found")
print(f"purity that the map expects: {dead.expected_purity:.1%}; {dead.uncertain.sum()} pixels are uncertain")

# %%
# Where they are
# --------------
# Concentrations are clusters. `~nircam_flats.DeadPixelMap.to_regions` gives their circles for DS9, and
# `~nircam_flats.DeadPixelMap.write_mask` a bad-pixel mask for the pipeline.

dead.concentrations()["x", "y", "radius", "n_pixels", "response"]

# %%
# Closely, and on all detectors
# -----------------------------
# What the largest concentrations look like; and the maps of all short-wavelength detectors as they lie on the sky.


def map_of(detector):
    """The dead pixels of another detector, found as above."""
    other = SimulatedProgram(detectors=detector, shape=(256, 256), n_pointings=1, n_dithers=3, seed=4)
    frames = nf.NormalizedFrames.from_exposures(nf.ExposureSet.from_exposures(other.exposures()))
    delta = nf.DeltaSkyflat.from_frames(frames)
    return nf.DeadPixelMap.from_delta(delta, known=other.ground_flat(detector, "F200W"), frames=frames)


dead_pixel_cutouts(dead, half_size=25, figure=plt.figure(figsize=(5, 4.4), layout="constrained"))
dead_pixel_figure(
    [dead, *map(map_of, ("A1", "A2", "A3", "A4", "B2", "B3", "B4"))], figure=plt.figure(figsize=(11, 5.4))
)

# %%
# The answer
# ----------
# Left: the new dead pixels. Right: pixels below 0.8; what the rule of the report takes and the map does not is noisy.

figure, axes = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
dead.plot(ax=axes[0], s=8)
low = grey.data[bare], np.minimum(grey.scatter[bare], 12)
axes[1].scatter(*low, s=14, c=np.where(truth[bare], "tab:red", "0.6"))
axes[1].scatter(*(item[dead.new[bare]] for item in low), s=40, facecolors="none", edgecolors="k", linewidths=0.6)
axes[1].set(xlabel="response", ylabel="scatter of the frames / their noise", title="red: dead; circles: in the map")
