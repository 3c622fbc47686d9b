"""What is proven is true: against known points, brute force, and high precision."""

import jax.numpy as jnp
import numpy as np
import pytest

from samdyn import GD, ODE, SAM, USAM, Flow, get_loss, loss_names
from samdyn.attractors.finding.clusters import distinct
from samdyn.attractors.finding.point import facts_at
from samdyn.attractors.finding.preimages import preimages
from samdyn.attractors.proving import branch
from samdyn.attractors.proving import proof as proofs
from samdyn.attractors.proving.proof import Unprovable, proof_in
from samdyn.programs.newton import newton

LOSSES = [name for name in loss_names() if get_loss(name).dim <= 3]
DEGENERATE = {"mexican-hat", "monkey-saddle", "toy-net"}
EIGHT = ["double-well", "double-well-2d", "himmelblau", "six-hump-camel", "styblinski-tang"]
EIGHT += ["three-hump-camel", "muller-brown", "beale"]


@pytest.fixture(autouse=True)
def _nothing_remembered():
    """Each test proves for itself: one that changes how must not be given what another found."""
    proofs._remembered.cache_clear()


def proven(proof, kind=None):
    """(low, high) of all that is proven, each (n, d)."""
    some = [points for points in proof.points if kind in (None, points.kind)]
    return np.concatenate([p.low for p in some]), np.concatenate([p.high for p in some])


def box_of(name):
    return np.asarray(get_loss(name).box, float)


def holds(low, high, points, slack=1e-9):
    """For each point (m, d) which enclosures (n, d) hold it, (m, n); to rounding of the point."""
    margin = slack * (1 + np.abs(points))[:, None]
    above = points[:, None] >= low - margin
    return np.all(above & (points[:, None] <= high + margin), axis=-1)


@pytest.mark.parametrize("name", [name for name in LOSSES if name not in DEGENERATE])
def test_all_critical_points_are_proven_and_the_rest_of_the_box_is_empty(name):
    proof = proof_in(Flow(get_loss(name), GD()), box_of(name))
    low, high = proven(proof)
    known = np.array([point.w for point in get_loss(name).critical_points])
    assert not len(proof.undecided)
    assert len(low) == len(known)
    assert np.all(np.sum(holds(low, high, known), axis=1) == 1)
    assert np.max(high - low) < 1e-11 * np.max(np.ptp(box_of(name), axis=1))


def test_a_degenerate_point_stays_in_tiny_boxes():
    box = box_of("monkey-saddle")
    proof = proof_in(Flow(get_loss("monkey-saddle"), GD()), box)
    sides = np.ptp(proof.undecided, axis=2) / np.ptp(box, axis=1)
    assert len(proven(proof)[0]) == 0
    assert 0 < np.sum(np.prod(sides, axis=1)) < 1e-12
    assert np.all((proof.undecided[..., 0] <= 1e-6) & (proof.undecided[..., 1] >= -1e-6))


def valley(x, y):
    """About how far a point is from the curve x²y = 1."""
    slope = np.hypot(2 * x * y, x * x)
    return np.abs(x * x * y - 1) / np.where(slope > 0, slope, 1e-300)


@pytest.mark.parametrize(
    ("name", "distance"),
    [
        ("mexican-hat", lambda w: np.abs(np.linalg.norm(w, axis=-1) - 1)),
        ("toy-net", lambda w: np.minimum(np.abs(w[..., 0]), valley(w[..., 0], w[..., 1]))),
    ],
)
def test_what_is_undecided_of_a_continuum_lies_on_it(name, distance):
    """Within 1e-3, by the nearest of a grid of points of each box."""
    proof = proof_in(Flow(get_loss(name), GD()), box_of(name))
    low, high = proof.undecided[..., 0], proof.undecided[..., 1]
    share = np.stack(np.meshgrid(*[np.linspace(0, 1, 9)] * 2), axis=-1).reshape(-1, 2)
    grid = low[:, None] + share * (high - low)[:, None]
    assert np.max(np.min(distance(grid), axis=1)) < 1e-3


def brute_force(flow, box, starts):
    """Nondegenerate fixed points by Newton from many starts, (n, d)."""
    size = float(np.max(np.ptp(box, axis=1)))
    rng = np.random.default_rng(0)
    rows = rng.uniform(box[:, 0], box[:, 1], (starts, len(box)))
    ends = [newton(flow.critical(), rows, 0.1 * size), newton(flow.velocity, rows, 0.1 * size)]
    wide = box + 2 * size * np.array([-1, 1])
    beyond = rng.uniform(wide[:, 0], wide[:, 1], (starts, len(box)))
    centres = newton(flow.critical(), np.concatenate([rows, beyond]), 0.1 * size)
    centres = centres[np.all(np.isfinite(centres), axis=1)]
    centres = centres[facts_at(flow, centres).critical]
    for i in distinct(centres, np.zeros(len(centres)), 1e-7 * size):
        ends.append(preimages(flow, centres[i], rows, size))
    ends = np.concatenate(ends)
    ends = ends[np.all((ends >= box[:, 0]) & (ends <= box[:, 1]), axis=1)]
    facts = facts_at(flow, ends)
    # beside a zero of higher order all is small, and ends of Newton are no zeros
    regular = np.where(facts.critical, ~facts.singular, ~facts.field_singular)
    ends = ends[(facts.critical | facts.hallucinated) & regular]
    return ends[distinct(ends, np.zeros(len(ends)), 1e-6 * size)]


@pytest.mark.parametrize("rho", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("method", [SAM, USAM])
@pytest.mark.parametrize("name", EIGHT)
@pytest.mark.thorough
def test_hallucinated_points_are_those_of_brute_force(name, method, rho):
    box, flow = box_of(name), Flow(get_loss(name), method(rho))
    proof = proof_in(flow, box)
    low, high = proven(proof)
    found = brute_force(flow, box, 4096 if rho == 0.3 else 512)
    inside = np.sum(holds(low, high, found), axis=1)
    undecided = np.any(holds(proof.undecided[..., 0], proof.undecided[..., 1], found, 1e-6), axis=1)
    assert np.all((inside == 1) | undecided)
    assert np.all(inside <= 1)
    if not len(proof.undecided):
        assert len(found) == len(low)


def test_no_start_of_newton_is_needed(monkeypatch):
    """What is found beforehand only saves cuts: a zero that it misses cannot be proven away."""
    monkeypatch.setattr(branch._Branching, "_enclose_from", lambda self, starts: None)
    for name in ("himmelblau", "beale", "styblinski-tang"):
        proof = proof_in(Flow(get_loss(name), GD()), box_of(name))
        assert len(proven(proof)[0]) == len(get_loss(name).critical_points)
        assert not len(proof.undecided)


def random_loss(seed):
    """A sum of sines, Gaussians and a polynomial in two variables."""
    rng = np.random.default_rng(seed)
    waves, bells = rng.normal(size=(3, 4)), rng.normal(size=(3, 4))
    powers = rng.normal(size=(4, 4)) * np.add.outer(range(4), range(4)).__le__(3)
    waves[:, :2] *= 1.5

    def loss(w, m=jnp):
        x, y = w
        total = 0.05 * (x * x + y * y) ** 2
        for a, b, c, d in waves:
            total = total + float(d) * m.sin(float(a) * x + float(b) * y + float(c))
        for a, b, c, d in bells:
            total = total + float(d) * m.exp(
                -((x - float(a)) ** 2) - (y - float(b)) ** 2 + float(c)
            )
        for i in range(4):
            for j in range(4):
                if powers[i, j]:
                    total = total + 0.1 * float(powers[i, j]) * x**i * y**j
        return total

    return loss


SQUARE = np.array([[-2.0, 2.0], [-2.0, 2.0]])
SEEDS = 8  # a hundred were looked at once (docs/proof.md)
METHODS = {"GD": GD(), "SAM": SAM(0.3), "USAM": USAM(0.1)}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.thorough
def test_no_proof_of_random_losses_is_false(method):
    """Every fixed point that Newton finds is enclosed or in an undecided box, none twice; every
    enclosure of a gradient holds a zero at 40 digits. Prints the share that is wholly proven."""
    mpmath = pytest.importorskip("mpmath")
    whole = 0
    for seed in range(SEEDS):
        loss = random_loss(seed)
        flow = Flow(loss, METHODS[method])
        proof = proof_in(flow, SQUARE)
        low, high = proven(proof)
        found = brute_force(flow, SQUARE, 512)
        inside = np.sum(holds(low, high, found), axis=1)
        open_ = holds(proof.undecided[..., 0], proof.undecided[..., 1], found, 1e-6)
        assert np.all((inside == 1) | np.any(open_, axis=1)), (seed, found[inside != 1])
        whole += not len(proof.undecided)
        critical = proven(proof, "critical")
        for a, b in zip(*critical, strict=True):
            assert _holds_a_zero(mpmath, loss, a, b), (seed, a, b)
    print(f"{method}: {whole} of {SEEDS} wholly proven")
    assert whole >= 0.9 * SEEDS


def _holds_a_zero(mpmath, loss, low, high):
    """Whether Newton at 40 digits ends inside the box."""
    with mpmath.workdps(40):

        def gradient(*w):
            value = lambda *v: loss(v, mpmath)  # noqa: E731
            return [mpmath.diff(value, w, order) for order in ((1, 0), (0, 1))]

        start = [mpmath.mpf(x) for x in (low + high) / 2]
        end = mpmath.findroot(gradient, start, tol=1e-50, verify=False)
        return all(a <= x <= b for a, x, b in zip(low, end, high, strict=True))


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e5])
def test_units_of_the_coordinates_change_nothing(unit):
    scale = np.array([1.0, unit])
    loss = get_loss("himmelblau")
    rescaled = lambda w: loss(w / jnp.asarray(scale))  # noqa: E731
    box = box_of("himmelblau") * scale[:, None]
    proof = proof_in(Flow(rescaled, GD()), box)
    known = np.array([point.w for point in loss.critical_points]) * scale
    low, high = proven(proof)
    assert not len(proof.undecided)
    assert len(low) == len(known)
    margin = 1e-9 * np.abs(known)
    for w, slack in zip(known, margin, strict=True):
        assert np.sum(np.all((w >= low - slack) & (w <= high + slack), axis=1)) == 1


def test_fields_without_a_loss_are_proven_too():
    """Two rest points of a pendulum with friction in one turn, and the edge of another."""
    pendulum = ODE(lambda t, w, args: jnp.stack([w[1], -jnp.sin(w[0]) - 0.1 * w[1]]))
    proof = proof_in(pendulum, np.array([[-1.0, 5.0], [-2.0, 2.0]]))
    low, high = proven(proof)
    assert not len(proof.undecided)
    assert np.all(holds(low, high, np.array([[0.0, 0.0], [np.pi, 0.0]])).sum(axis=0) == 1)


def test_what_has_no_program_says_why():
    loss = lambda w: jnp.sum(jnp.linalg.inv(jnp.eye(2) + jnp.outer(w, w)))  # noqa: E731
    with pytest.raises(Unprovable, match="scalar form"):
        proof_in(Flow(loss, GD()), SQUARE)


def test_a_corner_is_left_undecided_and_its_box_is_tiny():
    loss = lambda w: 0.5 * jnp.sum((w - jnp.array([0.3, 0.2])) ** 2) + 0.5 * jnp.sum(jnp.abs(w))  # noqa: E731
    proof = proof_in(Flow(loss, GD()), SQUARE * 2)
    assert len(proven(proof)[0]) == 0
    low, high = proof.undecided[..., 0].min(axis=0), proof.undecided[..., 1].max(axis=0)
    np.testing.assert_allclose([low, high], [[0.0, 0.0]] * 2, atol=1e-6)
