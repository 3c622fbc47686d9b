"""What must hold of the built pages: one line for each thing that is wrong."""

import html.parser
import pathlib
import re
import urllib.parse
from collections.abc import Iterator

REMOTE = re.compile(r"^\s*(https?:)?//", re.IGNORECASE)
# what a browser loads by itself when it shows a page, by tag; an <a> loads nothing
LOADS = {
    "script": ("src",),
    "link": ("href",),
    "img": ("src", "srcset"),
    "source": ("src", "srcset"),
    "iframe": ("src",),
    "embed": ("src",),
    "object": ("data",),
    "video": ("src", "poster"),
    "audio": ("src",),
    "image": ("href", "xlink:href"),
    "use": ("href", "xlink:href"),
}
CSS = re.compile(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')\s;]+)""", re.IGNORECASE)
# a script that names a file on another host that could be code, style, font or picture
JS = re.compile(
    r"""["'`]((?:https?:)?//[^"'`\s]+\.(?:m?js|css|woff2?|ttf|png|svg|json|wasm)[^"'`\s]*)["'`]""",
    re.IGNORECASE,
)


class Page(html.parser.HTMLParser):
    """What a page loads, where it leads, and the places in it that can be led to."""

    def __init__(self, text: str):
        super().__init__()
        self.loads: list[str] = []
        self.leads: list[str] = []
        self.places: set[str] = set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        given = {name: value or "" for name, value in attrs}
        self.places.update(given[name] for name in ("id", "name") if name in given)
        self.leads += [given["href"]] if tag == "a" and "href" in given else []
        if tag == "link" and given.get("rel") in ("canonical", "author", "license"):
            return
        self.loads += [given[name] for name in LOADS.get(tag, ()) if name in given]


def pages(folder: pathlib.Path) -> dict[pathlib.Path, Page]:
    """Every page of a site, by its path from the folder; the theme keeps templates in _static."""
    names = sorted(file.relative_to(folder) for file in folder.rglob("*.html"))
    chosen = [name for name in names if name.parts[0] != "_static"]
    return {name: Page((folder / name).read_text("utf-8")) for name in chosen}


def loads_from_elsewhere(folder: pathlib.Path) -> Iterator[str]:
    """Scripts, styles, fonts and pictures that a browser would fetch from another host."""
    for name, page in pages(folder).items():
        for link in page.loads:
            if REMOTE.match(link):
                yield f"{name} loads {link}"
    for pattern, endings in ((CSS, (".css", ".html")), (JS, (".js", ".html"))):
        for file in sorted(f for f in folder.rglob("*") if f.suffix in endings):
            for link in pattern.findall(file.read_text("utf-8")):
                yield f"{file.relative_to(folder)} names {link}"


def broken_links(folder: pathlib.Path) -> Iterator[str]:
    """Links within the site, and files that a page shows, that lead nowhere."""
    found = pages(folder)
    for name, page in found.items():
        for link in (*page.leads, *page.loads):
            parts = urllib.parse.urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            path = urllib.parse.unquote(parts.path)
            target = (folder / name).parent / path if path else folder / name
            if not target.exists():
                yield f"{name} leads to {link}, and there is no such file"
                continue
            known = found.get(target.resolve().relative_to(folder.resolve()))
            place = urllib.parse.unquote(parts.fragment)
            if known and place and place not in known.places:
                yield f"{name} leads to {link}, and there is no such place"


def undocumented(folder: pathlib.Path, names: list[str]) -> Iterator[str]:
    """Public names that no page of the reference describes."""
    places = set().union(*(page.places for page in pages(folder).values()))
    for name in names:
        if not {f"samdyn.{name}", f"module-samdyn.{name}"} & places:
            yield f"samdyn.{name} is described nowhere"
