"""
Do the streaks come and go with the roll angle?
===============================================

Some exposures show streaks of light. Wisps stay where they are, whatever the roll of the telescope; claws come, move
and go with it, because the star that throws them wanders through a zone ten degrees away.
"""

# %%
# Eight exposures at eight rolls
# ------------------------------
# Simulated images of one field; where the forecast sees claws at their roll, a streak of that brightness is added. Of
# your own files, ``exposures = nf.ExposureSet.read("cal/*nrcb1_cal.fits")``.

import attrs
import matplotlib.pyplot as plt
import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord

import nircam_flats as nf
from nircam_flats.simulation import Effects, SimulatedProgram

target = SkyCoord("08h16m24.2s +19d13m52.5s")
effects = attrs.evolve(Effects(), large_galaxy=False, saturated_star=False, wisps=False)
program = SimulatedProgram(
    detectors="B1", filters="F200W", n_pointings=1, n_dithers=8, shape=(512, 512), effects=effects
)
turned = [
    attrs.evolve(item, pointing=attrs.evolve(item.pointing, ra_ref=target.ra, dec_ref=target.dec, roll_ref=roll))
    for item, roll in zip(program.exposures(), [236, 212, 224, 252, 216, 244, 228, 240] * u.deg, strict=True)
]
forecast = nf.ClawForecast.from_pointings(turned, filters=["F200W"])


def with_claw(exposure, brightness):
    """The exposure with a streak that moves by 12 pixels for each degree of roll."""
    y, x = np.indices(exposure.shape)
    place = 256 + 12 * (exposure.pointing.roll_ref.to_value(u.deg) - 234)
    streak = np.exp(-0.5 * ((y - 0.5 * (x - 256) - place) / 30) ** 2)
    return attrs.evolve(exposure, data=exposure.data + np.float32(brightness) * streak)


brightness = dict(zip(forecast.predicted["name"], forecast.predicted["brightness"].value, strict=True))
exposures = nf.ExposureSet.from_exposures(with_claw(item, brightness[item.name]) for item in turned)

# %%
# What was predicted, and what is measured
# ----------------------------------------
# Both in parts of the sky level. The first pass of a flat is enough to take the flat's own structure out.

fit = nf.FlatModelFit.from_delta(nf.DeltaSkyflat.from_exposures(exposures), strategy=nf.Polynomial2D())
table = forecast.compare_with(exposures, correction=fit)
table["position angle"] = [item.pointing.roll_ref for item in exposures]
table.sort("position angle")
for name in ("predicted", "measured", "err", "covered"):
    table[name].info.format = ".3f"
table["position angle", "predicted", "measured", "err", "covered"]

# %%
# The answer
# ----------
# In the order of the position angle the streak enters, moves and leaves: a claw. These exposures are left out of a flat
# by ``exposures.exclude(forecast.flags(limit), "claws")``.

figure = plt.figure(figsize=(11, 6), layout="constrained")
exposures.plot(correction=fit, forecast=forecast, figure=figure)
