"""`threshold` of exponents: edges that are published, or follow in a line."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import samdyn
from samdyn import EMA, GD, USAM, HeavyBall, MinibatchStepMap, Nesterov, StepMap

ROWS = np.random.default_rng(0).normal(size=(6, 3)) * np.array([2.0, 1.0, 0.5])
ETA, BETA, RHO = 0.1, 0.9, 0.05


class Bowl(eqx.Module):
    """½λw²."""

    curvature: float = 1.0

    def __call__(self, w):
        return 0.5 * self.curvature * w[0] ** 2


class Neuron(eqx.Module):
    """log(e^{xy} + e^{−xy}) about a point of its line of minima x = 0."""

    y: float = 1.0

    def __call__(self, w):
        xy = w[0] * (self.y + w[1])
        return jnp.logaddexp(xy, -xy)


def line(w, x):
    return 0.5 * (x @ w) ** 2


def mean_edge(step, between, at):
    return samdyn.threshold(step, *between, at=at, kind="mean")


@pytest.mark.parametrize(
    ("method", "momentum", "exact"),
    [
        (GD(), 0.0, 2 / ETA),
        (GD(), HeavyBall(BETA), 2 * (1 + BETA) / ETA),
        (GD(), Nesterov(BETA), 2 * (1 + BETA) / ((1 + 2 * BETA) * ETA)),
        (GD(), EMA(BETA), 38 / ETA),
        (USAM(RHO), 0.0, (np.sqrt(1 + 8 * RHO / ETA) - 1) / (2 * RHO)),
    ],
)
def test_edges_in_the_curvature(method, momentum, exact):
    step = StepMap(Bowl(), method, ETA, momentum)
    found = mean_edge(step, ("curvature", (1.0, 500.0)), [0.0])
    assert found.value == pytest.approx(exact, rel=1e-10)
    assert abs(found.value - exact) <= max(10 * found.error, 1e-12 * exact)
    assert found.grows_above


def test_the_edge_on_a_line_of_minima():
    rho, eta = 0.02, 0.015
    found = mean_edge(StepMap(Neuron(), USAM(rho), eta), ("y", (1.0, 12.0)), [0.0, 0.0])
    assert found.value**2 == pytest.approx(60.391256383, abs=1e-8)


def test_two_wells_in_mean_square():
    wells = lambda w, c: jnp.minimum(w[0] ** 2, c * (w[0] - 1) ** 2)  # noqa: E731
    found = samdyn.threshold(
        StepMap(wells, GD(), 0.1),
        "learning_rate",
        (0.3, 0.9),
        at=[1.0],
        kind="mean-square",
        batches=[0.1, 1.9],
    )
    assert found.value == pytest.approx(4 / 7.24, rel=1e-12)


@pytest.mark.parametrize(("between", "exact"), [((0.05, 0.8), 1 / 3), ((1.1, 1.6), 4 / 3)])
def test_almost_sure_edges_of_two_curvatures(between, exact):
    loss = lambda w, x: 0.5 * x * w[0] ** 2  # noqa: E731
    how = {"at": [0.0], "kind": "almost-sure", "batches": [1.0, -1.5]}
    found = samdyn.threshold(StepMap(loss, GD(), 0.1), "learning_rate", between, **how)
    assert found.value == pytest.approx(exact, rel=1e-10)


@pytest.mark.parametrize(
    ("size", "method", "published"),
    [
        *((1, GD(), 0.128391), (2, GD(), 0.200727), (6, GD(), 0.314808)),
        *((1, USAM(0.05), 0.057256), (2, USAM(0.05), 0.117869)),
    ],
)
def test_minibatches_without_replacement(size, method, published):
    from itertools import combinations

    step = MinibatchStepMap(line, ROWS, size, method, 0.1, replacement=False)
    how = {"at": np.zeros(3), "kind": "mean-square"}
    found = samdyn.threshold(step, "learning_rate", (0.02, 0.5), **how)
    assert found.value == pytest.approx(published, abs=1e-6)
    rho = 0.0 if isinstance(method, GD) else 0.05
    pairs = []
    for chosen in combinations(range(6), size):
        h = np.mean([np.outer(ROWS[i], ROWS[i]) for i in chosen], axis=0)
        a = np.eye(3) - found.value * (h + rho * h @ h)
        pairs.append(np.kron(a, a))
    radius = np.max(np.abs(np.linalg.eigvals(np.mean(pairs, axis=0))))
    assert radius == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize("size", [1, 4])
def test_the_tail_index_is_two_where_the_published_edge_is(size):
    """Gaussian data: η = 2B/(s²(d + B + 1)) (Gürbüzbalaban, Şimşekli & Zhu 2006.04740)."""
    moments = samdyn.CurvatureMoments.gaussian(1.5 * np.eye(2), size)
    step = StepMap(lambda w: w[0], GD(), 0.1)
    how = {"at": np.zeros(2), "kind": "mean-square", "batches": moments}
    found = samdyn.threshold(step, "learning_rate", (0.01, 3.0), **how)
    exact = 2 * size / (1.5 * (2 + size + 1))
    assert found.value == pytest.approx(exact, rel=1e-12)


def test_an_edge_of_draws_has_an_error():
    least_squares = lambda w, x: 0.5 * jnp.mean((x @ w) ** 2)  # noqa: E731
    draws = lambda key: jax.random.normal(key, (4, 2))  # noqa: E731
    how = {"at": np.zeros(2), "kind": "mean-square", "batches": draws, "draws": 4096}
    found = samdyn.threshold(StepMap(least_squares, GD(), 0.1), "learning_rate", (0.4, 2.0), **how)
    assert 0 < found.error < 0.1
    assert abs(found.value - 8 / 7) <= 1.5 * found.error


def test_a_rate_that_keeps_its_sign_is_told():
    with pytest.raises(samdyn.ComputationFailed, match="the mean rate is negative at all of"):
        mean_edge(StepMap(Bowl(), GD(), 0.1), ("curvature", (1.0, 5.0)), [0.0])


class Step(eqx.Module):
    """Curvature 1 below c = 2, 100 from there on: it jumps over the edge."""

    c: float = 1.0

    def __call__(self, w):
        return jnp.where(self.c < 2, 0.5, 50.0) * w[0] ** 2


def test_a_rate_that_jumps_over_0_has_no_edge():
    with pytest.raises(samdyn.ComputationFailed, match="without passing 0"):
        mean_edge(StepMap(Step(), GD(), 0.1), ("c", (1.0, 3.3)), [0.0])


def test_what_is_no_parameter_or_no_kind_is_told():
    step = StepMap(Bowl(), GD(), 0.1)
    with pytest.raises(samdyn.InvalidInput, match="curvature"):
        mean_edge(step, ("batch_size", (1.0, 5.0)), [0.0])
    with pytest.raises(samdyn.InvalidInput, match="mean-square, almost-sure"):
        samdyn.threshold(step, "curvature", (1.0, 50.0), at=[0.0], kind="median")
    with pytest.raises(samdyn.InvalidInput, match="needs at=…"):
        samdyn.threshold(step, "curvature", (1.0, 50.0))


def test_the_fate_of_a_start_in_the_learning_rate():
    """½w² under GD stays below η = 2: it ends at 0 up to there."""
    step = StepMap(Bowl(), GD(), 0.1)
    how = {"start": [1.0], "target": [0.0], "steps": 4000, "within": 1e-3}
    found = samdyn.threshold(step, "learning_rate", (0.5, 3.0), **how)
    assert not found.sets_in
    assert found.value == pytest.approx(2, abs=5e-3)
    assert "up to learning_rate" in str(found)


def test_the_batch_size_is_a_parameter():
    """Without replacement the mean-square edges in η are 0.128, 0.201, 0.315 for B = 1, 2, 6: at
    η = 0.2 the smallest batch that holds is 2."""
    x = np.random.default_rng(0).normal(size=(6, 3)) * np.array([2, 1, 0.5])
    loss = lambda w, e: (e @ w) ** 2 / 2  # noqa: E731
    step = samdyn.MinibatchStepMap(loss, x, 1, samdyn.GD(), 0.2, replacement=False)
    found = samdyn.threshold(step, "batch_size", (1, 6), at=np.zeros(3), kind="mean-square")
    assert (found.value, found.error, found.grows_above) == (1.5, 0.5, False)
    assert step.at(batch_size=3).batch_size == 3
    with pytest.raises(samdyn.InvalidInput, match="integer"):
        step.at(batch_size=2.5)
