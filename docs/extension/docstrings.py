"""The reference: lists of names become what their docstrings say, with a link to the code.

A page in docs/api/ lists names in a block "```{names}", one a line. Docstrings are written as plain
text with Markdown's marks, and Sphinx reads reStructuredText, so the marks are translated.
"""

import inspect
import re

import samdyn

NAMES = re.compile(r"^```\{names\}\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def directive(name: str) -> str:
    """What autodoc is asked for, by what the name is."""
    thing = getattr(samdyn, name)
    if inspect.ismodule(thing):
        return f".. automodule:: {thing.__name__}\n   :members:\n"
    if inspect.isclass(thing):
        members = "" if issubclass(thing, tuple) else "   :members:\n"
        return f".. autoclass:: samdyn.{name}\n{members}"
    if callable(thing):
        return f".. autofunction:: samdyn.{name}\n"
    return f".. py:data:: samdyn.{name}\n\n   ``{thing!r}``\n"


def expand(text: str) -> str:
    """A page with each list of names replaced by directives."""

    def whole(found: re.Match) -> str:
        return "```{eval-rst}\n" + "\n".join(map(directive, found[1].split())) + "\n```"

    return NAMES.sub(whole, text)


def as_rst(lines: list[str]) -> list[str]:
    """A docstring in Markdown's marks as reStructuredText."""
    made: list[str] = []
    inside = False
    for line in lines:
        indented, blank = line.startswith("    "), not line.strip()
        if indented and not inside and made and not made[-1].strip():
            made[-1:] = ["", "::", ""]
            inside = True
        inside = inside and (indented or blank)
        made.append(line if inside else _inline(line))
    return made


def _inline(line: str) -> str:
    start = re.match(r"\s*(?:\* )?", line)
    head = start[0] if start else ""
    parts = re.split(r"(`[^`]*`)", line[len(head) :])
    return head + "".join(map(_part, parts))


def _part(text: str) -> str:
    if len(text) > 2 and text.startswith("`"):
        inner = text[1:-1]
        name = inner.removeprefix("samdyn.")
        return f":py:obj:`{inner} <samdyn.{name}>`" if name in samdyn.__all__ else f"``{inner}``"
    text = re.sub(r"(?<!\*)\*(?!\*)", r"\\*", text.replace("\\", r"\\"))
    return re.sub(r"_(?=\W|$)", r"\\_", text.replace("|", r"\|"))


def setup(app):
    app.connect("source-read", lambda app, name, source: source.__setitem__(0, expand(source[0])))
    app.connect("autodoc-process-docstring", _process)
    return {"parallel_read_safe": True}


def _process(app, what, name, thing, options, lines):
    lines[:] = as_rst(lines)
