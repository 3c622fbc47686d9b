"""Integrate a flow with diffrax: adaptive, forwards or backwards, stopping where asked.

What is solved for is the displacement from the start, so that tolerances and stops do not know
where the origin of the parameters lies.
"""

from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
from jax.core import Tracer
from jaxtyping import Array, Float, Int, PyTree

from ..arguments import checked
from ..checks import is_real, require_arrays, require_field, require_kind, require_one_value, told
from ..errors import InvalidInput
from .iterate import check_start
from .systems.ode import AbstractODE
from .tree import as_array, flatten, squared_norm

FAR, ATOL = 1e6, 1e-11  # of the longest side of the box
STATUS = ("ran", "arrived", "left the box", "diverged", "stopped short")


class Path(eqx.Module):
    """A solution of the flow.

    `ts` (points + 1,) and `ws` (points + 1, …) are the times and points saved, the end last;
    entries after an early stop are inf. `t` and `w` are where it ended, `status` an index into
    `STATUS`. `at(t)` evaluates the dense solution anywhere in between.
    """

    ts: Float[Array, " n"]
    ws: PyTree
    t: Float[Array, ""]
    w: PyTree
    status: Int[Array, ""]
    start: PyTree
    interpolation: Any  # of the displacement from the start

    def at(self, t: Any) -> PyTree:
        """w at time t, from the solver's own dense output."""
        return _moved(self.start, self.interpolation.evaluate(t))


@checked
def integrate(
    flow: Callable,
    start: PyTree,
    t1: Any,
    *,
    t0: Any = 0.0,
    points: int = 201,
    arrive: tuple[PyTree, Any] | None = None,
    box: Any = None,
    diverged: Any = None,
    solver: diffrax.AbstractSolver | None = None,
    rtol: float = 1e-9,
    atol: Any = None,
    max_steps: int = 16384,
) -> Path:
    """Solve dw/dt = flow(t, w) from `start` at t0 to t1 (t1 < t0 goes back in time).

    Stops at the exact time of arrival, when ‖w − P‖ = r for `arrive=(P, r)`, from either side;
    when w leaves `box` (shape (dim, 2)), at once if it starts outside; or when ‖w − start‖
    reaches `diverged`, by default 1e6 times the longest side of the box (1e6 without one). An
    error of a step may be `rtol` of the displacement from the start, plus `atol`, by default
    1e-11 times that side (1e-11 without a box). "stopped short" means that
    `max_steps` were not enough: normalised SAM's field jumps at its critical points, and
    adaptive steps cannot pass a point where trajectories slide, so give `arrive` there.
    """
    require_arrays(start)
    require_one_value(flow)
    if not isinstance(flow, AbstractODE):
        require_field(flow, start)
    if solver is not None:
        require_kind(solver, diffrax.AbstractSolver, "a solver of diffrax, such as Tsit5()")
    _, flat, _ = flatten(lambda w: w, start)
    if box is not None:
        if not is_real(box):
            raise InvalidInput(f"box must have shape ({flat.size}, 2), not {told(box)}.")
        box = jnp.asarray(box, flat.dtype)
        if box.shape != (flat.size, 2):
            raise InvalidInput(f"box must have shape ({flat.size}, 2), not {box.shape}.")
    loss = getattr(flow, "loss", None)
    if loss is not None:
        check_start(loss, start, None if arrive is None else arrive[0], "arrive")
    arrive = None if arrive is None else (arrive[0], as_array(arrive[1]))
    _check_times(t0, t1)
    size = jnp.asarray(1.0, flat.dtype) if box is None else jnp.max(box[:, 1] - box[:, 0])
    return _solve(
        flow,
        start,
        jnp.asarray(t0, flat.dtype),
        jnp.asarray(t1, flat.dtype),
        arrive,
        box,
        FAR * size if diverged is None else jnp.asarray(diverged, flat.dtype),
        solver or diffrax.Tsit5(),
        (rtol, ATOL * size if atol is None else jnp.asarray(atol, flat.dtype)),
        points,
        max_steps,
    )


class _Displaced(eqx.Module):
    """A flow as a function of the displacement from a start."""

    flow: Callable
    start: PyTree

    def __call__(self, t: Any, way: PyTree, args: Any) -> PyTree:
        return self.flow(t, _moved(self.start, way), args)


def _moved(start: PyTree, way: PyTree) -> PyTree:
    return jax.tree.map(jnp.add, start, way)


def _check_times(t0: Any, t1: Any) -> None:
    if isinstance(t0, Tracer) or isinstance(t1, Tracer):
        return
    if not np.all(np.isfinite([t0, t1])) or t0 == t1:
        raise InvalidInput(f"t0 and t1 must be two different finite times, not {t0} and {t1}.")


@eqx.filter_jit
def _solve(flow, start, t0, t1, arrive, box, far, solver, tolerances, points, max_steps) -> Path:
    rtol, atol = tolerances
    nowhere = jax.tree.map(jnp.zeros_like, start)
    conditions, codes = _stops(start, arrive, box, far)
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(_Displaced(flow, start)),
        solver,
        t0,
        t1,
        dt0=None,
        y0=nowhere,
        saveat=diffrax.SaveAt(ts=jnp.linspace(t0, t1, points), dense=True, t1=True),
        stepsize_controller=diffrax.PIDController(rtol=rtol, atol=atol),
        event=diffrax.Event(conditions, _root_finder(t0.dtype)),
        max_steps=max_steps,
        throw=False,
    )
    assert solution.ts is not None
    assert solution.event_mask is not None
    status = jnp.asarray(0)
    for fired, code in zip(solution.event_mask, codes, strict=True):
        status = jnp.where(fired & (status == 0), code, status)
    stopped = (solution.result == diffrax.RESULTS.successful) | (
        solution.result == diffrax.RESULTS.event_occurred
    )
    status = jnp.where(stopped, status, STATUS.index("stopped short"))
    end = jnp.sum(jnp.isfinite(solution.ts)) - 1
    # a start that is already beyond a stop has no sign change ahead: it ends where it begins
    for condition, code in zip(conditions, codes, strict=True):
        if code == STATUS.index("arrived"):  # from within the ball, arrival is the way out
            continue
        beyond = condition(t0, nowhere, None) < 0
        status, end = jnp.where(beyond, code, status), jnp.where(beyond, 0, end)
    late = jnp.arange(solution.ts.size) > end
    ts = jnp.where(late, jnp.inf, solution.ts)
    ws = jax.tree.map(
        lambda leaf: jnp.where(jnp.expand_dims(late, tuple(range(1, leaf.ndim))), jnp.inf, leaf),
        jax.vmap(_moved, in_axes=(None, 0))(start, solution.ys),
    )
    last = jax.tree.map(lambda leaf: leaf[end], ws)
    return Path(ts, ws, ts[end], last, status, start, solution.interpolation)


def _root_finder(dtype) -> optx.Newton:
    """Newton on the event functions, as sharp as the precision allows."""
    tolerance = 1e-10 if dtype == jnp.float64 else 1e-5
    return optx.Newton(tolerance, tolerance, optx.rms_norm)


def _stops(start, arrive, box, far) -> tuple[list[Callable], list[int]]:
    """Event functions that turn negative where the solution must stop, and their status codes.

    They take the displacement from the start.

    They are relative to the size of what they measure, so that one tolerance of root finding
    serves all.
    """
    conditions: list[Callable] = [lambda t, y, args, **_: 1 - squared_norm(y) / far**2]
    codes = [STATUS.index("diverged")]
    if arrive is not None:
        target, radius = jax.tree.map(jnp.subtract, arrive[0], start), arrive[1]

        def distance(t, y, args, **_):
            gap = squared_norm(jax.tree.map(jnp.subtract, y, target))
            return gap / radius.astype(gap.dtype) ** 2 - 1

        conditions.append(distance)
        codes.append(STATUS.index("arrived"))
    if box is not None:
        around = box - flatten(lambda v: v, start)[1][:, None]

        def inside(t, y, args, **_):
            flat = flatten(lambda v: v, y)[1]
            room = jnp.minimum(flat - around[:, 0], around[:, 1] - flat)
            return jnp.min(room / (around[:, 1] - around[:, 0]))

        conditions.append(inside)
        codes.append(STATUS.index("left the box"))
    return conditions, codes
