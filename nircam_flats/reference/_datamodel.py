"""The pipeline's own model of a flat."""

from pathlib import Path
from tempfile import TemporaryDirectory

from nircam_flats.exceptions import InvalidInputError

__all__ = ["flat_model"]


def flat_model(flat):
    """Return ``flat`` as a ``FlatModel`` of stdatamodels, by way of the file that the pipeline would read.

    Raises
    ------
    InvalidInputError
        If stdatamodels is not installed, or the flat cannot be written.
    """
    try:
        from stdatamodels.jwst import datamodels
    except ImportError as error:
        raise InvalidInputError(
            "FlatReference.to_datamodel needs stdatamodels, which is not installed; it comes with the extra 'jwst': "
            'pip install "nircam_flats[jwst]"'
        ) from error
    with TemporaryDirectory() as folder:
        path = Path(folder) / (flat.name or "flat.fits")
        flat.write(path)
        with datamodels.FlatModel(path) as model:
            copy = model.copy()
    copy.meta.filename = flat.name
    return copy
