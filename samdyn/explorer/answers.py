"""What a page asks the library: proven verdicts, laws of exit times, the scene of another formula.

Questions come from a browser and are taken for nothing but numbers and one line of text.
"""

import math
import threading
from collections.abc import Callable, Mapping
from typing import Any

from ..dynamics.noise.noise import Additive
from ..dynamics.regions.regions import Ball
from ..dynamics.systems.diffusion import Diffusion
from ..dynamics.systems.flow import Flow
from ..errors import InvalidInput
from ..losses.formula import Formula
from ..losses.registry import get_loss, loss_names
from ..precision import in_double
from .data import at_radius, judged
from .scene import Scene, scene_of

PATHS = 2000  # that stand beside a histogram where no law is known
LONG = 50  # times that noise alone would take to leave
LARGEST = 1e6  # rho, learning rate and lengths


class Answers:
    """Answers about a scene, one at a time. `InvalidInput` where a question makes no sense."""

    def __init__(self, scene: Scene):
        self.scene = scene
        self._busy, self._newest = threading.Lock(), 0
        self._known: dict[str, Callable[[Mapping], dict[str, Any]]] = {
            "verdicts": self.verdicts,
            "theory": self.theory,
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

        Whoever moves a slider asks again before the answer is there: only the newest is computed.
        """
        self._newest += 1
        mine = self._newest
        rho, rate = number(given, "rho"), number(given, "learning_rate")
        momentum = number(given, "momentum", 1.0)
        with self._busy:
            if mine != self._newest:
                raise InvalidInput("a newer question has come.")
            box, flows = self.scene.box, self.scene.flows
            return {"panels": [judged(flow, box, rho, rate, momentum) for flow in flows]}

    def theory(self, given: Mapping) -> dict[str, Any]:
        """The mean time until a ball is left: a law's where one is known, else of many paths."""
        which = given.get("panel")
        if not isinstance(which, int) or not 0 <= which < len(self.scene.flows):
            raise InvalidInput("there is no such panel.")
        rho, strength, reach = (number(given, name) for name in ("rho", "strength", "reach"))
        start = given.get("start")
        if not isinstance(start, list) or len(start) != 2 or strength == 0 or reach == 0:
            raise InvalidInput("noise starts at two coordinates, with a strength and a radius > 0.")
        start = [_finite(x, "a coordinate") for x in start]
        flow = at_radius(self.scene.flows[which], rho)
        if not isinstance(flow, Flow):
            raise InvalidInput("laws of exit times are of the flow of a loss.")
        with self._busy:
            return _mean_exit(flow, start, strength, reach)


@in_double
def _mean_exit(flow: Flow, start: list[float], strength: float, reach: float) -> dict[str, Any]:
    from ..escape.escape_times import escape_times
    from ..escape.exact.theory import theory

    diffusion = Diffusion(flow.loss, flow.method, 1.0, Additive(strength))
    ball = Ball(start, reach)
    for name, mean in theory(diffusion, start, ball).items():
        if name.startswith("exact") and mean is not None and math.isfinite(mean):
            return {"mean": mean, "text": f"{name.replace('_', ' ')} gives {mean:.6g}"}
    longest = LONG * (reach / strength) ** 2  # whoever is trapped would be followed for ever
    known = escape_times(diffusion, start, ball, paths=PATHS, max_time=longest).to_dict()
    if known["censored"] > PATHS / 2:
        return {"mean": None, "text": f"half of samdyn's paths stay longer than {longest:.3g}"}
    low, high = known["mean_ci95"]
    text = f"samdyn's {known['n']} paths give {known['mean']:.6g} ({low:.6g} to {high:.6g})"
    return {"mean": known["mean"], "text": text}


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


def number(given: Mapping, name: str, below: float = LARGEST) -> float:
    """A finite number of a question, from 0 on."""
    value = _finite(given.get(name), name)
    if not 0 <= value < below:
        raise InvalidInput(f"{name} must be ≥ 0 and below {below:g}, not {value:g}.")
    return value


def _finite(value: Any, name: str) -> float:
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
    return sides
