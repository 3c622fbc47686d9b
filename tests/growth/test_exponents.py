"""`exponents` against published edges, enumerations and simulated runs; what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import samdyn
from samdyn import GD, SAM, USAM, InvalidInput, MinibatchStepMap, StepMap

ROWS = np.random.default_rng(0).normal(size=(6, 3)) * np.array([2.0, 1.0, 0.5])


def two_wells(w, c):
    return jnp.minimum(w[0] ** 2, c * (w[0] - 1) ** 2)


def line(w, x):
    return 0.5 * (x @ w) ** 2


def neuron(w):
    return jnp.logaddexp(w[0] * w[1], -w[0] * w[1])


def rates(found):
    return [rate.value for rate in found.growth]


def test_two_wells_of_which_one_is_left():
    """Of factors 1 − 2ηc with c = 0.1 and 1.9: the mean, mean square and mean logarithm."""
    found = samdyn.exponents(StepMap(two_wells, GD(), 0.4), at=[1.0], batches=[0.1, 1.9])
    factors = np.array([1 - 0.8 * 0.1, 1 - 0.8 * 1.9])
    expected = np.log([abs(factors.mean()), np.sqrt(np.mean(factors**2))])
    expected = [*expected, np.mean(np.log(np.abs(factors)))]
    np.testing.assert_allclose(rates(found), expected, rtol=1e-12)
    assert all(rate.error == 0 for rate in found.growth)


@pytest.mark.parametrize(
    ("size", "method"), [(1, GD()), (2, GD()), (1, USAM(0.05)), (2, USAM(0.05))]
)
def test_minibatches_without_replacement_are_all_looked_at(size, method):
    from itertools import combinations

    step = MinibatchStepMap(line, ROWS, size, method, 0.15, replacement=False)
    found = samdyn.exponents(step, at=np.zeros(3))
    rho = 0.0 if isinstance(method, GD) else 0.05
    pairs = []
    for chosen in combinations(range(6), size):
        h = np.mean([np.outer(ROWS[i], ROWS[i]) for i in chosen], axis=0)
        a = np.eye(3) - 0.15 * (h + rho * h @ h)
        pairs.append(np.kron(a, a))
    exact = np.log(np.max(np.abs(np.linalg.eigvals(np.mean(pairs, axis=0))))) / 2
    assert found.mean_square.value == pytest.approx(exact, abs=1e-12)


@pytest.mark.parametrize("coupling", [samdyn.SameBatch(), samdyn.Independent(), samdyn.Fresh()])
def test_minibatches_with_replacement_have_their_weights(coupling):
    """The mean step of USAM on a quadratic has E(H_B + ρ H_B H_B') for its Jacobian."""
    step = MinibatchStepMap(line, ROWS[:3], 2, USAM(0.1), 0.1, coupling)
    found = samdyn.exponents(step, at=np.zeros(3))
    each = np.array([np.outer(x, x) for x in ROWS[:3]])
    mean, squares = each.mean(axis=0), np.mean(each @ each, axis=0)
    second = mean @ mean
    if isinstance(coupling, samdyn.SameBatch):
        second = second / 2 + squares / 2
    expected = np.sort(np.linalg.eigvals(np.eye(3) - 0.1 * (mean + 0.1 * second)).real)
    np.testing.assert_allclose(np.sort(found.multipliers.real), expected, atol=1e-12)


def test_a_line_of_minima_is_judged_across_it():
    rho, eta, y = 0.02, 0.015, 5.0
    found = samdyn.exponents(StepMap(neuron, USAM(rho), eta), at=[0.0, y])
    assert found.tangent_dim == 1
    np.testing.assert_allclose(np.abs(found.along[:, 0]), [0, 1], atol=1e-8)
    a = y**2  # l'' across
    assert found.mean.value == pytest.approx(np.log(abs(1 - eta * a * (1 + rho * a))), abs=1e-9)


def test_a_line_of_minima_may_be_curved_and_momentum_rides_along():
    w = np.array([2.0, 0.5])
    top = 2 * (w @ w)
    for gamma in (0.0, 0.6):
        found = samdyn.exponents(StepMap(lambda w: (w[0] * w[1] - 1) ** 2, GD(), 0.05, gamma), at=w)
        matrix = np.array([[1 - 0.05 * top, -0.05 * gamma], [top, gamma]])
        size = np.max(np.abs(np.linalg.eigvals(matrix if gamma else matrix[:1, :1])))
        assert found.tangent_dim == 1
        # what is left of the momentum along the line decays by gamma
        assert found.mean.value == pytest.approx(np.log(max(size, gamma)), abs=1e-8)


def test_a_flat_minimum_is_no_line():
    found = samdyn.exponents(StepMap(lambda w: w[0] ** 4 + w[1] ** 2, GD(), 0.2), at=[0.0, 0.0])
    assert found.tangent_dim == 0
    assert found.mean.sign is None


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e5])
def test_units_do_not_count(scale):
    """The same loss in other units of w, with the learning rate that goes with them."""
    loss = lambda w: (w[0] / scale * w[1] / scale - 1) ** 2  # noqa: E731
    step = StepMap(loss, GD(), 0.05 * scale**2)
    found = samdyn.exponents(step, at=scale * np.array([2.0, 0.5]))
    assert found.tangent_dim == 1
    assert found.mean.value == pytest.approx(np.log(1 - 0.1 * 4.25), abs=1e-7)


def test_moments_of_gaussian_data_are_those_of_draws():
    covariance = np.array([[1.5, 0.3], [0.3, 0.8]])
    root = np.linalg.cholesky(covariance)
    least_squares = lambda w, x: 0.5 * jnp.mean((x @ w) ** 2)  # noqa: E731
    step = StepMap(least_squares, GD(), 0.3, 0.4)
    draws = lambda key: jax.random.normal(key, (4, 2)) @ root.T  # noqa: E731
    exact = samdyn.CurvatureMoments.gaussian(covariance, 4)
    told = samdyn.exponents(step, at=np.zeros(2), batches=exact)
    drawn = samdyn.exponents(step, at=np.zeros(2), batches=draws)
    assert told.mean_square.error == 0
    assert abs(told.mean.value - drawn.mean.value) <= 1.5 * drawn.mean.error + 1e-9
    assert abs(told.mean_square.value - drawn.mean_square.value) <= 1.5 * drawn.mean_square.error
    assert drawn.almost_sure.value < drawn.mean_square.value
    assert told.almost_sure.sign is None


def test_runs_scatter_as_far_as_the_covariance_says():
    """(x·w − y)²/2 with noise in y: 20,000 runs of heavy ball after 300 steps."""
    rng = np.random.default_rng(1)
    x, y = ROWS[:4, :2], rng.normal(size=4)
    w0 = np.linalg.lstsq(x, y, rcond=None)[0]
    loss = lambda w, b: 0.5 * (b[0] @ w - b[1]) ** 2  # noqa: E731
    batches = [(x[i], y[i]) for i in range(4)]
    found = samdyn.exponents(StepMap(loss, GD(), 0.05, 0.5), at=w0, batches=batches)
    assert found.covariance is not None
    assert found.warnings
    w = np.tile(w0, (20_000, 1))
    m = np.zeros_like(w)
    for _ in range(300):
        i = rng.integers(4, size=len(w))
        m = 0.5 * m + x[i] * (np.sum(x[i] * w, axis=1) - y[i])[:, None]
        w = w - 0.05 * m
    np.testing.assert_allclose(np.cov(w.T), found.covariance, rtol=0.05, atol=1e-4)


def test_parameters_may_be_a_tree_and_labels_whole_numbers():
    params = {"a": np.array([0.3]), "b": np.array([0.1, -0.2])}
    loss = lambda p, b: jnp.float64(b["k"]) * jnp.sum(p["a"] ** 2) + jnp.sum(p["b"] ** 2)  # noqa: E731
    batches = [{"k": np.int32(1)}, {"k": np.int32(3)}]
    step = StepMap(loss, GD(), 0.1)
    found = samdyn.exponents(step, at=jax.tree.map(np.zeros_like, params), batches=batches)
    assert found.mean.value == pytest.approx(np.log(0.8))
    assert found.points.shape == (1, 3)


def test_any_optimizer_and_any_map():
    adam = samdyn.OptaxStepMap(lambda w, b: b * jnp.sum(w**2), optax.sgd(0.1, momentum=0.9))
    found = samdyn.exponents(adam, at=[0.0, 0.0], batches=[1.0, 2.0])
    same = samdyn.exponents(
        StepMap(lambda w, b: b * jnp.sum(w**2), GD(), 0.1, 0.9), at=[0.0, 0.0], batches=[1.0, 2.0]
    )
    assert found.mean_square.value == pytest.approx(same.mean_square.value, abs=1e-12)
    own = samdyn.Map(lambda w, a: a * w * (1 - w))
    found = samdyn.exponents(own, at=[0.0], batches=[0.5, 1.5])
    assert found.almost_sure.value == pytest.approx(np.log(0.75) / 2)


def test_a_model_of_noise_is_drawn():
    """Isotropic noise moves every step by as much: the Jacobian is that of the mean step."""
    noisy = samdyn.StochasticStepMap(
        lambda w: w[0] ** 2 + w[1] ** 2 / 2, GD(), 0.1, samdyn.Isotropic(1.0)
    )
    found = samdyn.exponents(noisy, at=np.zeros(2), draws=256)
    assert found.mean_square.value == pytest.approx(np.log(0.9), abs=1e-9)
    assert np.all(found.scatter > 0.05)
    assert "256 draws" in str(found)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda: samdyn.exponents(StepMap(jnp.sum, GD(), 0.1), at=[0.0]),
            "is not a fixed point of the mean step, which moves it by 0.1",
        ),
        (
            lambda: samdyn.exponents(StepMap(lambda w: w[0] ** 2, SAM(0.1), 0.1), at=[0.0]),
            "SAM jumps where the gradient vanishes",
        ),
        (
            lambda: samdyn.exponents(StepMap(lambda w: jnp.exp(w[0]), GD(), 0.2), at=[0.0]),
            r"\(0\) is not a fixed point of the mean step, which moves it by 0.2",
        ),
        (
            lambda: samdyn.exponents(
                StepMap(line, GD(), 0.2), at=np.zeros(3), batches=[ROWS[0], ROWS[:2]]
            ),
            r"batch 1 is of shape \(2, 3\) and batch 0 is of shape \(3,\)",
        ),
        (
            lambda: samdyn.exponents(StepMap(line, GD(), 0.2), at=np.zeros(3), batches=[]),
            "batches is empty",
        ),
        (
            lambda: samdyn.exponents(
                StepMap(line, GD(), 0.2), at=np.zeros(3), batches=[ROWS[0]], weights=[1.0, 2.0]
            ),
            "weights are 1 finite numbers",
        ),
        (lambda: samdyn.exponents(samdyn.Flow(neuron, GD()), at=[0.0, 1.0]), "not a Flow"),
        (
            lambda: samdyn.exponents(
                MinibatchStepMap(line, ROWS, 1, GD(), 0.1), at=np.zeros(3), batches=[1.0]
            ),
            "draws by itself",
        ),
        (
            lambda: samdyn.exponents(
                StepMap(line, USAM(0.1), 0.1),
                at=np.zeros(3),
                batches=samdyn.CurvatureMoments.gaussian(np.eye(3), 1),
            ),
            "for a StepMap of GD",
        ),
        (
            lambda: samdyn.exponents(StepMap(neuron, GD(), 0.1), at=[0.0, 1.0], moments=(0,)),
            "numbers p > 0",
        ),
    ],
)
def test_wrong_input_is_told_in_a_sentence(call, says):
    with pytest.raises(InvalidInput, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_a_moment_that_is_not_known_is_not_another_one():
    told = samdyn.CurvatureMoments.gaussian(np.eye(2), 4)
    step = StepMap(lambda w: w[0], GD(), 0.3)
    found = samdyn.exponents(step, at=np.zeros(2), batches=told, moments=(4,))
    assert found.to_dict()["moment"] == {"p": 4, "value": None, "error": None}


@pytest.mark.parametrize("place", [0.3, 1e-5, 1e7])
def test_sam_at_a_minimum_is_told_to_slide_wherever_it_lies(place):
    step = StepMap(lambda w: (w[0] / place - 1.1) ** 2, SAM(0.1 * place), 0.1 * place**2)
    with pytest.raises(InvalidInput, match="stability judges"):
        samdyn.exponents(step, at=[1.1 * place])


def test_verdicts_under_batches_take_a_tree():
    loss = lambda p, b: b * jnp.sum(p["a"] ** 2)  # noqa: E731
    step = StepMap(loss, GD(), 0.2)
    at = {"a": np.zeros(2)}
    (found,) = samdyn.stability(step, at=at, batches=[1.0, 3.0]).points
    assert found.growth.mean_square.value == pytest.approx(np.log((0.6**2 + 0.2**2) / 2) / 2)


def test_it_is_kept_and_printed(tmp_path):
    step = StepMap(two_wells, GD(), 0.4)
    found = samdyn.exponents(step, at=[1.0], batches=[0.1, 1.9], moments=(4,))
    again = samdyn.load(found.save(tmp_path / "found.samdyn"))
    assert again.to_dict() == found.to_dict()
    assert found.to_dict()["moment"]["p"] == 4
    for word in ("in the mean", "in mean square", "almost surely", "moment 4", "2 batches"):
        assert word in str(found)
