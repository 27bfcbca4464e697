"""What is asked of every file of the corpus, and the count of them all."""

import io
import signal
import warnings
from collections import Counter
from contextlib import contextmanager

import attrs
import pytest
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning

from nircam_flats import Detector, Filter, FlatsWarning, InvalidInputError
from nircam_flats.testing import assert_same

from .formats import ANYTHING, AS_ASTROPY, NOT_COMPARED, REFUSED

PLANES = {"data": "SCI", "err": "ERR"}
SECONDS = 10
"""Of the processor: a file that takes longer hangs."""


@contextmanager
def _in_time():
    def tell(*_):
        raise AssertionError(f"still at it after {SECONDS} s")

    before = signal.signal(signal.SIGVTALRM, tell)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


class Examination:
    """Reads files and compares with what was wanted; what is wrong is told when the test ends."""

    def __init__(self, folder):
        self.folder = folder
        self.counts = Counter()
        self.wrong = []

    def __call__(self, format, content, wanted, what, *, name=None):
        """Read ``content`` as a file of ``format``: ``wanted`` is REFUSED, or a dict of the fields that differ."""
        path = self.folder / (name or format.name)
        path.write_bytes(content)
        with self.counting(format.kind, what) as outcome:
            found = self._read(format, path)
            if wanted is AS_ASTROPY:
                self._compare_with_astropy(found, path)
            else:
                self._compare(format, found, wanted)
            outcome.append("refused" if found is REFUSED else "read right")

    @contextmanager
    def counting(self, kind, what):
        """Context manager that counts a file: as wrong if anything is raised, else by what is put into the list."""
        outcome = []
        try:
            yield outcome
        except Exception as error:
            self.wrong.append(f"{kind}, {what}: {type(error).__name__}: {error}")
            outcome = ["wrong"]
        self.counts[kind, *(outcome or ["read right"])] += 1

    def _read(self, format, path):
        with warnings.catch_warnings(), _in_time():
            warnings.simplefilter("error")
            for category in (
                FlatsWarning,
                AstropyWarning,
            ):  # what they tell, they tell; numbers must be right all the same
                warnings.simplefilter("ignore", category)
            try:
                return format.read(path)
            except InvalidInputError as error:
                _, name, cause = str(error).partition(f"{path}: ")
                if not name or len(cause) < 15:
                    raise AssertionError(f"must name file and cause; got {error}") from None
                self.cause = cause
                return REFUSED

    def _compare(self, format, found, wanted):
        if (found is REFUSED) != (wanted is REFUSED):
            raise AssertionError("must be refused; it was read" if wanted is REFUSED else f"must be read; {self.cause}")
        if found is REFUSED:
            return
        if not attrs.has(type(found)):
            assert_same(found, format.value)
            return
        for field in attrs.fields(type(found)):
            if field.name not in NOT_COMPARED:
                expected = wanted[field.name] if field.name in wanted else getattr(format.value, field.name)
                if expected is not ANYTHING:
                    assert_same(getattr(found, field.name), expected, name=field.name)

    def _compare_with_astropy(self, found, path):
        if found is REFUSED:
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            hdus = fits.open(io.BytesIO(path.read_bytes()))
            for name, extension in PLANES.items():
                image = getattr(found, name, None)
                if image is not None:
                    assert_same(image, hdus[extension].data.astype("f4"), name=name)
            header = hdus[0].header
            if hasattr(found, "detector"):
                assert_same(found.detector, Detector.get(header["DETECTOR"]))
                assert_same(found.filter, Filter.from_keywords(header["FILTER"], header["PUPIL"]))
            if hasattr(found, "exposure_time"):
                for value, keyword in ((found.exposure_time, "EFFEXPTM"), (found.photmjsr, "PHOTMJSR")):
                    there = hdus["SCI" if keyword == "PHOTMJSR" else 0].header.get(keyword)
                    if value is not None:
                        assert_same(float(getattr(value, "value", value)), float(there), name=keyword)


@pytest.fixture
def examine(tmp_path, record_property):
    """An `Examination`: ``examine(format, content, wanted, what)``."""
    examination = Examination(tmp_path)
    yield examination
    record_property("corpus", [(*key, count) for key, count in examination.counts.items()])
    if examination.wrong:
        n_files = examination.counts.total()
        pytest.fail(f"{len(examination.wrong)} of {n_files} files:\n" + "\n".join(examination.wrong), pytrace=False)


def pytest_terminal_summary(terminalreporter):
    """Print how many files of each format there were, and what became of them."""
    counts = Counter()
    for report in [report for reports in terminalreporter.stats.values() for report in reports]:
        if getattr(report, "when", None) == "teardown":
            for kind, outcome, count in dict(report.user_properties).get("corpus", ()):
                counts[kind, outcome] += count
    if counts:
        outcomes = ("read right", "refused", "wrong")
        terminalreporter.section(f"corpus of bad input: {counts.total()} files")
        for kind in sorted({kind for kind, _ in counts}):
            numbers = ", ".join(f"{counts[kind, outcome]} {outcome}" for outcome in outcomes)
            terminalreporter.write_line(f"{kind}: {numbers}")
