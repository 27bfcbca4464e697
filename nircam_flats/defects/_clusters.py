"""Concentrations: clusters of pixels that lie close to each other."""

import numpy as np
from astropy import units as u
from astropy.table import QTable
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

__all__ = ["clusters"]


LENGTHS = ("x", "y", "radius")
BOUNDS = ("x_min", "x_max", "y_min", "y_max")


def clusters(pixels, response, *, linking_length, min_pixels):
    """Return a `~astropy.table.QTable` of the clusters of ``pixels``, a row each, the largest first.

    Friends of friends: two pixels within ``linking_length`` of each other are in one cluster.
    """
    y, x = np.nonzero(pixels)
    places = np.column_stack([x, y])
    labels = np.zeros(0, int)
    if len(places):
        pairs = KDTree(places).query_pairs(linking_length, output_type="ndarray")
        links = coo_array((np.ones(len(pairs), bool), tuple(pairs.T)), shape=(len(places), len(places)))
        labels = connected_components(links, directed=False)[1]
    sizes = np.bincount(labels)
    ordered = np.argsort(-sizes, kind="stable")
    rows = [_row(places[labels == label], response) for label in ordered if sizes[label] >= min_pixels]
    columns = {name: [row[name] for row in rows] for name in (*LENGTHS, *BOUNDS, "n_pixels", "response")}
    table = {name: np.array(columns[name], float) * u.pix for name in LENGTHS}
    table |= {name: np.array(columns[name], int) for name in (*BOUNDS, "n_pixels")}
    return QTable(table | {"response": np.array(columns["response"], float)})


def _row(places, response):
    """Centre (mean of the pixels), radius of the circle about it that holds them all, box, count, mean response."""
    centre = places.mean(axis=0)
    values = response[places[:, 1], places[:, 0]]
    (x_min, y_min), (x_max, y_max) = places.min(axis=0), places.max(axis=0)
    return {
        "x": centre[0],
        "y": centre[1],
        "radius": np.hypot(*(places - centre).T).max() + 0.5,
        "x_min": x_min,
        "x_max": x_max,
        "y_min": y_min,
        "y_max": y_max,
        "n_pixels": len(places),
        "response": values[np.isfinite(values)].mean() if np.isfinite(values).any() else np.nan,
    }
