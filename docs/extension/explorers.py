"""Pages to play with, each one file of HTML, made when the site is built and shown in frames.

They take as long as several pages, so a process of their own makes them beside the pages.
"""

import pathlib
import subprocess
import sys

import samdyn
from samdyn.explorer.page import page
from samdyn.explorer.scene import scene_of

DOCS = pathlib.Path(__file__).resolve().parents[1]
METHODS = (samdyn.GD, samdyn.SAM, samdyn.USAM)


def beale() -> str:
    loss, rho = samdyn.get_loss("beale"), 0.3
    methods = [method() if method is samdyn.GD else method(rho) for method in METHODS]
    flows = [samdyn.Flow(loss, method) for method in methods]
    return page(scene_of(flows, [(-1.5, 3.7), (-0.5, 2.7)], "beale", rho, "beale"))


EXPLORERS = {"beale": beale}


def write(folder: pathlib.Path) -> None:
    """Every explorer into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in EXPLORERS.items():
        (folder / f"{name}.html").write_text(make(), "utf-8")


def _start(app):
    if app.builder.format == "html":
        command = [sys.executable, "-m", "extension.explorers", f"{app.outdir}/explorers"]
        app.explorers = subprocess.Popen(command, cwd=DOCS)


def _wait(app, error):
    if app.builder.format == "html" and app.explorers.wait():
        raise RuntimeError("the explorers could not be made.")


def setup(app):
    app.connect("builder-inited", _start)
    app.connect("build-finished", _wait)
    return {"parallel_read_safe": True}


if __name__ == "__main__":
    write(pathlib.Path(sys.argv[1]))
