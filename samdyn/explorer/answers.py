"""What a page asks the library: proven verdicts, laws of exit times, the scene of another formula.

Questions come from a browser and are taken for nothing but numbers and one line of text.
"""

import contextlib
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from ..dynamics.noise.noise import Additive
from ..dynamics.regions.regions import Ball
from ..dynamics.systems.diffusion import Diffusion
from ..dynamics.systems.flow import Flow
from ..dynamics.systems.ode import AbstractODE
from ..errors import InvalidInput
from ..interrupts import GivenUp, giving_up, heed
from ..losses.formula import Formula
from ..losses.registry import get_loss, loss_names
from ..precision import in_double
from . import evaluated
from .data import at_radius, judged
from .scene import Scene, scene_of

PATHS = 2000  # that stand beside a histogram where no law is known
BINS = 24  # of their law
MOST = 1e9  # steps of all of them: a second
PAGES = 100  # that may ask at a time
LARGEST = 1e6  # rho, learning rate and lengths


class Newest:
    """Of the questions of a page, which is any word, only the newest is worth an answer."""

    def __init__(self):
        self._numbers: dict[str, int] = {}

    @contextlib.contextmanager
    def of(self, page: Any) -> Iterator[None]:
        """Work on a question inside is given up as soon as the page asks a newer one."""
        page = str(page)[:40]
        mine = self._numbers[page] = self._numbers.pop(page, 0) + 1
        if len(self._numbers) > PAGES:
            del self._numbers[next(iter(self._numbers))]
        try:
            with giving_up(lambda: mine != self._numbers.get(page)):
                yield
        except GivenUp:
            raise InvalidInput("a newer question has come.") from None


class Answers:
    """Answers about a scene, one at a time. `InvalidInput` where a question makes no sense."""

    def __init__(self, scene: Scene):
        self.scene = scene
        self._busy, self._walking = threading.Lock(), threading.Lock()
        self._newest = Newest()
        self._known: dict[str, Callable[[Mapping], dict[str, Any]]] = {
            "verdicts": self.verdicts,
            "theory": self.theory,
            "grid": self.grid,
            "path": self.path,
        }

    def answer(self, what: str, given: Any) -> dict[str, Any]:
        """The answer to a question by its name, JSON both."""
        if what not in self._known:
            raise InvalidInput(f"there is no question {what[:40]!r}.")
        if not isinstance(given, Mapping):
            raise InvalidInput("a question has named parts.")
        return self._known[what](given)

    def verdicts(self, given: Mapping) -> dict[str, Any]:
        """Fixed points of every panel at a radius and a step, with what is proven of them.

        Whoever moves a slider asks again before the answer is there.
        """
        rho, rate = number(given, "rho"), number(given, "learning_rate")
        momentum = number(given, "momentum", 1.0)
        with self._newest.of(given.get("page")), self._busy:
            heed()  # while others' were answered
            box, flows = self.scene.box, self.scene.flows
            return {"panels": [judged(flow, box, rho, rate, momentum) for flow in flows]}

    def theory(self, given: Mapping) -> dict[str, Any]:
        """The mean time until a ball is left: a law's where one is known, else of many paths."""
        flow, start = self._flow(given), _start(given)
        strength, reach = number(given, "strength"), number(given, "reach")
        if strength == 0 or reach == 0:
            raise InvalidInput("noise needs a strength and a radius > 0.")
        if not isinstance(flow, Flow):
            raise InvalidInput("laws of exit times are of the flow of a loss.")
        with self._walking:
            return _mean_exit(flow, start, strength, reach)

    def grid(self, given: Mapping) -> dict[str, Any]:
        """Velocities over the box, of a field that the page has no program of."""
        flow = self._flow(given)
        with self._busy:
            return {"grid": evaluated.grid(flow, self.scene.box)}

    def path(self, given: Mapping) -> dict[str, Any]:
        """A trajectory of such a field; with a learning rate the optimizer's steps."""
        flow, start, rate = self._flow(given), _start(given), number(given, "learning_rate")
        momentum, count = number(given, "momentum", 1.0), int(number(given, "count"))
        with self._busy:
            if rate > 0:
                return evaluated.orbit(flow, start, rate, momentum, count)
            return evaluated.path(flow, self.scene.box, start, bool(given.get("backwards")))

    def _flow(self, given: Mapping) -> AbstractODE:
        which = given.get("panel")
        if not isinstance(which, int) or not 0 <= which < len(self.scene.flows):
            raise InvalidInput("there is no such panel.")
        return at_radius(self.scene.flows[which], number(given, "rho"))


@in_double
def _mean_exit(flow: Flow, start: list[float], strength: float, reach: float) -> dict[str, Any]:
    from ..escape.escape_times import escape_times
    from ..escape.exact.theory import theory

    diffusion = Diffusion(flow.loss, flow.method, 1.0, Additive(strength))
    ball = Ball(start, reach)
    for name, mean in theory(diffusion, start, ball).items():
        if name.startswith("exact") and mean is not None and math.isfinite(mean):
            return {"mean": mean, "text": f"{name.replace('_', ' ')} gives {mean:.6g}"}
    dt = escape_times(diffusion, start, ball, paths=1, max_time=1e-12).dt  # of no step at all
    longest = MOST * dt / PATHS  # whoever is trapped would be followed for ever
    found = escape_times(diffusion, start, ball, paths=PATHS, max_time=longest)
    known = found.to_dict()
    if known["censored"] > PATHS / 2 or known["mean"] is None or known["mean_ci95"] is None:
        return {"mean": None, "text": f"most of samdyn's paths stay longer than {longest:.3g}"}
    low, high = known["mean_ci95"]
    text = f"samdyn's {known['n']} paths give {known['mean']:.6g} ({low:.6g} to {high:.6g})"
    return {"mean": known["mean"], "text": text, "law": _density(found.times, known["mean"])}


def _density(times: np.ndarray, mean: float) -> list[list[float]]:
    """(time, density) of exits, up to four times their mean."""
    counts, edges = np.histogram(times, bins=BINS, range=(0, 4 * mean))
    width = edges[1] - edges[0]
    return [
        [float(t + width / 2), float(n / len(times) / width)]
        for t, n in zip(edges[:-1], counts, strict=True)
    ]


@in_double
def scene_of_text(text: Any, box: Any, scene: Scene) -> Scene:
    """The scene of another loss, by a formula or a registered name, with the same methods."""
    if not isinstance(text, str) or not isinstance(box, str):
        raise InvalidInput("a formula and a box are texts.")
    methods = [flow.method for flow in scene.flows if isinstance(flow, Flow)]
    if not methods:
        raise InvalidInput("a formula is a loss, and this page shows a field that has none.")
    name = text.strip()
    loss = get_loss(name) if name in loss_names() else Formula(name)
    sides = _box(box) if box.strip() else getattr(loss, "box", None)
    rho = float(scene.radii[-1]) / 4
    command = name if name in loss_names() else None
    return scene_of([Flow(loss, method) for method in methods], sides, name, rho, command)


def _start(given: Mapping) -> list[float]:
    start = given.get("start")
    if not isinstance(start, list) or len(start) != 2:
        raise InvalidInput("a start has two coordinates.")
    return [_finite(x, "a coordinate") for x in start]


def number(given: Mapping, name: str, below: float = LARGEST) -> float:
    """A finite number of a question, from 0 on."""
    value = _finite(given.get(name), name)
    if not 0 <= value < below:
        raise InvalidInput(f"{name} must be ≥ 0 and below {below:g}, not {value:g}.")
    return value


def _finite(value: Any, name: str) -> float:
    if isinstance(value, int) and abs(value) > LARGEST:
        raise InvalidInput(f"{name} must be below {LARGEST:g}.")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidInput(f"{name} must be a finite number.")
    return float(value)


def _box(text: str) -> list[tuple[float, ...]]:
    try:
        sides = [tuple(float(end) for end in side.split(",")) for side in text.split(";")]
    except ValueError:
        sides = []
    if len(sides) != 2 or any(len(side) != 2 for side in sides):
        raise InvalidInput('the box must be "low,high;low,high".')
    if not all(abs(end) <= LARGEST for side in sides for end in side):
        raise InvalidInput(f"the box must lie within ±{LARGEST:g}.")
    return sides
