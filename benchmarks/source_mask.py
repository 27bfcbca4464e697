"""The source mask of one full frame, as astropy and photutils make it and as `Segmentation` does.

    python benchmarks/source_mask.py

The baseline is what a user writes today: `astropy.convolution.convolve` (for a kernel of 3 x 3 faster than by Fourier
transform); `Background2D` with clipped medians, or one clipped level; `detect_sources` with 8-connectivity; all on
float32 with bottleneck installed. Growing is left out on both sides.
"""

import numpy as np
from _bench import Case, main
from astropy.convolution import Gaussian2DKernel, convolve
from astropy.stats import SigmaClip, sigma_clipped_stats
from photutils.background import Background2D, MedianBackground
from photutils.segmentation import detect_sources

import nircam_flats as nf
from nircam_flats.simulation import SimulatedProgram


def frame():
    """Return data (NaN where bad) and good pixels of a simulated exposure, divided by its true flat."""
    program = SimulatedProgram(detectors="NRCB4", filters="F200W", n_pointings=1, n_dithers=1, seed=1)
    exposure = program.exposure("NRCB4", "F200W", 0)
    data = exposure.data / program.truth("NRCB4").delta("F200W")
    good = exposure.good & np.isfinite(data)
    return np.where(good, data, np.nan).astype(np.float32), good


def plain(box_size):
    """Return the function that makes the mask with astropy and photutils."""
    kernel = Gaussian2DKernel(3 / 2.3548200450309493, x_size=3, y_size=3)
    kernel.normalize()
    clip = SigmaClip(sigma=3, maxiters=5, cenfunc="median", stdfunc="std")

    def mask(work):
        data, good = work
        if box_size is None:
            _, level, scatter = sigma_clipped_stats(data, sigma=3, maxiters=5, cenfunc="median", stdfunc="std")
        else:
            found = Background2D(
                data,
                box_size,
                mask=~good,
                filter_size=3,
                sigma_clip=clip,
                bkg_estimator=MedianBackground(sigma_clip=None),
                exclude_percentile=90,
            )
            level, scatter = found.background, np.median(found.background_rms_mesh)
        smoothed = convolve(data, kernel, boundary="fill", fill_value=np.nan, nan_treatment="interpolate")
        found = detect_sources(smoothed, level + scatter, n_pixels=4, connectivity=8, mask=~good)
        return found.data > 0

    return mask


def same(theirs, ours):
    """Tell how many pixels differ; more than one in a thousand is a mistake."""
    n_other = np.count_nonzero(theirs != ours)
    if n_other > 1e-3 * theirs.size:
        raise ValueError(f"{n_other} pixels of the masks differ")
    return f"{n_other} of {np.count_nonzero(theirs)} masked pixels differ"


def cases():
    for label, box_size in (("one level", None), ("local background", 64)):
        yield Case(
            label=label,
            prepare=frame,
            baseline=plain(box_size),
            ours=lambda work, box_size=box_size: nf.Segmentation(grow=0, box_size=box_size)(*work),
            same=same,
            n_bytes=lambda work: work[0].nbytes,
            target=8,
            baseline_repeats=3,
        )


if __name__ == "__main__":
    main("source mask", __doc__, cases)
