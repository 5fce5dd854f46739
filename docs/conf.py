"""Configuration of the documentation site: Sphinx, with pages in MyST Markdown and the theme Furo.

The source folder is the root of the repository, so that each relative link of a page is valid both
here and where the repository is shown. Intersphinx reads the inventories of other projects from
docs/inventories, if somebody has put them there: a build never needs a network.
"""

import os
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS.parent), str(DOCS / "extensions")]
os.environ.setdefault("JAX_PLATFORMS", "cpu")

project = "Unfold"
author = "The contributors of Unfold"
smartquotes = False  # quotes belong to code
root_doc = "docs/index"
include_patterns = ["docs/**.md", "README.md", "CHANGELOG.md", "CONTRIBUTING.md"]
include_patterns += ["experiments/README.md", "bench/*.md"]
exclude_patterns = [".*", "docs/_build", "runs", "build", "**/results"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.intersphinx"]
extensions += ["measured", "reference"]  # docs/extensions
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
myst_heading_anchors = 3

OTHERS = {
    "python": "https://docs.python.org/3/",
    "numpy": "https://numpy.org/doc/stable/",
    "jax": "https://docs.jax.dev/en/latest/",
    "flax": "https://flax-linen.readthedocs.io/en/latest/",
    "optax": "https://optax.readthedocs.io/en/latest/",
}
intersphinx_mapping = {
    name: (address, str(path))
    for name, address in OTHERS.items()
    if (path := DOCS / "inventories" / f"{name}.inv").is_file()
}

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_title = "Unfold"
html_extra_path = ["redirect"]  # to the index, from the root of the site
html_copy_source = False
html_show_copyright = False
