"""
Which exposures can make a flat?
================================

Some files of a campaign cannot be used, and some had better not be. The library leaves out what it must and says
why; what else to leave out is decided with a table.
"""

# %%
# A folder of files
# -----------------
# Two fields of detector B1, five dithers each, in one filter. Four of the exposures are not as they should be: the
# sky was subtracted from one, one is of a failed visit, stray light fell into one, and one file is not whole.

import tempfile
import warnings
from pathlib import Path

import attrs
import matplotlib.pyplot as plt
import numpy as np
from astropy import units as u

import nircam_flats as nf
from nircam_flats.simulation import SimulatedProgram

folder = tempfile.TemporaryDirectory()
program = SimulatedProgram(detectors="B1", filters="F200W", n_dithers=5, shape=(256, 256), seed=5)
for number, exposure in enumerate(program.exposures()):
    if number == 2:
        exposure = attrs.evolve(exposure, steps=exposure.steps | {"S_BKDSUB": "COMPLETE"})
    if number == 5:
        exposure = attrs.evolve(exposure, visit_status="UNSUCCESSFUL")
    if number == 6:
        exposure = attrs.evolve(exposure, data=1.3 * exposure.data)
    path = Path(folder.name, f"{exposure.name}_cal.fits")
    exposure.write(path)
path.write_bytes(path.read_bytes()[:100_000])

# %%
# Read the headers
# ----------------
# Pixels stay on the disk. A file that cannot be read is no reason to stop: it is left out, and a warning tells.

with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    exposures = nf.ExposureSet.read(f"{folder.name}/*_cal.fits")
print(exposures)
print(exposures.excluded[0].reason)

# %%
# The set is a table, can be selected from (``where``) and split (``group_by``) by what the headers say.

for (detector, observation), group in exposures.group_by("detector", "observation"):
    print(f"{detector}, observation {observation}: {len(group)} exposures")
exposures.table["name", "filter", "start", "exposure_time"]

# %%
# What cannot be combined
# -----------------------
# `nircam_flats.ExposureSet.check` names it. Whatever makes frames leaves these out by itself.

for item in exposures.check():
    print(item)

# %%
# What had better be left out
# ---------------------------
# That is your decision, by any number that you can compute. Here: exposures whose sky, in a first pass, is much
# brighter or fainter than that of the others. The reason goes into the tables of all products.

usable = exposures.for_one_detector()
first = nf.NormalizedFrames.from_exposures(usable, masks=nf.Segmentation.for_first_pass())
level = first.table["level"]
is_off = np.abs(level / np.median(level) - 1) > 0.15
chosen = usable.exclude(is_off, "sky more than 15 % off that of the others")
frames = nf.NormalizedFrames.from_exposures(chosen, masks=nf.Segmentation.for_first_pass())
delta = nf.DeltaSkyflat.from_frames(frames)
delta.exposures["name", "used", "level", "reason"]

# %%
# The answer
# ----------
# Of ten files, six make the flat.

figure, ax = plt.subplots(figsize=(9, 4.5), layout="constrained")
start = first.frames[0].start
minutes = np.array([(frame.start - start).to_value(u.min) for frame in first.frames])
ax.plot(minutes[~is_off], level[~is_off], "o", color="#0072B2", label=f"used: {np.sum(~is_off)}")
ax.plot(minutes[is_off], level[is_off], "X", color="#D55E00", ms=9, label="left out: sky too bright")
colours = iter(("#CC79A7", "#009E73"))
for item in usable.excluded:
    if item.header is not None:
        when, rule = (item.header.start - start).to_value(u.min), item.reason.split(":")[0].split(";")[0]
        ax.axvline(when, color=next(colours), ls="--", label=f"left out: {rule}")
ax.set(xlabel="time since the first exposure [min]", ylabel="sky level [MJy/sr]")
figure.legend(loc="outside upper center", ncols=2)

folder.cleanup()
