"""
Did the sky get flat?
=====================

Exposures of the sky, divided by the old and by the new flat: what is left of large-scale structure, and how much of
that is noise.
"""

# %%
# A new flat, and exposures that it was not made of
# -------------------------------------------------
# A simulated campaign of detector B2: the first two pointings make the flat, the third judges it.

import attrs
import matplotlib.pyplot as plt
import numpy as np

import nircam_flats as nf
from nircam_flats.plotting import before_after, draw_profiles
from nircam_flats.simulation import Effects, SimulatedProgram

effects = attrs.evolve(Effects(), large_galaxy=False, saturated_star=False, persistence=False)
program = SimulatedProgram(
    detectors="B2", filters="F200W", shape=(512, 512), n_pointings=3, n_dithers=6, seed=21, effects=effects
)
exposures = nf.ExposureSet.from_exposures(program.exposures())
old = program.ground_flat("B2", "F200W")
new = nf.recipes.sky_flat_detector(exposures[:12], [old]).flats["F200W"]

# %%
# Compare
# -------
# Sources are masked and each exposure is divided by its sky level; the same pixels count with both flats. Differences
# between the exposures tell what noise alone would show: a figure is as good as the flat only where it is above that.

comparison = nf.FlatnessComparison.from_exposures(exposures[12:], old=old, new=new)
print(comparison)
comparison.table["name", "old_rms", "new_rms", "new_floor_rms"]

# %%
# Before and after
# ----------------
# Above, medians of 64 x 64 pixels in the stack of the six exposures; below, all columns collapsed, with their errors.

figure = plt.figure(figsize=(10, 8), layout="constrained")
figure.suptitle(f"{comparison.detector}, {len(comparison.new.meshes)} exposures")
above, below = figure.subfigures(2, 1, height_ratios=(1.3, 1))
stacks = [item.stack / np.nanmedian(item.stack) for item in (comparison.old, comparison.new)]
before_after(*stacks, pixel=comparison.new.box_size, label="sky / its median", figure=above)
draw_profiles(comparison, ax=below.subplots(), along="columns")
