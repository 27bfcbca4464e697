"""How flat an image is on large scales: one number."""

import numpy as np

from nircam_flats.kernels import box_medians

__all__ = ["peak_to_peak"]


def peak_to_peak(image, good, box_size=64):
    """Return the large-scale range of an image: largest minus smallest of the medians of boxes.

    Of a flat it is how much the flat varies; of found / true, the large-scale error of what was found.

    Parameters
    ----------
    image
        Image ``[y, x]``, about 1.
    good
        Boolean image of the pixels that count.
    box_size
        Side of the boxes, pixels. Medians are sigma-clipped; boxes with less than 10 % good pixels do not count.
    """
    medians = box_medians(np.where(good, image, np.float32(np.nan)), box_size)[0]
    return float(np.nanmax(medians) - np.nanmin(medians))
