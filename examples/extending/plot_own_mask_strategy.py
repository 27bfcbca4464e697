"""
How do I write my own mask strategy?
====================================

A mask strategy says which pixels of an image show more than the sky. To write one, subclass
`nircam_flats.MaskStrategy` and write one method, ``find``.
"""

# %%
# One method
# ----------
# ``data`` is NaN where ``good`` is false. The base class checks what comes in and what goes out. This strategy uses
# photutils: a threshold on a background that follows the flat, and sources grown with a disk of its own.

import matplotlib.pyplot as plt
import numpy as np
from astropy.convolution import Gaussian2DKernel, convolve_fft
from astropy.nddata import block_reduce
from astropy.stats import SigmaClip
from photutils.background import Background2D
from photutils.segmentation import detect_sources
from photutils.utils import circular_footprint

import nircam_flats as nf
from nircam_flats.simulation import SimulatedProgram


class Photutils(nf.MaskStrategy):
    """What `photutils.segmentation` detects above a local background."""

    def __init__(self, *, n_sigma=1.5, n_pixels=8, grow=6):
        self.n_sigma = n_sigma
        self.n_pixels = n_pixels
        self.grow = grow

    def find(self, data, good):
        background = Background2D(data, 64, mask=~good, sigma_clip=SigmaClip(3), exclude_percentile=90)
        smoothed = convolve_fft(np.where(good, data - background.background, 0), Gaussian2DKernel(1.3))
        found = detect_sources(smoothed, self.n_sigma * background.background_rms_median / 3, self.n_pixels, mask=~good)
        if found is None:
            return np.zeros(data.shape, bool)
        return found.make_source_mask(footprint=circular_footprint(self.grow))


# %%
# Does it keep the rules?
# -----------------------
# `nircam_flats.testing.check_mask_strategy` says so before a real run does.

nf.testing.check_mask_strategy(Photutils())

# %%
# Use it like any other
# ---------------------
# Wherever masks are made, yours can be given. Both are judged by what matters, the surface that comes out: its
# scatter about the truth over boxes of 64 px.

program = SimulatedProgram(detectors="B1", shape=(512, 512), n_dithers=4, seed=9)
exposures = nf.ExposureSet.from_exposures(program.exposures())
truth = program.truth("B1").grey()
truth /= np.nanmedian(truth)

exposure = exposures[1]
figure, axes = plt.subplots(1, 3, figsize=(13, 4.6), layout="constrained")
level = nf.SkyLevel.measure(exposure.data, ~exposure.good)
axes[0].imshow(exposure.data / level.value, origin="lower", cmap="Greys", vmin=0.9, vmax=1.3)
axes[0].set(title="an exposure", xlabel="x [px]", ylabel="y [px]")
for ax, strategy in zip(axes[1:], (nf.Segmentation.for_first_pass(), Photutils()), strict=True):
    mask = nf.SourceMask.from_exposure(exposure, strategy)
    fit = nf.FlatModelFit.from_delta(nf.DeltaSkyflat.from_exposures(exposures, masks=strategy))
    ax.imshow(mask.masked, origin="lower", cmap="Greys", interpolation="nearest")
    left = np.std(block_reduce(fit.surface / truth, 64, np.nanmedian))
    ax.set(title=f"{type(strategy).__name__}: {mask.fraction:.0%} masked, flat wrong by {left:.2%}", xlabel="x [px]")
