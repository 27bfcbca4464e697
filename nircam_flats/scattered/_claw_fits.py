"""The file format of claw forecasts."""

import numpy as np
from astropy import units as u
from astropy.table import QTable

from nircam_flats._files import open_product, read_image, read_keyword, read_table, write_product
from nircam_flats.exposure import PlannedPointing
from nircam_flats.provenance import History
from nircam_flats.scattered.claw_zone import ClawSusceptibilityZone
from nircam_flats.scattered.star_catalog import StarCatalog

__all__ = ["read_forecast", "write_forecast"]

PLACE = ("ra", "dec", "v2", "v3")
BANDS = ("j", "h", "ks")


def _joined(items):
    return " ".join(str(item) for item in items)


def _pointing_table(pointings):
    columns = {name: u.Quantity([getattr(pointing, name) for pointing in pointings]) for name in PLACE}
    columns["roll"] = u.Quantity([np.nan * u.deg if pointing.roll is None else pointing.roll for pointing in pointings])
    texts = {
        "name": [pointing.name for pointing in pointings],
        "filters": [_joined(pointing.filters) for pointing in pointings],
        "modules": [_joined(pointing.modules) for pointing in pointings],
        "detector": [str(pointing.detector or "") for pointing in pointings],
    }
    return QTable(columns | {name: np.array(values, str) for name, values in texts.items()})


def _pointing_of(row):
    return PlannedPointing(
        name=str(row["name"]),
        **{name: row[name] for name in PLACE},
        roll=row["roll"] if np.isfinite(row["roll"]) else None,
        filters=str(row["filters"]).split(),
        modules=str(row["modules"]).split(),
        detector=str(row["detector"]) or None,
    )


def _star_table(stars):
    columns = {"ra": stars.ra, "dec": stars.dec}
    columns |= {band: getattr(stars, band) for band in BANDS if getattr(stars, band) is not None}
    return QTable(columns | {"name": np.array(stars.names, str)})


def write_forecast(forecast, path, *, overwrite):
    images = {
        "FLUX": forecast.flux,
        "UNKNOWN": forecast.unknown.astype(np.uint8),
        "ANGLES": forecast.angles.to_value(u.deg),
    }
    tables = {"POINTINGS": _pointing_table(forecast.pointings), "STARS": _star_table(forecast.stars)}
    zones = []
    for zone in forecast.zones:
        images[f"ZONE_{zone.module}"] = zone.intensity_map
        tables[f"OUTLINE_{zone.module}"] = QTable(dict(zip(("v2", "v3"), zone.outline.T, strict=True)))
        zones.append((zone.module, *zone.extent, zone.interpolation, zone.source))
    tables["ZONES"] = QTable(rows=zones, names=("module", *(f"edge_{i}" for i in range(4)), "interpolation", "source"))
    header = {"FILTERS": _joined(forecast.filters), "ANGLE_AT": forecast.angle_at}
    write_product(path, "ClawForecast", header, images, tables, forecast.history, overwrite=overwrite)


def read_forecast(path):
    """Return the fields of a forecast as a dictionary."""
    with open_product(path, "ClawForecast") as hdus:
        stars = read_table(hdus, "STARS", path)
        zones = []
        for row in read_table(hdus, "ZONES", path):
            module = str(row["module"])
            outline = read_table(hdus, f"OUTLINE_{module}", path)
            zones.append(
                ClawSusceptibilityZone(
                    module=module,
                    outline=np.stack([outline["v2"], outline["v3"]], axis=1),
                    intensity_map=read_image(hdus, f"ZONE_{module}", np.float64, path),
                    extent=[row[f"edge_{i}"] for i in range(4)],
                    interpolation=str(row["interpolation"]),
                    source=str(row["source"]),
                )
            )
        return {
            "pointings": [_pointing_of(row) for row in read_table(hdus, "POINTINGS", path)],
            "filters": read_keyword(hdus[0].header, "FILTERS", str, path).split(),
            "zones": zones,
            "stars": StarCatalog(
                **{name: stars[name] if name in stars.colnames else None for name in ("ra", "dec", *BANDS)},
                names=stars["name"],
            ),
            "angles": read_image(hdus, "ANGLES", np.float64, path, ndim=1) * u.deg,
            "angle_at": read_keyword(hdus[0].header, "ANGLE_AT", str, path),
            "flux": read_image(hdus, "FLUX", np.float64, path, ndim=4),
            "unknown": read_image(hdus, "UNKNOWN", bool, path, ndim=4),
            "history": History.from_table(read_table(hdus, "HISTORY", path)),
        }
