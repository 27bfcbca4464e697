"""
What does the mask take away?
=============================

A source mask must take the sources and leave the sky. While the flat is still wrong by several per cent, one threshold
for the whole frame cannot: it takes more where the response is high.
"""

# %%
# One exposure, three masks
# -------------------------
# Detector B1, divided by its ground flat. The first mask is that of the report (JWST-STScI-008304), 1 sigma above one
# level; the second looks above a local background and grows what it finds; the third is the same with one level
# again, but on data divided by a first model of the flat: the pass that counts.

from itertools import pairwise

import attrs
import matplotlib.pyplot as plt
import numpy as np

import nircam_flats as nf
from nircam_flats.plotting import draw_flat
from nircam_flats.simulation import Effects, SimulatedProgram

program = SimulatedProgram(detectors="B1", shape=(768, 768), n_dithers=4, seed=11)
exposures = nf.ExposureSet.from_exposures(program.exposures())
exposure = exposures[0]

first_pass = nf.NormalizedFrames.from_exposures(exposures, masks=nf.Segmentation.for_first_pass())
model = nf.FlatModelFit.from_delta(nf.DeltaSkyflat.from_frames(first_pass), n_replicates=0)
settings = {
    "report": (nf.Segmentation.of_report(), None),
    "ours, first pass": (nf.Segmentation.for_first_pass(), None),
    "ours, later passes": (nf.Segmentation(), model),
}
masks = {
    name: nf.SourceMask.from_exposure(exposure, strategy, correction=correction)
    for name, (strategy, correction) in settings.items()
}

# %%
# The level of the sky
# --------------------
# What is left of the wings of sources pulls it up, a threshold that cuts into the noise pulls it down. A grown mask
# takes the wings, and the pixels that it takes along are neutral. The truth is the level that was injected.

delta = program.truth("B1").delta("F115W")
injected = program.sky_level("B1", "F115W", 0).to_value(exposure.unit)
for name, mask in masks.items():
    level = nf.SkyLevel.measure(exposure.data / delta, mask.masked, good=exposure.good)
    print(f"{name:18} masked {level.masked_fraction:6.1%}   sky level, found / injected {level.value / injected:.4f}")

# %%
# Does the mask follow the flat?
# ------------------------------
# It must not. In the same detector under an empty sky, all that is masked is noise, and as much of it should be
# masked everywhere. With one threshold for the whole frame more is masked the higher the response is: what is left
# there is too faint, and the flat that is made of it too low.

empty = attrs.evolve(program, effects=attrs.evolve(Effects.none(), noise=True))
sky_only = [empty.exposure("B1", "F115W", index) for index in range(empty.n_exposures)]
response = empty.truth("B1").delta("F115W")
often = {
    name: np.mean(
        [nf.SourceMask.from_exposure(one, strategy, correction=correction).masked for one in sky_only], axis=0
    )
    for name, (strategy, correction) in settings.items()
}

figure, axes = plt.subplots(2, 3, figsize=(13.5, 8.2), layout="constrained")
for ax, (name, mask) in zip(axes[0], masks.items(), strict=True):
    ax.imshow(mask.masked, origin="lower", cmap="Greys", interpolation="nearest")
    ax.set(title=f"masked: {name}", xlabel="x [px]", ylabel="y [px]")
sky = exposure.data / np.nanmedian(exposure.data)
draw_flat(sky, ax=axes[1, 0], half_range=0.1, title="the exposure", label="brightness / median")
draw_flat(response, ax=axes[1, 1], half_range=0.05, title="true change of the flat")

ax, edges = axes[1, 2], np.nanquantile(response, np.linspace(0.005, 0.995, 9))
inside = [(response >= low) & (response < high) for low, high in pairwise(edges)]
for (name, part), colour, marker in zip(often.items(), ("#D55E00", "#0072B2", "#009E73"), "osD", strict=True):
    fraction = [100 * part[where].mean() for where in inside]
    ax.plot((edges[:-1] + edges[1:]) / 2, fraction, marker, ls="-", color=colour, label=name)
ax.set(xlabel="true response", ylabel="masked [%]", yscale="log", title="under an empty sky")
ax.legend()
