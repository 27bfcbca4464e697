"""The recipe as one would write it today: numpy, scipy, astropy, photutils and bottleneck, nothing else.

    python benchmarks/plain.py cal/*_nrcb4_cal.fits --ground-flats flats/ --out new/
    python benchmarks/plain.py cal/*_nrcb4_cal.fits --ground-flats flats/ --out new/ --two-passes

It does what `nircam_flats.recipes.sky_flat_detector` does for one detector, step by step: three masking passes,
extended light found in meshes of box medians, rough median-filtered models as corrections of the later passes, levels,
stripes and filters balanced, a sigma-clipped median of all frames and of each filter, a cubic (short wavelength) or a
median-filtered mesh (long wavelength), and new flats. ``--two-passes`` does less: mask, rough model, mask again,
combine, fit.

Each step is the fastest that the packages offer: float32 throughout, estimators given as strings, bottleneck installed
(and called where astropy itself leaves float32 to numpy, in the median of the stack, which then takes a third of the
time), and sources grown by photutils. One process, as scripts are: the packages use one core.

Left out are the error of the fit: for a jackknife the cubic would be fitted 16 more times, a minute; and halos of the
field beyond the masks, which ours subtracts (`nircam_flats.skyflat.field_light`).
Different are the weights of the pixels in the fit (the number of frames; ours knows the noise of each frame and the
scatter of each pixel), which move the surface by 0.1 % peak to peak; all the rest moves it by 0.01 %: a fixed cut of
dead pixels before the fit instead of a repeated one, stripes and filter ratios of the balance interpolated one by one.
For long wavelengths the window has 9 boxes, because photutils has no even ones.
"""

import argparse
import time
import warnings
from pathlib import Path

import bottleneck as bn
import numpy as np
from astropy.convolution import Gaussian2DKernel, convolve
from astropy.io import fits
from astropy.modeling.fitting import LinearLSQFitter
from astropy.modeling.models import Polynomial2D
from astropy.stats import SigmaClip, gaussian_fwhm_to_sigma, sigma_clip, sigma_clipped_stats
from photutils.background import Background2D, MedianBackground, StdBackgroundRMS
from photutils.segmentation import detect_sources
from photutils.utils import circular_footprint
from scipy.ndimage import binary_propagation, distance_transform_edt, label, uniform_filter, zoom

DO_NOT_USE, NO_FLAT_FIELD = 1, 1 << 18
BOX = 32
EIGHT = np.ones((3, 3), bool)
KERNEL = Gaussian2DKernel(3 * gaussian_fwhm_to_sigma, x_size=3, y_size=3)
DISK = circular_footprint(8)
CLIP = {
    "sigma_clip": SigmaClip(3, maxiters=5),
    "bkg_estimator": MedianBackground(sigma_clip=None),
    "bkg_rms_estimator": StdBackgroundRMS(sigma_clip=None),
    "exclude_percentile": 90,
}


def make_flats(paths, ground_flats, out, *, two_passes=False):
    """Make the flats of one detector of ``_cal`` files; returns the fitted surface."""
    headers = [fits.getheader(path) for path in paths]
    names = np.array([f"{header['FILTER']}_{header['PUPIL']}" for header in headers])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NaN are masked pixels, and meant
        if two_passes:
            frames = masked_frames(paths, [rough_model(combine(masked_frames(paths)))] * len(paths))
            grey = combine(frames)
        else:
            frames, meshes = frames_of_three_passes(paths, names)
            grey = combine(balanced(frames, meshes, names))
            for name in np.unique(names):
                chosen = names == name
                delta = combine(balanced(frames[chosen], meshes[chosen], names[chosen]))
                fits.writeto(Path(out) / f"{name.lower()}_delta.fits", delta, overwrite=True)
        surface = fitted(grey, np.isfinite(frames).sum(axis=0), headers[0]["CHANNEL"])
    for name in {header["R_FLAT"].rpartition("/")[2] for header in headers}:
        write_flat(Path(ground_flats) / name, surface, Path(out) / f"new_{name}")
    return surface


def frames_of_three_passes(paths, names):
    frames = masked_frames(paths)
    meshes = box_medians(frames)
    extended = np.zeros(meshes.shape, bool)
    for _ in range(2):
        extended |= extended_light(meshes, names)
        meshes[extended] = np.nan
        for frame, boxes in zip(frames, extended, strict=True):
            frame[pixels_of(boxes)] = np.nan
        frames = masked_frames(paths, rough_models(frames, meshes, names), extended)
        meshes = box_medians(frames)
    return frames, meshes


# --- masks


def masked_frames(paths, corrections=None, extended=None):
    """The exposures divided by their sky levels, NaN where masked; the first pass has no ``corrections``."""
    frames = None
    for number, path in enumerate(paths):
        with fits.open(path) as hdus:
            data = hdus["SCI"].data.astype(np.float32)
            bad = (hdus["DQ"].data & DO_NOT_USE > 0) | ~np.isfinite(data)
        image = data if corrections is None else data / corrections[number]
        masked = bad | find_sources(image, bad, local=corrections is None)
        if extended is not None:
            masked |= pixels_of(extended[number])
        _, level, _ = sigma_clipped_stats(image[~masked], sigma=3, maxiters=5)
        data /= level
        data[masked] = np.nan
        if frames is None:
            frames = np.empty((len(paths), *data.shape), np.float32)
        frames[number] = data
    return frames


def find_sources(image, bad, *, local):
    """At least 4 connected pixels above the background by 1 sigma of single pixels, after smoothing; grown by 8."""
    if local:
        background = Background2D(image, 64, mask=bad, filter_size=3, **CLIP)
        level, scatter = background.background, background.background_rms_median
    else:
        _, level, scatter = sigma_clipped_stats(image[~bad], sigma=3, maxiters=5)
    smoothed = convolve(np.where(bad, np.nan, image), KERNEL, boundary="fill", fill_value=np.nan)
    sources = detect_sources(smoothed, level + scatter, n_pixels=4, mask=bad)
    return np.zeros(image.shape, bool) if sources is None else sources.make_source_mask(footprint=DISK)


# --- meshes of box medians


def pixels_of(boxes):
    return np.kron(boxes, np.ones((BOX, BOX), bool))


def box_medians(frames):
    """Clipped medians of boxes; NaN where less than a tenth of a box is left."""
    ny, nx = frames.shape[1] // BOX, frames.shape[2] // BOX
    meshes = []
    for frame in frames:
        boxes = frame.reshape(ny, BOX, nx, BOX).swapaxes(1, 2).reshape(ny, nx, BOX**2)
        few = np.isfinite(boxes).sum(axis=2) < 0.1 * BOX**2
        clipped = sigma_clip(boxes, sigma=3, maxiters=5, axis=2, masked=False, copy=False)
        meshes.append(np.where(few, np.nan, bn.nanmedian(clipped, axis=2)))
    return np.array(meshes)


def box_mean(mesh, size):
    """Running mean over boxes, NaN where few have a value."""
    finite = np.isfinite(mesh)
    weight = uniform_filter(finite.astype(float), size, mode="constant")
    total = uniform_filter(np.where(finite, mesh, 0.0), size, mode="constant")
    return np.divide(total, weight, out=np.full(mesh.shape, np.nan), where=weight > 0.2)


def filled(mesh):
    """NaN replaced by the nearest value."""
    nearest = distance_transform_edt(np.isnan(mesh), return_distances=False, return_indices=True)
    return mesh[tuple(nearest)]


def extended_light(meshes, names):
    """Boxes where single frames are brighter than the others of their filter, grown."""
    flags = np.zeros(meshes.shape, bool)
    for name in np.unique(names):
        chosen = names == name
        if chosen.sum() >= 4:
            flags[chosen] = light_of_filter(meshes[chosen])
    for boxes in flags:
        labels, n_groups = label(boxes, EIGHT)
        for group in range(1, n_groups + 1):
            members = labels == group
            reach = max(1, 0.4 * np.sqrt(members.sum() / np.pi))
            boxes |= distance_transform_edt(~members) <= reach
    return flags


def light_of_filter(meshes):
    flags = np.zeros(meshes.shape, bool)
    common = np.nanquantile(meshes, 0.25, axis=0, method="lower")
    for _ in range(8):
        excesses = [box_mean(mesh / common - 1, 3) for mesh in meshes]
        found = np.array([bright(excess, seen) for excess, seen in zip(excesses, flags, strict=True)])
        if np.array_equal(found, flags):
            break
        flags = found
        common = bn.nanmedian(np.where(flags, np.nan, meshes), axis=0)
        common = np.where(np.isnan(common), bn.nanmin(meshes, axis=0), common)
    return flags


def bright(excess, seen):
    """Groups of at least 4 boxes above 4 sigma and 0.6 %, down to 3 sigma and 0.3 %."""
    quiet = ~seen & np.isfinite(excess)
    if not quiet.any():
        return seen
    rows = np.where(quiet, excess, np.nan)
    enough = quiet.sum(axis=1) >= max(4, excess.shape[1] // 4)
    excess = excess - np.where(enough, bn.nanmedian(rows, axis=1), bn.nanmedian(rows))[:, np.newaxis]
    scatter = 1.4826 * np.median(np.abs(excess[quiet]))
    excess = np.nan_to_num(excess)
    labels, _ = label(excess > max(4 * scatter, 0.006), EIGHT)
    large = np.bincount(labels.ravel()) >= 4
    large[0] = False
    return binary_propagation(large[labels], EIGHT, mask=excess > max(3 * scatter, 0.003))


# --- combination


def balanced(frames, meshes, names):
    """Frames divided by their scale, their broad stripes, and what their filter shows beyond the mean of all."""
    rows, maps = np.empty(meshes.shape[:2]), {}
    for name in np.unique(names):
        chosen = names == name
        maps[name], rows[chosen] = solved(meshes[chosen])
    ratios = filter_ratios(maps, names)
    result = np.empty_like(frames)
    for number, name in enumerate(names):
        scale = zoom(rows[number].astype(np.float32), BOX, mode="reflect", grid_mode=True)
        np.divide(frames[number], ratios[name], out=result[number])
        result[number] /= scale[:, np.newaxis]
    return result


def filter_ratios(maps, names):
    """What each filter shows beyond the mean of all frames, smooth images by its name."""
    mean = sum(np.mean(names == name) * item for name, item in maps.items())
    size = max(3, min(mean.shape) // 9 | 1)
    ratios = {}
    for name, item in maps.items():
        ratio = filled(box_mean(item / mean, size))
        ratios[name] = zoom((ratio / np.median(ratio)).astype(np.float32), BOX, mode="reflect", grid_mode=True)
    return ratios


def solved(meshes):
    """The map that the frames of one filter share, and the scale of each row of boxes of each frame."""
    rows = np.ones(meshes.shape[:2])
    for _ in range(5):
        common = bn.nanmedian(meshes / rows[:, :, np.newaxis], axis=0)
        common /= bn.nanmedian(common)
        ratios = meshes / common
        enough = np.isfinite(ratios).sum(axis=2) >= max(4, meshes.shape[2] // 4)
        whole = bn.nanmedian(ratios.reshape(len(ratios), -1), axis=1)[:, np.newaxis]
        rows = np.where(enough, bn.nanmedian(ratios, axis=2), whole)
        levels = np.median(rows, axis=1, keepdims=True)
        rows /= np.mean(rows / levels, axis=0)
    return common, rows


def combine(frames):
    """Sigma-clipped median; `sigma_clipped_stats` gives the same in three times the time."""
    return bn.nanmedian(sigma_clip(frames, sigma=3, maxiters=5, axis=0, masked=False), axis=0)


# --- models and flats


def rough_models(frames, meshes, names):
    """For each frame the rough model of all, times what its filter shows beyond it if it has 4 frames."""
    grey = rough_model(combine(balanced(frames, meshes, names)))
    ratios = filter_ratios({name: bn.nanmedian(meshes[names == name], axis=0) for name in np.unique(names)}, names)
    models = {}
    for name, ratio in ratios.items():
        model = grey * ratio if np.sum(names == name) >= 4 else grey
        models[name] = model / np.median(model)
    return [models[name] for name in names]


def rough_model(delta):
    return median_mesh(delta, 5)


def median_mesh(delta, size):
    mesh = Background2D(delta, BOX, mask=~np.isfinite(delta), filter_size=1, **CLIP).background_mesh
    y, x = (2 * np.indices(mesh.shape) + 1) / len(mesh) - 1
    trend = LinearLSQFitter()(Polynomial2D(min(3, len(mesh) // 4)), x, y, mesh)(x, y)
    padded = np.pad(mesh / trend, size // 2, constant_values=np.nan)  # windows keep what lies inside
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size))
    filtered = bn.nanmedian(windows.reshape(*mesh.shape, -1), axis=-1) * trend
    surface = zoom(filtered, BOX, order=3, mode="reflect", grid_mode=True)
    return (surface / np.median(surface[np.isfinite(delta)])).astype(np.float32)


def fitted(delta, n_used, channel):
    """The smooth surface, median 1: a cubic for SHORT, a median-filtered mesh for LONG."""
    if channel == "LONG":
        return median_mesh(delta, 9)
    good = np.abs(delta - bn.nanmedian(delta)) < 0.2  # not dead, not NaN
    y, x = (2 * np.indices(delta.shape, dtype=np.float32) + 1) / len(delta) - 1
    model = LinearLSQFitter()(Polynomial2D(3), x[good], y[good], delta[good], weights=np.sqrt(n_used[good]))
    surface = model(x, y).astype(np.float32)
    return surface / np.median(surface[np.isfinite(delta)])


def write_flat(ground, surface, path):
    """Ground flat times surface, with errors and flags; 1 where there is no answer."""
    with fits.open(ground) as hdus:
        known = (
            (hdus["DQ"].data & NO_FLAT_FIELD == 0)
            & np.isfinite(hdus["SCI"].data)
            & (hdus["SCI"].data > 0)
            & np.isfinite(hdus["ERR"].data)
        )
        hdus["SCI"].data = np.where(known, hdus["SCI"].data * surface, np.float32(1))
        hdus["ERR"].data = np.where(known, hdus["ERR"].data * surface, np.float32(1))
        hdus["DQ"].data = np.where(known, hdus["DQ"].data, hdus["DQ"].data | NO_FLAT_FIELD | DO_NOT_USE)
        hdus[0].header["PEDIGREE"] = "INFLIGHT"
        hdus.writeto(path, overwrite=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", help="_cal files of one detector")
    parser.add_argument("--ground-flats", required=True, help="folder of the flats that calibrated them")
    parser.add_argument("--out", required=True, help="folder to write to")
    parser.add_argument("--two-passes", action="store_true", help="the simpler recipe")
    options = parser.parse_args()
    started = time.perf_counter()
    make_flats(options.paths, options.ground_flats, options.out, two_passes=options.two_passes)
    print(f"{len(options.paths)} exposures: {time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    main()
