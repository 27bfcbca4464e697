"""
How many exposures does a flat need?
====================================

The noise of single pixels falls with every exposure. What limits a smooth surface is something else: what whole frames
share, stripes and the faint light that no mask found.
"""

# %%
# A campaign with many exposures
# ------------------------------
# Detector B1 in one filter: eight fields, four dithers each. Exposures are masked once, in three passes, and then
# combined in groups of growing size that share no exposure.

import attrs
import matplotlib.pyplot as plt
import numpy as np
from astropy.nddata import block_reduce

import nircam_flats as nf
from nircam_flats.simulation import SimulatedProgram

program = SimulatedProgram(detectors="B1", filters="F200W", n_pointings=8, n_dithers=4, shape=(512, 512), seed=4)
frames = nf.recipes.masked_frames(nf.ExposureSet.from_exposures(program.exposures()))
rng = np.random.default_rng(4)
order = rng.permutation(len(frames))
truth = program.truth("B1").delta("F200W")


def departure(surface):
    """Scatter of surface / truth over medians of boxes of 64 px."""
    return np.std(block_reduce(surface / truth, 64, np.nanmedian))


# %%
# Groups of 2, 4, 8, 16 and 32
# ----------------------------
# Three numbers for each: the noise of single pixels of the delta skyflat; what the smooth surface leaves of the
# truth; and the error that the fit claims, which knows nothing of the truth.

rows = []
for size in (2, 4, 8, 16, 32):
    for first in range(0, min(len(order), 6 * size), size):
        members = [frames.frames[index] for index in order[first : first + size]]
        delta = nf.DeltaSkyflat.from_frames(attrs.evolve(frames, frames=members))
        fit = nf.FlatModelFit.from_delta(delta)
        rows.append((size, np.nanmedian(delta.err), departure(fit.surface), np.median(fit.err)))
size, noise, left, claimed = np.array(rows).T
perfect = departure(nf.MedianFilter(filter_size=12)(truth))

# %%
# The answer
# ----------
# Single pixels gain almost with the root of the number (a little less: the median of two is their mean, and a median
# of many is noisier than a mean), and with all 32 exposures they are still noisier by far than a ground flat. That is
# why a delta skyflat is smoothed before it corrects one. The surface is good with a few exposures, and gets better
# slowly, towards what no smooth surface follows (dashed): what limits it is shared by many pixels. How well a fit knows
# its own error is seen in the scatter of the small dots, each a group: with few exposures it is a guess that may be
# several times off.

figure, ax = plt.subplots(figsize=(8, 5), layout="constrained")
sizes = np.unique(size)
for value, name, colour, marker in (
    (noise, "noise of a pixel of the delta skyflat", "0.4", "s"),
    (claimed, "error that the fit claims", "#0072B2", "D"),
    (left, "what the surface leaves of the truth", "#D55E00", "o"),
):
    ax.plot(sizes, [100 * np.median(value[size == n]) for n in sizes], marker, ls="-", color=colour, label=name)
    ax.plot(size, 100 * value, marker, color=colour, alpha=0.3, ms=4)
ax.axhline(100 * perfect, color="#D55E00", ls="--", lw=1, label="the same, of a surface fitted to the truth")
ax.set(xscale="log", yscale="log", xlabel="exposures", ylabel="relative error [%]", xticks=sizes, ylim=(0.03, 20))
ax.set_xticks([], minor=True)
ax.set_xticks(sizes, [f"{n:.0f}" for n in sizes])
ax.legend(loc="center right")
