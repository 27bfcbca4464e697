"""What holds while an example of the gallery runs."""

import warnings

_kept = []


def warnings_are_errors(gallery_conf, fname, when):
    """Make a warning in an example fail it, and leave Sphinx as it was."""
    if when == "before":
        _kept.append(warnings.filters[:])
        warnings.simplefilter("error")
        # photutils silences it for itself, but with filters of the whole process, which threads take from each other.
        warnings.filterwarnings("ignore", message="Input data contains invalid values")
    else:
        warnings.filters[:] = _kept.pop()
