"""What rests on the edges of a loss, against closed forms, constrained minimisation and slides."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize, minimize_scalar

from samdyn import GD, SAM, USAM, Flow, stability
from samdyn.attractors.judging.kink import kink_verdict

BOX = ((-3.0, 3.0), (-3.1, 3.2))


def hinge(w):
    return jnp.maximum(0.0, 1 - w[0] * w[1]) + 0.1 * (w @ w)


def ring(w):
    return jnp.abs(w @ w - 1) + 0.2 * w[0]


def curve(w):
    return jnp.abs(w[0] * w[1] - 1) + 0.05 * ((w[0] - 2) ** 2 + w[1] ** 2)


def bowls(w):
    one = (w[0] - 1) ** 2 + w[1] ** 2
    return jnp.maximum(one, (w[0] + 1) ** 2 + 2 * w[1] ** 2)


def ridge(w):
    return -jnp.abs(w[0] - w[1]) - 0.1 * (w[0] + w[1]) ** 2


def lasso(w):
    return (w[0] - 2) ** 2 + (w[1] - 0.1) ** 2 + jnp.sum(jnp.abs(w))


def hollow(w):
    return jnp.where(w[0] > 0.5, (w[0] - 0.25) ** 2, (w[0] - 0.75) ** 2) + w[1] ** 2


def on_curve():
    """x, y = 1/x where (x − 2)² + 1/x² is least: on either branch of xy = 1."""
    roots = np.roots([1, -2, 0, 0, -1])  # x⁴ − 2x³ − 1
    x = np.sort(np.real(roots[np.abs(np.imag(roots)) < 1e-9]))
    return [((x, 1 / x), "minimum") for x in x]


KNOWN = {
    hinge: [((-1, -1), "minimum"), ((0, 0), "saddle"), ((1, 1), "minimum")],
    ring: [((-1, 0), "minimum"), ((0.1, 0), "maximum"), ((1, 0), "saddle")],
    curve: sorted([*on_curve(), ((-2 / 99, -20 / 99), "saddle")]),
    bowls: [((0, 0), "minimum")],
    ridge: [((0, 0), "maximum")],
    lasso: [((1.5, 0), "minimum")],
    hollow: [],  # at (0.5, 0) it jumps up and down again: descent crosses
}
ATTRACTS = {"minimum": "attractor", "maximum": "repeller", "saddle": "saddle"}
BY_NAME = {loss.__name__: loss for loss in KNOWN}


@pytest.mark.parametrize("name", [name for name in BY_NAME if name != "hollow"])
@pytest.mark.parametrize("units", [(1.0, 1.0), (1e3, 1e-4)])
@pytest.mark.parametrize("origin", [(0.0, 0.0), (7.0, -40.0)])
def test_critical_points_on_edges_are_proven_in_any_units(name, units, origin):
    loss, scale, shift = BY_NAME[name], np.array(units), np.array(origin)
    sides = (np.array(BOX) + shift[:, None]) * scale[:, None]
    found = stability(Flow(lambda w: loss(w / scale - shift), GD()), box=sides)
    known = KNOWN[loss]
    assert found.complete.proven
    assert [point.point.critical_type for point in found.points] == [name for _, name in known]
    for point, (w, name) in zip(found.points, known, strict=True):
        assert np.all(np.abs(point.point.w - (np.array(w) + shift) * scale) <= 1e-9 * np.abs(scale))
        assert point.point.enclosure is not None
        assert point.flow.verdict == ATTRACTS[name]


def quadratics(seed: int, count: int):
    """Bowls and saddles (a, b, c): ½wᵀaw + bᵀw + c."""
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(count, 2, 2)))[0]
    values = rng.uniform(0.3, 3, (count, 2, 1))
    return (
        turn @ (values * np.swapaxes(turn, 1, 2)),
        rng.normal(size=(count, 2)),
        rng.normal(size=count),
    )


@pytest.mark.parametrize("seed", range(20))
def test_the_minimum_of_a_maximum_of_bowls_is_that_of_a_constrained_program(seed):
    """min t with each bowl ≤ t is solved by SLSQP; the loss is convex, so there is one minimum."""
    a, b, c = quadratics(seed, 2)

    def values(w):
        return np.einsum("kij,i,j->k", a, w, w) / 2 + b @ w + c

    told = {"type": "ineq", "fun": lambda x: x[2] - values(x[:2])}
    end = minimize(lambda x: x[2], [0, 0, 9.0], constraints=told, method="SLSQP", tol=1e-13)
    A, B, C = map(jnp.asarray, (a, b, c))
    loss = lambda w: jnp.max(0.5 * jnp.einsum("kij,i,j->k", A, w, w) + B @ w + C)  # noqa: E731
    found = stability(Flow(loss, GD()), box=[(-20, 20)] * 2)
    assert [point.point.critical_type for point in found.points] == ["minimum"]
    np.testing.assert_allclose(found.points[0].point.w, end.x[:2], atol=1e-5)
    assert found.points[0].flow.verdict == "attractor"
    assert found.complete.proven


def test_a_jump_over_which_the_field_goes_on_is_no_fixed_point():
    found = stability(Flow(lambda w: (w @ w) + jnp.where(w[0] > 1, 0.0, 5.0), GD()), box=BOX)
    assert [tuple(point.point.w) for point in found.points] == [(0, 0)]
    assert found.complete.proven


@pytest.mark.parametrize("method", [SAM(0.3), USAM(0.1)])
@pytest.mark.parametrize(
    ("loss", "w"), [(hinge, (1.0, 1.0)), (ring, (-1.0, 0.0)), (lasso, (1.5, 0.0))]
)
def test_paths_slide_along_an_edge_at_the_rate_that_is_told(loss, w, method):
    """Euler steps of 1e-5 beside the edge: log distance along it falls at that rate."""
    flow = Flow(loss, method)
    found = stability(flow, box=BOX)
    (point,) = [point for point in found.points if np.allclose(point.point.w, w)]
    assert point.flow.verdict == "attractor"
    rate = float(point.flow.why.split()[-1])
    normal = (
        np.array([1.0, 1.0]) if loss is hinge else np.array(w) if loss is ring else np.eye(2)[1]
    )
    tangent = np.array([-normal[1], normal[0]]) / np.linalg.norm(normal)
    step = jax.jit(
        lambda v: jax.lax.fori_loop(0, 20_000, lambda _, v: v + 1e-5 * flow.velocity(v), v)
    )
    v = [jnp.asarray(np.array(w) + 0.02 * tangent)]
    v += [step(v[0])]
    v += [step(v[1])]
    far = [float((np.asarray(some) - w) @ tangent) for some in v]
    assert np.log(far[2] / far[1]) / 0.2 == pytest.approx(rate, rel=0.05)


def test_where_a_method_does_not_rest_no_verdict_is_told():
    found = stability(Flow(curve, SAM(0.3)), box=BOX)
    kinks = [point for point in found.points if point.point.kind == "kink"]
    assert len(kinks) == 2
    assert {point.flow.verdict for point in kinks} == {"unknown"}
    assert all("does not rest" in point.flow.why for point in kinks)


def test_of_an_ascent_over_edges_not_all_is_looked_for_and_it_says_so():
    found = stability(Flow(lasso, SAM(0.3)), box=BOX)
    assert not found.complete.proven
    assert "crosses an edge" in found.complete.method
    smooth = stability(Flow(lambda w: w @ w + jnp.maximum(w[0], -10.0), SAM(0.3)), box=BOX)
    assert smooth.complete.proven  # an edge that is nowhere near is none


def test_a_slope_that_only_changes_its_size_is_no_fixed_point():
    found = stability(Flow(lambda w: w[0] + jnp.maximum(w[0], 0.0) + w[1] ** 2, GD()), box=BOX)
    assert found.complete.proven
    assert not found.points


def uneven(seed: int):
    """Smooth random losses under maxima, minima, absolute values."""
    rng = np.random.default_rng(seed)
    waves, slopes = rng.normal(size=(3, 3, 4)) * [1.3, 1.3, 1, 0.7], 0.3 * rng.normal(size=(3, 4))

    def smooth(w, k):
        x, y = w
        total = 0.15 * (x * x + y * y) + slopes[k] @ jnp.stack([x, y, x * y, x * x])
        return total + sum(d * jnp.sin(a * x + b * y + c) for a, b, c, d in waves[k])

    kinds = (
        lambda f, g, h: jnp.maximum(f, g),
        lambda f, g, h: jnp.abs(f) + 0.3 * g,
        lambda f, g, h: jnp.maximum(f, jnp.maximum(g, h)),
        lambda f, g, h: jnp.minimum(f, g) + jax.nn.relu(h),
    )
    return lambda w: kinds[seed % 4](*(smooth(w, k) for k in range(3)))


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(8))
def test_no_proof_of_random_uneven_losses_is_false(seed):
    """Every end of a search without gradients that is a minimum is listed; every type that is
    proven is that of the loss on a small circle, whose lowest and highest points are sought."""
    loss = uneven(seed)
    value, values = jax.jit(loss), jax.jit(jax.vmap(loss))
    found = stability(Flow(loss, GD()), box=((-3, 3), (-3, 3)))
    where = np.array([item.point.w for item in found.points]).reshape(-1, 2)
    assert found.complete.consistent is not False

    def extreme(w, sign, radius):
        on = lambda a: w + radius * np.stack([np.cos(a), np.sin(a)], axis=-1)  # noqa: E731
        angles = np.linspace(0, 2 * np.pi, 4001)
        heights = sign * np.asarray(values(on(angles)))
        near = np.flatnonzero((heights < np.roll(heights, 1)) & (heights <= np.roll(heights, -1)))
        seek = lambda a: minimize_scalar(  # noqa: E731
            lambda x: sign * float(value(on(x))), bounds=(a - 2e-3, a + 2e-3), method="bounded"
        )
        return sign * min(seek(angles[k]).fun for k in near) - float(value(w))

    for start in np.random.default_rng(1).uniform(-3, 3, (24, 2)):
        corners = start + np.array([[0, 0], [0.05, 0], [0, 0.05]])
        told = {"xatol": 1e-9, "fatol": 1e-13, "maxiter": 2000, "initial_simplex": corners}
        end = minimize(lambda w: float(value(w)), start, method="Nelder-Mead", options=told).x
        if np.max(np.abs(end)) < 2.99 and extreme(end, 1, 1e-3) > 0:
            assert np.min(np.linalg.norm(where - end, axis=1)) < 1e-4, end
    for item in found.points:
        point = item.point
        if point.kind == "kink" and point.proven:
            falls, climbs = extreme(point.w, 1, 0.01) < 0, extreme(point.w, -1, 0.01) > 0
            name = "saddle" if falls and climbs else "maximum" if falls else "minimum"
            assert point.critical_type == name, point.w


def thick(v):
    a = jnp.log(v[0])
    return jnp.where(a < 0.5, v[0], jnp.where(a >= 0.5, 2 * v[0], (v[0] + 1) ** 2))


NEITHER_SIDE = {
    "equal in a region": (
        lambda v: jnp.where(jnp.clip(v[0], -1, 1) == v[0], (v[0] - 0.3) ** 2, 5 * v[0]),
        0.3,
    ),
    "equal by an absolute value": (
        lambda v: jnp.where(jnp.abs(v[0]) == v[0], (v[0] - 1) ** 2, 3 - 4 * v[0]),
        1.0,
    ),
    "always equal": (
        lambda v: jnp.where(3 * v[0] == v[0] + v[0] + v[0], (v[0] - 1) ** 2, 5 * v[0]),
        1.0,
    ),
    "different in a region": (
        lambda v: jnp.where(3 * jnp.maximum(v[0], 0) != 0, v[0], (v[0] + 1) ** 2 - 1),
        -1.0,
    ),
    "no number": (lambda v: jnp.where(jnp.isnan(jnp.exp(v[0])), 9 * v[0], jnp.abs(v[0])), 0.0),
    "no number in a region": (thick, -1.0),
}


@pytest.mark.parametrize("name", NEITHER_SIDE)
def test_a_region_on_neither_side_is_not_proven_away(name):
    loss, where = NEITHER_SIDE[name]
    found = stability(Flow(loss, GD()), box=[(-2.1, 3)])
    assert any(abs(item.point.w[0] - where) < 1e-9 for item in found.points)


@pytest.mark.parametrize("box", [(0, 2), (-2, 0), (0, 1e-3), (-1e-30, 1)])
@pytest.mark.parametrize("loss", [lambda v: jnp.abs(v[0]), lambda v: -jnp.abs(v[0])])
def test_an_edge_on_the_border_of_the_box_belongs_to_it(box, loss):
    found = stability(Flow(loss, GD()), box=[box])
    assert [float(item.point.w[0]) for item in found.points] == [0]
    assert found.complete.proven


@pytest.mark.parametrize("step", [-1.0, 1e-9])
def test_where_the_loss_jumps_no_type_is_proven(step):
    loss = lambda v: jnp.where(v[0] > 0, v[0] + step, -v[0]) + v[1] ** 2  # noqa: E731
    found = stability(Flow(loss, GD()), box=[(-1, 2), (-1, 2)])
    assert not found.complete.proven
    assert not any(item.point.proven for item in found.points)


def test_a_jump_that_grows_along_the_edge_drives_what_slides_there():
    """Euler from (0.001, 0.01) leaves along x = 0 at a rate of 1.5: it is no minimum."""
    above = lambda x, y: x + 4 * x * y + y  # noqa: E731
    below = lambda x, y: -x - y + y**2 / 2  # noqa: E731
    loss = lambda v: jnp.where(v[0] > 0, above(*v), below(*v))  # noqa: E731
    found = stability(Flow(loss, GD()), box=[(-0.2, 0.15), (-0.2, 0.15)])
    assert not found.complete.proven
    assert not any(item.flow.verdict == "attractor" for item in found.points)


@pytest.mark.parametrize("method", [SAM(0.3), USAM(0.3)])
def test_an_edge_outside_of_the_box_that_the_ascent_reaches_is_told(method):
    found = stability(Flow(lambda v: -jnp.abs(v[0]), method), box=[(0.1, 1)])
    assert not found.complete.proven
    assert "crosses an edge" in found.complete.method


@pytest.mark.parametrize("unit", [1e-6, 1e-3, 1e4])
@pytest.mark.parametrize(("loss", "w"), [(hinge, (1.0, 1.0)), (ring, (1.0, 0.0))])
def test_rates_of_sliding_do_not_depend_on_the_unit_of_length(loss, w, unit):
    """With w in other units, l·unit² and ρ·unit for l and ρ, all rates are the same."""
    whole = np.array(BOX)
    words = []
    for scale in (1.0, unit):
        scaled = lambda v, scale=scale: loss(v / scale) * scale**2  # noqa: E731
        found = stability(Flow(scaled, SAM(0.3 * scale)), box=whole * scale)
        (item,) = [i for i in found.points if np.allclose(i.point.w / scale, w)]
        words.append((item.flow.verdict, float(item.flow.why.split()[-1])))
    assert words[0][0] == words[1][0]
    assert words[0][1] == pytest.approx(words[1][1], rel=1e-2)


def test_what_hardly_slides_in_one_direction_is_not_decided():
    """Along y paths slide, along z only at third order."""
    loss = lambda w: jnp.abs(w[0]) + w[1] ** 2 + w[2] ** 4  # noqa: E731
    w = np.zeros(3)
    verdict = kink_verdict(Flow(loss, USAM(0.1)), w)
    assert verdict.verdict == "unknown"
    curved = kink_verdict(Flow(lambda w: loss(w) + 0.1 * w[2] ** 2, USAM(0.1)), w)
    assert curved.verdict == "attractor"
