"""Evidence for or against light, box by box and structure by structure."""

from functools import cached_property
from typing import Any

import numpy as np
from attrs import field, frozen
from scipy.interpolate import RBFInterpolator
from scipy.ndimage import binary_dilation
from scipy.special import ndtr

from nircam_flats._fields import HoldsArrays, choice, image, readonly, to_tuple
from nircam_flats._html import ShowsCard
from nircam_flats._strategy import checked_image
from nircam_flats.exceptions import InvalidInputError
from nircam_flats.instrument.detector import N_AMPLIFIERS
from nircam_flats.kernels import box_means, repeat_mesh
from nircam_flats.scattered._strength import LEAST_REAL

__all__ = ["LightEvidence", "Verdict"]

DECISIVE = 9.0
"""Delta chi-squared from which on a verdict is given: a likelihood ratio of 90."""
BOTH = (0.25, 0.75)
SEEN = 3.0
"""Structure is what exceeds the error of a box by this much at its brightest."""
GAPS, RING, MOST = (0, 1), 3, 400
"""Light is continued across a structure from boxes around it: so many, where its own flanks may reach, are left out,
then come so many in each direction, at most so many in all."""


@frozen(kw_only=True)
class Verdict(ShowsCard):
    """What a structure on a detector is.

    Attributes
    ----------
    kind
        'additive' (light), 'multiplicative' (response) or 'undecided'.
    x, y
        Centre of the structure, pixels.
    n_pixels
        Its area.
    excess
        What it adds to the frames at its brightest, in units of the sky; negative for a dark one.
    fraction, fraction_err
        The part of it that varies as the light does, 1 for light and 0 for response, and its 1 sigma error.
    delta_chi2
        Evidence: chi-squared of response minus chi-squared of light. Positive for light.
    expected
        What its absolute value should be on average, by the noise and the spread of the strengths (Fisher information).
    sentence
        The verdict and what it rests on, in words.
    """

    kind: str = choice("additive", "multiplicative", "undecided")
    x: float = field()
    y: float = field()
    n_pixels: int = field()
    excess: float = field()
    fraction: float = field()
    fraction_err: float = field()
    delta_chi2: float = field()
    expected: float = field()
    sentence: str = field()

    def __str__(self):
        return self.sentence


@frozen(kw_only=True, eq=False)
class LightEvidence(HoldsArrays):
    """What the frames of one filter say about light and response, on a mesh.

    Attributes
    ----------
    excess, excess_err
        By how much the mean of the frames exceeds the smooth response, and 1 sigma, in units of the sky; in odd boxes
        (the rest of a star, dead pixels) that of their surroundings.
    varying, varying_err
        How much of it varies with the strength of the light: the excess itself where it is light, 0 where it is
        response; NaN where it is not known.
    stripe_err
        1 sigma error of `varying` that the boxes of a row within an amplifier share: that of the 1/f stripe taken out.
    light
        The mean light as it was taken out, 0 outside its outline.
    constant_err
        Relative error that `varying` has in common everywhere: that of the gauge.
    box_size
        Side of the boxes, pixels; those at the edge may be cut.
    shape
        Rows and columns of the frames.
    rests_on
        The assumption behind the gauge, in words.
    """

    excess: np.ndarray = image(sets_shape=True)
    excess_err: np.ndarray = image()
    varying: np.ndarray = image()
    varying_err: np.ndarray = image()
    stripe_err: np.ndarray = image()
    light: np.ndarray = image()
    constant_err: float = field()
    box_size: int = field(converter=int)
    shape: tuple = field(converter=to_tuple)
    rests_on: str = field()

    @cached_property
    def delta_chi2(self):
        """Mesh of the evidence in each box, positive for light, negative for response; NaN where `varying`
        is not known.

        With the excess E, the varying part A and variances of both, it is ``A^2 / var A - (E - A)^2 / var (E - A)``.
        """
        variance = self.varying_err.astype(float) ** 2
        both = variance + self.excess_err.astype(float) ** 2
        difference = self.varying**2 / variance - (self.excess - self.varying) ** 2 / both
        return readonly(np.where(np.isinf(difference), 0, difference).astype(np.float32))

    def plot(self, ax: Any = None, **artist_options: Any) -> Any:
        """Draw the evidence, red for light and blue for response; returns the artist."""
        from nircam_flats.plotting import draw_evidence

        return draw_evidence(self.image, ax=ax, **artist_options)

    @property
    def image(self) -> np.ndarray:
        """`delta_chi2` as an image of the shape of the frames."""
        return repeat_mesh(self.delta_chi2, self.box_size, self.shape)

    def judge(self, where: np.ndarray) -> "Verdict":
        """Return the `Verdict` on the structure in a region.

        Parameters
        ----------
        where
            Boolean image of the shape of the frames.

        Notes
        -----
        From both the excess and the varying part, light that surrounds the region is subtracted first, continued
        across it, and then what a feature of the response shows in that light. The varying part A is fitted with the
        excess E over the region: ``f = sum(A E w) / N`` with ``w = 1 / var A``, where ``N = sum((E^2 - var E) w)`` is
        the power of the excess without its noise. To the variance, ``sum(E^2 w) / N^2``, is added what boxes share:
        stripes, the gauge, and the error of the light that is continued, which is seen where the same hole is cut
        beside. The boxes next to the region may hold flanks of its own: the surroundings are taken with and without
        them, and the answer with the smaller variance counts. The evidence is ``(f^2 - (f - 1)^2) / var f``, expected
        to be ``+- 1 / var f`` with a standard deviation of ``2 / sqrt(var f)``.
        """
        where = checked_image(where, self.shape, bool, "LightEvidence.judge(where)")
        if not where.any():
            raise InvalidInputError("LightEvidence.judge(where) needs a region of at least one pixel; none is True")
        return self.judge_boxes(box_means(where, self.box_size))

    def judge_boxes(self, share: Any, within: np.ndarray | None = None) -> "Verdict":
        """Return the `Verdict` on the boxes of which ``share`` (0 to 1, a mesh) belongs to the structure.

        ``within`` are the boxes across which the light of the surroundings is continued, by default those of the
        structure.
        """
        hole = share > 0 if within is None else within
        of_gaps = [self._varying_part(share, hole, gap) for gap in GAPS]
        fraction, variance, added = min(of_gaps, key=lambda found: found[1])
        measured = np.where(share > 0.5 * share.max(), added, 0.0)
        highest = float(measured.flat[np.argmax(np.abs(measured))])
        rows, columns = np.indices(share.shape)
        amount = share / max(share.sum(), 1e-9)
        facts = {
            "x": float(np.sum(amount * (columns + 0.5)) * self.box_size - 0.5),
            "y": float(np.sum(amount * (rows + 0.5)) * self.box_size - 0.5),
            "n_pixels": round(float(share.sum()) * self.box_size**2),
            "excess": highest,
            "fraction": float(fraction),
            "fraction_err": float(np.sqrt(variance)),
            "delta_chi2": float((2 * fraction - 1) / variance),
            "expected": float(1 / variance),
        }
        kind, reason = self._decided(facts, float(np.min(self.excess_err)))
        place = f"The structure of {facts['excess']:+.1%} of the sky around x {facts['x']:.0f}, y {facts['y']:.0f}"
        return Verdict(kind=kind, sentence=f"{place} {reason}", **facts)  # type: ignore[arg-type]

    def _varying_part(self, share, hole, gap):
        """The part of a structure that varies, its variance, and the mesh of what is there beyond the light."""
        around = _across(self.light, hole, gap)
        through = around / (1 + around)  # light is seen through the response, and shows a part of its features
        added, known = self.excess - around, np.isfinite(self.varying) & (share > 0)
        excess = added * (1 - through)
        varying = np.where(known, self.varying - around - through * added, 0.0)
        with np.errstate(invalid="ignore"):
            weights = np.where(known, share / self.varying_err.astype(float) ** 2, 0.0)
        power = np.sum(weights * excess**2)
        if not power > 0:
            return 0.0, np.inf, added
        norm = max(power - np.sum(weights * self.excess_err.astype(float) ** 2), LEAST_REAL * power)
        pulls = weights * excess / norm
        fraction = np.sum(pulls * varying)
        in_rows = [part.sum(axis=1) for part in np.array_split(pulls * self.stripe_err, N_AMPLIFIERS, axis=1)]
        variance = power / norm**2 + np.sum(np.square(in_rows)) + (max(abs(fraction), 1.0) * self.constant_err) ** 2
        return fraction, variance + _variance_across(self.light, hole, gap, pulls, np.abs(around[hole]).mean()), added

    def _decided(self, facts, noise):
        fraction, err, evidence = facts["fraction"], facts["fraction_err"], facts["delta_chi2"]
        part = f"{fraction:.0%} +- {err:.0%} of it varies as the light does"
        if abs(facts["excess"]) < SEEN * noise:
            return "undecided", "is undecided: it does not stand out from the noise."
        darker = "it is darker than its surroundings, and light cannot darken"
        if not np.isfinite(err):
            if facts["excess"] < 0:
                return "multiplicative", f"is response: {darker}."
            return "undecided", "is undecided: no light is measured on the detector that it could vary with."
        if facts["excess"] < 0 and evidence >= DECISIVE:
            return "undecided", f"is undecided: {part}, but {darker}."
        if abs(evidence) < DECISIVE:
            numbers = f"evidence {evidence:+.1f}, {facts['expected']:.1f} expected, {DECISIVE:.0f} needed"
            return "undecided", f"is undecided: {part} ({numbers})."
        if min(abs(fraction), abs(fraction - 1)) > 3 * err and not 0 < fraction < 1:
            return "undecided", f"is undecided, neither light nor response: {part}."
        if BOTH[0] < fraction < BOTH[1] and min(fraction, 1 - fraction) > 3 * err:
            return "undecided", f"is undecided, light and response in one place: {part}."
        if evidence > 0:
            return "additive", f"is light: {part}; that rests on the assumption that {self.rests_on}."
        return "multiplicative", f"is response: {part}{'; ' + darker if facts['excess'] < 0 else ''}."


def _across(light, hole, gap):
    """The mesh ``light`` with the boxes of ``hole`` replaced by a thin plate through the boxes around, beyond a gap."""
    beyond, near = (binary_dilation(hole, np.ones((3, 3)), iterations=n) if n else hole for n in (gap + RING, gap))
    places = np.argwhere(beyond & ~near)
    filled = np.where(hole, 0.0, light)
    values = light[tuple(places.T)].astype(float)
    if values.any():
        step = -(-len(places) // MOST)
        plate = RBFInterpolator(places[::step], values[::step], kernel="thin_plate_spline", smoothing=1.0)
        filled[hole] = plate(np.argwhere(hole))
    return filled


def _variance_across(light, hole, gap, pulls, level):
    """Variance of ``sum(pulls * what _across is wrong by)``: by what it is where the same hole is cut beside.

    In proportion to the light, whose ``level`` in the hole is known.
    """
    if not level > 0:
        return 0.0
    places, found = np.argwhere(hole), []
    size = np.ptp(places, axis=0) + 1 + gap + RING
    for step in size * np.array([(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)]):
        there = places + step
        if (there >= 0).all() and (there < light.shape).all():
            moved = np.zeros_like(hole)
            moved[tuple(there.T)] = True
            truth = light[moved]
            if truth.mean() > level / 2:
                found.append(np.sum(pulls[hole] * (_across(light, moved, gap)[moved] - truth)) * level / truth.mean())
    return float(np.mean(np.square(found))) if found else 0.0


def decided_share(expected):
    """Probability that a structure whose evidence is ``expected`` on average is decided (rightly or wrongly)."""
    expected = np.asarray(expected, float)
    width = 2 * np.sqrt(np.maximum(expected, 1e-12))
    return ndtr((expected - DECISIVE) / width) + ndtr(-(expected + DECISIVE) / width)
