"""How `make docs` builds the site: the pages of this folder, and nothing from another server."""

import re
from importlib.metadata import version as version_of
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "Kennel"
version = release = version_of("sagemaker-kennel")

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
root_doc = "index"
exclude_patterns = ["conf.py"]
nitpicky = True

# Anchors as GitHub makes them, so that a link works in both places.
myst_heading_anchors = 4

html_theme = "furo"
html_title = f"Kennel {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
html_use_index = False


def _name_files(_app: "Sphinx", page: str, text: list[str]) -> None:
    """Turn links to files outside docs/ into the files' names: the site does not have them."""
    if "/" not in page:
        text[0] = re.sub(r"\[([^]]+)\]\(\.\./([^)#]+)[^)]*\)", r"\1 (`\2`)", text[0])


def setup(app: "Sphinx") -> None:
    """Called by Sphinx."""
    app.connect("source-read", _name_files)
