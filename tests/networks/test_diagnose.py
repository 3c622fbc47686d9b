"""`diagnose` on plateaus, minima and traps that are known, and against dense linear algebra."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from jax.flatten_util import ravel_pytree

import samdyn
from samdyn.networks.rates import escape_rate, growth, heavy_ball_rate, window

BATCHES, SIZE = 4, 16


def batches():
    random = np.random.default_rng(0)
    x = random.standard_normal((BATCHES, SIZE, 5))
    y = np.tanh(x @ random.standard_normal((5, 1)))
    return [(jnp.asarray(a), jnp.asarray(b)) for a, b in zip(x, y, strict=True)]


def two_layers(scale, seed=0):
    one, two = jax.random.split(jax.random.key(seed))
    return {
        "in": scale * jax.random.normal(one, (5, 8)),
        "out": scale * jax.random.normal(two, (8, 1)),
    }


def loss(params, batch):
    x, y = batch
    decay = 0.005 * (jnp.sum(params["in"] ** 2) + jnp.sum(params["out"] ** 2))
    return jnp.mean((jnp.tanh(x @ params["in"]) @ params["out"] - y) ** 2) + decay


@pytest.fixture(scope="module")
def minimum():
    """Parameters at a strict minimum of the mean loss."""
    w, unravel = ravel_pytree(two_layers(0.5))
    total = jax.jit(jax.value_and_grad(lambda w: sum(loss(unravel(w), b) for b in batches()) / 4))
    found = scipy.optimize.minimize(
        lambda w: tuple(map(np.asarray, total(w))), w, jac=True, method="BFGS", tol=1e-10
    )
    return unravel(jnp.asarray(found.x))


def dense(params):
    w, unravel = ravel_pytree(params)
    total = lambda w: sum(loss(unravel(w), b) for b in batches()) / BATCHES  # noqa: E731
    return np.linalg.eigvalsh(jax.jit(jax.hessian(total))(w))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_dead_start_is_a_saddle(dtype):
    """With small weights in two layers nothing has a gradient, and there is a way down."""
    cast = lambda part: jax.tree.map(lambda x: x.astype(dtype), part)  # noqa: E731
    params, data = cast(two_layers(1e-3)), [cast(batch) for batch in batches()]
    found = samdyn.diagnose(loss, params, data, samdyn.SAM(0.5), 0.1)
    exact = dense(two_layers(1e-3))
    assert found.verdict == "saddle"
    assert found.held
    assert "A saddle holds this run" in found.sentence
    tiny = 1e-6 * exact[-1] if dtype == np.float32 else 0.0  # parameters rounded to float32
    for end, extreme in ((found.ends.low, exact[0]), (found.ends.high, exact[-1])):
        assert np.min(np.abs(exact - end.value)) <= end.residual + end.error + tiny
        assert end.value == pytest.approx(extreme, rel=0.01)


def test_below_rho_now_the_same_plateau_lets_go():
    arguments = (loss, two_layers(1e-3), batches())
    held = samdyn.diagnose(*arguments, samdyn.SAM(0.5), 0.1)
    assert held.rho_now == pytest.approx(held.batch_gradient_norm / -held.ends.low.value)
    assert held.rho_window[0] == pytest.approx(held.rho_now)
    free = samdyn.diagnose(*arguments, samdyn.SAM(0.3 * held.rho_now), 0.1)
    assert not free.held
    assert "Not held" in free.sentence
    assert free.escape_rate.slowdown > 1


def test_at_zero_gradient_normalised_sam_is_held_at_any_radius():
    flat = samdyn.diagnose(loss, two_layers(0.0), batches(), samdyn.SAM(1e-3), 0.1)
    assert flat.held
    assert flat.escape_rate.method == 0
    assert "any rho" in flat.sentence
    plain = samdyn.diagnose(loss, two_layers(0.0), batches(), samdyn.GD(), 0.1)
    assert not plain.held


def test_a_trained_minimum_has_no_negative_curvature(minimum):
    found = samdyn.diagnose(loss, minimum, batches(), samdyn.SAM(0.05), 0.1)
    exact = dense(minimum)
    assert exact[0] > 0
    assert found.verdict == "no negative curvature found"
    assert found.sentence.startswith("No negative curvature found")
    assert found.rho_now is None
    assert found.escape_rate is None
    assert abs(found.ends.low.value - exact[0]) <= found.ends.low.residual + found.ends.low.error


def test_directions_that_move_nothing_stay_unresolved():
    outputs = lambda params, batch: jnp.sum(params["out"] ** 2) + 0 * jnp.sum(batch[0])  # noqa: E731
    found = samdyn.diagnose(outputs, two_layers(0.5), batches(), samdyn.GD(), 0.1, check=False)
    assert found.verdict == "unresolved"
    assert "cannot tell from 0" in found.sentence


def test_the_radius_grows_at_the_rate_of_the_saddle():
    """Gradient descent's multiplier is 1 + η|λ_min| here, and heavy ball's by its own formula."""
    for momentum in (0.0, 0.9):
        found = samdyn.diagnose(loss, two_layers(1e-3), batches(), samdyn.GD(), 0.1, momentum)
        per_step = np.exp(0.1 * found.escape_rate.sgd)
        assert found.spectral_radius.value == pytest.approx(per_step, rel=1e-3)


def test_a_point_that_the_ascent_makes_is_called_so():
    """l = (x² − 1)²/4 at x = 1 − ρ under SAM: the gradient is not 0 there, that at w^p is."""
    double_well = lambda x, batch: jnp.sum((x**2 - 1) ** 2) / 4 + 0 * jnp.sum(batch)  # noqa: E731
    found = samdyn.diagnose(
        double_well, jnp.asarray([1 - 1.5]), [jnp.zeros(1)], samdyn.SAM(1.5), 0.1
    )
    assert found.hallucinated
    assert "no critical point" in found.sentence


def test_products_and_memory_are_counted():
    found = samdyn.diagnose(loss, two_layers(1e-3), batches(), samdyn.GD(), 0.1, krylov=10)
    assert found.hvps >= found.ends.products + found.spectral_radius.products
    assert found.memory_bytes > 10 * found.dim * 8
    text = str(found)
    assert text.splitlines()[0] == found.sentence


def test_growth_is_the_largest_over_curvatures():
    for rho in (0.0, 0.1, 0.4, 0.6, 5.0):
        values = np.linspace(0, 2, 200_001)
        largest = np.max(values * (1 - rho * values))
        assert growth(-2.0, rho) == pytest.approx(largest, rel=1e-8)


def test_heavy_ball_rate_is_that_of_the_linear_map():
    for rate, lr, momentum in [(1.0, 0.1, 0.0), (1.0, 0.1, 0.9), (0.3, 0.01, 0.99)]:
        matrix = np.array([[1 + lr * rate, -lr * momentum], [-rate, momentum]])
        exact = np.log(np.max(np.abs(np.linalg.eigvals(matrix)))) / lr
        assert heavy_ball_rate(rate, lr, momentum) == pytest.approx(exact, rel=1e-10)


def test_held_means_slower_without_bound():
    rates = [escape_rate(-1.0, rho, 0.1, 0.0) for rho in (0.0, 0.5, 5.0, np.inf)]
    assert [r.slowdown is None for r in rates] == [False, False, False, True]
    assert rates[0].slowdown == 1
    assert rates[1].slowdown == pytest.approx(
        heavy_ball_rate(1.0, 0.1, 0.0) / heavy_ball_rate(0.5, 0.1, 0.0)
    )


def test_the_window_is_that_of_stability():
    values = np.array([-0.5, 0.1, 2.0])
    assert window(-0.5, 2.0, 0.1, 0.9) == pytest.approx(samdyn.rho_window(values, 0.1, 0.9))
    assert window(None, 2.0, 0.1, 0.0)[0] is None


def test_equinox_modules_are_parameters():
    net = eqx.nn.MLP(5, 1, 4, 1, activation=jnp.tanh, key=jax.random.key(0), dtype=float)
    squared = lambda net, batch: jnp.mean((jax.vmap(net)(batch[0]) - batch[1]) ** 2)  # noqa: E731
    assert samdyn.diagnose(squared, net, batches(), samdyn.GD(), 0.1).dim == 5 * 4 + 4 + 4 + 1
