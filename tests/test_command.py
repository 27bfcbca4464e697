"""The command: what it makes, what it says, and the exit status that says whether all was made."""

import re
import shutil
import subprocess
import sys
import warnings
from collections import namedtuple
from pathlib import Path

import pytest
from astropy.io import fits
from astropy.table import QTable, Table

from nircam_flats import FlatDelivery, FlatReference, FlatsWarning, __main__, parallel
from nircam_flats.__main__ import main
from nircam_flats.report import products

pytestmark = pytest.mark.usefixtures("empty_figures")
ROOT = Path(__file__).parents[1]
SMALL_DEMO = ("demo", "--size", "96", "--dithers", "2", "--detectors", "B1")
DISK = namedtuple("Disk", "total used free")


@pytest.fixture
def of_b1(campaign):
    """The files of NRCB1, texts."""
    return [str(path) for path in campaign.exposures if path.name.endswith("_nrcb1_cal.fits")]


def files_below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


class TestRun:
    def test_makes_all(self, campaign, made, tmp_path, capsys):
        out = tmp_path / "new"
        pattern = str(campaign.folder / "cal" / "*_cal.fits")
        ground_flats = str(campaign.folder / "ground_flats")
        assert main(["run", pattern, "--ground-flats", ground_flats, "--out", str(out)]) == 0
        expected = {name for item in made.products for name in (*item.files(), item.figure_file)}
        assert set(files_below(out)) == expected | {"summary.ecsv", "exposures.ecsv", "report.html"}
        said = capsys.readouterr()
        assert said.err == ""
        for item in made.products:
            (line,) = (line for line in said.out.splitlines() if line.startswith(item.detector.name))
            row = item.summary
            assert line.split()[-5:] == ["12", "0", f"{row['change']:.2%}", f"{row['fit_err']:.2%}", "2"]
        assert f"Written to {out} after" in said.out
        assert "Left out" not in said.out
        assert "Not made" not in said.out

    def test_photometry_when_asked(self, campaign, of_b1, tmp_path):
        arguments = ["run", *of_b1, "--ground-flats", str(campaign.folder / "ground_flats"), "--photometry"]
        assert main([*arguments, "--out", str(tmp_path / "new")]) == 0
        page = (tmp_path / "new" / "report.html").read_text()
        assert '<section id="photometry-of-stars"' in page
        assert "NRCB1 F200W: not measured: PhotometricRepeatability needs" in page
        assert main([*arguments[:-1], "--out", str(tmp_path / "other")]) == 0
        assert "photometry-of-stars" not in (tmp_path / "other" / "report.html").read_text()

    def test_what_is_left_out_is_told_and_is_no_failure(self, campaign, of_b1, tmp_path, capsys):
        text = tmp_path / "notes_cal.fits"
        text.write_text("not FITS")
        arguments = ["run", *of_b1, str(text)]
        arguments += ["--ground-flats", str(campaign.folder / "ground_flats"), "--out", str(tmp_path / "new")]
        assert main(arguments) == 0
        said = capsys.readouterr()
        assert f"Left out: 1 of 13 exposures (each is in {tmp_path / 'new' / 'exposures.ecsv'})" in said.out
        assert "  1: needed a FITS file; got something else: notes_cal.fits\n" in said.out
        (warning,) = said.err.splitlines()
        assert warning.startswith("nircam-flats: 1 of 13 files cannot be used")

    def test_a_file_that_is_not_there_is_refused(self, campaign, of_b1, tmp_path, capsys):
        gone = tmp_path / "gone_cal.fits"
        arguments = ["--ground-flats", str(campaign.folder / "ground_flats"), "--out", str(tmp_path / "new")]
        assert main(["run", *of_b1, str(gone), *arguments]) == 2
        assert f"{gone}: a file to read is needed; nothing is there" in capsys.readouterr().err

    def test_a_missing_ground_flat(self, campaign, of_b1, tmp_path, capsys):
        for path in campaign.ground_flats:
            if FlatReference.read(path).filter.name != "F200W":
                shutil.copy(path, tmp_path)
        out = tmp_path / "new"
        assert main(["run", *of_b1, "--ground-flats", str(tmp_path), "--out", str(out)]) == 1
        said = capsys.readouterr().out
        assert f"Not made: 1 (also in {out / 'summary.ecsv'})\n  NRCB1 F200W flight flat: the ground flat" in said
        assert "flats/nrcb1_f115w_flat.fits" in files_below(out)
        assert "flats/nrcb1_f200w_flat.fits" not in files_below(out)
        assert len(Table.read(out / "summary.ecsv").meta["problems"]) == 1

    def test_a_single_exposure(self, campaign, of_b1, tmp_path, capsys):
        arguments = ["--ground-flats", str(campaign.folder / "ground_flats"), "--out", str(tmp_path)]
        assert main(["run", of_b1[0], *arguments]) == 1
        assert "NRCB1 flats: ExposureSet: needed at least two exposures that can be used" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("change", "text"),
        [
            ({"cal": ["{tmp}/*_cal.fits"]}, "needed at least one file; nothing matches"),
            ({"cal": ["{tmp}"]}, "needed files; got the folder"),
            ({"cal": ["{tmp}/note"]}, "needed at least one _cal file that can be used; got 1 that cannot"),
            ({"flats": "{tmp}/gone"}, "a ground flat, or a folder of them, is needed; nothing is there"),
            ({"flats": "{tmp}"}, r"at least one ground flat \(\*.fits\) is needed; there is none"),
            ({"out": "{tmp}/note"}, "a folder to write to is needed; File exists"),
            ({"out": "{tmp}/note/out"}, "a folder to write to is needed; Not a directory"),
        ],
        ids=["no match", "a folder", "no exposure", "no flats folder", "no flats", "out is a file", "out below a file"],
    )
    def test_refused(self, campaign, of_b1, tmp_path, capsys, change, text):
        (tmp_path / "note").write_text("not FITS")
        given = {"cal": of_b1, "flats": str(campaign.folder / "ground_flats"), "out": "{tmp}/new"} | change
        cal, (flats, out) = given["cal"], (given[name].format(tmp=tmp_path) for name in ("flats", "out"))
        cal = [path.format(tmp=tmp_path) for path in cal]
        assert main(["run", *cal, "--ground-flats", flats, "--out", out]) == 2
        said = capsys.readouterr()
        (line,) = said.err.splitlines()
        assert re.match(f"nircam-flats: .*{text}", line)
        assert said.out == ""
        assert files_below(tmp_path) == ["note"]

    def test_an_earlier_run_is_replaced_only_when_asked(self, campaign, of_b1, tmp_path, capsys):
        arguments = ["run", *of_b1, "--ground-flats", str(campaign.folder / "ground_flats"), "--out", str(tmp_path)]
        assert main(arguments) == 0
        before = (tmp_path / "exposures.ecsv").stat().st_mtime_ns
        capsys.readouterr()
        assert main(arguments) == 2
        assert capsys.readouterr().err.startswith(f"nircam-flats: {tmp_path}: holds products of an earlier run; choose")
        assert (tmp_path / "exposures.ecsv").stat().st_mtime_ns == before
        assert main([*arguments, "--overwrite"]) == 0
        assert (tmp_path / "exposures.ecsv").stat().st_mtime_ns > before

    def test_ctrl_c(self, campaign, of_b1, tmp_path, capsys, monkeypatch):
        def interrupted(self, handle, **options):
            handle.write(b"SIMPLE")
            raise KeyboardInterrupt

        arguments = ["run", *of_b1, "--ground-flats", str(campaign.folder / "ground_flats"), "--out", str(tmp_path)]
        with monkeypatch.context() as patch:
            patch.setattr(fits.HDUList, "writeto", interrupted)
            assert main(arguments) == 130
        said = capsys.readouterr()
        text = f"interrupted; what is in {tmp_path} is whole, but not all; begin again with --overwrite"
        assert said.err == f"nircam-flats: {text}\n"
        assert files_below(tmp_path) == []

    def test_warnings_of_the_caller_are_as_before(self, campaign, of_b1, tmp_path, capsys):
        text = tmp_path / "notes_cal.fits"
        text.write_text("not FITS")
        before = warnings.showwarning, warnings.filters[:]
        assert main(["run", *of_b1, str(text), "--ground-flats", str(campaign.folder), "--out", str(tmp_path)]) == 2
        assert (warnings.showwarning, warnings.filters[:]) == before
        with pytest.raises(FlatsWarning):
            warnings.warn("as an error, as tests want it", FlatsWarning, stacklevel=1)


class TestDemo:
    def test_makes_all_and_compares_it_with_the_truth(self, tmp_path, capsys):
        out = tmp_path / "demo"
        assert main([*SMALL_DEMO, "--out", str(out), "--seed", "3"]) == 0
        assert len(list((out / "input" / "cal").iterdir())) == 4
        assert {"summary.ecsv", "figures/nrcb1.png", "flats/nrcb1_f200w_flat.fits"} <= set(files_below(out))
        assert list(QTable.read(out / "exposures.ecsv")["used"]) == [True] * 4
        said = capsys.readouterr()
        assert said.err == ""
        lines = said.out.splitlines()
        assert lines[0] == f"Simulating 4 exposures of 96 x 96 px of NRCB1 (seed 3) in {out / 'input'}"
        start = lines.index("Beside the truth of the simulation:")
        assert lines[start + 1].split() == ["detector", "flat", "injected", "left", "error", "sky", "level"]
        grey, *filters = (line.split() for line in lines[start + 2 : start + 5])
        assert grey[:2] == ["NRCB1", "grey"]
        assert all(re.fullmatch(r"\d+\.\d\d%", text) for text in grey[2:5])
        assert [row[:2] for row in filters] == [["NRCB1", "F115W"], ["NRCB1", "F200W"]]
        assert all(re.fullmatch(r"\d\.\d{4}", row[4]) for row in filters)

    def test_the_page_is_drawn_once_with_the_truth_on_it(self, tmp_path, monkeypatch):
        drawn = []
        monkeypatch.setattr(products, "write_page", lambda *args, **options: drawn.append(options["sections"]))
        assert main([*SMALL_DEMO, "--out", str(tmp_path / "demo")]) == 0
        (sections,) = drawn
        assert [item.title for item in sections] == ["Backgrounds", "Truth"]

    def test_its_last_line_works(self, tmp_path, capsys):
        out = tmp_path / "demo"
        assert main([*SMALL_DEMO, "--out", str(out)]) == 0
        last = capsys.readouterr().out.splitlines()[-1]
        words = (
            last.removeprefix("Again: nircam-flats ").replace("'", "").replace("DIR", str(tmp_path / "again")).split()
        )
        assert main(words) == 0
        again, first = (Table.read(folder / "summary.ecsv") for folder in (tmp_path / "again", out))
        assert list(again["change"]) == list(first["change"])

    def test_a_second_one_is_told_what_to_do(self, tmp_path, capsys):
        (tmp_path / "input").mkdir()
        arguments = [*SMALL_DEMO, "--out", str(tmp_path)]
        assert main(arguments) == 2
        said = capsys.readouterr()
        assert said.out == ""
        remedy = "holds an earlier demo; replace it with --overwrite, or choose another folder with --out"
        assert said.err == f"nircam-flats: {tmp_path}: {remedy}\n"
        assert main([*arguments, "--overwrite"]) == 0
        assert main([*arguments, "--overwrite"]) == 0

    def test_wisps_are_spoken_of(self, tmp_path, capsys):
        arguments = ["demo", "--size", "64", "--dithers", "2", "--detectors", "489", "--out", str(tmp_path)]
        assert main(arguments) == 0
        assert "\nNote: NRCB4: wisps in F115W are not separated from the flat" in capsys.readouterr().out

    def test_the_room_on_the_disk_is_told_before(self, tmp_path, capsys):
        assert main([*SMALL_DEMO, "--size", "512", "--out", str(tmp_path)]) == 0
        said = re.search(
            r"This takes ([\d.]+) MB on the disk, of which the exposures are ([\d.]+) MB", capsys.readouterr().out
        )
        total, exposures = (float(text) * 1e6 for text in said.groups())
        found = {path: path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()}
        of_exposures = sum(size for path, size in found.items() if path.parent.name == "cal")
        assert exposures == pytest.approx(of_exposures, rel=0.05)
        assert total == pytest.approx(sum(found.values()), rel=0.05)

    def test_the_room_that_the_documentation_names_is_that_of_the_default(self, tmp_path, capsys, monkeypatch):
        monkeypatch.setattr(shutil, "disk_usage", lambda path: DISK(10**9, 10**9 - 10**6, 10**6))
        assert main(["demo", "--out", str(tmp_path)]) == 2
        size = re.search(r"This takes (\S+ GB) on the disk", capsys.readouterr().out)[1]
        for page in ("README.md", "docs/reference/command.md"):
            assert set(re.findall(r"[\d.]+ GB", (ROOT / page).read_text())) == {size}

    def test_a_full_disk_is_seen_before_work_begins(self, tmp_path, capsys, monkeypatch):
        monkeypatch.setattr(shutil, "disk_usage", lambda path: DISK(10**9, 10**9 - 10**6, 10**6))
        assert main([*SMALL_DEMO, "--out", str(tmp_path)]) == 2
        said = capsys.readouterr()
        assert re.search(
            r"[\d.]+ MB on the disk are needed; got 1.0 MB free; choose another folder with --out", said.err
        )
        assert files_below(tmp_path) == []
        monkeypatch.setattr(shutil, "disk_usage", lambda path: DISK(10**12, 0, 10**12))
        assert main([*SMALL_DEMO, "--out", str(tmp_path)]) == 0

    def test_what_a_demo_replaces_counts_as_room(self, tmp_path, monkeypatch):
        (tmp_path / "input").mkdir()
        (tmp_path / "input" / "old").write_bytes(bytes(5 * 10**6))
        monkeypatch.setattr(shutil, "disk_usage", lambda path: DISK(10**9, 10**9 - 10**6, 10**6))
        assert main([*SMALL_DEMO, "--out", str(tmp_path), "--overwrite"]) == 0

    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            (["--dithers", "5"], "argument --dithers: an even number from 2 on is needed; got '5'"),
            (["--dithers", "0"], "argument --dithers: an even number from 2 on is needed; got '0'"),
            (["--size", "big"], "argument --size: invalid int value: 'big'"),
        ],
    )
    def test_options_that_argparse_refuses(self, capsys, arguments, text):
        with pytest.raises(SystemExit, match="2"):
            main(["demo", *arguments])
        assert text in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            (["--size", "8"], "whole numbers from 32 on; got (8, 8)"),
            (["--seed", "-1"], "seed must be a whole number from 0 on; got -1"),
            (["--detectors", "B6"], "Detector must be one of NRCA1"),
        ],
    )
    def test_options_that_the_simulation_refuses(self, tmp_path, capsys, arguments, text):
        assert main(["demo", *arguments, "--out", str(tmp_path / "demo")]) == 2
        assert text in capsys.readouterr().err
        assert not (tmp_path / "demo").exists()


class TestCommand:
    def test_it_is_installed(self):
        done = subprocess.run(
            [Path(sys.executable).parent / "nircam-flats", "--version"], capture_output=True, text=True, check=True
        )
        assert re.fullmatch(r"nircam-flats \d+\.\d+\.\d+\S*\n", done.stdout)

    def test_without_a_command_it_says_what_there_is(self, capsys):
        with pytest.raises(SystemExit, match="2"):
            main([])
        assert "run | demo | deliver" in capsys.readouterr().err

    def test_progress_is_shown_on_a_terminal_only(self, tmp_path, capsys, monkeypatch):
        assert main([*SMALL_DEMO, "--out", str(tmp_path / "quiet")]) == 0
        assert capsys.readouterr().err == ""
        monkeypatch.setattr(parallel.sys.stderr, "isatty", lambda: True, raising=False)
        assert main([*SMALL_DEMO, "--out", str(tmp_path / "shown")]) == 0
        shown = capsys.readouterr().err
        assert all(stage in shown for stage in ("simulate:", "mask NRCB1:", "combine NRCB1", "jackknife NRCB1:"))

    def test_the_documentation_names_every_option(self):
        page = (ROOT / "docs" / "reference" / "command.md").read_text()
        parsers = __main__._parser()._subparsers._group_actions[0].choices
        options = {text for parser in parsers.values() for text in parser._option_string_actions} - {"-h", "--help"}
        assert set(re.findall(r"--[a-z][a-z-]*", page)) == options | {"--help", "--version"}
        for parser in parsers.values():
            for action in parser._actions:
                if action.option_strings and action.default not in (None, False, "==SUPPRESS=="):
                    default = " ".join(map(str, action.default)) if isinstance(action.default, list) else action.default
                    assert re.search(rf"`{action.option_strings[0]} [A-Z]+`[^`]*`{default}`", page), action.dest

    def test_the_readme_shows_commands_that_parse(self):
        page = (ROOT / "README.md").read_text()
        commands = re.findall(r"nircam-flats ((?:run|demo)[^`\n]*)", page)
        assert len(commands) >= 2
        for command in commands:
            __main__._parser().parse_args(command.split())


class TestDeliver:
    def test_what_a_run_made_becomes_a_delivery(self, campaign, made, tmp_path, capsys):
        fits_made = [tmp_path / f"{item.detector}.fits" for item in made.products]
        for path, item in zip(fits_made, made.products, strict=True):
            item.fit.write(path)
        arguments = ["deliver", "--ground-flats", str(campaign.folder / "ground_flats"), "--out", str(tmp_path / "new")]
        arguments += ["--fits", *map(str, fits_made), "--useafter", "2022-04-01"]
        assert main(arguments) == 1  # the campaign has no ground flats of the other filters of its detectors
        said = capsys.readouterr().out
        assert f"{tmp_path / 'new'}: 4 of 136 modes, 4 of them made now" in said
        assert "no ground flat: 25" in said
        assert "no fit: 107" in said
        delivery = FlatDelivery.read(tmp_path / "new")
        assert delivery.verify() == ()
        assert set(delivery.manifest["useafter"]) == {"2022-04-01T00:00:00"}

    def test_refused(self, tmp_path, capsys):
        (tmp_path / "empty").mkdir()
        arguments = ["deliver", "--ground-flats", str(tmp_path / "empty"), "--fits", "a.fits"]
        assert main([*arguments, "--out", str(tmp_path / "new")]) == 2
        assert "at least one ground flat" in capsys.readouterr().err
