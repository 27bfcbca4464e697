"""
How do I write my own fit strategy?
===================================

A fit strategy turns a noisy delta skyflat into a smooth surface. To write one, subclass `nircam_flats.FitStrategy`
and write one method, ``smooth``.
"""

# %%
# One method
# ----------
# ``data`` is NaN where a pixel has no value, ``good`` says where it has one. The base class checks what comes in and
# what goes out.

import matplotlib.pyplot as plt
import numpy as np

import nircam_flats as nf
from nircam_flats.plotting import draw_flat
from nircam_flats.simulation import SimulatedProgram


class RowsAndColumns(nf.FitStrategy):
    """Product of a profile along the rows and one along the columns."""

    def smooth(self, data, err, good):
        rows = np.nanmedian(data[4:-4, 4:-4], axis=1)
        columns = np.nanmedian(data[4:-4, 4:-4], axis=0)
        product = np.outer(rows, columns / np.median(columns))
        return np.pad(product, 4, mode="edge")


# %%
# Does it keep the rules?
# -----------------------
# `nircam_flats.testing.check_fit_strategy` says so before a real run does.

nf.testing.check_fit_strategy(RowsAndColumns())

# %%
# Use it like any other
# ---------------------

program = SimulatedProgram(detectors="B1", shape=(256, 256), seed=3)
frames = nf.NormalizedFrames.from_exposures(nf.ExposureSet.from_exposures(program.exposures()))
grey = nf.DeltaSkyflat.from_frames(frames)
truth = program.truth("B1").grey()

figure, axes = plt.subplots(1, 2, figsize=(10, 4.3), layout="constrained")
for ax, strategy in zip(axes, (RowsAndColumns(), nf.Polynomial2D(degree=3)), strict=True):
    fit = nf.FlatModelFit.from_delta(grey, strategy=strategy)
    draw_flat(fit.surface / truth * np.nanmedian(truth), ax=ax, half_range=0.03, title=f"{fit.strategy} / truth")
