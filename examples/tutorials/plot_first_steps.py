"""
First steps: from files to a flight flat
========================================

This page goes the whole way once, with one call for each step and a look at what comes of it: from ``_cal.fits`` files
and the ground flats that the pipeline divided them by, to a new flat in the format of the pipeline.
"""

# %%
# Files to begin with
# -------------------
# You have files of your own? Then use their paths. Here a small campaign is simulated and written, as real files are:
# two fields without very bright stars, three dithers each, of detector B1 in two filters. Its frames have 512 x 512
# pixels, so that this page takes seconds; real ones, 2048 x 2048, are treated the same.

import tempfile

import matplotlib.pyplot as plt
from photutils.aperture import CircularAperture

import nircam_flats as nf
from nircam_flats.plotting import draw_flat
from nircam_flats.simulation import Effects, SimulatedProgram

folder = tempfile.TemporaryDirectory()
effects = Effects(large_galaxy=False, saturated_star=False)
program = SimulatedProgram(detectors="B1", shape=(512, 512), seed=1, effects=effects)
files = program.write(folder.name)
print(len(files.exposures), "exposures, for example", files.exposures[0].name)
print(len(files.ground_flats), "ground flats, for example", files.ground_flats[0].name)

# %%
# 1. The exposures
# ----------------
# An `~nircam_flats.ExposureSet` reads the headers of all files; the pixels stay on the disk until they are needed.

exposures = nf.ExposureSet.read(f"{folder.name}/cal/*_cal.fits")
print(exposures)

# %%
# It has a table, and is selected from by detector, filter, program, observation...

f200w = exposures.where(filter="F200W")
f200w.table["name", "filter", "start", "flat_name"]

# %%
# The column ``flat_name`` is the flat that the pipeline divided the image by (header keyword R_FLAT). It matters:
# what the sky shows is the error of *that* flat. Can all of them be combined? An empty answer means yes.

print(exposures.check())

# %%
# One exposure, whole in memory:

exposure = exposures[0].load()
print(exposure.detector, exposure.filter, exposure.shape, exposure.unit)
print(f"{exposure.good.mean():.1%} of the pixels are usable")

# %%
# 2. Masks and frames
# -------------------
# Whatever is not sky is masked, and each exposure is divided by the level of its sky: that is a *frame*. While the
# flat is wrong by several per cent, sources are hard to tell from it; so masking is done in three passes, each with a
# better model of the flat. One call does it all:

frames = nf.recipes.masked_frames(exposures)
frames.table["name", "filter", "level", "noise", "masked_fraction"]

# %%
# An exposure that cannot be used is no error. It is left out, with its reason:

print([str(item) for item in frames.excluded])

# %%
# 3. The delta skyflat
# --------------------
# Frames are combined pixel by pixel: what all of them share is no source, but the change of the response since the
# ground flat. All filters together are called *grey*.

grey = nf.DeltaSkyflat.from_frames(frames)
print(grey)

# %%
# It has an error for each pixel, and knows of how many frames each is made:

grey.plot()

# %%
# Single filters the same way:

delta_f200w = nf.DeltaSkyflat.from_frames(frames.where(filter="F200W"))

# %%
# 4. The surface
# --------------
# The delta skyflat is noisier than the ground flat, pixel by pixel, so it is not used as it is: a smooth surface is
# fitted to it: medians of boxes, median-filtered about a cubic trend. Its error comes from the exposures themselves, by
# leaving groups of them out.

fit = nf.FlatModelFit.from_delta(grey)
print(f"the surface runs from {fit.surface.min():.3f} to {fit.surface.max():.3f}")
print(f"error of the surface: {fit.err.mean():.2%} on average")

# %%
# What the surface leaves, and how sure it is of a place, can be asked for any region (here a star's aperture):

print(f"error in the flux of a star: {fit.error_of_mean(CircularAperture((200, 300), r=4)):.2%}")

# %%
# 5. The flight flat
# ------------------
# The new flat is the ground flat times the surface, with both errors combined. A ground flat that the exposures were
# not divided by is refused.

ground = nf.FlatReference.read(f"{folder.name}/ground_flats/{f200w[0].flat_name}")
flight = ground.corrected_by(fit)
print(flight.pedigree)
print(flight.provenance.photometry)

# %%
# The last line says what the new flat does to fluxes, on average and at the places where standard stars were
# observed: the photometric calibration has to follow. Is the flat fit to be written? An empty answer means yes; then
# it is, as CRDS and the pipeline accept it.

print(flight.check())
flight.write(f"{folder.name}/nrcb1_f200w_flat.fits")

# %%
# 6. Is it right?
# ---------------
# In a simulation the truth is known.

truth = program.truth("B1").grey()
figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
grey.plot(ax=axes[0], half_range=0.05)
draw_flat(fit.surface / truth, ax=axes[1], half_range=0.05, title="surface / truth")

# %%
# All of this, for all detectors and filters in a folder, is one call, `nircam_flats.recipes.sky_flat_program`, or one
# command, ``nircam-flats run``.

folder.cleanup()
