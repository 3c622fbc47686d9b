"""`diagram`: the stability of one fixed point over two parameters, as a map of verdicts."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ...arguments import of_system
from ...checks import require_flat, require_one_value, told
from ...compiling import jit_for_few_runs
from ...dynamics.systems.flow import Flow
from ...dynamics.systems.map import AbstractMap, Displacement, state_jacobian
from ...dynamics.systems.ode import AbstractODE
from ...errors import InvalidInput
from ...precision import in_double
from ...programs.newton import newton_from
from ...results.provenance import recorded
from ...results.result import Result
from ..finding.point import describe
from ..judge import verdict_at
from ..judging.spectrum import eigenvalues
from ..judging.transverse import flow_across
from ..judging.verdict import Verdict, flow_verdict_names, map_verdict_names
from .diagram_text import diagram_text

RESTS = 1e-8  # of its largest rate times the point's size: a velocity that is none
TOGETHER = 4096  # pairs of values in one batch


class Diagram(Result, eqx.Module):
    """What `diagram` returns, over two parameters of n and m values each.

    `parameters` names them, with their values; `flow` and `step` (n, m) are the verdicts, None
    where there is none; `leading` (n, m) is the step's spectral radius, or without a step the
    flow's leading real part, nan where there is no Jacobian; `w` (n, m, d) the fixed point.
    """

    parameters: dict[str, np.ndarray]
    flow: np.ndarray | None
    step: np.ndarray | None
    leading: Float[np.ndarray, "n m"]
    w: Float[np.ndarray, "n m d"]
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The result object of `samdyn diagram --json`."""
        found: dict[str, Any] = {"warnings": list(self.warnings)} if self.warnings else {}
        leading = [[x if np.isfinite(x) else None for x in row] for row in self.leading.tolist()]
        return found | {
            "parameters": {name: values.tolist() for name, values in self.parameters.items()},
            "flow": None if self.flow is None else self.flow.tolist(),
            "step": None if self.step is None else self.step.tolist(),
            "leading": leading,
        }

    def __str__(self) -> str:
        return diagram_text(self)


@of_system("Flow(loss, method) or StepMap(loss, method, learning_rate)")
@recorded
@in_double
def diagram(system: Any, parameters: Mapping[str, Any], *, at: Any) -> Diagram:
    """The verdicts at the fixed point near `at` (d,), over all pairs of values of two parameters.

    `parameters` maps two names to values (n,) and (m,), each ascending: {"rho": …,
    "learning_rate": …}, or any other number that the system has. The point is the one that Newton
    reaches from `at` with each pair. All are judged in one compiled call. At a critical point under
    a method that jumps there the flow is judged by sliding, and the step has no Jacobian. At a
    point of a line, or surface, of fixed points verdicts are transverse to it (a warning says so).

    `InvalidInput` for other parameters, and where there is no fixed point near.
    """
    require_one_value(system)
    flow = system if isinstance(system, AbstractODE) else getattr(system, "flow", None)
    step = system if isinstance(system, AbstractMap) else None
    if flow is None and step is None:
        raise InvalidInput(f"diagram is of an ODE, Flow, Map or StepMap, not {told(system)}.")
    names, grids = _read(system, parameters)
    w = require_flat(at, "a point")
    first, second = (x.ravel() for x in np.meshgrid(*grids, indexing="ij"))
    shape = (grids[0].size, grids[1].size)
    if isinstance(flow, Flow) and flow.jumps and _is_critical(flow, w):
        return _by_sliding(system, flow, names, grids, w)
    pairs = jnp.asarray(first), jnp.asarray(second)
    found = _judged(system, flow, names, jnp.asarray(w), *pairs)
    ws, gap, rates, multipliers = (None if x is None else np.asarray(x) for x in found)
    assert ws is not None
    lost = ~(gap <= RESTS * (1 + np.linalg.norm(ws, axis=1)))
    flows = steps = None
    scale, flat, across = _scale_at(flow, w)
    if across.tangent_dim:  # the eigenvalues of the tangent, of which no verdict is due
        flat, k = False, across.tangent_dim
        rates = _without(rates, 0, k)
        multipliers = _without(multipliers, 1, k)
    if rates is not None:
        told_of = np.where(flat, "degenerate", flow_verdict_names(rates, scale))
        flows = np.where(lost, "unknown", told_of).astype(str).reshape(shape)
        leading = np.max(np.real(rates), axis=1)
    if multipliers is not None:
        names_of = np.where(flat, "degenerate", map_verdict_names(multipliers, w.size))
        steps = np.where(lost, "unknown", names_of).astype(str).reshape(shape)
        leading = np.max(np.abs(multipliers), axis=1)
    if np.all(lost):
        raise InvalidInput(f"Newton reaches no fixed point from {np.array2string(np.asarray(w))}.")
    warnings = ()
    if across.tangent_dim:
        what = across.why.split(":")[0].split(", ", 1)[1]
        warnings = (f"the point is not isolated: verdicts are {what}.",)
    if np.any(lost):
        told_of = f"Newton reached no fixed point with {np.mean(lost):.1%} of the pairs."
        warnings = (*warnings, told_of)
    given = dict(zip(names, grids, strict=True))
    leading = np.where(lost, np.nan, leading).reshape(shape)
    return Diagram(given, flows, steps, leading, ws.reshape(*shape, -1), warnings)


def _read(system: Any, parameters: Any) -> tuple[tuple[str, str], list[np.ndarray]]:
    if not isinstance(parameters, Mapping) or len(parameters) != 2:
        raise InvalidInput(
            'a diagram is over two parameters, {"rho": values, "learning_rate": values}, not '
            f"{told(parameters)}."
        )
    grids = []
    for name, values in parameters.items():
        grid = np.asarray(values, float)
        if grid.ndim != 1 or grid.size < 2 or not np.all(np.diff(grid) > 0):
            raise InvalidInput(f"{name} needs two or more values in ascending order.")
        grids.append(grid)
    first, second = parameters
    for end in (0, -1):  # a name that is none, and values out of range, are refused here
        system.at(**{first: grids[0][end], second: grids[1][end]})
    return (first, second), grids


def _scale_at(flow: Any, w: np.ndarray) -> tuple[float, bool, Verdict]:
    """(the size of rates of which a smaller part is rounding, whether no linear part decides, and
    what is known across a set of fixed points there)."""
    nothing = Verdict("degenerate", "")
    if not isinstance(flow, Flow):
        return 0.0, False, nothing
    point = describe(flow, w)
    flat = point.critical_type == "degenerate"
    return point.scale, flat, flow_across(flow, point, nothing, 0.0) if flat else nothing


def _without(values: np.ndarray | None, still: float, k: int) -> np.ndarray | None:
    """Eigenvalues (n, m) without the k nearest to `still`."""
    if values is None:
        return None
    order = np.argsort(np.abs(values - still), axis=1)
    return np.take_along_axis(values, np.sort(order[:, k:], axis=1), axis=1)


def _is_critical(flow: Flow, w: np.ndarray) -> bool:
    g = np.asarray(jax.grad(flow.loss)(jnp.asarray(w)))
    away = np.asarray(jax.grad(flow.loss)(jnp.asarray(w) + 1e-3 * (1 + np.max(np.abs(w)))))
    return bool(np.linalg.norm(g) <= 1e-6 * np.linalg.norm(away))


@jit_for_few_runs
def _judged(system: Any, flow: Any, names: tuple[str, str], w, first, second):
    """(points, how far they are from rest, the flow's eigenvalues, the step's multipliers)."""
    is_map = isinstance(system, AbstractMap)

    def with_values(pair):
        now = system.at(**dict(zip(names, pair, strict=True)))
        moved = now if not is_map else (Displacement(now) if flow is None else now.flow)
        place = newton_from(moved.velocity, w, jnp.asarray(jnp.inf, w.dtype), 30)
        jacobian = jax.jacfwd(moved.velocity)(place)
        scale = jnp.max(jnp.abs(jacobian))
        gap = jnp.linalg.norm(moved.velocity(place)) / jnp.where(scale > 0, scale, 1)
        rates = None if flow is None else eigenvalues(jacobian)
        steps = eigenvalues(state_jacobian(now, place)) if is_map else None
        return place, gap, rates, steps

    return jax.lax.map(with_values, (first, second), batch_size=TOGETHER)


def _by_sliding(system: Any, flow: Flow, names, grids, w: np.ndarray) -> Diagram:
    """At a critical point of a method that jumps: the flow's verdict depends on few numbers."""
    verdicts = np.empty((grids[0].size, grids[1].size), dtype=object)
    known: dict[Any, str] = {}
    for i, x in enumerate(grids[0]):
        for j, y in enumerate(grids[1]):
            now: Any = system.at(**{names[0]: x, names[1]: y})
            now = now.flow if isinstance(now, AbstractMap) else now
            key = tuple(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(now))
            if key not in known:
                known[key] = verdict_at(now, w)
            verdicts[i, j] = known[key]
    nothing = np.full(verdicts.shape, np.nan)
    ws = np.broadcast_to(w, (*verdicts.shape, w.size))
    name = type(flow.method).__name__
    warning = (
        f"{name} jumps at this point: its step has no Jacobian there, and only the flow is judged; "
        "stability follows the orbit about it."
    )
    steps = None
    if isinstance(system, AbstractMap):
        steps = np.full(verdicts.shape, "unknown")
    given = dict(zip(names, grids, strict=True))
    return Diagram(given, verdicts.astype(str), steps, nothing, ws, (warning,))
