"""Configuration of the documentation."""

from importlib.metadata import version as version_of

project = "nircam_flats"
author = "The nircam_flats developers"
project_copyright = f"2026, {author}"
release = version = version_of("nircam_flats")

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
html_theme = "pydata_sphinx_theme"
html_title = "nircam_flats"
html_show_sourcelink = False

default_role = "py:obj"  # `Name` in a docstring is a link to Name
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3

# The reference is what `nircam_flats.__all__` lists, in the order and with the pages that autosummary makes of it.
autosummary_generate = True
autosummary_imported_members = True
autosummary_ignore_module_all = False
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_use_plots = False
