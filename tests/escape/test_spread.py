"""Displacement from a critical point: simulation, recursion and closed form say the same."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from centred import Quadratic
from scipy.linalg import expm
from verbs import spread

import samdyn
from samdyn import InvalidInput
from samdyn.escape.exact.linear import rates
from samdyn.escape.exact.published import kim_theorem_2, kim_theorem_3

ETA, RHO, TIME, BATCH = 0.05, 0.3, 1.0, 8
STEPS = round(TIME / ETA)
SADDLE, ORIGIN = samdyn.get_loss("saddle"), (0.0, 0.0)
MINIMUM = samdyn.quadratic([0.5, 3.0])
CASES = [*itertools.product(samdyn.COUPLINGS, (0.0, 0.9))]


def errors(result):
    """Standard errors (d,) of the simulated variances, from their intervals."""
    return (result.ci95[:, 1] - result.ci95[:, 0]) / (2 * 1.96)


def recursion(a, nu, gamma, eta=ETA, steps=STEPS):
    A, b = np.array([[1 - eta * a, -eta * gamma], [a, gamma]]), np.array([-eta, 1.0])
    P = np.zeros((2, 2))
    for _ in range(steps):
        P = A @ P @ A.T + nu * np.outer(b, b)
    return P[0, 0]


def matrix_exponential(a, nu, gamma):
    """Van Loan 1978: the covariance of dz = Fz dt + noise from one exponential."""
    F, Q = np.array([[-a]]), np.array([[ETA * nu]])
    if gamma > 0:
        F = np.array([[0, -1], [a / ETA, -(1 - gamma) / ETA]])
        Q = np.diag([0, nu / ETA])
    n = len(F)
    M = expm(np.block([[-F, Q], [np.zeros((n, n)), F.T]]) * TIME / 16)
    A = M[n:, n:].T
    P = A @ M[:n, n:]
    for _ in range(4):
        P, A = P + A @ P @ A.T, A @ A
    return P[0, 0]


@pytest.mark.parametrize("loss", [SADDLE, MINIMUM], ids=["saddle", "minimum"])
@pytest.mark.thorough
def test_simulation_agrees_with_the_map_and_both_exact_values_with_references(loss):
    for name, gamma in CASES:
        result = spread(
            *(loss, ORIGIN, samdyn.USAM(RHO), ETA, samdyn.Fisher(BATCH), samdyn.COUPLINGS[name]),
            *(gamma,),
            time=TIME,
        )
        for i, eigenvalue in enumerate(result.eigenvalues):
            a, factor = rates(name, eigenvalue, RHO)
            nu = factor * abs(eigenvalue) / BATCH
            assert result.exact.map[i] == pytest.approx(recursion(a, nu, gamma), rel=1e-9)
            assert result.exact.sde[i] == pytest.approx(matrix_exponential(a, nu, gamma), rel=1e-9)
        assert result.failed == 0
        assert np.all(np.abs(result.variance - result.exact.map) < 3.5 * errors(result))
        np.testing.assert_allclose(
            errors(result) / result.variance, (2 / 200_000) ** 0.5, rtol=0.03
        )


@pytest.mark.parametrize(("name", "gamma"), [("same-batch", 0.0), ("independent", 0.9)])
@pytest.mark.thorough
def test_a_simulated_diffusion_agrees_with_the_exact_sde(name, gamma):
    """Heun's scheme with 8 steps a unit η: its bias is far below the sampling error."""
    coupling, paths, per_step = samdyn.COUPLINGS[name], 100_000, 8
    exact = spread(
        *(SADDLE, ORIGIN, samdyn.USAM(RHO), ETA, samdyn.Fisher(BATCH), coupling, gamma),
        time=TIME,
        paths=1,
    ).exact.sde
    noise = samdyn.Isotropic(2**0.5, BATCH)  # |H| = 2 I
    sde = samdyn.Diffusion(SADDLE, samdyn.USAM(RHO), ETA, noise, coupling, gamma)
    h, start = ETA / per_step, jnp.zeros(2)

    def heun(key, y):
        kick = sde.disperse(y, h**0.5 * jax.random.normal(key, (sde.draws(start),)))
        slope = sde.drift(y)
        ahead = jax.tree.map(lambda v, b, s: v + h * b + s, y, slope, kick)
        return jax.tree.map(
            lambda v, b, c, s: v + h / 2 * (b + c) + s, y, slope, sde.drift(ahead), kick
        )

    @eqx.filter_jit
    @jax.vmap
    def run(key):
        advance = lambda n, y: heun(jax.random.fold_in(key, n), y)  # noqa: E731
        return sde.position(jax.lax.fori_loop(0, round(TIME / h), advance, sde.init(start)))

    w = np.concatenate([run(k) for k in jax.random.split(jax.random.key(3), (20, paths // 20))])
    simulated = np.mean(w**2, axis=0)[::-1]  # the eigenvalue of x is 2, of y −2
    assert np.all(np.abs(simulated - exact) < 3.5 * exact * np.sqrt(2 / paths))


def small(loss=SADDLE, at=ORIGIN, method=None, noise=None, coupling=None, momentum=0.0, **more):
    """A spread that is quick; only what is given differs."""
    settings = {"time": TIME, "paths": 4} | more
    method, noise = method or samdyn.USAM(RHO), noise or samdyn.Fisher(BATCH)
    return spread(loss, at, method, settings.pop("eta", ETA), noise, coupling, momentum, **settings)


@pytest.mark.thorough
def test_published_formulas_are_quoted_and_theorem_3_is_about_momentum():
    plain, heavy = small(), small(momentum=0.9)
    settings = plain.eigenvalues, RHO, TIME, ETA, BATCH
    np.testing.assert_allclose(plain.paper.theorem2, kim_theorem_2(*settings), rtol=1e-13)
    np.testing.assert_allclose(heavy.paper.theorem3, kim_theorem_3(*settings, 0.9), rtol=1e-13)
    assert plain.paper.theorem3 is None
    assert plain.to_dict()["paper"]["theorem3"] is None


def test_the_loss_is_the_true_one_not_its_quadratic_form():
    """From its saddle the double well cannot spread beyond its minima, which lie 1 away."""
    well = samdyn.get_loss("double-well")
    result = small(well, (0.0,), samdyn.GD(), samdyn.Isotropic(0.3), time=10.0, paths=20_000)
    assert result.exact.map[0] > 1e4
    assert 0.9 < result.variance[0] < 1.1


@pytest.mark.thorough
def test_the_spread_turns_with_the_loss():
    """In a rotated frame the variances belong to eigenvectors, not to coordinates."""
    straight, turned = (samdyn.quadratic([-1.0, 2.0, 5.0], seed) for seed in (None, 4))
    one, two = (small(loss, (0.0,) * 3, paths=20_000) for loss in (straight, turned))
    np.testing.assert_allclose(one.exact.map, two.exact.map, rtol=1e-10)
    assert np.all(np.abs(two.variance - two.exact.map) < 3.5 * errors(two))


def test_additive_noise_is_the_coefficient_of_the_sde():
    result = small(noise=samdyn.Additive(0.2), paths=100_000)
    a = rates("fresh", result.eigenvalues, RHO).rate
    exact = 0.2**2 * -np.expm1(-2 * a * TIME) / (2 * a)
    np.testing.assert_allclose(result.exact.sde, exact, rtol=1e-12)
    assert np.all(np.abs(result.variance - result.exact.map) < 3.5 * errors(result))


@pytest.mark.thorough
def test_every_method_that_is_smooth_has_an_exact_value():
    multi = samdyn.MultiStep(samdyn.USAM(RHO), 3)
    for method, coupling, factor in (
        (samdyn.GD(), "same-batch", lambda x: (x, 1)),
        (samdyn.SAM(0.0), "same-batch", lambda x: (x, 1)),
        (samdyn.PerturbedLossGradient(samdyn.USAM(RHO)), "fresh", lambda x: rates("paper", x, RHO)),
        (multi, "same-batch", lambda x: (x * (1 + RHO * x / 3) ** 3, (1 + RHO * x / 3) ** 6)),
    ):
        result = small(method=method, coupling=samdyn.COUPLINGS[coupling])
        for value, eigenvalue in zip(result.exact.sde, result.eigenvalues, strict=True):
            a, noise = factor(eigenvalue)
            assert value == pytest.approx(matrix_exponential(a, noise * 2 / BATCH, 0), rel=1e-9)


def test_normalised_sam_is_simulated_and_says_why_nothing_is_exact():
    result = small(method=samdyn.SAM(RHO), paths=1000).to_dict()
    assert result["exact"]["sde"] is None
    assert result["exact"]["map"] is None
    assert "jumps" in result["exact"]["why"]
    assert result["paper"]["theorem2"] is None
    assert all(v > 0 for v in result["simulated"]["variance"])


def test_numbers_depend_on_the_seed_and_on_nothing_else():
    """9001 paths do not fill their last block; two devices share what one does alone."""
    first, again = (small(paths=9001) for _ in range(2))
    assert np.array_equal(first.variance, again.variance)
    assert not np.array_equal(first.variance, small(paths=9001, seed=1).variance)
    from samdyn.escape import spread as module

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MANY", 0)
        assert np.array_equal(small(paths=9001).variance, first.variance)


def test_float32_says_the_same():
    result = small(paths=100_000, dtype=jnp.float32)
    assert np.all(np.abs(result.variance - result.exact.map) < 3.5 * errors(result))


@pytest.mark.thorough
def test_intervals_cover_also_where_the_law_is_not_normal():
    """The double well after a while: two lumps, whose squares scatter less than a normal law's."""
    well = samdyn.get_loss("double-well")
    settings = {"method": samdyn.GD(), "noise": samdyn.Isotropic(1.0), "time": 4.0}
    truth = small(well, (0.0,), **settings, paths=400_000, seed=9).variance[0]
    covered = 0
    for seed in range(100):
        low, high = small(well, (0.0,), **settings, paths=500, seed=seed).ci95[0]
        covered += low < truth < high
    assert 88 <= covered <= 100


def test_diverged_paths_are_counted_and_left_out():
    hill = lambda w: -jnp.sum(w**2 / 2 + w**4 / 4)  # noqa: E731
    settings = {"method": samdyn.GD(), "noise": samdyn.Isotropic(1.0), "paths": 2000}
    result = small(hill, (0.0,), **settings, time=2.5)
    assert 0 < result.failed < 2000
    assert np.all(np.isfinite(result.variance))
    assert "left out" in str(result)
    with pytest.raises(samdyn.ComputationFailed, match="all 2000 paths diverged"):
        small(hill, (0.0,), **settings, time=100.0)


def test_a_result_fits_on_a_screen_and_draws_itself():
    result = small(momentum=0.9)
    assert max(len(line) for line in str(result).splitlines()) <= 120
    assert all(word in str(result) for word in ("eigenvalue", "step map", "SDE", "Theorem 3"))
    assert result.plot().get_xlabel()


WRONG = {
    "no critical point": (lambda: small(at=(0.1, 0.0)), "no critical point"),
    "shape": (lambda: small(at=((0.0, 0.0),)), "shape"),
    "time": (lambda: small(time=0.01), "steps"),
    "negative time": (lambda: small(time=-1.0), "finite number > 0"),
    "paths": (lambda: small(paths=0), "paths"),
    "momentum": (lambda: small(momentum=1.0), r"\[0, 1\)"),
    "other momentum": (lambda: small(momentum=samdyn.Nesterov(0.9)), "Nesterov"),
    "learning rate": (lambda: small(eta=0.0), "learning rate"),
    "coupling": (
        lambda: small(method=samdyn.PerturbedLossGradient(samdyn.USAM(RHO))),
        "fresh or paper",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_told_in_one_sentence(case):
    call, expected = WRONG[case]
    with pytest.raises(InvalidInput, match=expected):
        call()


@pytest.mark.thorough
def test_a_hundred_quadratics_are_right_or_refused():
    """Conditions 1 to 10¹², origins to 10⁶, points that are 10⁻⁹ off: no wrong value in silence."""
    rng, answered, refused_at_rest, told = np.random.default_rng(7), 0, 0, 0
    for _ in range(100):
        condition, scale = 10 ** rng.uniform(0, 12), 10 ** rng.uniform(-3, 3)
        size = np.array([1, condition ** -rng.uniform(), 1 / condition])
        curvature = np.sort(size * scale * rng.choice([1, -1], 3))
        u = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        centre = rng.choice([0, 1e2, 1e4, -1e6]) * rng.normal(size=3)
        at, eta = centre * (1 + rng.choice([0, 1e-12, 1e-9])), 0.3 / scale
        rho, std = rng.choice([0, 0.5]) / scale, 10 ** rng.uniform(-4, 0)
        name, gamma = str(rng.choice(list(samdyn.COUPLINGS))), float(rng.choice([0.0, 0.7]))
        steps = int(rng.integers(1, 40))
        h = (u * curvature) @ u.T
        loss = Quadratic(jnp.asarray((h + h.T) / 2), jnp.asarray(centre))
        noise, coupling = samdyn.Isotropic(std), samdyn.COUPLINGS[name]
        try:
            result = spread(
                *(loss, at, samdyn.USAM(rho), eta, noise, coupling, gamma),
                time=eta * steps,
                paths=1000,
            )
        except InvalidInput:
            refused_at_rest += bool(np.array_equal(at, centre))
            continue
        a, factor = rates(name, curvature, rho)
        pairs = zip(a, factor * std**2, strict=True)
        want = np.array([recursion(*pair, gamma, eta, steps) for pair in pairs])
        np.testing.assert_allclose(result.exact.map, want, rtol=1e-7)
        assert np.all(np.abs(result.variance - want) < 5 * errors(result))
        answered, told = answered + 1, told + bool(result.warnings)
    assert answered > 60
    assert told <= 2  # one in a thousand by chance
    assert refused_at_rest == 0


@pytest.mark.thorough
def test_a_spread_that_is_not_the_linearised_one_is_told_and_heavy_tails_too():
    well = samdyn.get_loss("double-well-2d")
    options = {"time": 20.0, "paths": 20_000}
    wide = spread(well, [1.0, 0.0], samdyn.GD(), 0.01, samdyn.Isotropic(2.0), **options)
    assert str(wide).startswith("warning: along 1 of 2 eigendirections the step linearised")
    narrow = spread(well, [1.0, 0.0], samdyn.GD(), 0.01, samdyn.Isotropic(0.02), **options)
    assert not narrow.warnings
    # x⁺ = x(1 − ηs²): with s normal and η = 1 powers grow, the fourth far faster than the second
    data = np.random.default_rng(0).normal(size=(200, 2))
    labels = lambda w, e: (e[0] * w[0] - e[1]) ** 2 / 2  # noqa: E731
    heavy = samdyn.Empirical(labels, jnp.asarray(data), 1)
    at = np.linalg.lstsq(data[:, :1], data[:, 1])[0]
    found = spread(heavy.loss, at, samdyn.GD(), 0.6, heavy, time=18.0, paths=20_000)
    assert "a few paths make most of the variance" in found.warnings[0]
