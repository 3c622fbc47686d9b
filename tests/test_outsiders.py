"""What anyone adds from outside passes its check and goes through every verb that takes it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
import pytest
from outsiders import (
    Interval,
    Logistic,
    OuterOnly,
    OuterOnlySDE,
    QuasiHyperbolic,
    Returning,
    Spiral,
    Tally,
    TheirHeavyBall,
    TheirSAM,
    Trailing,
    Trapezoid,
    Uniform,
    bars,
    their_net,
)

import samdyn
import samdyn.testing as conformance

SADDLE = samdyn.quadratic((2.0, -1.0), None)
WELL = samdyn.get_loss("double-well")
HERE = np.array([0.3, 0.2])
SURE = 4  # standard errors

CHECKS = {
    "method": lambda: conformance.check_method(TheirSAM(0.1)),
    "method with memory": lambda: conformance.check_method(Trailing(0.1)),
    "momentum": lambda: conformance.check_momentum(QuasiHyperbolic(0.9, 0.7)),
    "heavy ball": lambda: conformance.check_momentum(TheirHeavyBall(0.9)),
    "noise": lambda: conformance.check_noise(Uniform(0.5), SADDLE, HERE),
    "coupling": lambda: conformance.check_coupling(OuterOnly()),
    "coupling with diffusion": lambda: conformance.check_coupling(OuterOnlySDE()),
    "scheme": lambda: conformance.check_scheme(Trapezoid),
    "region": lambda: conformance.check_region(Interval(1.0), HERE),
    "ODE": lambda: conformance.check_ode(Spiral(0.5), HERE),
    "map": lambda: conformance.check_map(Logistic(2.5), HERE),
    "SDE": lambda: conformance.check_sde(Returning(1.0, 0.5), HERE),
    "drawer": lambda: conformance.check_drawer(bars, Tally([1, 2])),
    "model": lambda: conformance.check_model(their_net, (2, 2), 3),
}


@pytest.mark.parametrize("kind", CHECKS)
def test_an_outsider_passes_its_check(kind):
    CHECKS[kind]()


# ---------------------------------------------------------------- methods


def verdicts(found):
    return [
        (p.flow and p.flow.verdict, p.step and (p.step.verdict, p.step.orbit)) for p in found.points
    ]


@pytest.mark.thorough
def test_a_copy_of_sam_is_judged_as_sam():
    box = [[-1.0, 1.0], [-1.0, 1.0]]
    for how in ({"box": box}, {"at": [0.0, 0.0]}):
        theirs, ours = (
            samdyn.stability(samdyn.StepMap(SADDLE, method, 0.1), **how)
            for method in (TheirSAM(0.5), samdyn.SAM(0.5))
        )
        assert verdicts(theirs) == verdicts(ours)
        assert ("attractor", ("attractor", "period-2")) in verdicts(theirs)


@pytest.mark.thorough
def test_a_copy_of_sam_bifurcates_where_sam_does():
    theirs, ours = (
        samdyn.sweep(samdyn.Flow(WELL, method), "rho", [0.1, 0.3, 0.5], box=[[-1.5, 1.5]])
        for method in (TheirSAM(0.1), samdyn.SAM(0.1))
    )
    assert [b.verdict for b in theirs.branches] == [b.verdict for b in ours.branches]
    assert len(theirs.branches) >= 3


@pytest.mark.thorough
def test_a_copy_of_sam_has_sams_basins_threshold_and_runs():
    pair = [samdyn.StepMap(WELL, m, 0.05) for m in (TheirSAM(0.2), samdyn.SAM(0.2))]
    theirs, ours = (samdyn.basins(s, [[-1.5, 1.5]], grid=12, steps=2000) for s in pair)
    np.testing.assert_array_equal(theirs.labels, ours.labels)
    steps = [samdyn.StepMap(SADDLE, m, 0.1) for m in (TheirSAM(0.0), samdyn.SAM(0.0))]
    how = {"start": [0.0, 0.3], "target": [0.0, 0.0], "steps": 300, "within": 0.2, "rtol": 1e-3}
    theirs, ours = (samdyn.threshold(s, "rho", (0.0, 1.0), **how).rho for s in steps)
    assert theirs == pytest.approx(ours, rel=1e-12)
    theirs, ours = (samdyn.iterate(s, jnp.asarray([0.9]), 50).w for s in pair)
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-12)
    theirs, ours = (samdyn.integrate(s.flow, jnp.asarray([0.6]), 0.1).w for s in pair)
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-9)


def test_a_copy_of_sam_in_optax_makes_sams_updates():
    w = {"a": jnp.asarray([0.5, -0.3]), "b": jnp.asarray([[0.2]])}
    loss = lambda w: jnp.sum(w["a"] ** 4) + jnp.sum(w["b"] ** 2)  # noqa: E731
    made = []
    for method in (TheirSAM(0.1), samdyn.SAM(0.1)):
        optimizer = samdyn.optax.sam(optax.sgd(0.1), method)
        state, gradient = optimizer.init(w), jax.grad(loss)
        made.append(optimizer.update(gradient(w), state, w, grad_fn=gradient)[0])
    for theirs, ours in zip(*map(jax.tree.leaves, made), strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-12)


@pytest.mark.thorough
def test_a_copy_of_sam_under_noise_does_what_sam_does():
    region, means = Interval(1.0), []
    for method in (TheirSAM(0.2), samdyn.SAM(0.2)):
        noisy = samdyn.StochasticStepMap(SADDLE, method, 0.05, samdyn.Isotropic(2.0))
        found = samdyn.escape_times(noisy, [0.0, 0.0], region, paths=400, max_time=200.0)
        diffusion = samdyn.Diffusion(SADDLE, method, 0.05, samdyn.Isotropic(2.0))
        means.append((found.summary.mean, np.asarray(diffusion.drift(jnp.asarray([0.1, 0.2])))))
        spread = samdyn.spread(noisy, [0.0, 0.0], time=0.5, paths=2000)
        assert np.all(spread.variance > 0)
    assert means[0][0] == pytest.approx(means[1][0], rel=0.02)
    np.testing.assert_allclose(means[0][1], means[1][1], atol=1e-12)


@pytest.mark.thorough
def test_a_copy_of_sam_is_diagnosed_as_sam():
    loss = lambda w, batch: jnp.mean(batch[:, 0] * w[0] ** 2 - batch[:, 1] * w[1] ** 2)  # noqa: E731
    batches = [jnp.asarray([[1.0, 0.5], [1.2, 0.4]]), jnp.asarray([[0.8, 0.6], [1.1, 0.5]])]
    theirs, ours = (
        samdyn.diagnose(samdyn.StepMap(loss, m, 0.1), jnp.asarray([0.01, 0.02]), batches)
        for m in (TheirSAM(0.3), samdyn.SAM(0.3))
    )
    assert str(theirs.verdict) == str(ours.verdict)
    assert theirs.spectral_radius.value == pytest.approx(ours.spectral_radius.value, rel=1e-6)


@pytest.mark.thorough
def test_a_copy_of_sam_has_a_portrait():
    box = ((-0.2, 0.2), (-0.2, 0.2))
    figure = samdyn.portrait(samdyn.Flow(SADDLE, TheirSAM(0.3)), box, time=2.0)
    assert len(figure.axes) == 1
    plt.close(figure)


@pytest.mark.thorough
def test_a_method_with_memory_has_the_multipliers_of_its_larger_state():
    """On curvature a: (w, m) ↦ (w − ηa(w + ρm⁺), m⁺), m⁺ = λm + (1 − λ)aw."""
    eta, rho, decay, a = 0.1, 0.4, 0.5, 3.0
    step = samdyn.StepMap(samdyn.quadratic((a,), None), Trailing(rho, decay), eta)
    point = samdyn.stability(step, at=[0.0]).points[0]
    assert point.flow is None
    assert point.step.verdict == "attractor"
    matrix = [
        [1 - eta * a * (1 + rho * (1 - decay) * a), -eta * a * rho * decay],
        [(1 - decay) * a, decay],
    ]
    exact, found = (np.sort(np.abs(v)) for v in (np.linalg.eigvals(matrix), point.step.eigenvalues))
    np.testing.assert_allclose(found, exact, atol=1e-12)


@pytest.mark.thorough
def test_a_method_with_memory_goes_through_the_verbs_of_steps():
    step = samdyn.StepMap(WELL, Trailing(0.05), 0.05, 0.5)
    found = samdyn.basins(step, [[-1.5, 1.5]], grid=10, steps=3000)
    assert sorted(a.fraction for a in found.attractors) == [0.5, 0.5]
    assert abs(float(samdyn.iterate(step, jnp.asarray([0.9]), 500).w[0])) == pytest.approx(
        1, abs=1e-6
    )
    saddle = samdyn.StepMap(SADDLE, Trailing(0.0), 0.1)
    # along curvature −1 the saddle holds from ρ = 1 on, with whatever memory
    how = {"start": [0.0, 0.1], "target": [0.0, 0.0], "steps": 2000, "within": 0.05}
    assert samdyn.threshold(saddle, "rho", (0.5, 2.0), **how, rtol=1e-3).rho == pytest.approx(
        1, abs=0.01
    )
    figure = samdyn.portrait(saddle.at(rho=0.3), ((-1, 1), (-1, 1)), steps=20)
    plt.close(figure)
    optimizer, w = samdyn.optax.sam(optax.sgd(0.1), Trailing(0.3)), jnp.asarray([0.3, 0.1])
    gradient, state = jax.grad(SADDLE), None
    state, expected = optimizer.init(w), saddle.at(rho=0.3).init(w)
    for _ in range(3):
        updates, state = optimizer.update(gradient(w), state, w, grad_fn=gradient)
        w, expected = w + updates, saddle.at(rho=0.3)(expected)
    np.testing.assert_allclose(w, expected.w, rtol=0, atol=1e-14)
    noisy = samdyn.StochasticStepMap(SADDLE, Trailing(0.3), 0.05, samdyn.Isotropic(2.0))
    escapes = samdyn.escape_times(noisy, [0.0, 0.0], Interval(1.0), paths=100, max_time=100.0)
    assert escapes.summary.mean > 0


def test_a_method_with_memory_has_no_flow_and_no_sweep():
    with pytest.raises(samdyn.InvalidInput, match="remembers something from step to step"):
        samdyn.Flow(SADDLE, Trailing(0.1))
    with pytest.raises(samdyn.InvalidInput, match="remembers something"):
        samdyn.diagnose(
            samdyn.StepMap(lambda w, b: jnp.sum(w * b), Trailing(0.1), 0.1), jnp.ones(1), []
        )


@pytest.mark.thorough
def test_a_method_that_does_not_declare_its_jump_is_judged_as_one_that_jumps():
    found = samdyn.stability(samdyn.StepMap(SADDLE, Silent(0.5), 0.1), at=[0.0, 0.0])
    assert verdicts(found) == [("attractor", ("attractor", "period-2"))]
    assert any("Silent jumps by up to 0.5" in warning for warning in found.warnings)


@pytest.mark.thorough
def test_any_optimizer_and_any_minibatch_take_their_method_and_coupling():
    sgd = optax.sgd(0.1)
    theirs, ours = (
        samdyn.iterate(samdyn.OptaxStepMap(SADDLE, sgd, m), jnp.asarray(HERE), 20).w
        for m in (TheirSAM(0.2), samdyn.SAM(0.2))
    )
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-12)
    loss = lambda w, x: jnp.sum((w - x) ** 2) / 2  # noqa: E731
    data, ends = np.random.default_rng(0).normal(size=(16, 2)), []
    for parts in ((TheirSAM(0.1), OuterOnly()), (samdyn.SAM(0.1), samdyn.Fresh())):
        method, coupling = parts
        step = samdyn.MinibatchStepMap(loss, data, 4, method, 0.1, coupling)
        found = samdyn.escape_times(step, [0.0, 0.0], Interval(0.2), paths=50, max_time=50.0)
        ends.append(found.summary.mean)
    assert ends[0] == pytest.approx(ends[1], rel=1e-5)


# ---------------------------------------------------------------- momentum, noise, coupling


def test_the_edge_of_their_momentum_decides_the_verdict():
    momentum, a = QuasiHyperbolic(0.9, 0.7), 2.0
    for share, verdict in ((0.99, "attractor"), (1.01, "repeller")):
        step = samdyn.StepMap(
            samdyn.quadratic((a,), None), samdyn.GD(), share * momentum.edge() / a, momentum
        )
        found = samdyn.stability(step, at=[0.0]).points[0].step
        assert (found.verdict == "attractor") == (verdict == "attractor")


@pytest.mark.thorough
def test_a_copy_of_the_heavy_ball_is_taken_wherever_it_is():
    """Diffusions, variances and diagnoses know heavy-ball momentum by what it declares."""
    found = []
    for momentum in (TheirHeavyBall(0.5), samdyn.HeavyBall(0.5)):
        noisy = samdyn.StochasticStepMap(
            SADDLE, samdyn.USAM(0.1), 0.05, samdyn.Isotropic(1.0), momentum=momentum
        )
        inertial = samdyn.Diffusion(
            SADDLE, samdyn.USAM(0.1), 0.05, samdyn.Isotropic(1.0), momentum=momentum
        )
        conformance.check_sde(inertial, HERE)
        found.append(samdyn.spread(noisy, [0.0, 0.0], time=0.5, paths=1000).exact.map)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-12)
    with pytest.raises(samdyn.InvalidInput, match="heavy-ball momentum or none"):
        samdyn.Diffusion(
            SADDLE, samdyn.GD(), 0.05, samdyn.Isotropic(1.0), momentum=QuasiHyperbolic(0.9, 0.7)
        )


@pytest.mark.thorough
def test_their_noise_makes_paths_leave_as_quadrature_says():
    """On curvature a with gradient descent: dw = −aw dt + √η s dW, in one dimension."""
    eta, s, a = 0.05, 3.0, 1.0
    diffusion = samdyn.Diffusion(samdyn.quadratic((a,), None), samdyn.GD(), eta, Uniform(s))
    found = samdyn.escape_times(diffusion, [0.0], Interval(1.0), paths=4000)
    exact = samdyn.exit_time(lambda w: -a * w, lambda w: 0 * w + np.sqrt(eta) * s, 0.0, -1.0, 1.0)
    error = found.summary.mean / np.sqrt(found.summary.n)
    assert abs(found.summary.mean - exact.mean) < SURE * error + 0.003 * exact.mean
    told = samdyn.theory(diffusion, [0.0], Interval(1.0))
    assert told["exact"] == pytest.approx(exact.mean, rel=1e-9)


def test_their_noise_spreads_as_its_covariance_says():
    step = samdyn.StochasticStepMap(
        samdyn.quadratic((2.0, 1.0), None), samdyn.GD(), 0.1, Uniform(0.5)
    )
    found = samdyn.spread(step, [0.0, 0.0], time=2.0, paths=4000)
    exact = samdyn.map_variance(np.array([1.0, 2.0]), 0.25, 0.1, 20)
    np.testing.assert_allclose(found.exact.map, exact, rtol=1e-9)
    assert np.all(np.abs(found.variance - exact) < SURE * np.sqrt(2 / 4000) * exact)


@pytest.mark.thorough
def test_a_copy_of_the_fresh_coupling_does_what_fresh_does():
    noise, means = samdyn.Isotropic(2.0), []
    for coupling in (OuterOnly(), OuterOnlySDE(), samdyn.Fresh()):
        step = samdyn.StochasticStepMap(SADDLE, samdyn.USAM(0.2), 0.05, noise, coupling)
        found = samdyn.escape_times(step, [0.0, 0.0], Interval(1.0), paths=200, max_time=100.0)
        means.append(found.summary.mean)
    assert means[0] == pytest.approx(means[2], rel=1e-5)
    assert means[1] == pytest.approx(means[2], rel=1e-5)
    w = jnp.asarray(HERE)
    theirs, ours = (
        samdyn.Diffusion(SADDLE, samdyn.USAM(0.2), 0.05, noise, c)
        for c in (OuterOnlySDE(), samdyn.Fresh())
    )
    np.testing.assert_allclose(theirs.drift(w), ours.drift(w), atol=1e-14)
    np.testing.assert_allclose(theirs.matrix(w), ours.matrix(w), atol=1e-14)


def test_a_coupling_of_the_step_alone_has_no_diffusion():
    diffusion = samdyn.Diffusion(SADDLE, samdyn.USAM(0.2), 0.05, samdyn.Isotropic(1.0), OuterOnly())
    with pytest.raises(samdyn.InvalidInput, match="outer-only says no drift and disperse"):
        samdyn.escape_times(diffusion, [0.0, 0.0], Interval(1.0), paths=10)


# ---------------------------------------------------------------- schemes, regions, SDEs


def test_their_sde_scheme_and_region_give_the_mean_exit_time_of_quadrature():
    sde, exact = Returning(1.0, 0.8), None
    exact = samdyn.exit_time(lambda w: -w, lambda w: 0 * w + 0.8, 0.0, -1.0, 1.0).mean
    for scheme in (Trapezoid, "heun"):
        found = samdyn.escape_times(sde, [0.0], Interval(1.0), paths=4000, scheme=scheme)
        error = found.summary.mean / np.sqrt(found.summary.n)
        assert abs(found.summary.mean - exact) < SURE * error + 0.003 * exact
    told = samdyn.theory(sde, [0.0], Interval(1.0))
    assert told["exact"] == pytest.approx(exact, rel=1e-9)


def test_their_scheme_is_refused_where_it_does_not_converge():
    sde = samdyn.SDE(lambda w, args: -w, lambda w, args: w[:, None])
    with pytest.raises(samdyn.InvalidInput, match="trapezoid needs additive noise"):
        samdyn.escape_times(sde, [0.5], Interval(1.0), paths=10, scheme=Trapezoid)


# ---------------------------------------------------------------- flows and maps


@pytest.mark.thorough
def test_their_flow_is_judged_and_caught():
    for rate, verdict in ((-0.5, "attractor"), (0.5, "repeller")):
        found = samdyn.stability(Spiral(rate), box=[[-1.0, 1.0], [-1.0, 1.0]]).points
        assert [p.flow.verdict for p in found] == [verdict]
        np.testing.assert_allclose(
            np.sort_complex(found[0].flow.eigenvalues), [rate - 1j, rate + 1j], atol=1e-9
        )
    caught = samdyn.basins(Spiral(-0.5), [[-1.0, 1.0], [-1.0, 1.0]], grid=4)
    assert [a.fraction for a in caught.attractors] == [1.0]
    path = samdyn.integrate(Spiral(0.25), jnp.asarray([0.1, 0.0]), 60.0)
    assert float(jnp.linalg.norm(path.w)) == pytest.approx(0.5, abs=1e-6)  # the limit cycle √rate
    plt.close(samdyn.portrait(Spiral(-0.5), ((-1, 1), (-1, 1)), starts=[(0.5, 0.5)], time=5.0))


@pytest.mark.thorough
def test_their_map_is_judged_caught_and_iterated():
    for k, verdict in ((2.5, "attractor"), (3.2, "repeller")):
        points = samdyn.stability(Logistic(k), box=[[-0.5, 1.0]]).points
        np.testing.assert_allclose([p.point.w[0] for p in points], [0, 1 - 1 / k], atol=1e-9)
        assert [p.step.verdict for p in points] == ["repeller", verdict]
        values = [p.step.eigenvalues[0].real for p in points]
        np.testing.assert_allclose(values, [k, 2 - k], atol=1e-9)
    caught = samdyn.basins(Logistic(2.5), [[0.01, 0.99]], grid=8, steps=500)
    assert [a.fraction for a in caught.attractors] == [1.0]
    assert float(samdyn.iterate(Logistic(2.5), jnp.asarray([0.2]), 200).w[0]) == pytest.approx(
        0.6, abs=1e-9
    )


def test_their_map_with_a_radius_has_a_threshold():
    """w⁺ = w(1.2 − ρ) ends at 0 from ρ = 0.2 on."""
    step = samdyn.Map(lambda w, args: (1.2 - args["rho"]) * w, {"rho": 0.0})
    conformance.check_map(step, HERE)
    found = samdyn.threshold(
        step, "rho", (0.0, 1.0), start=[0.1], target=[0.0], steps=5000, within=0.01, rtol=1e-3
    )
    assert found.rho == pytest.approx(0.2, abs=1e-3)


# ---------------------------------------------------------------- results, drawers, models


def test_their_result_is_kept_and_drawn(tmp_path):
    kept = Tally([3, 1]).save(tmp_path / "tally.zip")
    assert samdyn.load(kept).counts == [3, 1]
    ax = Tally([3, 1]).plot(color="k", alpha=0.5)
    assert [patch.get_height() for patch in ax.patches] == [3, 1]
    plt.close(ax.figure)


class Found(samdyn.CaptureThreshold):
    """A threshold that is drawn in another way."""


@samdyn.drawer(Found)
def a_line(result, ax=None, **style):
    ax = plt.subplots()[1] if ax is None else ax
    ax.axvline(result.rho, **style)
    return ax


def test_their_drawer_goes_before_that_of_the_class_that_is_extended():
    found = Found(0.1, 0.3, True, 1)
    conformance.check_drawer(a_line, found)
    ax = found.plot()
    assert [line.get_xdata()[0] for line in ax.lines] == [0.2]
    plt.close(ax.figure)


# ---------------------------------------------------------------- violations


class Silent(TheirSAM):
    """It jumps and says that it does not."""

    @property
    def discontinuous(self):
        return False


class Boastful(TheirSAM):
    @property
    def ascent(self):
        return "gradient"


class Static(samdyn.AbstractMethod):
    rho: float

    def perturb(self, gradient, w):
        return jax.tree.map(lambda x, g: x + self.rho * g, w, gradient(w))


class Forgetful(Trailing):
    @property
    def remembers(self):
        return False


class Squaring(samdyn.AbstractMethod):
    def perturb(self, gradient, w):
        return w

    def descend(self, gradient, w, ahead):
        return jax.tree.map(lambda g: g**2, gradient(ahead))


class Shapeless(samdyn.AbstractMethod):
    def perturb(self, gradient, w):
        return jnp.zeros(3)


class Higher(QuasiHyperbolic):
    def edge(self):
        return 17.0


class Greedy(QuasiHyperbolic):
    def gain(self):
        return 2.0


class Louder(Uniform):
    def covariance(self, loss, w):
        return 2 * super().covariance(loss, w)


class Round(Uniform):
    isotropic = True


class Unused(OuterOnly):
    minibatches = 2
    outer_only = False


class Biased(OuterOnlySDE):
    def drift(self, loss, method, noise, w):
        return jax.grad(loss)(w)


class FirstOnly(Trapezoid):
    def step(self, y, z):
        return y + self.slope(y) * self.dt + self.noise(y, z) * self.dt


class Eager(samdyn.EulerMaruyama):
    stable = 0.5


class Midway(samdyn.EulerMaruyama):
    """It averages the noise over the step, which is Stratonovich's integral."""

    def step(self, y, z):
        ahead = super().step(y, z)
        kick = (self.noise(y, z) + self.noise(ahead, z)) / 2
        return y + self.slope(y) * self.dt + kick * jnp.sqrt(self.dt)


class Stretched(Interval):
    def distance(self, w):
        return 2 * super().distance(w)


class Inverted(Interval):
    def distance(self, w):
        return -super().distance(w)


class Driven(Spiral):
    def __call__(self, t, w, args=None):
        return t * self.velocity(w)


class Growing(Logistic):
    def __call__(self, state):
        return samdyn.State(state.w, state.w)


class Affine(Returning):
    def disperse(self, y, z):
        return super().disperse(y, z) + 1


def opens_its_own(result, ax=None, **style):
    return plt.subplots()[1]


def the_same_net(key):
    return their_net(jax.random.key(0))


VIOLATIONS = {
    "jumps": (
        lambda: conformance.check_method(Silent(0.1)),
        "w^p − w of Silent does not go to 0 at a critical point: declare discontinuous.",
    ),
    "ascent": (
        lambda: conformance.check_method(Boastful(0.1)),
        "w^p of Boastful is not what its ascent, 'gradient', says.",
    ),
    "static": (
        lambda: conformance.check_method(Static(0.1)),
        "Static compiles anew for another rho",
    ),
    "memory": (
        lambda: conformance.check_method(Forgetful(0.1)),
        "Forgetful keeps something between steps but remembers is False",
    ),
    "linear": (
        lambda: conformance.check_method(Squaring()),
        "descend of Squaring is not linear in the gradient",
    ),
    "shape": (
        lambda: conformance.check_method(Shapeless()),
        "w^p of Shapeless must have shape (4,), it has (3,).",
    ),
    "edge": (
        lambda: conformance.check_momentum(Higher(0.9, 0.7)),
        "edge of Higher is 17, but its steps grow from 5.9375 on.",
    ),
    "gain": (
        lambda: conformance.check_momentum(Greedy(0.9, 0.7)),
        "gain of Greedy is 2, but one unit of descent causes 1 in all.",
    ),
    "covariance": (
        lambda: conformance.check_noise(Louder(0.5), SADDLE, HERE),
        "covariance of Louder is not that of what it draws.",
    ),
    "isotropic": (
        lambda: conformance.check_noise(Round(0.5), SADDLE, HERE),
        "Round declares isotropic, but its covariance is not a multiple of the identity.",
    ),
    "minibatches": (
        lambda: conformance.check_coupling(Unused()),
        "Unused draws 2 minibatches, but number 1 changes nothing.",
    ),
    "drift": (
        lambda: conformance.check_coupling(Biased()),
        "drift of Biased is not the mean of its steps.",
    ),
    "order": (
        lambda: conformance.check_scheme(FirstOnly),
        "the variance of a step of trapezoid is not that of the SDE to O(dt²)",
    ),
    "stable": (
        lambda: conformance.check_scheme(Eager),
        "stable of euler is too long a step: with dt·rate = 0.5",
    ),
    "additive only": (
        lambda: conformance.check_scheme(Midway),
        "where noise depends on w: additive_only?",
    ),
    "exact": (
        lambda: conformance.check_region(Stretched(1.0), HERE),
        "Stretched declares exact, but its distance does not change by 1 for each unit of w.",
    ),
    "inside": (
        lambda: conformance.check_region(Inverted(1.0), HERE),
        "distance of Inverted is not positive at (0.3, 0.2), inside.",
    ),
    "autonomous": (
        lambda: conformance.check_ode(Driven(0.5), HERE),
        "Driven is another one at another time",
    ),
    "state": (
        lambda: conformance.check_map(Growing(2.5), HERE),
        "a state after a step of Growing must be",
    ),
    "dispersion": (
        lambda: conformance.check_sde(Affine(1.0, 0.5), HERE),
        "disperse of Affine is not linear in z.",
    ),
    "axes": (
        lambda: conformance.check_drawer(opens_its_own, Tally([1])),
        "opens_its_own must return the axes that it is given.",
    ),
    "seed": (
        lambda: conformance.check_model(the_same_net, (2, 2), 3),
        "the_same_net makes the same network of every key.",
    ),
    "not a method": (
        lambda: conformance.check_method(eqx.nn.Identity()),
        "a method such as samdyn.SAM(0.05) is needed, not a Identity.",
    ),
}


@pytest.mark.parametrize("what", VIOLATIONS)
def test_a_violation_gets_one_clear_sentence(what):
    check, sentence = VIOLATIONS[what]
    with pytest.raises(samdyn.InvalidInput) as caught:
        check()
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
