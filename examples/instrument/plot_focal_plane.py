"""
Where do the detectors look?
============================

Ten detectors share the focal plane: eight of short wavelengths, and two of long wavelengths that look at the same sky.
Seen side by side as on the sky, their flats tell what has to do with the telescope and what with the detector.
"""

# %%
# The change of all ten flats
# ---------------------------
# `nircam_flats.plotting.focal_plane` takes an image of each detector, as its files hold it, and turns it as it lies on
# the sky. Any product will do: delta skyflats, surfaces, ratios of flats. Here it is the change since the ground flats
# in a simulated program.

import matplotlib.pyplot as plt

import nircam_flats as nf
from nircam_flats.plotting import focal_plane
from nircam_flats.simulation import SimulatedProgram

program = SimulatedProgram(detectors=[item.name for item in nf.Detector.all()], shape=(128, 128), seed=2)
changes = {detector: program.truth(detector).grey() for detector in program.detectors}

# %%
# As on the sky
# -------------
# All share their colours, from -4 % to +4 %; what died since is beyond (dark blue). A white dot marks the corner of
# pixel (0, 0). One short-wavelength detector covers about a quarter of what a long-wavelength detector sees.

figure = plt.figure(figsize=(9, 8.8))
focal_plane(changes, title="response in flight / ground flat", half_range=0.04, figure=figure)
