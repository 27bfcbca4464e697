"""The whole procedure, from exposures to flight flats, readable in one screen."""

from collections.abc import Iterable
from concurrent.futures import Executor
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

from astropy import units as u
from attrs import evolve

from nircam_flats.defects import DeadPixelMap
from nircam_flats.exceptions import FlatsError, InvalidInputError
from nircam_flats.exposure import Exclusion, ExposureSet
from nircam_flats.fit import FitStrategy, FlatModelFit, FlatPolicy, Grey, MedianFilter
from nircam_flats.masks import Segmentation
from nircam_flats.parallel import map_ordered
from nircam_flats.reference import GroundFlats
from nircam_flats.report import DetectorProducts, Problem, SkyFlatProgram, background_section, prepared_folder
from nircam_flats.scattered import SkyDecomposition, light_of, without_light
from nircam_flats.skyflat import (
    AdmissionRules,
    BoxMasks,
    CombineStrategy,
    DeltaSkyflat,
    ExtendedLight,
    NormalizedFrames,
    field_light,
)
from nircam_flats.skyflat.frames import check_masks

__all__ = ["sky_flat_detector", "sky_flat_program"]

UPON_WISPS = 0.015
"""Light of some of several fields, such as a large galaxy, that is masked where wisps are, in units of the sky."""


def sky_flat_detector(
    exposures: ExposureSet,
    ground_flats: Any,
    *,
    strategy: FitStrategy | None = None,
    masks: Any = None,
    combine: Any = None,
    policy: FlatPolicy | None = None,
    admission: AdmissionRules | None = None,
    executor: Executor | None = None,
    memory_limit: u.Quantity = 1 * u.GiB,
    store: Any = None,
) -> DetectorProducts:
    """Make the flats of one detector: the procedure of Sunnquist et al. 2022 (JWST-STScI-008304, section 3).

    Parameters
    ----------
    exposures
        An `~nircam_flats.ExposureSet` of one detector, of any number of filters.
    ground_flats
        The flats that calibrated them; what `~nircam_flats.GroundFlats.collect` takes.
    strategy, masks, combine
        Fit, mask and combination strategies; by default those that measure best (see "Method" in the documentation).
    policy
        A `~nircam_flats.FlatPolicy`: which surface corrects which filter; by default `~nircam_flats.Grey`, the report's
        choice. A filter with too few exposures for a delta skyflat of its own gets the grey surface in any case.
    admission
        `~nircam_flats.AdmissionRules`: which exposures are left out because they would harm the flat; by default those
        of the class. ``AdmissionRules.none()`` leaves out only what cannot be combined.
    executor
        Any `concurrent.futures.Executor`; by default threads for all cores.
    memory_limit, store
        How much memory the pixels may take, and a folder that keeps them and their masks for other runs; see
        `~nircam_flats.NormalizedFrames.from_exposures`.

    Returns
    -------
    DetectorProducts

    Raises
    ------
    InvalidInputError, FitError
        If ``strategy``, ``combine``, ``masks`` or ``policy`` is of another class, or no grey delta skyflat can be made
        of the exposures as a set.
    """
    ground_flats = GroundFlats.collect(ground_flats)
    problems: list[Problem] = []
    _check(strategy=strategy, combine=combine, masks=masks, policy=policy)
    policy = Grey() if policy is None else policy
    settings = {"executor": executor, "memory_limit": memory_limit, "store": store}
    frames = masked_frames(exposures, masks=masks, admission=admission, **settings)
    executor = frames.sharing(executor)
    stack, model = (partial(make, executor=executor) for make in (DeltaSkyflat.from_frames, FlatModelFit.from_delta))
    fit_of = cache(lambda delta: frames.remembered(FlatModelFit, model, of=delta, strategy=strategy))
    parts, notes = decompositions(frames, strategy=combine, executor=executor)
    for part in parts.values():
        frames = part.taken_out_of(frames)
    first = next(member for member in exposures if member.name == frames.frames[0].name)
    grey = without_light(frames.remembered(DeltaSkyflat, stack, strategy=combine), frames, parts.values())
    fit = fit_of(grey)

    def delta_of(item):
        if item.name in parts:
            return parts[item.name].delta
        return frames.where(filter=item).remembered(DeltaSkyflat, stack, strategy=combine)

    def flight_flat(item):
        ground = ground_flats.find(grey.flat_names[item.name], grey.detector, item)
        if ground.data.shape != grey.data.shape:  # of a subarray: its part is still what divided the exposures
            part = ground.cutout(first.subarray, corner=first.corner, shape=grey.data.shape)
            ground = evolve(part, name=ground.name)
        return ground.repaired().corrected_by(fits.get(item.name, fit))

    def dependence_of(item):
        return by_filter[item.name].relative_to(grey)

    by_filter = _by_filter(grey.detector, frames.filters, delta_of, "delta skyflat", problems)
    fits = dict.fromkeys(by_filter, fit)
    if by_filter:
        with collecting(problems, f"{grey.detector} fits by filter"):
            fits |= policy(grey, by_filter, fit_of)
    flats = _by_filter(grey.detector, frames.filters, flight_flat, "flight flat", problems)
    dead = None
    with collecting(problems, f"{grey.detector} dead pixels"):
        known = flagged(first)
        find = partial(DeadPixelMap.from_delta, known=known, frames=frames, executor=executor)
        dead = frames.remembered(DeadPixelMap, find, of=grey, beside=() if known is None else (known.dq,))
    compared = [item for item in frames.filters if item.name in by_filter] if len(by_filter) > 1 else []
    dependences = _by_filter(grey.detector, compared, dependence_of, "filter dependence", problems)
    for item in sorted({member.filter for member in exposures} - set(frames.filters), key=lambda item: item.pivot):
        reason = "none of its exposures could be used (the table of exposures says why)"
        problems.append(Problem(what=f"{grey.detector} {item} flight flat", reason=reason))
    return DetectorProducts(
        detector=grey.detector,
        grey=grey,
        by_filter=by_filter,
        fit=fit,
        fits={name: item for name, item in fits.items() if item is not fit},
        flats=flats,
        dead=dead,
        dependences=dependences,
        decompositions=parts,
        notes=notes,
        problems=problems,
        policy=repr(policy),
    )


def _check(masks=None, **strategies):
    """Raise unless each of the settings is None or of its class."""
    if masks is not None:
        check_masks(masks)
    kinds = {
        "strategy": (FitStrategy, "nircam_flats.MedianFilter()"),
        "combine": (CombineStrategy, "nircam_flats.SigmaClippedMedian()"),
        "policy": (FlatPolicy, "nircam_flats.Shrunk()"),
    }
    for name, value in strategies.items():
        kind, example = kinds[name]
        if value is not None and not isinstance(value, kind):
            raise InvalidInputError(f"the main job needs as {name} a {kind.__name__}, {example}, say; got {value!r}")


def flagged(exposure):
    """Return an exposure with its flags, which tell the bad-pixel mask of all; None if it has none."""
    exposure = exposure.load(planes=("dq",))
    return None if exposure.dq is None else exposure


def _by_filter(detector, filters, make, what, problems):
    """Return ``make(filter)`` for each of the filters, by name; what cannot be made is a `Problem`."""

    def attempt(item):
        try:
            return make(item)
        except FlatsError as error:
            return Problem(what=f"{detector} {item} {what}", reason=error)

    made = {item.name: product for item, product in zip(filters, map_ordered(attempt, filters), strict=True)}
    problems += [product for product in made.values() if isinstance(product, Problem)]
    return {name: product for name, product in made.items() if not isinstance(product, Problem)}


def decompositions(frames, **settings):
    """Return the `~nircam_flats.SkyDecomposition` of each filter, {name: decomposition}, and what there is to know.

    Detectors without wisps have none, and nor do filters with too few frames.
    """
    parts, notes = {}, []
    for item in frames.filters if frames.detector.has_wisps else ():
        try:
            part = parts[item.name] = SkyDecomposition.from_frames(frames.where(filter=item), **settings)
            notes.append(f"wisps in {item}: {part.identifiability}")
        except InvalidInputError as error:
            notes.append(
                f"wisps in {item} are not separated from the flat, which may take their light for response: {error}"
            )
    return parts, notes


def masked_frames(exposures, *, masks=None, admission=None, executor=None, memory_limit=1 * u.GiB, store=None):
    """Return the `~nircam_flats.NormalizedFrames` of one detector, masked in three passes; parameters as above.

    In the first pass the flat is still wrong by several per cent: sources are sought above a local background, which
    follows that error. Extended light hides in that background; it is found by comparing the frames with each other.
    In the next passes the data are divided by a rough model of the flat in their filter, so that one level is right for
    the whole frame; the third has the better model and sees fainter light. Where wisps are, extended light is left to
    their strengths at first, and masked in the third pass if it is bright and there are several fields (the dithers of
    one do not tell it from a wisp). Halos that reach beyond the masks are subtracted from the frames
    (`~nircam_flats.skyflat.field_light`). What the rules of ``admission`` leave out by headers is not in the first
    pass, what they leave out by pixels not in the others.
    """
    masks = Segmentation() if masks is None else masks
    rules = AdmissionRules() if admission is None else admission
    exposures = rules.admit(exposures)
    settings = {"executor": executor, "memory_limit": memory_limit}
    first = Segmentation.for_first_pass()
    frames = NormalizedFrames.from_exposures(exposures, masks=first, store=store, **settings)
    exposures = rules.admit(exposures, frames)
    frames = frames.only(member.name for member in exposures)
    extended = BoxMasks({}, frames.shape)
    several = frames.detector.has_wisps and len(set(frames.fields)) > 1
    wisps: dict = {}
    for number in range(2):
        halos = {}
        if frames.detector.has_wisps:
            halos = field_light(frames.minus(wisps))  # which would pass for wisps
            wisps = wisps_of(frames.minus(halos, field=True))
            frames = frames.minus(wisps)
        extended |= ExtendedLight()(frames).beside(wisps)
        if number and several:  # the wisps are known well enough by now to tell what lies upon them
            extended |= ExtendedLight(floor=UPON_WISPS, floor_edge=UPON_WISPS / 2)(frames)
        exposures = of_filters_shown(exposures, frames)
        rough = rough_models(frames.minus(halos, field=True).without(extended), executor)
        frames = NormalizedFrames.from_exposures(
            exposures, masks=[masks, extended], correction=rough, light=wisps, store=frames.store, **settings
        )
    return frames.minus(field_light(frames.minus(wisps)), field=True)


def of_filters_shown(exposures, frames):
    """Return the exposures of filters that ``frames`` show; the others are left out, each as its frame was."""
    lost = [member.filter not in frames.filters for member in exposures]
    reasons = {item.name: item.reason for item in frames.excluded}
    return exposures.exclude(lost, [reasons.get(member.name, "no frame of its filter is left") for member in exposures])


def wisps_of(frames):
    """Return the light of the wisps in each frame, {name: `~nircam_flats.skyflat.FrameLight`}, filter by filter.

    Filters with too few frames keep theirs, as `decompositions` says.
    """
    names = [frame.filter for frame in frames.frames]
    enough = [item for item in frames.filters if names.count(item) >= SkyDecomposition.MIN_FRAMES]
    return {name: light for item in enough for name, light in light_of(frames.where(filter=item)).items()}


def rough_models(frames, executor=None):
    """Return a rough `~nircam_flats.FlatModelFit` for each filter, {name: fit}: `rough_model`, times what it departs.

    Masks that follow one model of all filters would take some per cent of the departures away.
    """
    grey = frames.remembered(FlatModelFit, partial(rough_model, executor=executor))
    departures = frames.departures
    return {
        item.name: grey.departing(item, departures[item.name]) if item.name in departures else grey
        for item in frames.filters
    }


def rough_model(frames, executor=None):
    """Return a `~nircam_flats.FlatModelFit` that is only there to make the data flat before they are masked again."""
    delta = DeltaSkyflat.from_frames(frames, executor=executor)
    return FlatModelFit.from_delta(delta, strategy=MedianFilter(box_size=32, filter_size=5), n_replicates=0)


def sky_flat_program(
    exposures: ExposureSet | str | Path | Iterable,
    ground_flats: Any,
    *,
    out: str | Path | None = None,
    overwrite: bool = False,
    sections: Any = None,
    **settings: Any,
) -> SkyFlatProgram:
    """Make the flats of every detector that the exposures show.

    Parameters
    ----------
    exposures
        An `~nircam_flats.ExposureSet`, or what `~nircam_flats.ExposureSet.read` takes.
    ground_flats
        The flats that calibrated the exposures: a folder, or paths or `~nircam_flats.FlatReference` objects. Each
        filter's flat is found by the name in the exposures' R_FLAT.
    out
        Folder to write to: each detector's products are written as soon as they are made, so that nothing is lost.
        None writes nothing; `~nircam_flats.report.SkyFlatProgram.write` can do it later.
    overwrite
        Whether files of an earlier run may be replaced.
    sections
        ``sections(program)`` returns further sections of the page, each a `~nircam_flats.report.Section`.
    **settings
        Those of `sky_flat_detector`.

    Returns
    -------
    SkyFlatProgram
        What was made, and what could not be made and why: a bad exposure, filter or detector costs only itself.

    Raises
    ------
    InvalidInputError
        If there is no exposure or no ground flat at all, a strategy is of another class, or ``out`` holds an earlier
        run and ``overwrite`` is false.
    """
    exposures = exposures if isinstance(exposures, ExposureSet) else ExposureSet.read(exposures)
    if not exposures.members and not exposures.excluded:
        raise InvalidInputError("sky_flat_program needs at least one exposure; the set is empty")
    _check(**{name: settings.get(name) for name in ("strategy", "combine", "masks", "policy")})
    ground_flats = GroundFlats.collect(ground_flats)
    folder = None if out is None else prepared_folder(out, overwrite=overwrite)
    made, problems, left_out = [], [], []
    groups = dict(exposures.group_by("detector"))
    for detector, group in groups.items():
        try:
            products = sky_flat_detector(group, ground_flats, **settings)
        except FlatsError as error:
            problems.append(Problem(what=f"{detector} flats", reason=error))
            left_out += _all_left_out(group, error)
            continue
        made.append(products)
        problems += products.problems
        if folder is not None:
            with collecting(problems, f"{detector} files"):
                products.write(folder, overwrite=overwrite)
    left_out += [item for item in exposures.excluded if item.header is None or item.header.detector not in groups]
    program = SkyFlatProgram(products=made, problems=problems, left_out=left_out)
    if folder is not None:
        further = [background_section(program, exposures)]
        with collecting(problems, "further sections of the page"):
            further += sections(program) if sections else ()
        program = evolve(program, problems=problems)
        program.write_tables(folder, overwrite=overwrite, sections=further)
    return program


def _all_left_out(group, error):
    """Say of each exposure why it was not used, where an error kept anything from being made of them."""
    reason = f"nothing was made of the detector: {error}"
    return [*group.excluded, *(Exclusion.of(member, reason) for member in group)]


@contextmanager
def collecting(problems, what):
    """Turn an error of the library inside the block into a `Problem` with ``what``, so that the rest goes on."""
    try:
        yield
    except FlatsError as error:
        problems.append(Problem(what=what, reason=error))
