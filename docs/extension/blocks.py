"""Every Python block of a page runs.

Pages are plain Markdown. "```python" becomes a cell that is executed with its output below,
"```python hide" one whose text is folded away; a block of another kind, such as "```python torch",
is shown as it is.
"""

import re

HEAD = "---\nfile_format: mystnb\nkernelspec:\n  name: python3\n---\n"
SHOWN, HIDDEN = "```{code-cell} python3\n", "```{code-cell} python3\n:tags: [hide-input]\n"


def runs(text: str) -> bool:
    """Whether a page has a block that is executed."""
    return bool(re.search(r"^```python( hide)?$", text, re.MULTILINE))


def as_notebook(text: str) -> str:
    """The page as myst-nb runs it; unchanged if nothing on it runs."""
    if not runs(text):
        return text
    text = re.sub(r"^```python hide\n", HIDDEN, text, flags=re.MULTILINE)
    text = re.sub(r"^```python\n", SHOWN, text, flags=re.MULTILINE)
    return HEAD + re.sub(r"^```python \w+\n", "```python\n", text, flags=re.MULTILINE)


def _read(app, name, source):
    source[0] = as_notebook(source[0])


def setup(app):
    app.connect("source-read", _read)
    return {"parallel_read_safe": True}
