"""
Is it flat or is it light?
==========================

Light that is scattered onto the detector brightens the sky and looks like a flat. Stars tell the difference: they do
not get brighter where light is added.
"""

# %%
# Two flats of the sky, one with added light
# ------------------------------------------
# The sky of detector B1, once as it is and once with a glow of 2 per cent in one corner, makes two flats.

import attrs
import matplotlib.pyplot as plt
import numpy as np

import nircam_flats as nf
from nircam_flats.plotting import draw_flat
from nircam_flats.simulation import Effects, SimulatedProgram

effects = attrs.evolve(Effects(), large_galaxy=False, saturated_star=False, persistence=False)
program = SimulatedProgram(
    detectors="B1", filters="F200W", shape=(512, 512), n_pointings=2, n_dithers=6, seed=8, effects=effects
)
y, x = np.indices(program.shape) / 512
glow = 0.02 * np.exp(-((x - 0.8) ** 2 + (y - 0.2) ** 2) / 0.1)


def sky_fit(glow):
    """The flat of the sky with light added to it."""
    exposures = [
        attrs.evolve(exposure, data=exposure.data + glow * np.nanmedian(exposure.data))
        for exposure in program.exposures()
    ]
    frames = nf.recipes.masked_frames(nf.ExposureSet.from_exposures(exposures))
    return nf.FlatModelFit.from_delta(nf.DeltaSkyflat.from_frames(frames))


fits = {"clean sky": sky_fit(0 * glow), "sky with a glow": sky_fit(glow)}

# %%
# The flat that the stars ask for
# -------------------------------
# A field with many stars in eight dithers: `nircam_flats.StarFlat` is the smooth response that makes each star equally
# bright in all of them.

field = attrs.evolve(program, star_density=4000, dither_range=(0.2, 0.4), n_pointings=3, n_dithers=8)
stars = nf.ExposureSet.from_exposures(field.exposure("B1", "F200W", index) for index in range(16, 24))
ground = program.ground_flat("B1", "F200W")
new = ground.corrected_by(fits["clean sky"])
photometry = nf.PhotometricRepeatability.from_exposures(stars, old=ground, new=new)
star_flat = nf.StarFlat.from_photometry(photometry, degree=3)

# %%
# They agree, unless light was added
# ----------------------------------
# The chance is that of so large a difference, were both flats the same. Where the sky is too bright, the ratio is
# below 1.

figure, axes = plt.subplots(1, 3, figsize=(16, 4.4), layout="constrained")
star_flat.plot(axes[0])
for ax, (name, fit) in zip(axes[1:], fits.items(), strict=True):
    comparison = star_flat.compare(fit)
    print(f"{name}: {comparison}")
    title = f"star flat / {name}: chance {comparison.p_value:.1g}"
    draw_flat(comparison.ratio, ax=ax, half_range=0.03, title=title, label="star flat / sky flat")
