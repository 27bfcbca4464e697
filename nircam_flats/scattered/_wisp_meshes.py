"""The wisp in the low-resolution meshes of frames: strengths to begin with, and the light that is no wisp."""

import numpy as np
from attrs import evolve

from nircam_flats.kernels import box_medians, fill_mesh
from nircam_flats.parallel import map_ordered
from nircam_flats.skyflat import ExtendedLight
from nircam_flats.skyflat.meshes import MESH_BOX, lower_quartile_of_frames, median_of_frames

__all__ = ["WEAKEST", "compare_meshes", "robust_line"]

N_TURNS = 6
N_SIGMA = 3.0
WEAKEST = 0.25
"""Exposures whose wisp is weaker than this part of the usual strength only add noise to its picture."""


def compare_meshes(frames, surface, *, executor=None):
    """Return what the meshes of frames say of their wisp.

    The pattern is first the lower quartile of the frames, in which light in up to half of them cannot hide, then the
    median over what is not extended light; the strength of each frame is a robust line through its boxes.

    Parameters
    ----------
    frames
        `~nircam_flats.NormalizedFrames` of one filter.
    surface
        What divides the frames, an image or 1.
    executor
        As in `map_ordered`.

    Returns
    -------
    strengths, skies, pattern, light
        1 on average; in the unit of the exposures; the mesh of the wisp, 0 on average outside it, without gaps; and the
        `~nircam_flats.skyflat.BoxMasks` of what is in single frames besides: large galaxies, claws, persistence.
    """

    def mesh_of(frame):
        return box_medians(frame.values / surface, MESH_BOX)[0] * np.float32(frame.level.value)

    meshes = np.stack(list(map_ordered(mesh_of, frames.frames, executor=frames.sharing(executor))))
    levels = np.array([frame.level.value for frame in frames.frames])
    pattern = _first_pattern(meshes - np.nanmedian(meshes, axis=(1, 2), keepdims=True))
    light = {}
    for _ in range(N_TURNS):
        strengths, skies = np.array([robust_line(mesh, pattern) for mesh in meshes]).T
        strengths = strengths / strengths.mean()
        without = meshes - skies[:, None, None] - strengths[:, None, None] * (pattern * strengths.mean())
        relative = 1 + without / levels[:, None, None]
        clean = [evolve(frame, mesh=mesh) for frame, mesh in zip(frames.frames, relative, strict=True)]
        light = ExtendedLight()(evolve(frames, frames=clean))
        lit = np.stack([light.boxes.get(frame.name, np.zeros(pattern.shape, bool)) for frame in frames.frames])
        strong = strengths > WEAKEST * np.median(strengths)
        scaled = (meshes - skies[:, None, None])[strong] / strengths[strong, None, None]
        pattern = median_of_frames(np.where(lit[strong], np.nan, scaled))
        pattern = np.where(np.isfinite(pattern), pattern, np.sort(scaled, axis=0)[0])
    return strengths, skies, fill_mesh(pattern - np.nanmedian(pattern)), light


def _first_pattern(meshes):
    """The lower quartile of the frames, or their median if a quarter of them has no wisp."""
    low, middle = lower_quartile_of_frames(meshes), median_of_frames(meshes)
    slope, _ = robust_line(low, middle)
    return low if slope > WEAKEST else middle


def robust_line(mesh, pattern):
    """Return slope and level of the boxes of ``mesh`` against ``pattern``, without those that depart."""
    kept = np.isfinite(mesh) & np.isfinite(pattern)
    for _ in range(10):
        slope, level = np.polyfit(pattern[kept].astype(float), mesh[kept].astype(float), 1)
        residual = mesh - level - slope * pattern
        scatter = 1.4826 * np.nanmedian(np.abs(residual - np.nanmedian(residual[kept])))
        now = np.abs(residual) <= N_SIGMA * scatter
        if now.sum() < 10 or np.array_equal(now, kept):
            break
        kept = now
    return slope, level
