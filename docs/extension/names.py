"""A public name that a page has as code, `samdyn.sweep` or `StepMap`, leads to the reference."""

import re

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

import samdyn

# what is no place for a link, or is one already, as the names in docstrings are
LINKS = (nodes.title, nodes.reference, addnodes.pending_xref)
CALLED = re.compile(r"(samdyn\.)?(\w+)(?:\(.*\))?")


def meant(text: str) -> str | None:
    """The public name that a piece of code is; short names only where they say whose they are."""
    found = CALLED.fullmatch(text)
    if found is None or found[2] not in samdyn.__all__:
        return None
    return found[2] if found[1] or found[2][0].isupper() else None


class Names(SphinxTransform):
    """Code becomes a link, except in headings and where it is one already."""

    default_priority = 500

    def apply(self, **_):
        for code in list(self.document.findall(nodes.literal)):
            name = meant(code.astext())
            if name and not isinstance(code.parent, LINKS):
                link = addnodes.pending_xref(
                    "", refdomain="py", reftype="obj", reftarget=f"samdyn.{name}", refexplicit=True
                )
                link["refdoc"] = self.env.docname
                code.replace_self(link)
                link += code


def setup(app):
    app.add_transform(Names)
    return {"parallel_read_safe": True}
