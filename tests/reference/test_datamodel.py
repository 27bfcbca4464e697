"""The optional extra: what is told without it. What it gives is in test_pipeline.py."""

import sys

import pytest

from nircam_flats import InvalidInputError


@pytest.mark.filterwarnings("ignore:asdf.extensions plugin")  # which looks for stdatamodels where it is installed
def test_without_stdatamodels(flight, monkeypatch):
    for name in ["stdatamodels", *(name for name in sys.modules if name.startswith("stdatamodels."))]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InvalidInputError, match=r"needs stdatamodels, .* extra 'jwst': pip install"):
        flight.to_datamodel()
