"""Methods that jump by a part of ρ, not at all, or bend: judged in the limit at the point."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from verbs import stability, sweep

from samdyn import ASAM, GD, SAM, USAM, MultiStep, quadratic
from samdyn.attractors.judging.jump import limit_at
from samdyn.dynamics.methods.method import AbstractMethod
from samdyn.dynamics.systems.flow import Flow
from samdyn.dynamics.tree import as_array

SADDLE = quadratic((2.0, -1.0), seed=None)
ORIGIN = (0.0, 0.0)


def double_well(w):
    return (w[0] ** 2 - 1) ** 2 / 4


class Unified(AbstractMethod):
    """ρ((1 − part) + part/‖g‖) g: jumps by ρ·part."""

    rho: jax.Array = eqx.field(converter=as_array)
    part: jax.Array = eqx.field(converter=as_array, default=0.5)
    says: bool = eqx.field(static=True, default=True)

    @property
    def discontinuous(self):
        return self.says

    def perturb(self, gradient, w):
        g = gradient(w)
        norm = jnp.linalg.norm(g)
        unit = jnp.where(norm > 0, g / jnp.where(norm > 0, norm, 1), 0)
        return w + self.rho * ((1 - self.part) * g + self.part * unit)


class Signed(AbstractMethod):
    """w + ρ|w|^power·sign(g): bends at 0 for power 1, jumps for power 0."""

    rho: jax.Array = eqx.field(converter=as_array)
    power: int = eqx.field(static=True, default=1)

    def perturb(self, gradient, w):
        size = jnp.abs(w) if self.power else jnp.ones_like(w)
        return w + self.rho * size * jnp.sign(gradient(w))


@pytest.mark.parametrize("part", [0.25, 0.5, 1.0])
@pytest.mark.thorough
def test_the_maximum_attracts_where_the_jump_reaches_the_slope_beyond(part):
    """The double well's maximum at 0 is pulled back from ρ·part < 1, and the event is there."""
    for rho, verdict in ((0.95 / part, "attractor"), (1.05 / part, "repeller")):
        (point,) = stability(double_well, Unified(rho, part), at=[0.0]).points
        assert point.flow.verdict == verdict
    found = sweep(double_well, Unified(0.1, part), np.linspace(0.6, 1.37, 8) / part, at=[0.0])
    (event,) = found.bifurcations
    assert event.rho == pytest.approx(1 / part, rel=1e-6)
    assert (event.before, event.after) == ("attractor", "repeller")


@pytest.mark.parametrize("eps", [0.02, 0.04, 0.06, 0.2, 1.0])
@pytest.mark.thorough
def test_sam_with_eps_restores_negative_curvature_as_usam_with_rho_over_eps(eps):
    """−1 is restored iff ρ/eps > 1; the step's multipliers are 1 − ηλ(1 + ρλ/eps)."""
    (point,) = stability(SADDLE, SAM(0.05, eps), at=ORIGIN, learning_rate=0.1).points
    (twin,) = stability(SADDLE, USAM(0.05 / eps), at=ORIGIN, learning_rate=0.1).points
    assert point.flow.verdict == twin.flow.verdict == ("attractor" if eps < 0.05 else "saddle")
    np.testing.assert_allclose(
        np.sort(point.step.eigenvalues.real), np.sort(twin.step.eigenvalues.real), rtol=1e-12
    )
    assert (point.step.verdict == "attractor") == (twin.step.verdict == "attractor")


@pytest.mark.thorough
def test_a_tiny_eps_is_smooth_at_the_point_and_normalised_beyond():
    """As in training codes: the flow rests there, the step alternates about it as without eps."""
    loss = quadratic((2.0, -1.0), seed=None)
    tiny, none = (
        stability(loss, SAM(0.05, eps), at=ORIGIN, learning_rate=0.6).points[0]
        for eps in (1e-12, 0.0)
    )
    assert tiny.flow.verdict == none.flow.verdict == "attractor"
    assert tiny.step.verdict == none.step.verdict
    assert tiny.step.orbit == none.step.orbit
    assert "close to the point" in tiny.step.why


@pytest.mark.thorough
def test_a_jump_that_is_not_declared_is_measured_and_said():
    said = stability(double_well, Unified(1.6), at=[0.0])
    silent = stability(double_well, Unified(1.6, says=False), at=[0.0])
    assert silent.points[0].flow.verdict == said.points[0].flow.verdict == "attractor"
    assert said.warnings == ()
    assert "jumps by up to 0.8" in silent.warnings[0]
    assert str(silent).startswith("warning: Unified jumps")
    signed = stability(SADDLE, Signed(0.3, 0), at=ORIGIN)
    assert "jumps by up to 0.424" in signed.warnings[0]


def test_a_method_that_bends_has_no_linear_verdict():
    (point,) = stability(SADDLE, Signed(0.3), at=ORIGIN, learning_rate=0.1).points
    assert (point.flow.verdict, point.step.verdict) == ("unknown", "unknown")
    away = lambda w: SADDLE(w - 1)  # |w| is smooth there, and the method jumps  # noqa: E731
    assert limit_at(Flow(away, Signed(0.3)), np.ones(2)).jump > 0.1


@pytest.mark.parametrize(
    ("method", "jump"),
    [
        (GD(), 0.0),
        (USAM(0.3), 0.0),
        (SAM(0.3), 0.3),
        (SAM(0.3, 0.1), 0.0),
        (SAM(0.3, 1e-12), 0.0),
        (MultiStep(SAM(0.3), 2), None),
        (ASAM(0.3), None),
    ],
)
@pytest.mark.parametrize("offset", [0.0, 1e4, -1e6])
@pytest.mark.thorough
def test_the_jump_of_every_method_at_any_origin(method, jump, offset):
    loss = lambda w: SADDLE(w - offset)  # noqa: E731
    found = limit_at(Flow(loss, method), np.full(2, offset))
    if jump is None:
        assert found.jump > 1e-3
    else:
        assert found.jump == pytest.approx(jump, rel=1e-6)
    assert not found.bent or found.jump > 0


@pytest.mark.thorough
def test_in_one_dimension_what_is_left_is_a_repeller():
    """No direction could stay: SAM's orbit that escapes, a step that overshoots."""
    steep = stability(quadratic((-30.0,)), SAM(0.1), at=[0.0], learning_rate=0.1).points[0]
    over = stability(quadratic((3.0,)), GD(), at=[0.0], learning_rate=1.0).points[0]
    assert (steep.step.verdict, over.step.verdict) == ("repeller", "repeller")


@pytest.mark.thorough
def test_a_hundred_quadratics_have_the_verdicts_of_their_spectrum():
    """Conditions up to 10¹², any scale and origin: GD and USAM, flow and step."""
    rng, known = np.random.default_rng(0), 0
    for number in range(100):
        d = 1 + number % 3
        size = 10 ** rng.uniform(-6, 6, d)
        h = rng.choice([-1.0, 1.0], d) * size
        at = rng.normal(size=d) * rng.choice([0.0, 1.0, 1e6])
        rho = rng.choice([0.0, 0.5, 2.0]) / np.min(np.abs(h))
        eta = rng.uniform(0.1, 3) / np.max(np.abs(h * (1 + rho * h)))
        shifted = Bowl(h, at)
        try:
            (point,) = stability(shifted, USAM(rho), at=at, learning_rate=eta).points
        except Exception as error:
            raise AssertionError(f"{h} at {at}") from error
        rates = -h * (1 + rho * h)
        told = point.flow.verdict
        if told != "degenerate":  # which is a word
            assert told == named(rates), (h, rho)
            assert point.step.verdict in (named(np.abs(1 + eta * rates) - 1), "degenerate")
            known += 1
    assert known > 50


def named(growth):
    if np.all(growth < 0):
        return "attractor"
    return "repeller" if np.all(growth > 0) else "saddle"


class Bowl(eqx.Module):
    """½ Σ h (w − at)²."""

    h: jax.Array = eqx.field(converter=as_array)
    at: jax.Array = eqx.field(converter=as_array)

    def __call__(self, w):
        return jnp.sum(self.h * (w - self.at) ** 2) / 2


class OneOnly(AbstractMethod):
    """Ascends along the first coordinate by ρ·sign: the field does not move some directions."""

    rho: jax.Array = eqx.field(converter=as_array)

    def perturb(self, gradient, w):
        return w.at[0].add(self.rho * jnp.sign(gradient(w)[0]))


class Careless(AbstractMethod):
    """ρg/(‖g‖ + eps) whose norm has no derivative at 0."""

    rho: jax.Array = eqx.field(converter=as_array)

    def perturb(self, gradient, w):
        g = gradient(w)
        return w + self.rho * g / (jnp.linalg.norm(g) + 1e-12)


@pytest.mark.parametrize("seed", [None, 3, 4])
@pytest.mark.parametrize("method", [OneOnly(0.3), OneOnly(1.2), Careless(0.05)])
@pytest.mark.thorough
def test_what_a_jump_in_some_directions_or_no_derivative_leaves_open_is_unknown(method, seed):
    loss = quadratic((2.0, -1.0), seed=seed)
    (point,) = stability(loss, method, at=ORIGIN).points
    assert point.flow.verdict == "unknown"
    result = sweep(loss, method, [0.1, 0.4, 0.9], at=ORIGIN)
    assert set(result.branches[0].verdict) == {"unknown"}


@pytest.mark.parametrize("power", [0, 1])
@pytest.mark.thorough
def test_a_sweep_says_what_is_not_declared_and_what_bends(power):
    """w + ρ|w|·sign(g) turns the maximum at 0 at ρ = 1; its Jacobian there does not see it."""
    result = sweep(double_well, Signed(0.1, power), np.linspace(0.0, 2.0, 6), at=[0.0])
    names = result.branches[0].verdict
    assert names[0] == "repeller"
    if power:
        assert set(names[1:]) == {"unknown"}
        assert not result.bifurcations
    else:
        assert "jumps" in result.warnings[0]
        assert result.to_dict()["warnings"] == list(result.warnings)
        assert str(result).startswith("warning: Signed jumps")


@pytest.mark.parametrize("method", [GD(), USAM(0.1)])
@pytest.mark.thorough
def test_on_one_parameter_what_grows_is_a_repeller_with_momentum_too(method):
    (point,) = stability(double_well, method, at=[0.0], learning_rate=0.1, momentum=0.9).points
    assert (point.flow.verdict, point.step.verdict) == ("repeller", "repeller")


@pytest.mark.parametrize("spectrum", [(1.0, 2.0), (1.0, 5.0), (-1.0, 3.0)])
@pytest.mark.thorough
def test_a_step_of_sam_that_every_direction_leaves_is_a_repeller(spectrum):
    point = stability(
        quadratic(spectrum, seed=None), SAM(0.1), at=ORIGIN, learning_rate=2.5
    ).points[0]
    assert (point.step.verdict, point.step.orbit) == ("repeller", "escapes")


class Tanh(AbstractMethod):
    """w + ρ·tanh(g/s): analytic, with the slope ρ/s at 0, and as flat as a sign beyond s."""

    rho: jax.Array = eqx.field(converter=as_array)
    s: jax.Array = eqx.field(converter=as_array)

    def perturb(self, gradient, w):
        return w + self.rho * jnp.tanh(gradient(w) / self.s)


class Clipped(AbstractMethod):
    """w + 1000 g near 0, where a norm is cut off; its derivative is nan there, and has no part."""

    rho: jax.Array = eqx.field(converter=as_array)

    def perturb(self, gradient, w):
        g = gradient(w)
        return w + g * jnp.minimum(self.rho / jnp.maximum(jnp.linalg.norm(g), 1e-12), 1e3)


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("scale", [1e-2, 1e-6, 1e-12])
@pytest.mark.thorough
def test_a_method_that_is_smooth_on_a_tiny_scale_does_not_bend(scale, unit):
    """Slopes −h(1 + hρ/s): all contract on the saddle (2, −1) for ρ/s > 1."""
    method = Tanh(0.1 * unit, scale * unit)
    (point,) = stability(SADDLE, method, at=ORIGIN, learning_rate=0.1).points
    assert point.flow.verdict == "attractor"
    rates = np.sort(np.real(point.flow.eigenvalues))
    np.testing.assert_allclose(rates, np.sort([-2 - 0.4 / scale, 1 - 0.1 / scale]), rtol=1e-6)
    if scale * unit <= 1e-6:  # steps never see the slope: they hover about the point
        assert point.step.verdict == "attractor"
        assert "close to the point" in point.step.why


class Steep(AbstractMethod):
    """w + ρ√|g|, with the sign of g: its slope at a critical point is infinite."""

    rho: jax.Array = eqx.field(converter=as_array)

    def perturb(self, gradient, w):
        g = gradient(w)
        return w + self.rho * jnp.sign(g) * jnp.sqrt(jnp.abs(g))


def test_a_derivative_that_is_not_finite_is_no_bend():
    (point,) = stability(SADDLE, Steep(0.1), at=ORIGIN).points
    assert point.flow.verdict == "unknown"
    assert "derivative of the method is not finite" in point.flow.why


def test_what_is_cut_off_has_no_part_in_the_slope():
    """On the saddle (2, −1): rates −h(1 + 1000h)."""
    (point,) = stability(SADDLE, Clipped(0.1), at=ORIGIN).points
    assert point.flow.verdict == "attractor"
    np.testing.assert_allclose(np.sort(np.real(point.flow.eigenvalues)), [-4002, -999])


@pytest.mark.thorough
def test_nothing_is_trapped_whatever_rho_where_the_ascent_is_bounded():
    """ρ/(‖g‖ + eps) ≤ ¼ < 1/μ."""
    (point,) = stability(SADDLE, SAM(0.05, 0.2), at=ORIGIN, learning_rate=0.1).points
    assert point.step.verdict == "saddle"
    assert "trapped" not in point.step.why
