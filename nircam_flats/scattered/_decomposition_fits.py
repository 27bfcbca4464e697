"""The file format of decompositions: the delta skyflat as in a file of its own, and what belongs to the light."""

import numpy as np
from astropy import units as u
from astropy.table import QTable, Table
from attrs import asdict, fields

from nircam_flats._files import open_product, read_image, read_keyword, read_table, write_product
from nircam_flats.provenance import History
from nircam_flats.scattered._light import history_of_template
from nircam_flats.scattered.evidence import LightEvidence, Verdict
from nircam_flats.scattered.identifiability import Identifiability
from nircam_flats.scattered.wisp_template import WispTemplate
from nircam_flats.skyflat import DeltaSkyflat, FrameLight
from nircam_flats.skyflat._fits import IMAGES, origin_header, origin_table, read_images, read_origin

__all__ = ["read_decomposition", "write_decomposition"]

MESHES = ("excess", "excess_err", "varying", "varying_err", "stripe_err", "light")


def write_decomposition(parts, path, *, overwrite):
    delta, evidence = parts.delta, parts.evidence
    images = {extension: getattr(delta, name) for extension, (name, _, _) in IMAGES.items()}
    images |= {"LIGHT_ERR": parts.light_err, "LIGHT_INFLUENCES": parts.influences}
    images |= {"OUTLINE": parts.outline.astype(np.uint8), "LEFT_OUT": parts.left_out.astype(np.uint8)}
    images |= {f"EVIDENCE_{name.upper()}": getattr(evidence, name) for name in MESHES}
    if parts.light:
        images["LIGHT"] = np.stack([item.mesh for item in parts.light.values()])
    header = origin_header(delta) | {"FILTER": parts.filter.name, "BOXSIZE": evidence.box_size}
    tables = {
        "FILTERS": origin_table(delta),
        "EXPOSURES": delta.exposures,
        "STRENGTHS": parts.strengths,
        "FRAMES_OF_LIGHT": Table({"name": np.array(list(parts.light), dtype=str)}),
        "VERDICTS": _table_of(parts.verdicts, Verdict),
        "IDENTIFIABILITY": _table_of([parts.identifiability], Identifiability),
        "RESTS_ON": Table({"constant_err": [evidence.constant_err], "rests_on": [evidence.rests_on]}),
        "DELTA_HISTORY": delta.history.to_table(),
    }
    for name, template in (("WISP", parts.wisp), ("SECOND", parts.second)):
        if template is not None:
            outline = template.outline.astype(np.uint8)
            images |= {name: template.data, f"{name}_ERR": template.err, f"{name}_OUTLINE": outline}
            header |= {"WISPUNIT": template.unit.to_string()}
    if parts.wisp is not None:
        header["WISPAERR"] = parts.wisp.amplitude_err
    images = {name: image for name, image in images.items() if image is not None}
    write_product(path, "SkyDecomposition", header, images, tables, parts.history, overwrite=overwrite)


def read_decomposition(path):
    with open_product(path, "SkyDecomposition") as hdus:
        header = hdus[0].header
        origin = read_origin(hdus, path)
        images = read_images(hdus, path)
        exposures = read_table(hdus, "EXPOSURES", path)
        history, of_delta = origin.pop("history"), History.from_table(read_table(hdus, "DELTA_HISTORY", path))
        delta = DeltaSkyflat(**images, **origin, exposures=exposures, history=of_delta)
        (rests_on,) = read_table(hdus, "RESTS_ON", path)
        box_size = read_keyword(header, "BOXSIZE", int, path)
        evidence = LightEvidence(
            **{name: read_image(hdus, f"EVIDENCE_{name.upper()}", np.float32, path) for name in MESHES},
            constant_err=float(rests_on["constant_err"]),
            box_size=box_size,
            shape=delta.data.shape,
            rests_on=str(rests_on["rests_on"]),
        )
        names = [str(name) for name in read_table(hdus, "FRAMES_OF_LIGHT", path)["name"]]
        meshes = read_image(hdus, "LIGHT", np.float32, path, ndim=3) if names else ()
        strengths = read_table(hdus, "STRENGTHS", path)
        (identifiability,) = _values(read_table(hdus, "IDENTIFIABILITY", path), Identifiability)
        filter = read_keyword(header, "FILTER", str, path)

        def template(name, history, **facts):
            if name not in hdus:
                return None
            return WispTemplate(
                detector=delta.detector,
                filter=filter,
                data=read_image(hdus, name, np.float32, path),
                err=read_image(hdus, f"{name}_ERR", np.float32, path),
                outline=read_image(hdus, f"{name}_OUTLINE", np.uint8, path).astype(bool),
                unit=u.Unit(read_keyword(header, "WISPUNIT", str, path)),
                exposures=strengths,
                history=history,
                **facts,
            )

        common = {"amplitude_err": read_keyword(header, "WISPAERR", float, path)} if "WISP" in hdus else {}
        return {
            "detector": delta.detector,
            "filter": filter,
            "delta": delta,
            "wisp": template("WISP", history_of_template(history), **common),
            "second": template("SECOND", history_of_template(history, "second light")),
            "strengths": strengths,
            "evidence": evidence,
            "verdicts": _values(read_table(hdus, "VERDICTS", path), Verdict),
            "identifiability": identifiability,
            "light": {name: FrameLight(mesh=mesh, box_size=box_size) for name, mesh in zip(names, meshes, strict=True)},
            "light_err": read_image(hdus, "LIGHT_ERR", np.float32, path),
            "influences": read_image(hdus, "LIGHT_INFLUENCES", np.float32, path, ndim=3),
            "outline": read_image(hdus, "OUTLINE", np.uint8, path).astype(bool),
            "left_out": read_image(hdus, "LEFT_OUT", np.uint8, path).astype(bool),
            "history": history,
        }


def _table_of(values, cls):
    rows = [asdict(value) for value in values]
    return QTable({item.name: np.array([row[item.name] for row in rows], item.type) for item in fields(cls)})


def _values(table, cls):
    return [cls(**{item.name: item.type(row[item.name]) for item in fields(cls)}) for row in table]
