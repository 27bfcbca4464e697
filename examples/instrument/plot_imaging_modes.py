"""
Why are there 136 flats?
========================

A flat belongs to one detector with one filter. NIRCam has ten detectors and 29 imaging filters, and not every filter
goes with every detector.
"""

# %%
# Two channels
# ------------
# Eight detectors see the short wavelengths and two the long ones. The light of a field goes to both channels at once.

import matplotlib.pyplot as plt
import numpy as np
from astropy import units as u

import nircam_flats as nf

for channel in ("SW", "LW"):
    detectors = [detector for detector in nf.Detector.all() if detector.channel == channel]
    filters = [item for item in nf.Filter.all() if item.channel == channel]
    scale = np.mean([detector.pixel_scale.to_value(u.arcsec) for detector in detectors])
    print(f"{channel}: {len(detectors)} detectors x {len(filters)} filters, pixels of {scale:.3f} arcsec")
print(f"{len(nf.imaging_modes())} imaging modes")

# %%
# What headers say
# ----------------
# A filter in the pupil wheel is used together with a wide one in the filter wheel. The library goes by the name of
# the bandpass, and accepts any name of a detector.

print(nf.Filter.from_keywords("F444W", "F405N"), nf.Filter.get("F405N").keywords)
print(nf.Detector.get("NRCALONG") == nf.Detector.get("A5") == nf.Detector.get(485))

# %%
# What differs between the detectors
# ----------------------------------
# Bars are as wide as the bandpass. Below is how far the pivot wavelength of each detector lies from the mean of its
# channel: the modules have coatings and dichroics of their own, so a filter is not quite the same on each detector.

filters = nf.Filter.all()
figure, (top, bottom) = plt.subplots(2, 1, figsize=(10, 7.5), sharex=True, height_ratios=(2, 1), layout="constrained")
for channel, colour in (("SW", "#0072B2"), ("LW", "#D55E00")):
    of_channel = [item for item in filters if item.channel == channel]
    pivots = np.array([item.pivot.to_value(u.um) for item in of_channel])
    widths = np.array([item.bandwidth.to_value(u.um) for item in of_channel])
    rows = np.arange(len(of_channel))
    top.barh(rows, widths, left=pivots - widths / 2, color=colour, alpha=0.75, label=f"{channel}: {len(rows)} filters")
    for row, item, pivot, width in zip(rows, of_channel, pivots, widths, strict=True):
        top.annotate(item.name, (pivot + width / 2, row), (4, 0), textcoords="offset points", va="center", fontsize=8)
for module, marker in (("A", "o"), ("B", "s")):
    modes = [mode for mode in nf.imaging_modes() if mode.detector.module == module]
    x = [mode.filter.pivot.to_value(u.um) for mode in modes]
    offset = [(mode.pivot - mode.filter.pivot).to_value(u.nm) for mode in modes]
    bottom.plot(
        x, offset, marker, mfc="none", ms=5, color={"A": "0.0", "B": "#009E73"}[module], label=f"module {module}"
    )
top.set(ylabel="filter of the channel", yticks=[], xlim=(0.5, 5.4))
top.legend(loc="lower right")
bottom.axhline(0, color="0.7", lw=1, zorder=0)
bottom.set(xlabel="wavelength [µm]", ylabel="pivot − mean [nm]")
bottom.legend(loc="upper left")
