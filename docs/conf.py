"""Configuration of the documentation."""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "nircam_flats"
author = "The nircam_flats developers"
project_copyright = f"2026, {author}"
release = version = version_of("nircam_flats")

extensions = [
    "myst_parser",
    "native_math",
    "numpydoc",
    "shell",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "_ext"]
templates_path = ["_templates"]
html_theme = "pydata_sphinx_theme"
html_title = "nircam_flats"
html_static_path = ["_static"]
html_css_files = ["nircam_flats.css"]
html_show_sourcelink = False
html_math_renderer = "native"
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {"changelog": [], "glossary": []}

default_role = "py:obj"  # `Name` in a docstring is a link to Name
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3

# The reference is what `nircam_flats.__all__` lists, in the order and with the pages that autosummary makes of it.
autosummary_generate = True
autosummary_imported_members = True
autosummary_ignore_module_all = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the text says what they mean; names of other projects would link to nothing
numpydoc_show_class_members = False
numpydoc_use_plots = False

# Every link inside the documentation must lead somewhere. Links to other projects lead nowhere, because nothing is
# fetched when the pages are built.
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(astropy|attrs|concurrent|matplotlib|numpy|pathlib|photutils|regions)\..*"),
    (r"py:.*", r"nircam_flats\.(.*\._.*|skyflat\.balance\..*)"),  # not for users
]

# The gallery: a folder of examples/ for each stage of the work, in its order. An example that fails fails the build.
STAGES = (
    "tutorials",
    "recipes",
    "instrument",
    "exposures",
    "masks",
    "stacking",
    "fitting",
    "products",
    "scattered_light",
    "backgrounds",
    "validation",
    "extending",
)
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "subsection_order": [f"../examples/{stage}" for stage in STAGES],
    "filename_pattern": "/plot_",
    "doc_module": ("nircam_flats",),
    "backreferences_dir": "gallery/used_by",
    "inspect_global_variables": False,
    "image_srcset": ["2x"],
    "reset_modules": ("matplotlib", "examples.warnings_are_errors"),
    "reset_modules_order": "both",
    "download_all_examples": False,
    "show_signature": False,
    "remove_config_comments": True,
    "write_computation_times": False,  # those pages load a script from the network when they are read
    "matplotlib_animations": False,
}
