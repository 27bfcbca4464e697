"""The 29 NIRCam filters and the 136 imaging modes."""

from functools import cache
from typing import Self

from astropy import units as u
from attrs import field, frozen

from nircam_flats._fields import HoldsArrays, choice, quantity
from nircam_flats.exceptions import InvalidInputError
from nircam_flats.instrument._tables import packaged_table
from nircam_flats.instrument.detector import Detector, to_detector

__all__ = ["Filter", "ImagingMode", "imaging_modes"]


def to_filter(value: "Filter | str") -> "Filter":
    """Convert to a `Filter`, as a named function: so type checkers know what a field takes."""
    return Filter.get(value)


@frozen(kw_only=True)
class Filter(HoldsArrays):
    """One of the 29 NIRCam imaging filters.

    Attributes
    ----------
    name
        Name of the bandpass, such as F405N.
    channel
        'SW' or 'LW'.
    pivot, bandwidth
        Mean over the detectors of the channel, um: pivot = sqrt(int T l dl / int T/l dl), bandwidth =
        int T dl / max T.
    keywords
        Values of the header keywords FILTER and PUPIL. A filter in the pupil wheel is used together with a
        wide one: F405N is ('F444W', 'F405N').

    Examples
    --------
    >>> from nircam_flats import Filter
    >>> Filter.from_keywords("F444W", "F405N").name
    'F405N'
    >>> Filter.get("f200w").pivot
    <Quantity 1.9875 um>
    """

    name: str = field()
    channel: str = choice("SW", "LW")
    pivot: u.Quantity = quantity(u.um)
    bandwidth: u.Quantity = quantity(u.um)
    keywords: tuple[str, str] = field()

    def __str__(self):
        return self.name

    @classmethod
    def get(cls, filter: "Filter | str") -> Self:
        """Return the filter named ``filter`` (a `Filter` or a name, in upper or lower case).

        Raises
        ------
        InvalidInputError
            If NIRCam has no such imaging filter.
        """
        if isinstance(filter, cls):
            return filter
        name = str(filter).strip().upper()
        for known in cls.all():
            if known.name == name:
                return known
        names = ", ".join(known.name for known in cls.all())
        raise InvalidInputError(f"Filter must be one of {names}; got {filter!r}")

    @classmethod
    def from_keywords(cls, filter: "Filter | str", pupil: str = "CLEAR") -> Self:
        """Return the bandpass that the header keywords FILTER and PUPIL select.

        Raises
        ------
        InvalidInputError
            If the pair is no imaging mode of NIRCam (a weak lens, a coronagraph mask, a grism).
        """
        pair = (str(filter).strip().upper(), str(pupil).strip().upper())
        for known in cls.all():
            if known.keywords == pair:
                return known
        raise InvalidInputError(
            f"FILTER and PUPIL must select one of the 29 imaging filters (such as F200W and CLEAR, or F444W "
            f"and F405N); got {pair[0]} and {pair[1]}"
        )

    @classmethod
    def all(cls) -> tuple:
        """Return the 29 filters as a tuple, by channel and wavelength."""
        return _all_filters()


@frozen(kw_only=True)
class ImagingMode(HoldsArrays):
    """A detector with a filter of its channel; ``pivot`` and ``bandwidth`` are this detector's own."""

    detector: Detector = field(converter=to_detector, repr=str)
    filter: Filter = field(converter=to_filter, repr=str)
    pivot: u.Quantity = quantity(u.um)
    bandwidth: u.Quantity = quantity(u.um)

    @filter.validator
    def _same_channel(self, attribute, filter):
        if filter.channel != self.detector.channel:
            raise InvalidInputError(
                f"ImagingMode.filter must be one of channel {self.detector.channel} to go with detector "
                f"{self.detector}; got {filter}, of {filter.channel}"
            )

    def __str__(self):
        return f"{self.detector} {self.filter}"


@cache
def _all_filters():
    return tuple(
        Filter(
            name=str(row["name"]),
            channel=str(row["channel"]),
            pivot=row["pivot"],
            bandwidth=row["bandwidth"],
            keywords=(str(row["filter_keyword"]), str(row["pupil_keyword"])),
        )
        for row in packaged_table("filters")
    )


@cache
def imaging_modes():
    """Return the 136 `ImagingMode` as a tuple: 8 SW detectors x 13 filters, 2 LW x 16."""
    return tuple(
        ImagingMode(
            detector=str(row["detector"]),
            filter=str(row["filter"]),
            pivot=row["pivot"],
            bandwidth=row["bandwidth"],
        )
        for row in packaged_table("imaging_modes")
    )
