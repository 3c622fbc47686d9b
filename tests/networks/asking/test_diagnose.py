"""`diagnose` on plateaus, minima and traps that are known, and against dense linear algebra."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import verbs
from jax.flatten_util import ravel_pytree

import samdyn
from samdyn.networks.asking.rates import escape_rate, growth, heavy_ball_rate, window

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
@pytest.mark.thorough
def test_a_dead_start_is_a_saddle(dtype):
    """With small weights in two layers nothing has a gradient, and there is a way down."""
    cast = lambda part: jax.tree.map(lambda x: x.astype(dtype), part)  # noqa: E731
    params, data = cast(two_layers(1e-3)), [cast(batch) for batch in batches()]
    found = verbs.diagnose(loss, params, data, samdyn.SAM(0.5), 0.1)
    exact = dense(two_layers(1e-3))
    assert found.verdict == "saddle"
    assert found.held
    assert "a saddle holds this run" in found.sentence.lower()
    tiny = 1e-6 * exact[-1] if dtype == np.float32 else 0.0  # parameters rounded to float32
    for end, extreme in ((found.ends.low, exact[0]), (found.ends.high, exact[-1])):
        assert np.min(np.abs(exact - end.value)) <= end.residual + end.error + tiny
        assert end.value == pytest.approx(extreme, rel=0.01)


@pytest.mark.thorough
def test_below_rho_now_the_same_plateau_lets_go():
    arguments = (loss, two_layers(1e-3), batches())
    held = verbs.diagnose(*arguments, samdyn.SAM(0.5), 0.1)
    assert held.rho_now == pytest.approx(held.batch_gradient_norm / -held.ends.low.value)
    # rho_now is for noise in any direction; here the gradients lie along the saddle's in part
    assert held.rho_window[0] == pytest.approx(held.rho_now, rel=0.3)
    free = verbs.diagnose(*arguments, samdyn.SAM(0.3 * held.rho_now), 0.1)
    assert not free.held
    assert "Not held" in free.sentence
    assert free.escape_rate.slowdown > 1
    assert free.rho_advised < free.rho
    advised = verbs.diagnose(*arguments, samdyn.SAM(free.rho_advised), 0.1)
    assert advised.escape_rate.slowdown == pytest.approx(1.25, rel=0.05)


@pytest.mark.thorough
def test_at_zero_gradient_normalised_sam_is_held_at_any_radius():
    flat = verbs.diagnose(loss, two_layers(0.0), batches(), samdyn.SAM(1e-3), 0.1)
    assert flat.held
    assert flat.escape_rate.method < 0.5 * flat.escape_rate.sgd
    assert "any rho" in flat.sentence
    plain = verbs.diagnose(loss, two_layers(0.0), batches(), samdyn.GD(), 0.1)
    assert not plain.held


@pytest.mark.thorough
def test_a_trained_minimum_has_no_negative_curvature(minimum):
    found = verbs.diagnose(loss, minimum, batches(), samdyn.SAM(0.05), 0.1)
    exact = dense(minimum)
    assert exact[0] > 0
    assert found.verdict == "no negative curvature found"
    assert found.sentence.startswith("No negative curvature found")
    assert found.rho_now is None
    assert found.escape_rate is None
    assert abs(found.ends.low.value - exact[0]) <= found.ends.low.residual + found.ends.low.error


def test_directions_that_move_nothing_stay_unresolved():
    outputs = lambda params, batch: jnp.sum(params["out"] ** 2) + 0 * jnp.sum(batch[0])  # noqa: E731
    found = verbs.diagnose(outputs, two_layers(0.5), batches(), samdyn.GD(), 0.1, check=False)
    assert found.verdict == "unresolved"
    assert "cannot tell from 0" in found.sentence


def test_the_radius_grows_at_the_rate_of_the_saddle():
    """Gradient descent's multiplier is 1 + η|λ_min| here, and heavy ball's by its own formula."""
    for momentum in (0.0, 0.9):
        found = verbs.diagnose(loss, two_layers(1e-3), batches(), samdyn.GD(), 0.1, momentum)
        per_step = np.exp(0.1 * found.escape_rate.sgd)
        assert found.spectral_radius.value == pytest.approx(per_step, rel=1e-3)


def test_a_point_that_the_ascent_makes_is_called_so():
    """l = (x² − 1)²/4 at x = 1 − ρ under SAM: the gradient is not 0 there, that at w^p is."""
    double_well = lambda x, batch: jnp.sum((x**2 - 1) ** 2) / 4 + 0 * jnp.sum(batch)  # noqa: E731
    found = verbs.diagnose(
        double_well, jnp.asarray([1 - 1.5]), [jnp.zeros(1)], samdyn.SAM(1.5), 0.1
    )
    assert found.hallucinated
    assert "no critical point" in found.sentence


def test_products_and_memory_are_counted():
    found = verbs.diagnose(loss, two_layers(1e-3), batches(), samdyn.GD(), 0.1, krylov=10)
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


@pytest.mark.thorough
def test_equinox_modules_are_parameters():
    net = eqx.nn.MLP(5, 1, 4, 1, activation=jnp.tanh, key=jax.random.key(0), dtype=float)
    squared = lambda net, batch: jnp.mean((jax.vmap(net)(batch[0]) - batch[1]) ** 2)  # noqa: E731
    assert verbs.diagnose(squared, net, batches(), samdyn.GD(), 0.1).dim == 5 * 4 + 4 + 4 + 1


def quadratic(curvatures):
    """½ wᵀHw + b·w: a batch b is its gradient at the saddle w = 0."""
    h = jnp.asarray(curvatures)
    return lambda w, b: 0.5 * jnp.sum(h * w**2) + jnp.sum(b * w)


NOISE = {
    "equal": [(0.0, s) for s in (0.5, -0.5)],
    "unequal": [(0.0, s) for s in (1.0, -1.0, 0.2, -0.2)],
    "along the saddle too": [(s, t) for s in (0.3, -0.3) for t in (0.4, -0.4)],
}
METHODS = [samdyn.SAM, samdyn.USAM, lambda rho: samdyn.MultiStep(samdyn.SAM(rho), 2)]


def simulated_rate(curvatures, noise, method, lr, steps):
    """Growth per unit of time of the mean displacement along the first axis, over all batches."""
    loss, batches = quadratic(curvatures), jnp.asarray(noise)
    gradient = lambda w, b: method.direction(jax.grad(lambda v: loss(v, b)), w)  # noqa: E731

    @jax.jit
    def run(w):
        def step(w, _):
            return w - lr * jnp.mean(jax.vmap(gradient, (None, 0))(w, batches), axis=0), None

        return jax.lax.scan(step, w, None, steps)[0]

    start = jnp.asarray([1e-7, 0.0])
    return float(jnp.log(jnp.abs(run(start)[0] / start[0]))) / (lr * steps)


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("factor", [0.3, 0.8, 1.3])
@pytest.mark.thorough
def test_held_and_the_window_are_what_the_mean_step_does(noise, method, factor):
    """Radii below and above the window's lower end: growth has the sign and the rate told."""
    curvatures = (-10.0, 1.0)
    batches = [jnp.asarray(b) for b in NOISE[noise]]
    ask = lambda rho: verbs.diagnose(  # noqa: E731
        quadratic(curvatures), jnp.zeros(2), batches, method(rho), 1e-3
    )
    rho = factor * ask(1e-3).rho_window[0]
    found = ask(rho)
    rate = simulated_rate(curvatures, NOISE[noise], method(rho), 1e-3, 200)
    assert found.held == (rate < 0)
    assert rate == pytest.approx(10 * (1 + found.rho_eff * -10), abs=0.1)
    assert found.held == (found.rho > found.rho_window[0])


def test_asam_is_judged_by_its_own_scale():
    """Weights of 1 and 0: the ascent goes a hundred times farther along the first."""
    noise = [jnp.asarray([0.0, s]) for s in (0.1, -0.1)]
    at = jnp.asarray([1.0, 0.0])
    shifted = lambda w, b: quadratic((-10.0, 1.0))(w - at, b)  # noqa: E731
    found = verbs.diagnose(shifted, at, noise, samdyn.ASAM(1e-3), 1e-3)
    assert found.held
    assert found.rho_window[0] == pytest.approx(1e-4, rel=0.1)


def test_unnormalised_sam_holds_at_an_exact_saddle():
    found = verbs.diagnose(
        quadratic((-10.0, 1.0)), jnp.zeros(2), [jnp.zeros(2)], samdyn.USAM(0.5), 0.1
    )
    assert found.held
    assert found.rho_eff == pytest.approx(0.5)
    assert found.rho_window[0] == pytest.approx(0.1)


def test_a_method_that_never_holds_is_not_said_to():
    at = jnp.asarray([1e-3, 0.0])
    found = verbs.diagnose(
        quadratic((-10.0, 1.0)), at, [jnp.zeros(2)], samdyn.PerturbedLossGradient(samdyn.USAM(0.5)),
        0.01,
    )  # fmt: skip
    assert not found.held
    assert "holds this run" not in found.sentence


def test_normalised_sam_that_overshoots_escapes_whatever_its_radius():
    """At μ < ηλ²/(2 − ηλ) it alternates along the top with gradients too large to hold."""
    loss, start = quadratic((-1.0, 10.0)), jnp.asarray([1e-9, 1e-3])
    found = verbs.diagnose(loss, start, [jnp.zeros(2)], samdyn.SAM(0.1), 0.1)
    assert not found.held
    assert "no radius holds it" in found.sentence
    step_map = samdyn.StepMap(lambda w: loss(w, jnp.zeros(2)), samdyn.SAM(0.1), 0.1)
    run = verbs.iterate(step_map, start, 150, at_steps=[50, 150])
    first, last = np.abs(run.checkpoints[:, 0])
    rate = np.log(last / first) / (0.1 * 100)
    assert found.escape_rate.method == pytest.approx(rate, rel=0.02)


def test_a_step_that_overshoots_holds_nothing():
    found = verbs.diagnose(
        quadratic((-1.0, 1.0)), jnp.zeros(2), [jnp.zeros(2)], samdyn.USAM(1000.0), 0.1
    )
    assert found.pulled_back
    assert not found.held
    assert "if the step were not too large" in found.sentence
    unstable = verbs.diagnose(
        quadratic((-1.0, 30.0)), jnp.zeros(2), [jnp.asarray([0.0, 1.0])], samdyn.SAM(0.1), 0.1
    )
    assert unstable.rho_window[1] == 0
    assert "unstable at any" in str(unstable)


def test_away_from_critical_points_the_sentence_depends_on_the_run():
    slope = lambda w, b: 1e-2 * w[0] - 5 * w[1] ** 2 + 0 * jnp.sum(b)  # noqa: E731
    found = verbs.diagnose(slope, jnp.zeros(2), [jnp.zeros(1)], samdyn.SAM(0.05), 0.1)
    assert found.verdict == "not at a saddle"
    assert "If this run no longer moves, the method holds it" in found.sentence


def test_an_interrupted_search_excludes_nothing():
    curvatures = np.append(np.linspace(1, 100, 500), -0.5)

    def interrupt(look):
        if look.detail.products == 3:
            raise KeyboardInterrupt

    found = verbs.diagnose(
        quadratic(curvatures), jnp.zeros(501), [jnp.ones(501)], samdyn.SAM(0.1), 1e-3,
        progress=interrupt,
    )  # fmt: skip
    assert found.verdict == "unresolved"
    assert "interrupted" in found.sentence
    assert np.isnan(found.spectral_radius.value)


def test_no_saddle_is_excluded_beyond_what_was_seen():
    values = np.concatenate([np.full(3000, 0.5), np.linspace(0.5, 100, 30), [0.01] * 50, [-0.004]])
    found = verbs.diagnose(
        quadratic(values), jnp.zeros(values.size), [1e-3 * jnp.ones(values.size)],
        samdyn.SAM(0.05), 0.01,
    )  # fmt: skip
    assert found.ends.unseen < -0.004
    assert "so that no saddle holds" not in found.sentence


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.thorough
def test_few_parameters_with_momentum(dim):
    curvatures = np.append(np.ones(dim - 1), -10.0)
    found = verbs.diagnose(
        quadratic(curvatures), jnp.full(dim, 1e-3), [jnp.zeros(dim)], samdyn.USAM(0.01), 0.1, 0.9
    )
    assert found.spectral_radius.value > 1
    assert found.verdict == ("maximum" if dim == 1 else "saddle")


def test_tiny_steps_lose_no_digits():
    assert heavy_ball_rate(1e-6, 1e-7, 0.0) == pytest.approx(1e-6, rel=1e-12)
    assert heavy_ball_rate(1e-3, 1e-10, 0.9) == pytest.approx(0.01, rel=1e-9)
    found = verbs.diagnose(
        quadratic((-1e-8, 1.0)), jnp.zeros(2), [jnp.ones(2)], samdyn.SAM(0.1), 1e-9
    )
    assert "Not held" in found.sentence


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"learning_rate": 0.0}, "learning rate"),
        ({"momentum": 1.5}, "momentum"),
        ({"max_products": 0}, "max_products"),
        ({"krylov": 100}, "at most the dimension"),
    ],
)
def test_settings_out_of_range_are_one_sentence(change, words):
    settings = {"learning_rate": 0.1, **change}
    with pytest.raises(samdyn.InvalidInput, match=words):
        verbs.diagnose(
            quadratic((-1.0, 1.0)), jnp.zeros(2), [jnp.ones(2)], samdyn.SAM(0.1), **settings
        )
