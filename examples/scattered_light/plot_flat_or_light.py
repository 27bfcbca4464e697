"""
Is it flat or is it light?
==========================

A wisp is light, and a stain on a detector is response. In a delta skyflat they look alike. They differ in time: light
that the telescope scatters is now stronger, now weaker than the sky, and response is not.
"""

# %%
# Two structures
# --------------
# Detector B4, six exposures, with a wisp of 10 to 20 per cent of the sky. A stain of 6 per cent is put into the
# response beneath it.

import attrs
import matplotlib.pyplot as plt
import numpy as np

import nircam_flats as nf
from nircam_flats.plotting import draw_flat
from nircam_flats.simulation import Effects, SimulatedProgram

effects = attrs.evolve(Effects(), sources=False, large_galaxy=False, saturated_star=False, bad_pixels=False)
settings = {"detectors": "B4", "filters": "F200W", "n_pointings": 1, "n_dithers": 6, "shape": (1024, 1024)}
program = SimulatedProgram(**settings, seed=8, effects=effects, wisp_range=(0.1, 0.2))

wisp = program.truth("B4").wisp("F200W")
y, x = np.indices(program.shape)
row, column = np.unravel_index(np.argmax(wisp), wisp.shape)
stain = 1 + 0.06 * np.exp(-0.5 * ((y - row) ** 2 + (x - column + 120) ** 2) / 30**2)
exposures = [attrs.evolve(one, data=one.data * stain) for one in program.exposures()]

# %%
# What the delta skyflat shows
# ----------------------------
# The median of the exposures takes all of it for response.

frames = nf.NormalizedFrames.from_exposures(nf.ExposureSet.from_exposures(exposures), masks=lambda exposure: None)
mixed = nf.DeltaSkyflat.from_frames(frames)

# %%
# Taking it apart
# ---------------
# Each frame is response plus a strength times light. The decomposition finds the strengths, the light, and the
# response.

parts = nf.SkyDecomposition.from_frames(frames)
parts.strengths["name", "strength", "strength_err"]

# %%
# What it says of the whole, and of each structure:

print(parts.identifiability)
for verdict in parts.verdicts:
    print("-", verdict)

# %%
# The answer
# ----------
# Where the evidence is red it is light; blue, response. The delta skyflat of the decomposition has kept the stain, and
# lost the wisp.

figure, axes = plt.subplots(1, 3, figsize=(15, 4.3), layout="constrained")
draw_flat(mixed.data, ax=axes[0], half_range=0.1, title="delta skyflat")
parts.plot(axes[1])
parts.delta.plot(axes[2], norm=None, vmin=0.9, vmax=1.1)
axes[2].set_title("response alone")
