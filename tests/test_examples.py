"""Every example of the gallery runs and leaves a figure."""

import runpy
from pathlib import Path

import pytest
from matplotlib import pyplot as plt

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*/plot_*.py"))


def test_there_are_examples():
    assert SCRIPTS


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_example_runs(script, monkeypatch):
    monkeypatch.setattr(plt, "show", lambda: None)
    plt.close("all")
    with plt.rc_context({"backend": "agg"}):
        runpy.run_path(str(script))
    assert plt.get_fignums(), f"{script.name} drew nothing"
    plt.close("all")
