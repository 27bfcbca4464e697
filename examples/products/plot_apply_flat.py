"""
What does a new flat do to an exposure?
=======================================

An exposure that was calibrated with the old flat is given the new one, without going back to its ramps. Its sky gets
flat, its stars change with it, and its errors follow.
"""

# %%
# A flight flat
# -------------
# Detector B1 in two filters, with the ground flats that calibrated the exposures. The fields have neither very bright
# stars nor a large galaxy, so that the sky can be judged everywhere.

import matplotlib.pyplot as plt
import numpy as np

import nircam_flats as nf
from nircam_flats.plotting import draw_flat
from nircam_flats.simulation import Effects, SimulatedProgram

effects = Effects(large_galaxy=False, saturated_star=False)
program = SimulatedProgram(detectors="B1", shape=(512, 512), n_dithers=4, seed=12, effects=effects)
exposures = nf.ExposureSet.from_exposures(program.exposures())
ground_flats = [program.ground_flat("B1", item) for item in ("F115W", "F200W")]
products = nf.recipes.sky_flat_detector(exposures, ground_flats)
flight = products.flats["F200W"]

# %%
# One call
# --------
# `nircam_flats.FlatReference.apply_to` takes the old flat out and puts the new one in: data, all variances, the error
# and the flags, as the pipeline's own step would have done. It refuses a flat that the exposure was not divided by.

before = exposures.where(filter="F200W")[0]
after = flight.apply_to(before, replacing=ground_flats[1])

# %%
# What it does to photometry
# --------------------------
# Fluxes change by old flat / new flat; the photometric calibration (PHOTMJSR) must follow.

print(flight.provenance.photometry)

# %%
# The answer
# ----------
# The sky of the exposure with its sources masked, before and after. Single pixels are noisy, so it is smoothed, as a
# delta skyflat would be.

mask = nf.SourceMask.from_exposure(before, correction=products.fit)
smooth = nf.MedianFilter(box_size=32, filter_size=3)
figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
for ax, exposure, name in zip(axes, (before, after), ("ground flat", "flight flat"), strict=True):
    level = nf.SkyLevel.measure(exposure.data, mask.masked, good=exposure.good)
    sky = smooth(exposure.data / level.value, good=exposure.good & ~mask.masked)
    title = f"divided by the {name}: {np.ptp(sky):.1%} peak to peak"
    draw_flat(sky, ax=ax, half_range=0.05, title=title, label="sky / its level")
