"""What is made of the light that was found: what frames lose, what errors that leaves, a template."""

import numpy as np
from astropy.table import QTable
from attrs import evolve
from scipy.linalg import helmert

from nircam_flats._fields import readonly
from nircam_flats.kernels import box_means, expand_mesh, repeat_mesh
from nircam_flats.scattered._factors import LEAST_SEEN, TINY
from nircam_flats.scattered._posterior import separated
from nircam_flats.scattered.wisp_template import WispTemplate
from nircam_flats.skyflat import BoxMasks, FrameLight
from nircam_flats.skyflat.meshes import MESH_BOX, centre_values

__all__ = [
    "cleaned",
    "errors_of_light",
    "history_of_template",
    "left_out_of",
    "light_of_frames",
    "second_template_of",
    "strengths_of",
    "template_of",
    "with_errors",
]


def light_of_frames(found, frames, box_size):
    regression = found.regression
    factors = regression.strengths * regression.levels
    if not found.outline.any():
        return {}
    meshes = [factor * found.light for factor in factors]
    if regression.second is not None:
        meshes += regression.levels[:, None, None] * regression.second.in_frames()
    return {
        frame.name: FrameLight(mesh=centre_values(mesh), box_size=box_size)
        for frame, mesh in zip(frames.frames, meshes, strict=True)
    }


def cleaned(frames, light, left_out, box_size):
    """Frames without light, {name: `FrameLight` or None}, and without the boxes to be left out, {name: mesh}."""
    kept = {frame.name: frame.light for frame in frames.frames if frame.light is not None}
    frames = frames.minus({name: item for name, item in (kept | light).items() if item is not None})
    boxes = {
        name: box_means(repeat_mesh(mesh, box_size, frames.shape), MESH_BOX) > 0
        for name, mesh in left_out.items()
        if mesh.any()
    }
    return frames.without(BoxMasks(boxes, frames.shape)) if boxes else frames


def left_out_of(strengths, left_out, outline):
    """Return the boxes that each frame is left without, {name: mesh}: all of the light where it is not shown."""
    return {str(row["name"]): left_out if row["used"] else left_out | outline for row in strengths}


def errors_of_light(found, gauge, box_size, shape):
    """Return what each frame adds to the light on the mesh of influences, and the error of the light, an image."""
    n = len(found.regression.strengths)
    influences = np.zeros((n, *(-(-size // MESH_BOX) for size in shape)), np.float32)
    if found.outline.any() and n > 3:
        changes = _of_surface(found, n)
        for index in range(n):
            without = separated(found.regression.without(index), gauge, found.light, found.outline, found.misfit)
            changes[index] += (n - 1) / n * (without.light - found.light)
            influences[index] = box_means(expand_mesh(changes[index], box_size, shape), MESH_BOX)
    err = np.maximum(expand_mesh(found.light_err, box_size, shape), 0)  # splines overshoot
    return readonly(influences), readonly(np.where(repeat_mesh(found.outline, box_size, shape), err, 0))


def _of_surface(found, n):
    """The error that the smooth response leaves in the light, as meshes that n frames would add to it.

    No frame does: the response is not as smooth as the surface in all of them. Contrasts between frames, which add up
    to nothing, give the jackknife the variance of the largest modes of that error.
    """
    modes = np.where(found.outline & ~found.free, -found.gauge.surface_modes, 0.0)
    _, sizes, shapes = np.linalg.svd(modes.reshape(len(modes), -1), full_matrices=False)
    largest = sizes[: n - 1, None] * shapes[: n - 1]
    largest *= np.sqrt(np.sum(sizes**2) / max(np.sum(sizes[: n - 1] ** 2), TINY) * (n - 1) / n)
    return (helmert(n)[: len(largest)].T @ largest).reshape(n, *found.outline.shape)


def with_errors(delta, influences, err):
    """Return a delta skyflat whose errors and influences count the light that was taken out."""
    return evolve(delta, err=readonly(np.hypot(delta.err, err)), influences=readonly(delta.influences + influences))


def history_of_template(history, of="light"):
    """History of the template of the light, or of the second light, of a decomposition with this history."""
    return history.then("template", of=of)


def template_of(found, frames, box_size, history):
    """The light as a template: surface brightness at mean strength, as a perfect flat would show it."""
    return _template(
        found,
        frames,
        box_size,
        light=found.light,
        err=found.light_err,
        amplitude_err=found.gauge.constant_err / found.gauge.constant,
        exposures=strengths_of(found, frames),
        history=history_of_template(history),
    )


def second_template_of(found, frames, box_size, history):
    """The second light as a template, at one standard deviation of its strengths; None if there is none."""
    second = found.regression.second
    if second is None:
        return None
    return _template(
        found,
        frames,
        box_size,
        light=second.light,
        err=np.where(second.light != 0, np.nan_to_num(second.slope_err), 0.0),
        exposures=strengths_of(found, frames),
        history=history_of_template(history, "second light"),
    )


def _template(found, frames, box_size, light, err, **facts):
    shape = frames.shape
    outline = repeat_mesh(found.outline, box_size, shape)
    level = np.mean(frames.table["level"])
    surface = expand_mesh(found.gauge.surface, box_size, shape)
    scale = np.where(outline, level.value / surface, 0.0)
    return WispTemplate(
        detector=frames.detector,
        filter=frames.filters[0],
        data=expand_mesh(centre_values(light), box_size, shape) * scale,
        err=expand_mesh(err, box_size, shape) * scale,
        outline=outline,
        unit=level.unit,
        **facts,
    )


def strengths_of(found, frames):
    table, regression = frames.table, found.regression
    second, power, shown = regression.second, found.light**2, regression.shown
    seen = np.sum((regression.weights > 0) * power, axis=(1, 2)) / max(np.sum(power), TINY)
    beside = {} if second is None else {"second": second.strengths, "second_err": second.strength_err}
    why = f"shows less than {LEAST_SEEN:.0%} of the light; what hides the rest leaves light of its own there"
    return QTable(
        {
            "name": table["name"],
            "used": shown,
            "reason": np.where(shown, "", why),
            "strength": np.where(shown, regression.strengths, np.nan),
            "strength_err": np.where(shown, regression.strength_err, np.nan),
            "seen": seen,
            **beside,
            "level": table["level"],
        }
    )
