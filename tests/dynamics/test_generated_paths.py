"""Paths of generated linear flows against the exponential of their matrix.

Conditions run from 1 to 1e12, units over twelve decades, offsets to 1e6; explicit and implicit
solvers. A path is within what it promises, or says that it stopped short.
"""

import diffrax
import jax.numpy as jnp
import numpy as np
import pytest
from centred import Quadratic
from verbs import integrate

from samdyn import USAM, Flow
from samdyn.dynamics.integrate import STATUS

pytestmark = pytest.mark.thorough


def problem(seed):
    """(flow, start, exact w(t) as a function, time, box, unit, centre) of one linear flow."""
    rng = np.random.default_rng(seed)
    condition = 10.0 ** rng.uniform(0, 12)
    values = condition ** -np.linspace(0, 1, 3) * np.array([1.0, *rng.choice([-1.0, 1.0], 2)])
    axes = np.linalg.qr(rng.standard_normal((3, 3)))[0] if seed % 2 else np.eye(3)
    unit = 10.0 ** rng.uniform(-6, 6)
    # the unit must be resolved at the offset
    offset = rng.choice([0.0, 1.0, 1e3, 1e6]) * min(1.0, unit)
    centre = np.round(offset * rng.uniform(-1, 1, 3), 3) if offset else np.zeros(3)
    stiffness = 10.0 ** rng.uniform(-3, 3)
    rho = rng.choice([0.0, 0.3]) / stiffness
    hessian = (axes * values * stiffness) @ axes.T
    hessian = (hessian + hessian.T) / 2
    rates = values * (1 + rho * values * stiffness) * stiffness
    time = rng.uniform(0.3, 3) / stiffness * min(condition, 10 ** rng.uniform(0, 4))
    away = rng.uniform(-1, 1, 3) * unit
    start = centre + away
    away = start - centre

    def exact(t):
        return centre + axes @ (np.exp(-rates * t) * (axes.T @ away))

    growth = float(np.exp(max(0.0, np.max(-rates * time))))
    loss = Quadratic(jnp.asarray(hessian), jnp.asarray(centre))
    return Flow(loss, USAM(rho)), start, exact, time, unit, growth


def test_a_hundred_linear_flows_are_exponentials_or_stop_short():
    finished = 0
    for seed in range(100):
        flow, start, exact, time, unit, growth = problem(seed)
        if growth > 1e3:  # it would leave every box
            time, growth = time / np.log(growth), np.e
        solver = diffrax.Kvaerno5() if seed % 4 < 3 else diffrax.Tsit5()
        box = start[:, None] + 4 * growth * unit * np.array([[-1, 1]])
        path = integrate(flow, jnp.asarray(start), time, box=box, points=5, solver=solver)
        status = STATUS[int(path.status)]
        assert status in ("ran", "stopped short"), (seed, status)
        finished += status == "ran"
        saved = np.isfinite(np.asarray(path.ts))
        want = np.array([exact(t) for t in np.asarray(path.ts)[saved]])
        allowed = 1e-6 * growth * unit + 1e3 * np.spacing(np.max(np.abs(start)))
        gap = np.max(np.abs(np.asarray(path.ws)[saved] - want))
        assert gap < allowed, (seed, gap, allowed, status)
    assert finished >= 80
