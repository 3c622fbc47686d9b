"""Pages to play with, each one file of HTML, made when the site is built and shown in frames."""

import pathlib

import samdyn
from samdyn.explorer.page import page

METHODS = (samdyn.GD, samdyn.SAM, samdyn.USAM)


def beale() -> str:
    loss, rho = samdyn.get_loss("beale"), 0.3
    methods = [method() if method is samdyn.GD else method(rho) for method in METHODS]
    flows = [samdyn.Flow(loss, method) for method in methods]
    return page(flows, [(-1.5, 3.7), (-0.5, 2.7)], "beale", rho)


EXPLORERS = {"beale": beale}


def _write(app, error):
    if error is None and app.builder.format == "html":
        folder = pathlib.Path(app.outdir) / "explorers"
        folder.mkdir(exist_ok=True)
        for name, make in EXPLORERS.items():
            (folder / f"{name}.html").write_text(make(), "utf-8")


def setup(app):
    app.connect("build-finished", _write)
    return {"parallel_read_safe": True}
