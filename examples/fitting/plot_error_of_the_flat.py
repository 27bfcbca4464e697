"""
What does the flat's error do to photometry?
============================================

The noise of an aperture gets smaller with the number of its pixels. The error of the flat hardly does: neighbours share
it. A fit keeps the covariance of its surface, so that the error of a mean over any region can be told.
"""

# %%
# A fit with its errors
# ---------------------
# Detector B1, twelve exposures.

import matplotlib.pyplot as plt
import numpy as np
from photutils.aperture import CircularAperture

import nircam_flats as nf
from nircam_flats.simulation import SimulatedProgram

program = SimulatedProgram(detectors="B1", shape=(512, 512), seed=6)
exposures = nf.ExposureSet.from_exposures(program.exposures())
delta = nf.DeltaSkyflat.from_frames(nf.recipes.masked_frames(exposures))
fit = nf.FlatModelFit.from_delta(delta)

# %%
# One aperture
# ------------
# `~nircam_flats.FlatModelFit.error_of_mean` takes an aperture of photutils, a region, or an image of weights. What it
# returns is also the relative error that the flat leaves in the flux.

centre = (180, 300)
aperture = CircularAperture(centre, r=5)
print(f"flux error by the flat in {aperture.area:.0f} pixels: {fit.error_of_mean(aperture):.3%}")

# %%
# Any aperture
# ------------
# The median over nine places. If neighbours shared nothing, the error would fall with the number of pixels (dotted).
# It falls only when the aperture is so large that the errors within it differ. The delta skyflat itself, used as it
# is, has the noise of its pixels besides, which does average.

radii = np.geomspace(1, 170, 16)
places = [(x, y) for x in (180, 256, 332) for y in (180, 256, 332)]
shared = np.array([np.median([fit.error_of_mean(CircularAperture(at, r=radius)) for at in places]) for radius in radii])
noise = np.nanmedian(delta.err)

figure, ax = plt.subplots(figsize=(8, 5), layout="constrained")
ax.plot(radii, 100 * shared, "o-", color="#0072B2", label="smooth surface")
ax.plot(radii, 100 * shared[0] * radii[0] / radii, ":", color="#0072B2", label="the same, if pixels shared nothing")
unsmoothed = np.hypot(noise / np.sqrt(np.pi * radii**2), shared)
ax.plot(radii, 100 * unsmoothed, "s--", color="0.4", label="delta skyflat, not smoothed")
ax.set(
    xscale="log", yscale="log", xlabel="radius of the aperture [px]", ylabel="error in the flux [%]", ylim=(0.01, None)
)
ax.legend()
