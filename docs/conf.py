"""Sphinx: Markdown through MyST, in the furo theme; `make docs` fails on warnings."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "Everbearer"
author = "The Everbearer maintainers"
copyright = f"2026, {author}"
release = installed_version("everbearer")
version = ".".join(release.split(".")[:2])

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "decision_table",  # docs/_ext
    "from_code",  # docs/_ext
]
exclude_patterns = ["_build"]
source_suffix = {".md": "markdown"}

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# `Client` in a docstring is a link if there is such an object, and else just code.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
# Docstrings say Args, Raises and Attributes; the latter as a list, because attrs has
# made real attributes of them, which would be described twice.
napoleon_use_ivar = True
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = f"Everbearer {release}"
