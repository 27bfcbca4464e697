"""The measured sky beside the predicted one."""

from concurrent.futures import Executor
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import QTable
from attrs import field, frozen

from nircam_flats._fields import HoldsArrays, readonly
from nircam_flats._files import open_product, read_table, read_text, write_product
from nircam_flats.background._measure import MeasuredSky, deep_mask_of
from nircam_flats.background.model import BRIGHTNESS, BackgroundModel
from nircam_flats.background.rules import BackgroundRules
from nircam_flats.background.zodiacal import ZodiacalBackground
from nircam_flats.exceptions import InvalidInputError
from nircam_flats.exposure import ExposureSet
from nircam_flats.fit import FlatModelFit
from nircam_flats.instrument import Detector, Filter
from nircam_flats.parallel import map_ordered
from nircam_flats.provenance import History
from nircam_flats.skyflat.frames import check_masks, described

__all__ = ["BackgroundComparison"]

PRODUCT = "BackgroundComparison"
LEVELS = ("measured", "measured_err", "predicted", "predicted_err")


@frozen(kw_only=True, eq=False)
class BackgroundComparison(HoldsArrays):
    """The measured sky of exposures beside what a model predicts.

    Attributes
    ----------
    exposures
        `~astropy.table.QTable` with a row for each exposure, in their order: ``name``, ``detector``, ``filter``,
        ``start``, ``exposure_time``, ``ra``, ``dec``; ``measured`` and ``predicted`` with their errors, MJy/sr; the
        predicted components (``predicted_zodiacal``...); ``n_deep``, the number of other exposures whose masks took the
        place of its own; ``ratio`` (measured / predicted) and ``ratio_err``;
        ``masked_fraction`` and ``asymmetry``, which the rules look at; ``reason``, why the exposure is flagged, empty
        if it is not. What is not known is NaN.
    model
        What predicted, as text.
    history
        How it was made.

    Notes
    -----
    ``measured_err`` and ``ratio_err`` are those of the measurement alone; ``predicted_err`` is what the model says of
    itself, NaN if it says nothing, and is common to many exposures.
    """

    exposures: QTable = field(repr=lambda table: f"<{len(table)} exposures>")
    model: str = field(converter=str)
    history: History = field(factory=History, repr=False)

    @classmethod
    def from_exposures(
        cls,
        exposures: ExposureSet,
        *,
        model: BackgroundModel | None = None,
        masks: Any = None,
        corrections: Any = None,
        deep: ExposureSet | None = None,
        rules: BackgroundRules | None = None,
        band_average: bool = False,
        executor: Executor | None = None,
    ) -> Self:
        """Measure the sky of each exposure and predict it.

        Parameters
        ----------
        exposures
            An `~nircam_flats.ExposureSet`, of any detectors and filters.
        model
            A `~nircam_flats.BackgroundModel`; by default `~nircam_flats.ZodiacalBackground`.
        masks
            As in `~nircam_flats.NormalizedFrames.from_exposures`: a `~nircam_flats.MaskStrategy`, a mapping from the
            names of the exposures, or a callable. They are applied to data without 1/f stripes. By default
            `~nircam_flats.PyramidSegmentation`, for detectors without a correction
            `~nircam_flats.PyramidSegmentation.without_correction`.
        corrections
            `~nircam_flats.FlatModelFit` of the detectors, in any order: each divides the images of its detector before
            sources are looked for and the level is measured. Without, the level is that of an image whose flat may
            be wrong by several per cent.
        deep
            Longer exposures of the same fields, an `~nircam_flats.ExposureSet`. Where those of its detector (in its
            filter, if there are any) cover more than half of an exposure, the sources that they show are masked in it
            instead of those that it shows itself; where they do not reach, its own mask serves. Use it for
            exposures of less than a few hundred seconds, which do not show the sources that raise their sky. The mask
            of an exposure is never carried to itself.
        rules
            `~nircam_flats.BackgroundRules` that flag exposures; by default those of the mission's monitor.
        band_average
            As in `~nircam_flats.BackgroundModel.predict`.
        executor
            Any `concurrent.futures.Executor`; by default threads for all cores.

        Raises
        ------
        InvalidInputError
            If there is no exposure, or none has both a measured and a predicted sky; a deep exposure can give no mask
            (the text says why: leave it out with `ExposureSet.exclude`); an argument is something else.
        """
        model = _to_model(model)
        rules = BackgroundRules() if rules is None else rules
        if masks is not None:
            check_masks(masks)
        if deep is not None and not isinstance(deep, ExposureSet):
            raise InvalidInputError(f"deep of BackgroundComparison must be an ExposureSet; got {deep!r}")
        corrections = _by_detector(corrections)
        members = tuple(exposures)
        if not members:
            raise InvalidInputError("BackgroundComparison needs at least one exposure; got none")
        settings = {"masks": masks, "corrections": corrections}
        work = partial(deep_mask_of, **settings)
        deep_masks = tuple(map_ordered(work, tuple(deep or ()), executor=executor, stage="mask deep exposures"))
        work = partial(MeasuredSky.of, deep=deep_masks, **settings)
        measured = map_ordered(work, members, executor=executor, stage="measure the sky")
        table = _compared(members, measured, model, band_average, rules)
        history = History().then(
            "compare backgrounds",
            model=model,
            masks="default" if masks is None else described(masks),
            corrections=", ".join(corrections) or "none",
            deep=", ".join(mask.name for mask in deep_masks) or "none",
            rules=rules,
            band_average=band_average,
        )
        return cls(exposures=table, model=repr(model), history=history)

    @classmethod
    def from_levels(
        cls, exposures: ExposureSet, levels: Any, *, model: BackgroundModel | None = None, band_average: bool = False
    ) -> Any:
        """Predict the sky of exposures whose levels are known already: nothing is read again.

        Parameters
        ----------
        exposures
            An `~nircam_flats.ExposureSet`; those that ``levels`` does not have are left out.
        levels
            A table with the columns ``name``, ``level`` and ``level_err``, as `~nircam_flats.DeltaSkyflat.exposures`;
            rows without a level do not count. The rules that flag exposures need pixels, and are not applied.
        model, band_average
            As in `from_exposures`.

        Raises
        ------
        InvalidInputError
            If none of the exposures has both a level and a predicted sky, or the levels are no surface brightness.
        """
        model = _to_model(model)
        try:
            values, errs = (levels[name].to_value(BRIGHTNESS) for name in ("level", "level_err"))
        except u.UnitConversionError as error:
            raise InvalidInputError(
                f"BackgroundComparison.from_levels needs levels in surface brightness (MJy/sr); got others: {error}"
            ) from None
        known = {str(name): pair for name, *pair in zip(levels["name"], values, errs, strict=True) if pair[0] > 0}
        members = [member for member in exposures if member.name in known]
        if not members:
            raise InvalidInputError(
                f"BackgroundComparison.from_levels needs exposures whose levels are known; got none among {len(known)}"
            )
        measured = [MeasuredSky(level=KnownLevel(*known[member.name])) for member in members]
        table = _compared(members, measured, model, band_average, rules=None)
        history = History().then("compare backgrounds", model=model, levels=len(known), band_average=band_average)
        return cls(exposures=table, model=repr(model), history=history)

    @cached_property
    def flags(self):
        """Boolean array, True for each exposure that is flagged: `ExposureSet.exclude` takes it."""
        return readonly(np.array([bool(reason) for reason in self.reasons]))

    @property
    def reasons(self) -> list[str]:
        """Why each exposure is flagged, a list of texts; empty where it is not."""
        return [str(reason) for reason in self.exposures["reason"]]

    @cached_property
    def table(self):
        """A `~astropy.table.QTable` with a row for each detector and filter.

        ``n_used`` exposures were not flagged of ``n_exposures``; ``measured``, ``predicted`` and ``ratio`` are their
        means, with errors (that of the measurement from the scatter of the ratios); ``wavelength`` is the pivot;
        ``lowest`` and ``highest`` the range of the predictions. ``consistency`` is the mean of each exposure's ratio
        over the median of the detectors that took the same exposure: 1 if they agree, NaN if there was one only.
        """
        relative = self._relative_to_others()
        pairs = {*zip(self.exposures["detector"], self.exposures["filter"], strict=True)}
        rows = []
        for detector, filter in sorted(pairs, key=_order):
            here = (self.exposures["detector"] == detector) & (self.exposures["filter"] == filter)
            used = here & ~self.flags
            row = {"detector": str(detector), "filter": str(filter), "wavelength": Filter.get(str(filter)).pivot}
            row |= {"n_exposures": int(here.sum()), "n_used": int(used.sum())}
            rows.append(row | _means(self.exposures[used]) | _consistency(relative[used]))
        return QTable(rows=rows)

    def _relative_to_others(self):
        """The ratio of each exposure over the median of the detectors that took it at once; NaN where it was alone."""
        relative = np.full(len(self.exposures), np.nan)
        taken = [f"{row['filter']} {row['start']}" if row["start"] else "" for row in self.exposures]
        unflagged = np.where(self.flags, "", taken)
        for one in set(unflagged) - {""}:
            together = np.flatnonzero(unflagged == one)
            if len(together) > 1:
                ratio = self.exposures["ratio"][together]
                relative[together] = ratio / np.median(ratio)
        return relative

    def write(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write a FITS file (table EXPOSURES, and HISTORY) that `read` reads back."""
        tables, texts = {"EXPOSURES": self.exposures}, {"MODEL": self.model}
        write_product(path, PRODUCT, {}, {}, tables, self.history, texts=texts, overwrite=overwrite)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read what `write` wrote.

        Raises
        ------
        InvalidInputError
            If the file holds something else; the text names it.
        """
        with open_product(path, PRODUCT) as hdus:
            return cls(
                exposures=read_table(hdus, "EXPOSURES", path),
                model=read_text(hdus, "MODEL", path),
                history=History.from_table(read_table(hdus, "HISTORY", path)),
            )

    def plot(self, ax: Any = None, **artist_options: Any) -> Any:
        """Draw measured levels (dots) over predictions (lines and grey range); returns the artists of the dots."""
        from nircam_flats.plotting import draw_backgrounds

        return draw_backgrounds(self.table, ax=ax, **artist_options)


class KnownLevel(NamedTuple):
    """A sky level that was measured before, and its error, MJy/sr."""

    value: float
    err: float


def _to_model(model):
    model = ZodiacalBackground() if model is None else model
    if not isinstance(model, BackgroundModel):
        raise InvalidInputError(f"BackgroundComparison needs a BackgroundModel; got {model!r}")
    return model


def _compared(members, measured, model, band_average, rules):
    """The table of the exposures; at least one of them must have a measured and a predicted sky."""
    table = _table(
        [
            _row(member, sky, *_predicted(model, member, band_average), model.relative_err, rules)  # type: ignore[call-arg]
            for member, sky in zip(members, measured, strict=True)
        ]
    )
    if not np.isfinite(table["ratio"]).any():
        raise InvalidInputError(
            f"BackgroundComparison needs an exposure with a measured and a predicted sky; got none of {len(table)}: "
            f"{members[0].name or 'the first'}: {table['reason'][0]}"
        )
    return table


def _by_detector(corrections):
    if corrections is None:
        return {}
    found = [corrections] if isinstance(corrections, FlatModelFit) else list(corrections)
    wrong = [item for item in found if not isinstance(item, FlatModelFit)]
    if wrong:
        raise InvalidInputError(f"corrections of BackgroundComparison must be FlatModelFit objects; got {wrong[0]!r}")
    by_name = {item.detector.name: item for item in found}
    if len(by_name) < len(found):
        raise InvalidInputError("corrections of BackgroundComparison must be one of each detector; got two of one")
    return by_name


def _predicted(model, member, band_average):
    """Return the components that the model predicts, and what keeps it from it (a text, empty if nothing)."""
    if member.pointing is None or member.start is None:
        missing = "pointing" if member.pointing is None else "start"
        return {}, f"no prediction: the exposure's {missing} is not known"
    coordinate = SkyCoord(member.pointing.ra_ref, member.pointing.dec_ref)
    try:
        return model.components(coordinate, member.start, member.filter, band_average=band_average), ""
    except InvalidInputError as error:
        return {}, f"no prediction: {error}"


def _row(member, sky, components, no_prediction, relative_err, rules):
    level = sky.level
    measured, err = (np.nan, np.nan) if level is None else (level.value, level.err)
    predicted = sum(components.values()).to_value(BRIGHTNESS).item() if components else np.nan
    if components and not predicted > 0:
        predicted, no_prediction = np.nan, f"no prediction: that of the model must be above 0; got {predicted:g} MJy/sr"
    reasons = [*sky.problems, *([no_prediction] if no_prediction else [])]
    if level is not None and rules is not None:
        reasons += rules.reasons(
            member.detector.channel,
            exposure_time=member.exposure_time,
            masked_fraction=sky.masked_fraction,
            asymmetry=sky.asymmetry,
        )
    return {
        "name": member.name,
        "detector": member.detector.name,
        "filter": member.filter.name,
        "start": "" if member.start is None else member.start.isot,
        "exposure_time": np.nan * u.s if member.exposure_time is None else member.exposure_time,
        "ra": np.nan * u.deg if member.pointing is None else member.pointing.ra_ref,
        "dec": np.nan * u.deg if member.pointing is None else member.pointing.dec_ref,
        "measured": measured * BRIGHTNESS,
        "measured_err": err * BRIGHTNESS,
        "predicted": predicted * BRIGHTNESS,
        "predicted_err": relative_err * predicted * BRIGHTNESS,
        "ratio": measured / predicted,
        "ratio_err": err / predicted,
        "n_deep": sky.n_deep,
        "masked_fraction": sky.masked_fraction,
        "asymmetry": sky.asymmetry,
        "reason": "; ".join(reasons),
        "components": components,
    }


def _table(rows):
    components = [row.pop("components") for row in rows]
    names = dict.fromkeys(name for found in components for name in found)
    table = QTable(rows=rows)
    place = table.index_column("ratio")
    for name in names:
        column = u.Quantity([found.get(name, np.nan * BRIGHTNESS) for found in components])
        table.add_column(column, name=f"predicted_{name}", index=place)
        place += 1
    return table


def _order(pair):
    return Detector.get(str(pair[0])).sca_id, Filter.get(str(pair[1])).pivot


def _means(used):
    n = len(used)
    if not n:
        missing = dict.fromkeys((*LEVELS, "lowest", "highest"), np.nan * BRIGHTNESS)
        return missing | {"ratio": np.nan, "ratio_err": np.nan}
    ratio, ratio_err = _mean(used["ratio"])
    ratio_err = float(used["ratio_err"][0]) if n == 1 else ratio_err
    measured = used["measured"].mean()
    return {
        "measured": measured,
        "measured_err": measured * ratio_err / ratio,
        "predicted": used["predicted"].mean(),
        "predicted_err": used["predicted_err"].mean(),
        "lowest": used["predicted"].min(),
        "highest": used["predicted"].max(),
        "ratio": ratio,
        "ratio_err": ratio_err,
    }


def _consistency(relative):
    value, err = _mean(relative[np.isfinite(relative)])
    return {"consistency": value, "consistency_err": err}


def _mean(values):
    """Mean and its error by the scatter; NaN where there are too few values."""
    n = len(values)
    err = float(np.std(values, ddof=1) / np.sqrt(n)) if n > 1 else np.nan
    return float(np.mean(values)) if n else np.nan, err
