"""How a product was made: the steps, their settings, the versions of the software."""

from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from typing import Any, Self

from astropy.table import Table
from attrs import field, frozen

__all__ = ["History", "Step", "software_versions"]


@cache
def software_versions():
    """Return the versions of this library and of those that shape its numbers, as a tuple of pairs."""
    return tuple((name, version(name)) for name in ("nircam_flats", "numpy", "scipy", "astropy", "numba"))


def _to_tuple(values: Iterable) -> tuple:
    return tuple(values)


def _settings(value):
    return tuple((str(key), str(item)) for key, item in dict(value).items())


@frozen(kw_only=True)
class Step:
    """One step of the making: what was done, with which settings (pairs of strings)."""

    name: str = field()
    settings: tuple = field(factory=tuple, converter=_settings)

    def __str__(self):
        settings = ", ".join(f"{key}={value}" for key, value in self.settings)
        return f"{self.name}: {settings}" if settings else self.name


@frozen(kw_only=True)
class History:
    """The steps that made a product, in order, and the software they ran on.

    Examples
    --------
    >>> from nircam_flats.provenance import History
    >>> history = History().then("mask", n_sigma=3).then("combine", strategy="SigmaClippedMedian()")
    >>> print(history)
    mask: n_sigma=3
    combine: strategy=SigmaClippedMedian()
    """

    steps: tuple = field(factory=tuple, converter=_to_tuple)
    versions: tuple = field(factory=software_versions, converter=_to_tuple, repr=False)

    def then(self, name: Any, /, **settings: Any) -> "History":
        """Return the longer history that ends with a step called ``name``."""
        return History(steps=(*self.steps, Step(name=name, settings=settings)), versions=self.versions)

    def __str__(self):
        return "\n".join(str(step) for step in self.steps)

    def to_lines(self) -> list[str]:
        """Return the history as text lines for FITS HISTORY cards, the versions last."""
        versions = ", ".join(f"{name} {number}" for name, number in self.versions)
        return [*(str(step) for step in self.steps), f"software: {versions}"]

    def to_table(self) -> Table:
        """Return the history as a table with a row per setting; step 0 holds the versions."""
        rows = [(0, "software", name, number) for name, number in self.versions]
        for number, step in enumerate(self.steps, 1):
            rows.extend((number, step.name, key, value) for key, value in step.settings or (("", ""),))
        return Table(rows=rows, names=["number", "step", "setting", "value"])

    @classmethod
    def from_table(cls, table: Any) -> Self:
        """Return the history that `to_table` made."""
        versions: list = []
        steps: dict = {}
        for number, step, setting, value in zip(*(table[name] for name in table.colnames), strict=True):
            if number == 0:
                versions.append((str(setting), str(value)))
            else:
                settings = steps.setdefault(int(number), (str(step), []))[1]
                if setting:
                    settings.append((str(setting), str(value)))
        ordered = (Step(name=name, settings=settings) for _, (name, settings) in sorted(steps.items()))
        return cls(steps=ordered, versions=versions)
