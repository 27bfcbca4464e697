"""
Can I make flats from my own survey?
====================================

You have a folder of ``_cal.fits`` files and the flats that the pipeline divided them by. That is all it takes. Whether
the new flats are better is seen in your own images.
"""

# %%
# The files
# ---------
# A small survey, simulated: two fields without very bright stars, four dithers each, with a detector of each channel
# in two filters. (Frames of 384 px stand for whole ones.)

import tempfile

import matplotlib.pyplot as plt
import numpy as np
from astropy.nddata import block_reduce

import nircam_flats as nf
from nircam_flats.simulation import Effects, SimulatedProgram

folder = tempfile.TemporaryDirectory()
effects = Effects(large_galaxy=False, saturated_star=False)
survey = SimulatedProgram(detectors=["B1", "BLONG"], n_dithers=4, shape=(384, 384), seed=3, effects=effects)
files = survey.write(folder.name)
print(len(files.exposures), "exposures,", len(files.ground_flats), "ground flats")

# %%
# One call
# --------
# What comes of each detector is written as soon as it is made. The command ``nircam-flats run`` does the same.

program = nf.recipes.sky_flat_program(
    f"{folder.name}/cal/*_cal.fits",
    f"{folder.name}/ground_flats",
    out=f"{folder.name}/new",
)
print(program.summary["detector", "filters", "n_used", "change", "fit_err"])

# %%
# What could not be made would be told here, with the reason; and each exposure that was not used.

print(program.problems, [str(item) for item in program.left_out])

# %%
# Did it help?
# ------------
# In a simulation the true flat is known: how far is each from it, peak to peak over boxes of 64 px? What is left is
# mostly what one filter does not share with the others of its detector. (With your own images, compare the sky before
# and after: see the pages on validation.)


def departure(flat):
    """Peak to peak of flat / truth over medians of boxes."""
    truth = survey.truth(flat.detector)
    ratio = np.where(flat.good & ~truth.dead, flat.data / truth.flight_flat(flat.filter), np.nan)
    return np.ptp(block_reduce(ratio / np.nanmedian(ratio), 64, np.nanmedian))


with np.errstate(divide="ignore"):
    rows = [
        (f"{products.detector.label} {name}", departure(survey.ground_flat(flat.detector, name)), departure(flat))
        for products in program.products
        for name, flat in products.flats.items()
    ]

figure, ax = plt.subplots(figsize=(8, 3.4), layout="constrained")
for row, (_, before, after) in enumerate(rows):
    ax.plot([100 * before, 100 * after], [row, row], color="0.7", zorder=0)
ax.plot([100 * before for _, before, _ in rows], range(len(rows)), "o", color="#D55E00", label="ground flat")
ax.plot([100 * after for _, _, after in rows], range(len(rows)), "D", color="#0072B2", label="flight flat")
ax.set_yticks(range(len(rows)), [name for name, _, _ in rows])
ax.set(xlabel="departure from the true flat, peak to peak [%]", xlim=(0, None))
ax.legend(loc="center right")

folder.cleanup()
