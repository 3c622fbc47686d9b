"""No verdict where the degree, the loss or the search can't vouch for it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from verbs import basins, capture_threshold, integrate, iterate, stability, sweep

from samdyn import (
    GD,
    SAM,
    USAM,
    ComputationFailed,
    Flow,
    InvalidInput,
    StepMap,
    describe_tail,
    get_loss,
)
from samdyn.attractors.finding.point import facts_at
from samdyn.cli.main import main
from samdyn.dynamics.tree import as_array

SQUARE = ((-2, 2), (-2, 2))


@pytest.mark.parametrize(
    ("loss", "box", "count"),
    [
        (lambda w: w[0] ** 3 + w[1] ** 2, SQUARE, 1),
        (lambda w: (w[0] - w[1]) ** 2 + w[0] ** 3, SQUARE, 1),
        (lambda w: 100 * w[0] ** 3 - w[1] ** 2, SQUARE, 1),
        (lambda w: w[0] - jnp.sin(w[0]), ((-8, 8),), 3),
        (lambda w: (w[0] - 0.5) ** 3, ((-2, 2),), 1),
    ],
)
def test_a_fold_is_no_minimum(loss, box, count):
    """Zeros of even order: the degree about them is 0, which no nondegenerate point has."""
    result = stability(loss, GD(), box=box, learning_rate=0.01)
    places = np.array([p.point.w for p in result.points])
    assert len(np.unique(np.round(places, 3), axis=0)) == count
    for point in result.points:
        assert point.point.critical_type == "degenerate"
        assert {point.flow.verdict, point.step.verdict} <= {"unknown", "degenerate"}
    if any(p.flow.verdict == "unknown" for p in result.points):
        assert not result.certain


def likelihood(w):
    """Mean w₀, deviation w₁ > 0; the derivative of log exists at −1, log does not."""
    return 10 * jnp.log(w[1]) + (20 + 10 * (w[0] - 1.5) ** 2) / (2 * w[1] ** 2)


@pytest.mark.parametrize(
    ("loss", "minimum"),
    [
        (likelihood, (1.5, 2**0.5)),
        (lambda w: jnp.where(w[0] > 0, (w[0] - 1) ** 2, jnp.inf) + w[1] ** 2, (1.0, 0.0)),
    ],
)
@pytest.mark.thorough
def test_nothing_rests_where_there_is_no_loss(loss, minimum):
    result = stability(loss, GD(), box=((-3, 3), (-3, 3)), learning_rate=0.01)
    assert all(np.isfinite(p.point.loss) for p in result.points)
    assert len(result.points) == 1
    np.testing.assert_allclose(result.points[0].point.w, minimum, atol=1e-8)


@pytest.mark.thorough
def test_no_basin_where_there_is_no_loss():
    found = basins(likelihood, GD(), box=((0, 3), (-3, 3)), grid=8, learning_rate=0.01)
    (one,) = found.attractors
    np.testing.assert_allclose(one.w, (1.5, 2**0.5), atol=1e-6)
    assert one.fraction == 0.5


def test_an_empty_list_is_not_called_complete_where_gradients_jump():
    """In four dimensions kinks are not found."""
    loss = lambda w: 0.5 * jnp.sum((w - 2) ** 2) + 3 * jnp.sum(jnp.abs(w))  # noqa: E731
    result = stability(loss, GD(), box=((-1, 3),) * 4)
    text = str(result)
    assert not result.points
    assert not result.certain
    assert "kinks, where the gradient jumps" in text
    assert "No fixed point in this box." not in text


def test_the_command_ends_with_1_where_nothing_is_certain(tmp_path, capsys):
    file = tmp_path / "mine.py"
    file.write_text(
        "import jax.numpy as jnp\n\ndef kink(w):\n    return jnp.sum(jnp.abs(w - 0.3))\n"
    )
    box = "--box=" + ";".join(["-1,1"] * 4)
    assert main(["stability", f"{file}:kink", box, "--method", "gd"]) == 1
    assert "one may be in this box" in capsys.readouterr().out


def test_twins_are_one_point_also_where_the_field_overflows_beside_it():
    """Beale's (0, 1): beside it, within 1e-156, the Jacobian of normalised SAM overflows."""
    beale = get_loss("beale")
    flow = Flow(beale, SAM(0.5))
    facts = facts_at(flow, np.array([[0.0, 1.0], [-8.6e-156, 1.0], [1e-300, 1.0]]))
    np.testing.assert_allclose(facts.hessian_eigenvalues, [[-27.75, 27.75]] * 3, rtol=1e-9)
    assert not np.any(facts.singular)


@pytest.mark.thorough
def test_the_demo_lists_every_point_once():
    beale = get_loss("beale")
    result = stability(beale, SAM(0.5), box=((-1.5, 3.7), (-0.5, 2.7)))
    found = {tuple(np.round(p.point.w, 3) + 0.0): p for p in result.points}
    assert len(found) == len(result.points)
    assert found[0.0, 1.0].point.critical_type == "saddle"
    assert found[0.0, 1.0].flow.verdict == "attractor"
    assert found[3.0, 0.5].flow.verdict == "attractor"
    assert all(p.point.critical_type != "degenerate" for p in result.points)
    assert result.complete.consistent


class Wells(eqx.Module):
    """(h₀ x² − h₁)² / 4h₁ + h₂ y²/2 about a centre: minima at ±√(h₁/h₀), a saddle between."""

    h: jax.Array = eqx.field(converter=as_array)
    centre: jax.Array = eqx.field(converter=as_array)

    def __call__(self, w):
        x, y = w - self.centre
        return (self.h[0] * x**2 - self.h[1]) ** 2 / (4 * self.h[1]) + self.h[2] * y**2 / 2


@pytest.mark.parametrize("centre", [0.0, 1e4, -1e6])
@pytest.mark.thorough
def test_moving_the_origin_changes_no_verdict(centre):
    box = ((centre - 2, centre + 2),) * 2
    loss = Wells([1.0, 1.0, 1.0], [centre, centre])
    result = stability(loss, SAM(0.3), box=box, learning_rate=0.01)
    near = np.array([p.point.w for p in result.points]) - centre
    np.testing.assert_allclose(near[:, 0], [-1, -0.3, 0, 0.3, 1], atol=1e-6)
    assert [p.flow.verdict for p in result.points] == ["attractor", "saddle"] * 2 + ["attractor"]
    assert result.complete.consistent


def descended(h, centre, w, eta, steps):
    """Gradient descent by hand, (n, 2) starts."""
    x = w - centre
    for _ in range(steps):
        g = np.stack([h[0] * x[:, 0] * (h[0] * x[:, 0] ** 2 - h[1]) / h[1], h[2] * x[:, 1]], axis=1)
        x = x - eta * g
    return centre + x


@pytest.mark.thorough
def test_a_hundred_wells_have_the_basins_of_plain_descent():
    """Random widths, depths, conditions to 10⁴ and origins to 10⁶; few starts each."""
    rng = np.random.default_rng(0)
    flow_checked = 0
    for number in range(100):
        h = np.array([1.0, rng.uniform(0.5, 2), 10 ** rng.uniform(-1, 3)])
        centre = rng.choice([0.0, 1.0, -1e3, 1e6], 2)
        loss, eta = Wells(h, centre), 0.5 / max(3 * h[0], h[2])
        starts = centre + rng.uniform(-2, 2, (4, 2))
        want = descended(h, centre, starts, eta, 200)
        run = iterate(StepMap(loss, GD(), eta), jnp.asarray(starts[0]), 200)
        np.testing.assert_allclose(run.w, want[0], rtol=1e-9, atol=1e-9)
        if number % 25 == 0:
            box = np.stack([centre - 2, centre + 2], axis=1)
            found = basins(loss, GD(), box=box, grid=6, learning_rate=eta)
            grid = (centre - 2) + 4 * (np.stack(np.mgrid[:6, :6], -1).reshape(-1, 2) + 0.5) / 6
            ends = descended(h, centre, grid, eta, 20_000)
            places = np.array([a.w for a in found.attractors])
            labels = found.labels.ravel()
            assert np.all(labels >= 0)
            gap = np.linalg.norm(places[labels] - ends, axis=1)
            assert np.max(gap) < 1e-5
        if number < 3:
            path = integrate(Flow(loss, GD()), jnp.asarray(starts[0]), 50.0)
            end = centre[0] + np.sign(starts[0, 0] - centre[0]) * np.sqrt(h[1] / h[0])
            assert abs(float(path.w[0]) - end) < 1e-5
            flow_checked += 1
    assert flow_checked == 3


def test_capture_between_known_radii_or_a_sentence():
    """The double well's start 0.2 is captured by its maximum once ρ exceeds it."""
    loss = Wells([1.0, 1.0, 1.0], [0.0, 0.0])
    settings = {"start": [0.2, 0.0], "target": [0.0, 0.0], "learning_rate": 1e-3, "steps": 20_000}
    found = capture_threshold(loss, SAM(0.1), rho=(0.05, 0.6), **settings)
    assert found.low == pytest.approx(0.2, abs=0.01)
    with pytest.raises(ComputationFailed, match="captured at no radius"):
        capture_threshold(loss, SAM(0.1), rho=(0.01, 0.05), **settings)


@pytest.mark.parametrize("rho", [0.2, 0.45])
@pytest.mark.thorough
def test_a_hallucinated_zero_of_even_order_is_degenerate(rho):
    """x³ + y² under USAM: g(wᵖ) = (3(x + 3ρx²)², …) touches 0 at x = −1/3ρ from one side."""
    loss = Fold([3.0, 0.0, 0.0])
    result = stability(loss, USAM(rho), box=SQUARE, learning_rate=0.01)
    (point,) = (p for p in result.points if p.point.kind == "hallucinated")
    np.testing.assert_allclose(point.point.w, (-1 / (3 * rho), 0), atol=1e-6)
    assert {point.flow.verdict, point.step.verdict} == {"degenerate"}
    assert not result.complete.proven


@pytest.mark.thorough
def test_a_sweep_names_the_curve_that_it_does_not_follow():
    result = sweep(Fold([3.0, 0.0, 0.0]), USAM(0.1), [0.0, 0.2, 0.4], box=SQUARE)
    assert {name for b in result.branches for name in b.verdict} == {"degenerate"}
    assert "is not followed" in str(result).splitlines()[0]
    nothing = sweep(Fold([0.0, 1.0, 0.0]), USAM(0.1), [0.0, 0.2, 0.4], box=SQUARE)
    assert not nothing.branches
    assert "one may be in this box" in nothing.warnings[0]


class Fold(eqx.Module):
    """a x³/3 + b x + y²."""

    a: jax.Array = eqx.field(converter=as_array)

    def __call__(self, w):
        return self.a[0] * w[0] ** 3 / 3 + self.a[1] * w[0] + w[1] ** 2


def pulled(w):
    """Undefined for x < 0, where its derivative exists and leads across."""
    return (w[0] - 1) ** 2 + 1e-3 * jnp.log(w[0]) + w[1] ** 2


@pytest.mark.thorough
def test_a_start_without_a_loss_is_in_no_basin():
    """All starts end at the minimum; half of them began where there is no loss."""
    found = basins(pulled, GD(), box=SQUARE, grid=6, learning_rate=0.05)
    assert [a.fraction for a in found.attractors] == [0.5]
    assert found.undecided == 0.5
    assert "not finite at 18 of 36 starts" in str(found).splitlines()[0]


@pytest.mark.parametrize("centre", [1e7, -1e8])
@pytest.mark.thorough
def test_far_from_0_nothing_has_diverged(centre):
    box = ((centre - 2, centre + 2),) * 2
    found = basins(Wells([1.0] * 3, [centre] * 2), GD(), box=box, grid=6, learning_rate=0.1)
    assert found.diverged == 0
    at = np.array([a.w for a in found.attractors]) - centre
    np.testing.assert_allclose(at, [(-1, 0), (1, 0)], atol=1e-6)
    assert [a.fraction for a in found.attractors] == [0.5, 0.5]


@pytest.mark.parametrize("centre", [1e10, -1e13])
def test_a_box_that_double_precision_cannot_resolve_is_refused(centre):
    with pytest.raises(InvalidInput, match="spacings of double precision"):
        stability(Wells([1.0] * 3, [centre] * 2), GD(), box=((centre - 2, centre + 2),) * 2)


@pytest.mark.parametrize("centre", [0.0, 1e4, -1e6, 1e8])
def test_a_slow_run_is_not_at_rest_wherever_the_origin_is(centre):
    step = StepMap(Wells([1.0] * 3, [centre] * 2), GD(), 1e-6)
    tail = iterate(step, jnp.full(2, centre + 0.5), 100).tail
    assert describe_tail(np.asarray(tail)).period is None
    still = iterate(step, jnp.asarray([centre + 1, centre]), 100).tail
    assert describe_tail(np.asarray(still)).period == 1
