"""Verdicts on generated quadratics against their exact spectra: none is wrong without a word.

Conditions run from 1 to 1e12, offsets to 1e6, coordinates are rescaled. A verdict that is given
must be the exact one; where the curvatures are resolved it must be given.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from centred import Quadratic
from jaxtyping import Array
from verbs import basins, capture_threshold, stability, sweep

from samdyn import GD, SAM, USAM, ComputationFailed, InvalidInput

pytestmark = pytest.mark.thorough

SILENT = ("degenerate", "unknown")


def problem(seed: int):
    """(loss, exact eigenvalues ascending, centre, condition) of one generated quadratic."""
    rng = np.random.default_rng(seed)
    d = 1 + seed % 4
    condition = 10.0 ** rng.uniform(0, 12) if d > 1 else 1.0
    sizes = condition ** -np.linspace(0, 1, d) if d > 1 else np.ones(1)
    values = 10.0 ** rng.uniform(-3, 3) * sizes * rng.choice([-1.0, 1.0], d)
    axes = np.linalg.qr(rng.standard_normal((d, d)))[0] if seed % 2 else np.eye(d)
    hessian = (axes * values) @ axes.T
    hessian = (hessian + hessian.T) / 2
    offset = rng.choice([0.0, 1.0, 1e3, 1e6])
    centre = np.round(offset * rng.uniform(-1, 1, d), 3)
    loss = Quadratic(jnp.asarray(hessian), jnp.asarray(centre))
    return loss, np.sort(values), centre, condition


def name(growth: np.ndarray) -> str:
    if np.all(growth < 0):
        return "attractor"
    return "repeller" if np.all(growth > 0) else "saddle"


def test_critical_points_of_generated_quadratics_attract_under_sam():
    """All of them, from within ρ: the flow slides."""
    for seed in range(24):
        loss, values, centre, condition = problem(seed)
        try:
            (point,) = stability(loss, SAM(0.3 / np.max(np.abs(values))), at=centre).points
        except (InvalidInput, ComputationFailed):
            assert condition > 1e6, (seed, condition)
            continue
        given = point.flow.verdict
        assert given == "attractor" or (given in SILENT and condition > 1e6), (seed, given)


def test_sweeps_of_generated_quadratics_change_where_curvatures_do():
    for seed in range(100):
        loss, values, centre, condition = problem(seed)
        top = np.max(np.abs(values))
        radii = np.linspace(0.11, 2.57, 9) / top
        try:
            result = sweep(loss, USAM(1.0), radii, at=centre)
        except (InvalidInput, ComputationFailed):
            assert condition > 1e6, (seed, condition)
            continue
        (branch,) = result.branches
        for rho, given in zip(radii, branch.verdict, strict=True):
            want = name(-values * (1 + rho * values))
            assert given == want or (given in SILENT and condition > 1e6), (seed, given, want)
        inside = np.sort([-1 / v for v in values if v < 0 and radii[0] < -1 / v < radii[-1]])
        if condition <= 1e6:
            np.testing.assert_allclose([b.rho for b in result.bifurcations], inside, rtol=1e-8)


@pytest.mark.parametrize("kind", ["momentum", "nesterov", "decay"])
def test_optimizers_on_generated_quadratics_do_what_numpy_does(kind):
    """The matrix of the step on parameters and momentum, by numpy."""
    make = optax.inject_hyperparams(_optimizer, static_args="kind")
    for seed in range(16):
        loss, values, centre, condition = problem(4 * seed + 1)  # two dimensions, rotated
        if condition > 1e4 or (kind == "decay" and np.any(centre != 0)):
            continue
        top = np.max(np.abs(values))
        rate = np.random.default_rng(seed).choice([0.3, 1.1, 1.7]) / top
        with_sum = 0.6 * top if kind == "decay" else 0.0
        hessian = np.asarray(loss.hessian)
        multipliers = np.linalg.eigvals(_matrix(kind, hessian, rate, with_sum))
        optimizer = make(kind=kind, rate=rate, decay=with_sum)
        result = stability(loss, GD(), at=centre, optimizer=optimizer)
        (point,) = [p for p in result.points if np.allclose(p.point.w, centre, rtol=1e-9)]
        want = name(np.abs(multipliers) - 1)
        assert point.step.verdict == want, (seed, condition, point.step.why, multipliers)


def _optimizer(kind, rate, decay):
    if kind == "decay":
        return optax.chain(optax.add_decayed_weights(decay), optax.scale_by_learning_rate(rate))
    trace = optax.trace(0.6, nesterov=kind == "nesterov")
    return optax.chain(trace, optax.scale_by_learning_rate(rate))


def _matrix(kind, hessian, rate, decay):
    """The step on (w, m) about the centre."""
    one = np.eye(len(hessian))
    if kind == "decay":
        return one - rate * (hessian + decay * one)
    outer = one + 0.6 * one if kind == "nesterov" else one
    through = 0.36 * one if kind == "nesterov" else 0.6 * one
    return np.block([[one - rate * outer @ hessian, -rate * through], [hessian, 0.6 * one]])


class Wells(eqx.Module):
    """s²k((x/s)² − 1)²/8 + q y²/2 about a centre: minima at ±s of curvature k, a saddle between."""

    shape: Array  # s, k, q
    centre: Array

    def __call__(self, w):
        s, k, q = self.shape
        x, y = w - self.centre
        return s**2 * k * ((x / s) ** 2 - 1) ** 2 / 8 + q * y**2 / 2


def well(seed: int):
    """(loss, its shape (s, k, q), its centre, a learning rate) of one generated pair of wells."""
    rng = np.random.default_rng(seed)
    s = 10.0 ** rng.uniform(-4, 4)
    shape = np.array([s, 10.0 ** rng.uniform(-3, 3), 0.0])
    shape[2] = shape[1] * 10.0 ** rng.uniform(-3, 2)
    centre = s * np.round(rng.choice([0.0, 1.0, 1e3, 1e6]) * rng.uniform(-1, 1, 2), 3)
    rate = rng.uniform(0.05, 0.5) / max(4 * shape[1], shape[2])
    return Wells(jnp.asarray(shape), jnp.asarray(centre)), shape, centre, rate


def slope(shape, x):
    """The derivative along x, by hand."""
    s, k, _ = shape
    return k * x * ((x / s) ** 2 - 1) / 2


def test_basins_of_a_hundred_wells_are_those_of_descent_by_hand():
    """Starts of a grid, gradient descent until it rests; the second coordinate decides nothing."""
    for seed in range(100):
        loss, shape, centre, rate = well(seed)
        s, _, q = shape
        box = np.stack([centre - 1.9 * s, centre + 1.9 * s], axis=1)
        found = basins(loss, GD(), box=box, grid=6, learning_rate=rate)
        x = (box[0, 0] - centre[0]) + 3.8 * s * (np.arange(6) + 0.5) / 6
        for _ in range(min(20_000, int(40 / (rate * shape[1])))):
            x = x - rate * slope(shape, x)
        slow = (1 - rate * q) ** 20_000 > 1e-9  # along y it has not arrived
        places = np.array([a.w - centre for a in found.attractors]).reshape(-1, 2)
        for i, end in enumerate(x):
            labels = found.labels[i]
            decided = labels[labels >= 0]
            assert len(decided) == len(labels) or (slow and np.min(labels) == -1), (seed, labels)
            assert np.all(np.abs(places[decided, 0] - end) < 1e-5 * s), (seed, end)


def test_a_hundred_capture_thresholds_are_those_of_runs_by_hand():
    """SAM's maximum between the wells captures a start at x where ρ exceeds about x."""
    steps = 1500
    for seed in range(100):
        loss, shape, centre, _ = well(seed)
        s, k, q = shape
        rate = 0.02 / max(k, q / 4)
        x0 = s * np.random.default_rng(seed).uniform(0.05, 0.5)
        start = centre + np.array([x0, 0.0])
        x0 = start[0] - centre[0]

        def ends(rho, x0=x0, shape=shape, rate=rate):
            x = np.full_like(rho, x0)
            for _ in range(steps):
                x = x - rate * slope(shape, x + rho * np.sign(slope(shape, x)))
            return np.abs(x) <= 0.05 * shape[0]

        low, high = 0.5 * x0, 2.5 * x0
        settings = {"start": start, "target": centre, "rho": (low, high), "within": 0.05 * s}
        settings |= {"learning_rate": rate, "steps": steps, "rtol": 1e-4}
        try:
            found = capture_threshold(loss, SAM(0.1 * s), **settings)
        except ComputationFailed:
            found = None
        if found is None:
            captured = ends(np.linspace(low, high, 33))
            assert captured[0] or not np.any(captured), seed
            continue
        # where the start has reached the target's neighbourhood or not differs by rounding only
        # within the bracket
        around = np.array([found.low * (1 - 1e-6), found.high * (1 + 1e-6)])
        assert list(ends(around)) == [False, True], (seed, found)
        assert found.high - found.low <= 1e-4 * found.high
