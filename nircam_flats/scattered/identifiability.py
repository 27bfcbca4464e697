"""How well light and response can be told apart."""

from typing import Any, Self

import numpy as np
from attrs import field, frozen

from nircam_flats._html import ShowsCard

__all__ = ["Identifiability"]

NEEDED_SPREAD = 4.0
"""Strengths vary if their scatter is this many times their error."""
NEEDED_GAUGE = 0.25
"""Relative error of the gauge constant from which on nothing can be said."""


@frozen(kw_only=True)
class Identifiability(ShowsCard):
    """How well light and response can be told apart.

    Attributes
    ----------
    gauge
        The rule that fixed the gauge, as text.
    constant_err
        Relative 1 sigma error of the gauge constant: of how much light there is where strengths are only compared.
    spread, spread_err
        Standard deviation of the strengths (which are 1 on average), and the error of a single one.
    misfit
        1 sigma by which a box of the response departs from what is smooth, outside the light.
    determined
        Whether the two could be told apart at all.
    sentence
        The same in words.
    """

    gauge: str = field()
    constant_err: float = field()
    spread: float = field()
    spread_err: float = field()
    misfit: float = field()
    determined: bool = field()
    sentence: str = field()

    def __str__(self):
        return self.sentence

    @classmethod
    def of(cls, found: Any, gauge: Any) -> Self:
        """Return the figures of what was found, a ``Separated``, with a `Gauge`."""
        shown = found.regression.shown
        spread = float(np.std(found.regression.strengths[shown], ddof=1)) if shown.sum() > 1 else 0.0
        single = float(np.sqrt(np.mean(found.regression.strength_err[shown] ** 2))) if shown.any() else np.inf
        constant, err = found.gauge.constant, found.gauge.constant_err
        relative = float(err / constant) if constant > 0 else np.inf
        second = found.regression.second
        if second is not None:  # what it adds to the mean light is as uncertain as its own part of it
            share = np.linalg.norm(second.light) / np.linalg.norm(found.light)
            relative = float(np.hypot(relative, found.gauge.of_second_err * share))
        if not found.outline.any():
            spread, single, determined = 0.0, np.inf, False
            sentence = "Nothing stands out from a smooth response; no light was looked for."
        elif not spread > NEEDED_SPREAD * single:
            determined = False
            sentence = (
                f"Light and response cannot be told apart: the strength of the structure varies by {spread:.1%} "
                f"between the frames, less than {NEEDED_SPREAD:g} times its error of {single:.1%}. Its outline is left "
                "out of the response."
            )
        elif not relative < NEEDED_GAUGE:
            determined = False
            sentence = (
                f"Light and response cannot be told apart: the amount of light is uncertain by {relative:.0%}, more "
                f"than {NEEDED_GAUGE:.0%}, though its strength varies by {spread:.1%}. The outline is left out of the "
                "response."
            )
        else:
            determined = True
            sentence = (
                f"Light and response are told apart by strengths that vary by {spread:.1%} (error {single:.1%}); the "
                f"amount of light is known to {relative:.1%}, on the assumption that {gauge.statement}."
            )
        if second is not None:
            sentence += (
                " A second light, whose strengths vary beside those of the first, is seen by frames that were held out "
                f"(chi-squared falls by {second.gain:.0f}, by chance by {second.gain_err:.0f})."
            )
        return cls(
            gauge=repr(gauge),
            constant_err=relative,
            spread=spread,
            spread_err=single,
            misfit=float(found.misfit),
            determined=determined,
            sentence=sentence,
        )
