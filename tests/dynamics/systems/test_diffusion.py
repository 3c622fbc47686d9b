"""The SDE: what its drift and noise are, in both interpretations, and what diffrax makes of it."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samdyn.dynamics.coupling import COUPLINGS, Fresh, Independent, SameBatch
from samdyn.dynamics.methods.asam import ASAM
from samdyn.dynamics.methods.gd import GD
from samdyn.dynamics.methods.sam import SAM
from samdyn.dynamics.methods.usam import USAM
from samdyn.dynamics.momentum import EMA, HeavyBall, Nesterov
from samdyn.dynamics.noise.noise import AbstractNoise, Additive, Empirical, Fisher, Isotropic
from samdyn.dynamics.systems.diffusion import Diffusion, StratonovichDiffusion
from samdyn.errors import InvalidInput
from samdyn.losses.families import quadratic
from samdyn.losses.registry import get_loss

BEALE = get_loss("beale")
W = jnp.array([0.7, 0.4])
Z = jnp.array([0.3, -1.1])
ETA = 0.01


def quartic(w):
    return jnp.sum(w**4) / 4 + jnp.prod(w)


class Proportional(AbstractNoise):
    """ξ = s w z, coordinate by coordinate: on a quadratic the SDE is geometric Brownian motion."""

    s: float = eqx.field(static=True)

    def draw(self, loss, w, z):
        return self.s * w * z

    def covariance(self, loss, w):
        return jnp.diag(self.s**2 * w**2)

    def trace(self, loss, w):
        return self.s**2 * jnp.sum(w**2)

    def response(self, loss, w, shift):
        return jax.grad(lambda v: self.trace(loss, v))(w) / 2


def geometric(s=5.0):
    """dw = −w dt + (s√η) w dW with s√η = ½ at s = 5."""
    return Diffusion(quadratic((1.0,), None), GD(), ETA, Proportional(s))


@pytest.mark.parametrize("name", COUPLINGS)
@pytest.mark.parametrize("method", [SAM(0.1), USAM(0.01)])
@pytest.mark.thorough
def test_drift_and_noise_are_those_of_the_coupling_in_units_of_time(name, method):
    coupling, noise = COUPLINGS[name], Fisher(4)
    sde = Diffusion(BEALE, method, ETA, noise, coupling)
    z = jnp.linspace(1.0, -0.5, sde.draws(W))
    parts = BEALE, method, noise, W
    np.testing.assert_allclose(sde.drift(W), -coupling.drift(*parts), rtol=1e-14)
    np.testing.assert_allclose(sde.disperse(W, z), 0.1 * coupling.disperse(*parts, z), rtol=1e-14)
    np.testing.assert_allclose(sde.matrix(W) @ z, sde.disperse(W, z), rtol=1e-12, atol=1e-14)
    assert sde.matrix(W).shape == (2, sde.draws(W))
    np.testing.assert_array_equal(sde.position(sde.init(W)), W)


@pytest.mark.parametrize("method", [GD(), SAM(0.1), ASAM(0.1)])
def test_additive_noise_is_the_coefficient_of_dw_whatever_the_coupling(method):
    for coupling in COUPLINGS.values():
        sde = Diffusion(BEALE, method, ETA, Additive(0.3), coupling)
        assert sde.draws(W) == 2
        np.testing.assert_allclose(sde.drift(W), -method.direction(jax.grad(BEALE), W), rtol=1e-15)
        np.testing.assert_allclose(sde.disperse(W, Z), 0.3 * Z, rtol=1e-14)
        inertial = Diffusion(BEALE, method, ETA, Additive(0.3), coupling, 0.9)
        np.testing.assert_allclose(inertial.disperse((W, W), Z)[1], 30 * Z, rtol=1e-14)


@pytest.mark.thorough
def test_momentum_gives_the_underdamped_system():
    gamma, m = 0.9, jnp.array([0.2, -0.5])
    sde = Diffusion(BEALE, USAM(0.01), ETA, Fisher(4), SameBatch(), gamma)
    plain = Diffusion(BEALE, USAM(0.01), ETA, Fisher(4))
    w, still = sde.init(W)
    np.testing.assert_array_equal(w, W)
    np.testing.assert_array_equal(still, jnp.zeros(2))
    velocity, force = sde.drift((W, m))
    np.testing.assert_array_equal(velocity, -m)
    expected = (-plain.drift(W) - (1 - gamma) * m) / ETA
    np.testing.assert_allclose(force, expected, rtol=1e-13)
    moved, kicked = sde.disperse((W, m), Z)
    np.testing.assert_array_equal(moved, jnp.zeros(2))
    np.testing.assert_allclose(kicked, plain.disperse(W, Z) / ETA, rtol=1e-13)
    assert sde.matrix((W, m)).shape == (4, 2)


@pytest.mark.parametrize("curvature", [2.0, -1.0])
def test_momentum_roots_are_those_of_the_damped_oscillator(curvature):
    gamma, eta = 0.9, 0.01
    sde = Diffusion(quadratic((curvature,), None), GD(), eta, Isotropic(1.0), momentum=gamma)
    pull = jax.jacfwd(lambda y: jnp.concatenate(sde.drift((y[:1], y[1:]))))(jnp.zeros(2))
    friction = (1 - gamma) / eta
    roots = np.roots([1, friction, curvature / eta])
    np.testing.assert_allclose(np.sort(np.linalg.eigvals(pull)), np.sort(roots), rtol=1e-12)


@pytest.mark.parametrize("momentum", [None, 0.8])
@pytest.mark.thorough
def test_stratonovich_drift_differs_by_half_the_noise_along_itself(momentum):
    sde = Diffusion(BEALE, USAM(0.01), ETA, Fisher(4), momentum=momentum)
    other = sde.stratonovich()
    y = sde.init(W)
    if momentum:  # the noise moves m and depends on w: the correction is zero
        for a, b in zip(other.drift(y), sde.drift(y), strict=True):
            np.testing.assert_array_equal(a, b)
    else:
        sigma, slope = sde.matrix(y), jax.jacfwd(sde.matrix)(y)
        expected = sde.drift(y) - 0.5 * jnp.einsum("ikl,lk->i", slope, sigma)
        np.testing.assert_allclose(other.drift(y), expected, rtol=1e-12)
    assert other.ito() is sde
    assert isinstance(other, StratonovichDiffusion)


def mean_at_one(sde, solver, dt, paths, **options):
    """(mean, standard error) of w at time 1 from w = 1."""
    keys = jax.random.split(jax.random.key(7), paths)
    run = lambda key: sde.solve(jnp.ones(1), 1.0, dt, key, solver=solver, **options).ys[0, 0]  # noqa: E731
    ends = np.asarray(jax.jit(jax.vmap(run))(keys))
    return ends.mean(), ends.std() / np.sqrt(paths)


@pytest.mark.thorough
def test_every_solver_finds_the_mean_of_geometric_brownian_motion_in_its_own_interpretation():
    sde = geometric()
    exact = np.exp(-1)  # dw = −w dt + ½w dW has E w = e^{−t}, variance e^{−2t}(e^{t/4} − 1)
    for form, solver in [
        (sde, diffrax.Euler()),
        (sde, diffrax.ItoMilstein()),
        (sde.stratonovich(), diffrax.EulerHeun()),
        (sde.stratonovich(), diffrax.Heun()),
        (sde.stratonovich(), diffrax.SPaRK()),
    ]:
        mean, error = mean_at_one(form, solver, 1 / 64, 20_000)
        bias = 0.003 if isinstance(solver, diffrax.AbstractItoSolver) else 1e-3
        assert abs(mean - exact) < 4 * error + bias, solver
        assert error == pytest.approx(exact * np.sqrt((np.exp(0.25) - 1) / 20_000), rel=0.1)
    # the Itô drift in a Stratonovich solver would give e^{−1 + 1/8}: 35 standard errors off


@pytest.mark.parametrize(("solver", "order"), [(diffrax.Euler(), 0.5), (diffrax.ItoMilstein(), 1)])
@pytest.mark.thorough
def test_paths_converge_with_the_strong_order_of_the_solver(solver, order):
    sde = geometric()
    keys = jax.random.split(jax.random.key(3), 400)
    tol = 2.0**-12

    def end(key, dt):
        term = lambda dt: sde.solve(  # noqa: E731
            jnp.ones(1), 1.0, dt, key, solver=solver, path_tolerance=tol
        )
        path = diffrax.VirtualBrownianTree(
            0.0, 1.0, tol, jax.ShapeDtypeStruct((1,), float), key, diffrax.BrownianIncrement
        )
        exact = jnp.exp(-1 - 1 / 8 + path.evaluate(0.0, 1.0)[0] / 2)
        return term(dt).ys[0, 0] - exact

    errors = [
        np.sqrt(np.mean(np.asarray(jax.jit(jax.vmap(lambda k, dt=dt: end(k, dt)))(keys)) ** 2))
        for dt in (2.0**-4, 2.0**-7)
    ]
    assert np.log2(errors[0] / errors[1]) / 3 == pytest.approx(order, abs=0.15)


@pytest.mark.thorough
def test_diffrax_takes_the_terms_of_every_form_and_of_pytrees():
    path = diffrax.UnsafeBrownianPath(
        jax.ShapeDtypeStruct((2,), W.dtype), jax.random.key(0), diffrax.BrownianIncrement
    )
    for momentum in (None, 0.9):
        sde = Diffusion(quartic, USAM(0.01), ETA, Fisher(4), momentum=momentum)
        terms = sde.terms(path)
        assert isinstance(terms, diffrax.MultiTerm)
        assert isinstance(terms.terms[0], diffrax.ODETerm)
        assert isinstance(terms.terms[1], diffrax.ControlTerm)
        y = sde.init(W)
        by_matrix = terms.terms[1].prod(terms.terms[1].vf(0.0, y, None), Z)
        fast = terms.terms[1].vf_prod(0.0, y, None, Z)
        for a, b in zip(jax.tree.leaves(by_matrix), jax.tree.leaves(fast), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)
        for solver in (diffrax.Euler(), diffrax.ItoMilstein()):
            solution = sde.solve(W, 0.01, 0.001, jax.random.key(1), solver=solver, points=5)
            w = sde.position(solution.ys)
            assert w.shape == (5, 2)
            assert np.all(np.isfinite(w))
            np.testing.assert_allclose(solution.ts, np.linspace(0, 0.01, 6)[1:], rtol=1e-12)

    nested = {"x": W[0], "y": W[1:]}
    join = lambda w: jnp.concatenate([w["x"][None], w["y"]])  # noqa: E731
    sde = Diffusion(lambda w: quartic(join(w)), SAM(0.1), ETA, Isotropic(0.5))
    ended = sde.solve(nested, 0.01, 0.001, jax.random.key(1)).ys
    flat = Diffusion(quartic, SAM(0.1), ETA, Isotropic(0.5))
    expected = flat.solve(W, 0.01, 0.001, jax.random.key(1)).ys
    np.testing.assert_allclose(ended["x"], expected[:, 0], rtol=1e-12)


@pytest.mark.thorough
def test_stationary_variance_with_momentum_is_that_of_the_underdamped_oscillator():
    eta, gamma, a, s = 0.01, 0.9, 1.0, 2.0
    sde = Diffusion(quadratic((a,), None), GD(), eta, Isotropic(s), momentum=gamma)
    keys = jax.random.split(jax.random.key(2), 4000)
    run = lambda key: sde.position(sde.solve(jnp.zeros(1), 2.0, eta / 10, key).ys)[0, 0]  # noqa: E731
    w = np.asarray(jax.jit(jax.vmap(run))(keys))
    # friction Γ = (1−γ)/η = 10, and the transient e^{−Γt} is e^{−20}
    exact = eta * s**2 / (2 * a * (1 - gamma))
    assert w.var() == pytest.approx(exact, rel=4 * np.sqrt(2 / 4000) + 0.02)


@pytest.mark.parametrize(
    ("noise", "coupling", "loss", "expected"),
    [
        (Additive(0.3), SameBatch(), BEALE, (True, True, True)),
        (Isotropic(0.3), Fresh(), BEALE, (True, True, True)),
        (Isotropic(0.3), SameBatch(), BEALE, (False, False, False)),
        (Fisher(4), Fresh(), BEALE, (False, False, False)),
        (Fisher(4), SameBatch(), quadratic((2.0, -1.0), None), (True, True, True)),
        (Fisher(4), SameBatch(), quadratic((2.0, -1.0), 3), (True, False, True)),
        (Fisher(4), Fresh(), lambda w: jnp.sum(w**4), (False, True, True)),
        (Fisher(4), Independent(), lambda w: jnp.sum(w**4), (False, False, False)),
    ],
)
@pytest.mark.thorough
def test_the_structure_of_the_noise_at_points(noise, coupling, loss, expected):
    sde = Diffusion(loss, USAM(0.02), ETA, noise, coupling)
    points = jnp.array([[0.7, 0.4], [-0.3, 1.2], [0.1, -0.6]])
    assert sde.noise_structure(points) == expected
    assert sde.stratonovich().noise_structure(points) == expected


@pytest.mark.thorough
def test_noise_that_kicks_the_momentum_only_is_commutative():
    sde = Diffusion(BEALE, USAM(0.02), ETA, Fisher(4), momentum=0.9)
    assert sde.noise_structure(W[None]) == (False, False, True)


@pytest.mark.thorough
def test_a_solver_of_the_wrong_interpretation_is_refused_unless_both_agree():
    solve = lambda sde, solver: sde.solve(W, 0.01, 0.005, jax.random.key(0), solver=solver)  # noqa: E731
    sde = Diffusion(quartic, USAM(0.01), ETA, Fisher(4))
    with pytest.raises(InvalidInput, match=r"Heun does not converge .* is Itô; convert"):
        solve(sde, diffrax.Heun())
    with pytest.raises(InvalidInput, match=r"Euler does not converge .* is Stratonovich; convert"):
        solve(sde.stratonovich(), diffrax.Euler())
    with pytest.raises(InvalidInput, match="Tsit5 solves ODEs only"):
        solve(sde, diffrax.Tsit5())
    with pytest.raises(InvalidInput, match="SEA needs additive noise"):
        solve(sde.stratonovich(), diffrax.SEA())
    for either in (
        Diffusion(quartic, USAM(0.01), ETA, Additive(0.3)),
        Diffusion(quartic, SAM(0.01), ETA, Isotropic(0.3), Fresh()),
        Diffusion(quartic, USAM(0.01), ETA, Fisher(4), momentum=0.9),
    ):
        solve(either, diffrax.Heun())
        solve(either.stratonovich(), diffrax.Euler())
    solve(Diffusion(quartic, USAM(0.01), ETA, Additive(0.3)), diffrax.SEA())


@pytest.mark.parametrize("momentum", [EMA(0.9), Nesterov(0.9)])
def test_momentum_without_a_diffusion_is_refused(momentum):
    with pytest.raises(InvalidInput, match=r"heavy-ball momentum or none, not .*use dynamics map"):
        Diffusion(BEALE, GD(), ETA, Fisher(4), momentum=momentum)
    assert Diffusion(BEALE, GD(), ETA, Fisher(4), momentum=HeavyBall(0.9)).inertial


@pytest.mark.thorough
def test_empirical_noise_has_one_draw_an_example():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(5, 2)))
    noise = Empirical(lambda w, x: jnp.sum((w - x) ** 2) ** 2 / 8, x, 2)
    sde = Diffusion(noise.loss, SAM(0.1), ETA, noise)
    assert sde.draws(W) == 5
    matrix = sde.matrix(W)
    assert matrix.shape == (2, 5)
    plain = Diffusion(noise.loss, GD(), ETA, noise).matrix(W)
    np.testing.assert_allclose(plain @ plain.T, ETA * noise.covariance(noise.loss, W), rtol=1e-12)


@pytest.mark.thorough
def test_float32_stays_float32():
    w = W.astype(jnp.float32)
    for momentum in (None, 0.9):
        sde = Diffusion(quartic, SAM(0.01), ETA, Fisher(4), momentum=momentum)
        solution = sde.solve(w, 0.01, 0.005, jax.random.key(0), points=2)
        assert {leaf.dtype for leaf in jax.tree.leaves(solution.ys)} == {jnp.dtype("float32")}
        assert sde.matrix(sde.init(w)).dtype == jnp.float32


@pytest.mark.thorough
def test_new_numbers_do_not_compile_again():
    traces = []

    def loss(w):
        traces.append(0)
        return BEALE(w)

    counts = []
    for rate in (0.01, 0.02, 0.03):
        sde = Diffusion(loss, USAM(rate), rate, Fisher(4), momentum=0.5 + rate)
        sde.solve(W, 10 * rate, rate, jax.random.key(0))
        counts.append(len(traces))
    assert counts[0] == counts[1] == counts[2]
