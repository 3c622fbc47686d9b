"""The verb: systems of the plane in the browser, in a notebook, or as a page in a file."""

import pathlib
import sys
import webbrowser
from collections.abc import Callable
from typing import Any

from ..errors import InvalidInput
from ..notebook import in_notebook
from .page import page
from .scene import Scene, scene_of


class Explorer:
    """What `explore` shows. `address` is where a browser finds it, None in a notebook."""

    def __init__(self, scene: Scene):
        self.scene = scene
        self._server: Any = None
        self._widget: Any = None

    @property
    def address(self) -> str | None:
        return self._server and self._server.address

    def serve(self, port: int = 0) -> str:
        """Serve on 127.0.0.1 until `close` or the end of the process; the address."""
        from .server import Server

        self._server = self._server or Server(self.scene, port)
        return self._server.address

    def close(self) -> None:
        """End the server."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def save(self, path: str | pathlib.Path, told: Callable[[str], None] | None = None) -> None:
        """Write one file of HTML, below 200 kB, that works without this process or a network.

        The fixed points are followed over all radii first, which takes seconds; `told` is called
        with a line before each system.
        """
        check_target(path)
        text = page(self.scene, told=told)
        try:
            pathlib.Path(path).write_text(text, "utf-8")
        except OSError as error:
            raise InvalidInput(f"cannot write {path}: {error.strerror}.") from None

    def __repr__(self) -> str:
        where = self.address or "not served"
        return f"Explorer({self.scene.name}: {where})"

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """In a notebook: a widget where anywidget is installed, else a link."""
        if self._widget is None and "anywidget" in sys.modules:
            from .widget import Widget

            self._widget = Widget(self.scene)
        if self._widget is not None:
            return self._widget._repr_mimebundle_(**options)
        link = f'<a href="{self.serve()}" target="_blank">explore {self.scene.name}</a>'
        return {"text/html": link, "text/plain": repr(self)}


def explore(
    systems: Any,
    box: Any = None,
    *,
    rho: float | None = None,
    name: str | None = None,
    port: int = 0,
    browser: bool = True,
) -> Explorer:
    """Show systems of the plane side by side: click for trajectories, move ρ, η and momentum.

    `systems`: a `Flow`, an `ODE` or a `StepMap` of two dimensions, or a list of them on one loss.
    `box`: [(low, high), (low, high)], by default the loss's own. The slider of ρ goes from 0 to
    four times `rho`, by default the methods' own. A page is served on 127.0.0.1 at a `port` that is
    free, and opened in the browser unless `browser` is false; in a notebook the result shows
    itself (as a widget with the extra `samdyn[notebook]`). `result.save("page.html")` writes a
    file that works offline. `InvalidInput` for other than two dimensions.
    """
    found = Explorer(scene_of(systems, box, name, rho))
    if in_notebook():
        _load_anywidget()
        return found
    address = found.serve(port)
    if browser:
        webbrowser.open(address)
    return found


def check_target(path: str | pathlib.Path) -> None:
    """`InvalidInput` where no page can be written, before it is made."""
    path = pathlib.Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise InvalidInput(f"a page ends in .html, and {path.name} does not.")
    if not path.parent.is_dir():
        raise InvalidInput(f"cannot write {path}: there is no folder {path.parent}.")


def _load_anywidget() -> None:
    try:
        import anywidget  # noqa: F401
    except ImportError:
        return
