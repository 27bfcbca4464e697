"""Everything that users call says of which types its arguments and its answer are; mypy checks that it is true."""

import inspect
from importlib.resources import files

import pytest

import nircam_flats as nf
from nircam_flats import parallel, plotting, provenance, recipes, simulation, testing

OPERATORS = ("__init__", "__call__", "__getitem__", "__len__", "__iter__", "__add__", "__or__")


def methods(cls):
    """The functions of a class that users call, properties included, those that it inherits from ours as well."""
    for base in cls.__mro__:
        for name, member in vars(base).items() if base.__module__.startswith("nircam_flats") else ():
            if not name.startswith("_") or name in OPERATORS:
                yield (
                    getattr(member, "fget", None)
                    or getattr(member, "func", None)
                    or getattr(member, "__func__", member)
                )


def public_functions():
    for module in (nf, parallel, plotting, provenance, recipes, simulation, testing):
        for item in (getattr(module, name) for name in module.__all__):
            yield from methods(item) if inspect.isclass(item) else [item]


def is_ours(function):
    if not inspect.isfunction(function) or not function.__module__.startswith("nircam_flats"):
        return False
    return "attrs generated" not in inspect.unwrap(function).__code__.co_filename


FUNCTIONS = {f"{item.__module__}.{item.__qualname__}": item for item in public_functions() if is_ours(item)}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_annotated(name):
    signature = inspect.signature(FUNCTIONS[name])
    told = {key: item.annotation for key, item in signature.parameters.items() if key not in ("self", "cls")}
    told["return"] = signature.return_annotation
    missing = [key for key, annotation in told.items() if annotation is inspect.Signature.empty]
    assert not missing


def test_the_package_says_that_it_has_types():
    assert files("nircam_flats").joinpath("py.typed").is_file()
