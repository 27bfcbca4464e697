"""What holds while an example of the gallery runs."""

import warnings

_kept = []


def warnings_are_errors(gallery_conf, fname, when):
    """Make a warning in an example fail it, and leave Sphinx as it was."""
    if when == "before":
        _kept.append(warnings.filters[:])
        warnings.simplefilter("error")
    else:
        warnings.filters[:] = _kept.pop()
