"""Frames in memory, on disk and in a store that is kept: the same, made once, and never from damaged entries."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

import attrs
import numpy as np
import pytest
from astropy import units as u

from nircam_flats import (
    DeltaSkyflat,
    Exposure,
    ExposureSet,
    FitStrategy,
    MaskStrategy,
    MultiScale,
    NormalizedFrames,
    Polynomial2D,
    SigmaClippedMean,
    SigmaClippedMedian,
    StorageError,
    recipes,
)
from nircam_flats._strategy import key_of
from nircam_flats.simulation import SimulatedProgram
from nircam_flats.skyflat import _store
from nircam_flats.testing import assert_same

TINY = 10 * u.KiB


class Counted(MaskStrategy):
    """Pixels above 1.5 times the median; counts its calls."""

    calls = 0
    cache_key = "counted 1"

    def find(self, data, good):
        Counted.calls += 1
        return data > 1.5 * np.nanmedian(data)


class Nameless(Counted):
    """The same; the key that it inherits knows nothing of what it might change."""


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Eight exposures of two filters in files."""
    program = SimulatedProgram(
        detectors="B1", filters=("F150W", "F200W"), shape=(128, 128), n_pointings=2, n_dithers=2, seed=5
    )
    files = program.write(tmp_path_factory.mktemp("campaign"))
    return list(files.exposures)


@pytest.fixture
def reads(monkeypatch):
    """The names of the exposures whose pixels were read from their files."""
    found = []
    read = Exposure.read

    def counting(path, planes=()):
        found.append(str(path))
        return read(path, planes)

    monkeypatch.setattr(Exposure, "read", counting)
    return found


def same_frames(one, other):
    for first, second in zip(one.frames, other.frames, strict=True):
        np.testing.assert_array_equal(first.values, second.values)
        np.testing.assert_array_equal(first.mesh, second.mesh)
        assert_same(first.level, second.level)


@pytest.fixture(scope="module")
def expected(paths):
    return NormalizedFrames.from_exposures(ExposureSet.read(paths))


class TestSame:
    def test_on_disk_and_in_memory(self, paths, expected, tmp_path):
        for settings in ({"memory_limit": TINY}, {"store": tmp_path / "store"}):
            frames = NormalizedFrames.from_exposures(ExposureSet.read(paths), **settings)
            same_frames(frames, expected)
            assert isinstance(frames.frames[0].pixels, _store.StoredImage)
            assert_same(DeltaSkyflat.from_frames(frames), DeltaSkyflat.from_frames(expected))

    def test_with_processes(self, paths, expected, tmp_path):
        with ProcessPoolExecutor(2) as executor:
            for settings in ({}, {"memory_limit": TINY}, {"store": tmp_path / "store"}):
                frames = NormalizedFrames.from_exposures(ExposureSet.read(paths), executor=executor, **settings)
                same_frames(frames, expected)
                assert_same(DeltaSkyflat.from_frames(frames, executor=executor), DeltaSkyflat.from_frames(expected))

    def test_the_whole_recipe(self, paths, tmp_path):
        frames = recipes.masked_frames(ExposureSet.read(paths))
        for _ in range(2):
            same_frames(recipes.masked_frames(ExposureSet.read(paths), store=tmp_path / "store"), frames)
        same_frames(recipes.masked_frames(ExposureSet.read(paths), memory_limit=TINY), frames)

    def test_products_are_taken_up(self, paths, tmp_path, monkeypatch):
        """A second run combines and fits nothing; another strategy is not mistaken for the first."""
        program = SimulatedProgram(detectors="B1", filters=("F150W", "F200W"), shape=(128, 128), seed=5)
        flats = [program.ground_flat(*mode) for mode in program.modes()]

        def products(**settings):
            return recipes.sky_flat_detector(ExposureSet.read(paths), flats, store=tmp_path / "store", **settings)

        first = products()
        other = products(strategy=Polynomial2D(degree=2), combine=SigmaClippedMean())
        assert not np.array_equal(other.grey.data, first.grey.data)
        assert not np.array_equal(other.fit.surface, first.fit.surface)
        monkeypatch.setattr(SigmaClippedMedian, "combine", None)
        monkeypatch.setattr(Polynomial2D, "smooth", None)
        again = products()
        for name in ("grey", "fit", "by_filter", "flats"):
            assert_same(getattr(again, name), getattr(first, name))

    def test_strategies_are_known_by_what_they_say(self):
        class Own(FitStrategy):
            """No key."""

            def smooth(self, data, err, good):
                return np.ones(data.shape)

        assert key_of(MultiScale()) == key_of(MultiScale()) != key_of(MultiScale(n_scales=4))
        assert key_of(Own()) is None
        assert key_of(MultiScale(base=Own())) is None
        Own.cache_key = "1"
        assert key_of(MultiScale(base=Own())) is not None

    def test_what_else_decides_about_a_product_is_asked_for(self, paths, tmp_path):
        """Maps of dead pixels depend on flags that their delta skyflat does not hold."""
        frames = NormalizedFrames.from_exposures(ExposureSet.read(paths), store=tmp_path)
        made = []

        def make(of):
            made.append(of)
            return DeltaSkyflat.from_frames(of)

        flags = np.zeros((2, 2), np.uint32)
        for beside in ((flags,), (flags,), (flags + 1,), ()):
            frames.remembered(DeltaSkyflat, make, beside=beside)
        assert len(made) == 3

    def test_a_temporary_folder_goes_with_its_frames(self, paths):
        frames = NormalizedFrames.from_exposures(ExposureSet.read(paths), memory_limit=TINY)
        folder = frames.store.folder
        assert folder.is_dir()
        del frames
        assert not folder.exists()


class TestOnce:
    @pytest.mark.parametrize("settings", [{}, {"memory_limit": TINY}], ids=["memory", "disk"])
    def test_three_passes_read_each_file_once(self, paths, reads, settings):
        recipes.masked_frames(ExposureSet.read(paths), **settings)
        assert sorted(reads) == sorted(map(str, paths))

    def test_a_second_run_reads_and_masks_nothing(self, paths, reads, tmp_path):
        first = NormalizedFrames.from_exposures(ExposureSet.read(paths), masks=Counted(), store=tmp_path)
        calls = Counted.calls
        reads.clear()
        again = NormalizedFrames.from_exposures(ExposureSet.read(paths), masks=Counted(), store=tmp_path)
        assert (Counted.calls, reads) == (calls, [])
        same_frames(again, first)

    def test_another_grouping_masks_nothing(self, paths, tmp_path):
        NormalizedFrames.from_exposures(ExposureSet.read(paths), masks=Counted(), store=tmp_path)
        calls = Counted.calls
        chosen = ExposureSet.read(paths).where(filter="F200W")
        assert len(NormalizedFrames.from_exposures(chosen, masks=Counted(), store=tmp_path)) == 4
        assert Counted.calls == calls

    def test_a_strategy_without_a_key_is_called_again(self, paths, tmp_path):
        for _ in range(2):
            calls = Counted.calls
            NormalizedFrames.from_exposures(ExposureSet.read(paths), masks=Nameless(), store=tmp_path)
            assert Counted.calls == calls + len(paths)

    def test_a_changed_file_is_read_again(self, paths, reads, tmp_path):
        exposure = Exposure.read(paths[0])
        path = tmp_path / "changed_cal.fits"
        exposure.write(path)
        others = [Exposure.read(other) for other in paths[1:]]

        def level():
            members = ExposureSet.read([path]) + ExposureSet.from_exposures(others)
            frames = NormalizedFrames.from_exposures(members, store=tmp_path / "store")
            return frames.frames[0].level.value

        before = level()
        attrs.evolve(exposure, data=2 * exposure.data).write(path, overwrite=True)
        assert level() == pytest.approx(2 * before, rel=1e-3)

    def test_a_function_that_prepares(self, paths, tmp_path):
        """Its result is used in later runs only if it says what it is."""
        calls = []

        def doubled(exposure):
            calls.append(exposure.name)
            return attrs.evolve(exposure, data=2 * exposure.data)

        for _ in range(2):
            NormalizedFrames.from_exposures(ExposureSet.read(paths), preprocess=doubled, store=tmp_path)
        assert len(calls) == 2 * len(paths)
        doubled.cache_key = "doubled"
        for _ in range(2):
            NormalizedFrames.from_exposures(ExposureSet.read(paths), preprocess=doubled, store=tmp_path)
        assert len(calls) == 3 * len(paths)


class TestDamage:
    @pytest.mark.parametrize("folder", ["index", "pixels", "frames", "models"])
    @pytest.mark.parametrize("damage", ["cut short", "changed", "emptied", "removed"])
    def test_damaged_entries_are_made_again(self, paths, tmp_path, folder, damage):
        exposures = ExposureSet.read(paths)
        expected = recipes.masked_frames(exposures, store=tmp_path)
        entries = list((tmp_path / folder).iterdir())
        assert entries
        for entry in entries:
            content = entry.read_bytes()
            middle = len(content) // 2
            if damage == "removed":
                entry.unlink()
            elif damage == "changed":
                entry.write_bytes(content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :])
            else:
                entry.write_bytes(content[: middle if damage == "cut short" else 0])
        same_frames(recipes.masked_frames(ExposureSet.read(paths), store=tmp_path), expected)
        same_frames(recipes.masked_frames(ExposureSet.read(paths), store=tmp_path), expected)

    def test_killed_runs_are_taken_up(self, paths, tmp_path):
        """SIGKILL at moments spread over the run: the next run gives the identical result from what is there."""
        code = (
            "import sys, nircam_flats as nf;"
            "print('begin', flush=True);"
            "nf.recipes.masked_frames(nf.ExposureSet.read(sys.argv[2:]), store=sys.argv[1]);"
            "print('end', flush=True)"
        )
        expected = recipes.masked_frames(ExposureSet.read(paths))
        kept = []
        for delay in (0.02, 0.1, 0.25, 0.5, 2.0):
            command = [sys.executable, "-c", code, str(tmp_path / "store"), *map(str, paths)]
            with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
                process.stdout.readline()
                time.sleep(delay)
                os.kill(process.pid, signal.SIGKILL)
            kept.append(sum(1 for item in (tmp_path / "store").rglob("*") if item.is_file()))
        assert kept == sorted(kept)
        assert kept[-1] > 0
        same_frames(recipes.masked_frames(ExposureSet.read(paths), store=tmp_path / "store"), expected)


class TestNoRoom:
    def test_a_folder_that_cannot_be_made(self, paths, tmp_path):
        (tmp_path / "file").write_text("no folder")
        with pytest.raises(StorageError, match=r"file.*store needs a folder that can be written to.*store="):
            NormalizedFrames.from_exposures(ExposureSet.read(paths), store=tmp_path / "file")

    def test_too_little_room(self, paths, tmp_path, monkeypatch):
        usage = type("Usage", (), {"free": 1000})()
        monkeypatch.setattr(_store.shutil, "disk_usage", lambda _: usage)
        with pytest.raises(StorageError, match=r"8 exposures need 0.0 GB for their pixels; 0.0 GB are free"):
            NormalizedFrames.from_exposures(ExposureSet.read(paths), store=tmp_path)

    def test_a_disk_that_fills_up(self, paths, tmp_path, monkeypatch, expected):
        """The error names the file; nothing half-written stays; the store serves the next run."""
        written = []
        atomic_path = _store.atomic_path

        @contextmanager
        def full(path, **settings):
            written.append(path)
            with atomic_path(path, **settings) as temporary:
                if len(written) > 6:
                    temporary.write_bytes(b"half")
                    raise OSError(28, "No space left on device")
                yield temporary

        with monkeypatch.context() as patch:
            patch.setattr(_store, "atomic_path", full)
            with pytest.raises(StorageError, match="cannot be written; No space left on device"):
                NormalizedFrames.from_exposures(ExposureSet.read(paths), store=tmp_path)
        assert not [item for item in tmp_path.rglob(".*") if item.is_file()]
        same_frames(NormalizedFrames.from_exposures(ExposureSet.read(paths), store=tmp_path), expected)
