"""How the pages are built: `make docs`, and docs/architecture.md says why."""

import os
import pathlib
import shutil
import sys

import samdyn

DOCS = pathlib.Path(__file__).resolve().parent
BUILD = DOCS.parent / "build"
sys.path.insert(0, str(DOCS))

# for the kernels that run the pages: quiet, on the CPU, with settings of their own
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(BUILD / "docs-compiled"))
os.environ["PYTHONPATH"] = str(DOCS.parent / "tests")  # the examples of "Add your own"
os.environ["IPYTHONDIR"] = str(BUILD / "ipython")
PROFILE = BUILD / "ipython" / "profile_default"
PROFILE.mkdir(parents=True, exist_ok=True)
shutil.copy(DOCS / "extension" / "ipython_kernel_config.py", PROFILE)

project, author, copyright = "samdyn", "The samdyn authors", "The samdyn authors, MIT licence"
version = release = samdyn.__version__
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "extension.blocks",
    "extension.docstrings",
    "extension.explorers",
    "extension.formulas",
    "extension.names",
]
exclude_patterns = ["extension", "outputs"]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3

nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 600  # a busy machine
nb_output_stderr = "warn"  # a page that warns is no example
nb_merge_streams = True
nb_render_text_lexer = "none"
nb_mime_priority_overrides = [("html", "image/png", 0), ("html", "text/plain", 5)]

autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 90
add_module_names = False

html_theme = "sphinx_book_theme"
html_title = f"samdyn {version}"
html_math_renderer = "mathml"
html_show_sourcelink = False
html_copy_source = False
html_static_path = ["extension/static"]
html_css_files = ["pages.css"]
html_theme_options = {
    "show_navbar_depth": 1,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "home_page_in_toc": True,
    "extra_footer": f"Version {version}. Every block on these pages was run when they were built.",
}
