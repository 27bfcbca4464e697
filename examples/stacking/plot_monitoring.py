"""
Does the flat change over the years?
====================================

A detector is watched for three years: epoch by epoch, the new exposures are added to the ones that are there, and its
response is asked for slow drifts, for jumps, and for pixels that died.
"""

# %%
# Three years of exposures
# ------------------------
# Twelve quarters, eight exposures of as many fields in each, of detector B1 in one filter. The simulated response is
# the same in all of them; here it is made to drift along x, by 2 % a year from edge to edge, and to jump along y in the
# eighth quarter, by 4 %. Five pixels die in the fifth.

import attrs
import matplotlib.pyplot as plt
import numpy as np
from astropy import units as u
from astropy.time import Time

import nircam_flats as nf
from nircam_flats.simulation import SimulatedProgram

QUARTER = 90 * u.day
program = SimulatedProgram(detectors="B1", filters="F200W", n_pointings=96, n_dithers=1, shape=(384, 384), seed=6)
y, x = 2 * np.indices(program.shape) / 384 - 1
died = np.random.default_rng(6).integers(10, 374, (2, 5))


def taken_in(quarter, exposure):
    """The exposure as it would be in that quarter."""
    change = 1 + 0.01 * (quarter * QUARTER).to_value(u.yr) * x + 0.02 * (quarter >= 7) * y
    if quarter >= 4:
        change[tuple(died)] *= 0.4
    start = Time("2022-08-20") + quarter * QUARTER + (exposure.start - Time("2022-08-20")).to_value(u.day) % 1 * u.day
    return attrs.evolve(exposure, data=exposure.data * change, start=start, end=start + 10 * u.min)


exposures = [taken_in(number // 8, exposure) for number, exposure in enumerate(program.exposures())]

# %%
# A series that grows
# -------------------
# Each exposure is masked once, by itself, in data divided by the fit of the first two quarters. What is added is all
# that is masked, and only its epochs are combined; so it costs the same in the third year as in the first.

first = nf.ExposureSet.from_exposures(exposures[:16])
fit = nf.FlatModelFit.from_delta(nf.DeltaSkyflat.from_frames(nf.recipes.masked_frames(first)))
series = nf.SkyflatSeries.from_exposures(first, length=QUARTER, correction=fit)
for begin in range(16, 96, 8):
    series = series.add(nf.ExposureSet.from_exposures(exposures[begin : begin + 8]))
print(series.table)

# %%
# Any span is combined as if it had been stacked at once:

print(series.between("2023-01-01", "2024-01-01"))

# %%
# What changes
# ------------
# Slopes in a year of the coefficients of a surface. P1(x) is what drifts; it runs from -1 to 1, so its coefficient
# drifts by half of what the edges do.

trend = series.coefficient_trend(degree=2)
print(trend.table)
print(trend.changes())

# %%
# Pixels that died, with the epochs in which they were last seen alive and first seen dead. The five are there, and some
# of a concentration of pixels that was there from the first, of a response so close to the limit of 0.8 that a single
# epoch does not always say on which side they are:

print(series.new_dead_pixels(nf.DeadPixelMap.from_delta))

# %%
# The answer
# ----------
# The drift and the jump are seen, each in its coefficient; the others stay where they were. On the right is where the
# detector drifts.

figure, axes = plt.subplots(1, 2, figsize=(13, 4.8), layout="constrained", width_ratios=(1.3, 1))
trend.plot(axes[0])
series.box_trend().plot(axes[1])
