"""
How bright is the wisp in my exposure?
======================================

A wisp is light that the telescope scatters onto the same place of a detector again and again, each time with another
strength. A template is made of a few exposures; fitted to another one, it tells the strength with an error, and is
subtracted.
"""

# %%
# Exposures with a wisp
# ---------------------
# Four fields with two dithers each on B4, divided by a flat that is right already. Sources and 1/f stripes are there;
# each exposure shows the wisp with another strength, and the second one shall not take part in the template.

import attrs
import matplotlib.pyplot as plt
import numpy as np
from astropy import units as u

import nircam_flats as nf
from nircam_flats.kernels import box_medians
from nircam_flats.simulation import Effects, SimulatedProgram

effects = attrs.evolve(Effects(), large_galaxy=False, saturated_star=False)
program = SimulatedProgram(
    detectors="B4", filters="F200W", n_pointings=4, n_dithers=2, shape=(512, 512), seed=4, effects=effects
)
ground = program.ground_flat("B4", "F200W")
response = program.truth("B4").flight_flat("F200W")
flight = attrs.evolve(ground, data=np.where(response > 0, response, 1))
exposures = nf.ExposureSet.from_exposures(
    flight.apply_to(exposure, replacing=ground) for exposure in program.exposures()
)

# %%
# From exposures to a template
# ----------------------------
# Strengths and shape are found in turns. The table says what each exposure added.

template = nf.WispTemplate.from_exposures(exposures[:1] + exposures[2:])
template.exposures["name", "used", "strength", "strength_err"]

# %%
# The strength in another exposure
# --------------------------------
# Stripes of 1/f noise along the rows are noise that the boxes of a row share; the fit weighs them as that.

other = exposures[1]
scale = template.fit_scale(other)
truth = program.truth("B4")
levels = u.Quantity([truth.wisp_level("F200W", index) for index in range(8)])
print(f"found {scale.value:.2f} +- {scale.err:.2f}, injected {levels[1] / np.delete(levels, 1).mean():.2f}")

# %%
# The exposure without it
# -----------------------
# The variances have grown by what is not known of the wisp.

clean = scale.subtract_from(other)
figure, axes = plt.subplots(1, 3, figsize=(15, 4.3), layout="constrained")
template.plot(ax=axes[0])
options = {
    "origin": "lower",
    "vmin": 0.9 * scale.sky,
    "vmax": 1.2 * scale.sky,
    "extent": (-0.5, 511.5, -0.5, 511.5),
}
for ax, exposure, title in ((axes[1], other, "exposure"), (axes[2], clean, "exposure without its wisp")):
    artist = ax.imshow(box_medians(exposure.data, 8)[0], **options)
    ax.set(title=title, xlabel="x [px]", ylabel="y [px]")
figure.colorbar(artist, ax=axes[1:], label=f"surface brightness [{other.unit.to_string('unicode')}]")
