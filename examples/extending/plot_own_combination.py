"""
How do I combine frames my own way?
===================================

A combination turns the values that a pixel has in many frames into one. To write one, subclass
`nircam_flats.CombineStrategy` and write one method, ``combine``.
"""

# %%
# One method
# ----------
# ``stack.values`` has the shape (frames, rows, columns) and is NaN where a frame is masked; ``stack.noise`` is the
# noise of a pixel of each frame, in units of its sky. Three images are returned: values, errors, and how many frames
# each is made of. The method is called on bands of rows, from several threads. This one takes the mean weighted by
# the noise, of what lies within a few of its standard deviations from the median.

import matplotlib.pyplot as plt
import numpy as np

import nircam_flats as nf
from nircam_flats.simulation import SimulatedProgram


class WeightedMean(nf.CombineStrategy):
    """Mean with the weights 1/noise^2, of values near the median."""

    def __init__(self, *, n_sigma=3.0):
        self.n_sigma = n_sigma

    def combine(self, stack):
        noise = stack.noise[:, None, None]
        middle = np.ma.median(np.ma.masked_invalid(stack.values), axis=0).filled(np.nan)
        near = np.abs(stack.values - middle) < self.n_sigma * noise
        weights = np.where(near, 1 / noise**2, 0)
        total = weights.sum(axis=0)
        n_used = near.sum(axis=0)
        safe = np.where(n_used > 0, total, 1)
        data = np.sum(weights * np.where(near, stack.values, 0), axis=0) / safe
        return data, 1 / np.sqrt(safe), n_used


# %%
# Does it keep the rules?
# -----------------------
# `nircam_flats.testing.check_combine_strategy` says so before a real run does.

nf.testing.check_combine_strategy(WeightedMean())

# %%
# Use it like any other
# ---------------------
# Frames are masked and normalised once, and combined in three ways.

program = SimulatedProgram(detectors="B1", shape=(256, 256), n_dithers=6, seed=10)
truth = program.truth("B1").grey()
truth /= np.nanmedian(truth)
frames = nf.recipes.masked_frames(nf.ExposureSet.from_exposures(program.exposures()))

strategies = (nf.SigmaClippedMedian(), nf.SigmaClippedMean(), WeightedMean())
deltas = [nf.DeltaSkyflat.from_frames(frames, strategy=strategy) for strategy in strategies]

# %%
# The answer
# ----------
# Departures from the truth, in units of the error that each claims, should follow the normal curve. The wings beyond
# it are faint light that no mask found, and dead pixels. The legend tells the median error of a pixel: a mean has
# less noise than a median; that the weights gain so little shows that these exposures differ little in noise.

figure, ax = plt.subplots(figsize=(8, 5), layout="constrained")
bins = np.linspace(-5, 5, 61)
for strategy, delta, colour in zip(strategies, deltas, ("0.4", "#0072B2", "#D55E00"), strict=True):
    pulls = (delta.data / truth - 1) / delta.err
    label = f"{type(strategy).__name__}: error {np.nanmedian(delta.err):.2%}"
    ax.hist(pulls[np.isfinite(pulls)], bins, density=True, histtype="step", lw=1.6, color=colour, label=label)
ax.plot(bins, np.exp(-(bins**2) / 2) / np.sqrt(2 * np.pi), "k:", label="normal")
ax.set(yscale="log", ylim=(1e-5, 1), xlabel="(delta skyflat − truth) / error", ylabel="density")
ax.legend(loc="lower center")
