"""
Which of the 136 modes does a delivery cover?
=============================================

From the ground flats that there are, and the fits of a few detectors, come flight flats in a folder, with a manifest
that says of each what it was made of, and a list of what is missing.
"""

# %%
# Ground flats and fits
# ---------------------
# A ground flat of every mode but two, and exposures of three detectors, each in one or two filters.

import tempfile

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

import nircam_flats as nf
from nircam_flats.simulation import Effects, SimulatedProgram

simple = {"shape": (64, 64), "effects": Effects.none()}
everything = SimulatedProgram(detectors=nf.Detector.all(), filters=nf.Filter.all(), **simple)
lost = [("NRCBLONG", "F466N"), ("NRCBLONG", "F470N")]
modes = [mode for mode in everything.modes() if (mode[0].name, mode[1].name) not in lost]
ground_flats = [everything.ground_flat(*mode) for mode in modes]

fits = []
for label, filters in (("B1", ["F115W", "F200W"]), ("A1", ["F150W"]), ("BLONG", ["F277W", "F444W"])):
    exposures = SimulatedProgram(detectors=label, filters=filters, **simple).exposures()
    delta = nf.DeltaSkyflat.from_exposures(nf.ExposureSet.from_exposures(exposures))
    fits.append(nf.FlatModelFit.from_delta(delta, strategy=nf.Polynomial2D()))

# %%
# The delivery
# ------------
# A fit corrects the filters that its exposures were taken in. A grey fit, of several filters, corrects the other
# filters of its detector too. That is an assumption, which no exposure confirms: the flats say so, and so does the
# manifest.

folder = tempfile.TemporaryDirectory()
delivery = nf.FlatDelivery.from_ground(ground_flats, fits, out=folder.name)
print(len(delivery.made), "files written; wrong with them:", len(delivery.verify()))
delivery.not_made[[row["kind"] == "no ground flat" for row in delivery.not_made]]

# %%
# The manifest has a row for each file: what it was made of, with hashes, and what it does to photometry.

delivery.manifest["file", "extrapolated", "n_exposures", "shift_mean"][:4]

# %%
# The answer
# ----------
# Each square is a mode.

states = ("made", "made, an assumption", "no ground flat", "no fit")
colours = ("#0072B2", "#56B4E9", "#D55E00", "0.85")
detectors, filters = nf.Detector.all(), nf.Filter.all()
state = np.full((len(detectors), len(filters)), np.nan)
for mode in nf.imaging_modes():
    state[detectors.index(mode.detector), filters.index(mode.filter)] = states.index("no fit")
for row in delivery.not_made:
    if row["kind"] == "no ground flat":
        detector, name = row["what"].split()
        state[detectors.index(nf.Detector.get(detector)), filters.index(nf.Filter.get(name))] = 2
for row in delivery.manifest:
    place = detectors.index(nf.Detector.get(row["detector"])), filters.index(nf.Filter.get(row["bandpass"]))
    state[place] = int(row["extrapolated"])

figure, ax = plt.subplots(figsize=(11, 4.6), layout="constrained")
edges = (np.arange(len(filters) + 1), np.arange(len(detectors) + 1))
ax.pcolormesh(*edges, state, cmap=ListedColormap(colours), vmin=-0.5, vmax=3.5, edgecolors="white", linewidth=1)
ax.set_xticks(edges[0][:-1] + 0.5, [item.name for item in filters], rotation=90)
ax.set_yticks(edges[1][:-1] + 0.5, [item.label for item in detectors])
ax.set(xlabel="filter", ylabel="detector", title=f"{len(delivery.manifest)} of {len(nf.imaging_modes())} modes")
ax.invert_yaxis()
figure.legend(
    handles=[Patch(color=colour, label=name) for colour, name in zip(colours, states, strict=True)],
    loc="outside lower center",
    ncols=4,
)

folder.cleanup()
