"""Sphinx: Markdown through MyST, in the furo theme; `make docs` fails on warnings."""

from __future__ import annotations

from importlib.metadata import version as installed_version

project = "Everbearer"
author = "The Everbearer maintainers"
copyright = f"2026, {author}"
release = installed_version("everbearer")
version = ".".join(release.split(".")[:2])

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
source_suffix = {".md": "markdown"}

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"

html_theme = "furo"
html_title = f"Everbearer {release}"
