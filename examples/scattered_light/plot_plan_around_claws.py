"""
Which roll angles keep claws out?
=================================

Bright stars some ten degrees away, in the direction of +V3, throw streaks of light on the short-wavelength detectors:
claws. Where those stars stand depends on the roll of the telescope, so a roll can be chosen that keeps them out.
"""

# %%
# Where the telescope looks
# -------------------------
# A target in the middle of detector B1, and a dither pattern. `nircam_flats.PlannedPointing.read_apt` reads the same
# from the export of APT, and an `nircam_flats.ExposureSet` has it in its headers.

import matplotlib.pyplot as plt
from astropy import units as u
from astropy.coordinates import SkyCoord

import nircam_flats as nf

target = SkyCoord("08h16m24.2s +19d13m52.5s")
pointings = nf.PlannedPointing.from_sky(target, "B1", dithers=[(0, 0), (24, -12), (-24, 12)])

# %%
# The forecast
# ------------
# All stars of 2MASS brighter than Ks = 5, both modules, every dither.

forecast = nf.ClawForecast.from_pointings(pointings, filters=["F150W", "F200W"])
print(forecast.stars)

# %%
# Angles without claws
# --------------------
# Say what is tolerable: a tenth of a faint sky, or a number of your own. An angle is clear only if every exposure is,
# in both filters and in both modules. The scheduler allows some angles only.

limit = 0.02 * u.MJy / u.sr
allowed = nf.AngleRanges([(80, 140), (250, 310)])
clear = forecast.claw_free_angles(limit, allowed=allowed)
print(f"{clear}, {clear.width:.1f} of {allowed.width:.1f}")

# %%
# The worst offender
# ------------------

worst = forecast.worst_offender("F200W", "B")
worst["angle", "name", "magnitude", "flux", "fraction"]

# %%
# The answer
# ----------
# Left: the flux against the angle; green is clear and allowed. Right: where the stars stand at the worst angle, as an
# observer looks at the sky, with the zone that they must not enter.

figure, (left, right) = plt.subplots(1, 2, figsize=(13, 4.5), layout="constrained", width_ratios=(3, 2))
forecast.plot(ax=left, limit=limit, allowed=allowed)
left.set_yscale("log")
left.set_ylim(bottom=1e-4)
stars = forecast.contributions(worst["angle"][0], "F200W", "B")
forecast.zones[1].plot(ax=right, stars=stars)
