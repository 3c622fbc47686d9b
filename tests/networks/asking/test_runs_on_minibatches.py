"""`diagnose` where a run and the mean of its steps do opposite things, by simulation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from verbs import diagnose

import samdyn
from samdyn.networks.asking.random_growth import random_growth

ETA = 0.5


def product_net(w, batch):
    """½(u·v·x − y)² with xy the batch."""
    return (w[0] * w[1] - batch) ** 2 / 2


def scaled_square(w, batch):
    return batch * jnp.sum(w**2) / 2


def two_wells(w, batch):
    """min(w², c(w − 1)²)."""
    return jnp.minimum(w[0] ** 2, batch * (w[0] - 1) ** 2)


def ask(loss, w, values, eta, method=None, **more):
    batches = [jnp.asarray(value) for value in values]
    method = samdyn.GD() if method is None else method
    return diagnose(loss, jnp.asarray(w), batches, method, eta, check=False, **more)


def exponent(curvatures, eta, gamma=0.0, weights=None, seed=1):
    """ln of the growth per step of one long run, and its standard error."""
    rng = np.random.default_rng(seed)
    a = rng.choice(curvatures, (2000, 200), p=weights)
    w, m, logs = np.ones(200), np.zeros(200), np.zeros(200)
    for row in a:
        m = gamma * m + row * w
        w = w - eta * m
        size = np.hypot(w, m)
        logs += np.log(size)
        w, m = w / size, m / size
    return np.mean(logs) / 2000, np.std(logs) / 2000 / 14


def test_a_saddle_that_almost_every_run_approaches_is_said_to_be_one():
    """The mean of the steps leads away along (1, 1); max E ln|1 ± η·xy| = −0.1116."""
    found = ask(product_net, [0.0, 0.0], (1.2, -1.0), ETA)
    assert found.verdict == "saddle"
    assert found.bottom.almost_sure.value == pytest.approx(-0.111572, abs=1e-6)
    assert found.held
    assert "runs approach" in found.sentence
    assert found.to_dict()["almost_sure"] == {"value": found.bottom.almost_sure.value, "error": 0}


@pytest.mark.parametrize(
    ("eta", "approached"), [(0.3, False), (0.34, True), (1.3, True), (1.35, False)]
)
def test_sgd_converges_to_a_maximum_between_two_step_sizes(eta, approached):
    """½x·w² with x = 1, −3/2: for 1/3 < η < 4/3, where |(1 − η)(1 + 3η/2)| < 1."""
    found = ask(scaled_square, [0.0], (1.0, -1.5), eta)
    assert found.verdict == "maximum"
    assert ("runs approach" in found.sentence) == approached
    assert ("plain steps leave it" in found.sentence) == (not approached)


def test_a_minimum_that_all_runs_leave_is_not_passed_over():
    """c = 0.1, 1.9, η = 0.7: the mean step has multiplier −0.4, runs have 1.66 and 0.86."""
    found = ask(two_wells, [1.0], (0.1, 1.9), 0.7)
    assert found.verdict == "no negative curvature found"
    assert found.spectral_radius.value == pytest.approx(0.4, abs=1e-6)
    assert found.top.almost_sure.value == pytest.approx(0.177997, abs=1e-6)
    assert "runs leave this point along its largest curvature" in found.sentence
    assert "minibatches differ too much" in found.sentence
    quiet = ask(two_wells, [1.0], (0.9, 1.1), 0.7)
    assert "runs leave" not in quiet.sentence


def test_rates_of_a_hundred_random_draws_are_those_of_simulated_runs():
    """Random curvatures, step sizes and weights, with and without momentum."""
    rng = np.random.default_rng(0)
    for number in range(100):
        curvatures = rng.normal(size=1 + number % 4) * 10 ** rng.uniform(-1, 1)
        weights = rng.dirichlet(np.ones(curvatures.size) * 3)
        eta, gamma = 10 ** rng.uniform(-1.5, 0), float(rng.choice([0.0, 0.9]))
        found = random_growth(curvatures, weights, eta, gamma)
        if gamma == 0:
            with np.errstate(divide="ignore"):
                want = weights @ np.log(np.abs(1 - eta * curvatures))
            square = 0.5 * np.log(weights @ (1 - eta * curvatures) ** 2)
            assert found.almost_sure.value == pytest.approx(want, rel=1e-12)
            assert found.mean_square.value == pytest.approx(square, rel=1e-9, abs=1e-12)
        elif number < 12:  # simulations are dear
            want, error = exponent(curvatures, eta, gamma, weights)
            # runs from (1, 0) take some steps to turn into their direction
            assert (
                abs(found.almost_sure.value - want)
                < 4 * (found.almost_sure.error / 2 + error) + 2e-3
            )
        # Jensen: almost every run grows no faster than the root mean square
        assert found.almost_sure.value <= found.mean_square.value + found.almost_sure.error + 1e-12


def test_weights_are_probabilities():
    weighted = ask(scaled_square, [0.0], (1.0, -1.5), 0.5, weights=[3.0, 1.0])
    repeated = ask(scaled_square, [0.0], (1.0, 1.0, 1.0, -1.5), 0.5)
    assert weighted.ends.low.value == pytest.approx(repeated.ends.low.value)
    assert weighted.top.almost_sure.value == pytest.approx(repeated.top.almost_sure.value)
    assert weighted.loss == pytest.approx(repeated.loss)


def test_the_gradient_beats_a_weak_negative_curvature():
    """A slope with curvature −0.14 across it; adding a constant to the loss changes nothing."""
    for constant in (0.0, 1e3):
        loss = lambda w, b: b * w[0] - 0.07 * w[1] ** 2 + constant  # noqa: B023, E731
        found = ask(loss, [0.0, 1e-3], (0.4, 0.4), 0.1)
        assert found.verdict == "not at a saddle"
        assert found.sentence.startswith("Not at a saddle")
    near = ask(lambda w, b: b * w[0] ** 2 - 0.07 * w[1] ** 2, [1e-3, 1e-3], (0.4, 0.6), 0.1)
    assert near.verdict == "saddle"


@pytest.mark.parametrize("rho", [0.02, 0.1])
def test_faster_is_not_called_slower(rho):
    """The perturbed-loss gradient grows at |λ|(1 − ρ|λ|)²; USAM at |λ|(1 − ρ|λ|)."""
    loss = lambda w, b: (w[0] ** 2 - 5 * w[1] ** 2 + 0 * b) / 2  # noqa: E731
    slow = ask(loss, [0.0, 0.0], (0.0,), 0.01, samdyn.USAM(rho))
    assert f"{1 / (1 - 5 * rho):.3g}"[:3] in slow.sentence.split("escapes ")[1]
    assert "times slower" in slow.sentence


def test_momentum_is_a_number_or_the_heavy_ball():
    loss = lambda w, b: (w[0] ** 2 - w[1] ** 2) / 2 + 0 * b  # noqa: E731
    one = ask(loss, [0.0, 0.0], (0.0,), 0.1, momentum=0.9)
    other = ask(loss, [0.0, 0.0], (0.0,), 0.1, momentum=samdyn.HeavyBall(0.9))
    assert one.escape_rate == other.escape_rate
    with pytest.raises(samdyn.InvalidInput, match="heavy-ball momentum or none, not Nesterov"):
        ask(loss, [0.0, 0.0], (0.0,), 0.1, momentum=samdyn.Nesterov(0.9))


def test_batches_without_an_end_need_a_number():
    def endless():
        while True:
            yield jnp.asarray(1.0)

    with pytest.raises(samdyn.InvalidInput, match="may never end: give a list, or n_batches"):
        diagnose(scaled_square, jnp.zeros(2), endless(), samdyn.GD(), 0.1)
    found = diagnose(
        scaled_square, jnp.zeros(2), endless(), samdyn.GD(), 0.1, n_batches=3, check=False
    )
    assert found.batches == 3


def test_parameters_over_several_devices_are_gathered():
    mesh = jax.sharding.Mesh(np.array(jax.devices()), ("d",))
    spread = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("d"))
    w = {"a": jax.device_put(jnp.arange(4.0), spread), "b": jnp.ones(2)}
    batch = jax.device_put(jnp.ones((8, 4)), spread)
    loss = lambda w, b: jnp.mean((b @ w["a"]) ** 2) - jnp.sum(w["b"] ** 2)  # noqa: E731
    found = diagnose(loss, w, [batch], samdyn.GD(), 0.1, check=False)
    assert found.ends.low.value == pytest.approx(-2)


def tilted(w, batch):
    """½wᵀHw + g·w for a batch (H diagonal, g)."""
    return jnp.sum(batch[0] * w**2) / 2 + batch[1] @ w


def tilts(curvatures, gradients):
    return [(jnp.asarray(h), jnp.asarray(g)) for h, g in zip(curvatures, gradients, strict=True)]


def test_a_gradient_that_all_minibatches_share_is_no_noise():
    """They scatter along other directions; its own would lower the loss by most."""
    rng = np.random.default_rng(0)
    scatter = 0.1 * rng.normal(size=(8, 40))
    scatter[:, :2] = 0
    shared = np.zeros(40)
    shared[1] = 0.4
    h = np.zeros(40)
    h[0] = -0.1
    ask = lambda gradients: diagnose(  # noqa: E731
        tilted, jnp.zeros(40), tilts([h] * 8, gradients), samdyn.GD(), 0.1, check=False
    )
    assert ask(shared + scatter).verdict == "not at a saddle"
    mixed = ask(0.1 * shared + scatter)  # too few to tell
    assert mixed.verdict in ("unresolved", "saddle")
    assert "too few" in mixed.sentence or not mixed.gains.away(mixed.signal)


def test_normalised_ascent_that_swings_along_the_saddle_is_not_said_to_leave():
    """Curvatures 0.5 and −2.5, mean −1: a run of 30,000 steps at ρ = 1.2 stays within 0.4."""
    curvatures, gradients = [(0.5, 0.25), (-2.5, 1.75)], [(0.1, 0.2), (-0.1, -0.2)]
    for rho in (1.2, 1.4):
        found = diagnose(
            *(tilted, jnp.zeros(2), tilts(curvatures, gradients), samdyn.SAM(rho), 0.1),
            check=False,
        )
        assert found.held
        assert "leave" not in found.sentence


def test_a_hovering_run_of_sam_is_at_its_saddle():
    for w in ([1e-9, 0.0333], [0.0, -0.1]):
        found = diagnose(
            *(tilted, jnp.asarray(w), tilts([(-1.0, 2.0)], [(0.0, 0.0)]), samdyn.SAM(0.3), 0.1),
            check=False,
        )
        assert found.verdict == "saddle"
        assert found.held


def test_a_minimum_of_the_mean_that_runs_leave_along_its_lowest_curvature_is_told():
    """c = 0.1 and 1.9 with η = 1.5: |1 − ηc| is 0.85 and 1.85; a stiffer coordinate is at rest."""
    found = diagnose(
        *(tilted, jnp.zeros(2), tilts([(0.1, 1.2), (1.9, 1.2)], np.zeros((2, 2))), samdyn.GD()),
        1.5,
        check=False,
    )
    assert found.bottom.almost_sure.value == pytest.approx(np.log(0.85 * 1.85) / 2)
    assert "leave this point along its lowest curvature" in found.sentence


def test_where_gradients_lie_along_the_saddle_the_radius_is_a_range():
    """Runs at ρ = 0.6 … 10 stay and at 0.5 leave; a small displacement is pulled back from 3.16."""
    batches = tilts([(-1.0, 2.0)] * 2, [(0.3, 0.1), (-0.3, -0.1)])
    for rho in (0.4, 2.0):
        found = diagnose(tilted, jnp.zeros(2), batches, samdyn.SAM(rho), 0.1, check=False)
        assert "between rho = 0.316 and 3.16" in found.sentence


def bowl_of(w, batch):
    """½wᵀdiag(batch)w."""
    return 0.5 * jnp.sum(batch * w**2)


def test_runs_may_leave_along_neither_end_of_the_spectrum():
    """Along the third axis 1 − η(0.7 ± 5) is −1.85 or 3.15, of mean curvature 0.7."""
    found = ask(bowl_of, [0.0, 0.0, 0.0], ([1.0, 0.5, 5.7], [1.0, 0.5, -4.3]), ETA)
    assert found.verdict == "no negative curvature found"
    assert found.whole.mean.value == pytest.approx(np.log(0.75), abs=1e-6)
    assert found.whole.almost_sure.value == pytest.approx(np.log(1.85 * 3.15) / 2, rel=1e-9)
    assert "almost every run leaves this point" in found.sentence
    assert found.to_dict()["almost_sure"]["value"] == found.whole.almost_sure.value


def test_rare_runs_may_go_far_from_where_almost_all_stay():
    """1 − η(0.7 ± 2.2) is −0.45 or 1.75: √(0.45 · 1.75) < 1 < (0.45² + 1.75²)/2."""
    found = ask(bowl_of, [0.0, 0.0, 0.0], ([1.0, 0.5, 2.9], [1.0, 0.5, -1.5]), ETA)
    assert found.whole.mean_square.sign == 1
    assert found.whole.almost_sure.sign == -1
    assert "in rare runs, displacements grow e-fold" in found.sentence


def test_momentum_is_part_of_the_whole():
    """Against products of the matrices of (w, m), written down here."""
    found = ask(bowl_of, [0.0, 0.0], ([1.0, 3.0], [2.0, -1.0]), 0.2, momentum=0.5)
    matrices = []
    for curvatures in ([1.0, 3.0], [2.0, -1.0]):
        h = np.diag(curvatures)
        matrices.append(np.block([[np.eye(2) - 0.2 * h, -0.1 * np.eye(2)], [h, 0.5 * np.eye(2)]]))
    square = np.mean([np.kron(a, a) for a in matrices], axis=0)
    expected = np.log(np.max(np.abs(np.linalg.eigvals(square)))) / 2
    assert found.whole.mean_square.value == pytest.approx(expected, abs=1e-9)
