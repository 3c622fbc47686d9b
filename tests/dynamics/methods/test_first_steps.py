"""The first two steps of each method against its algebra, written out in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import samdyn
from samdyn import (
    GSAM,
    MSAM,
    SAM,
    SSAM,
    USAM,
    FriendlySAM,
    InParts,
    InvalidInput,
    LookSAM,
    Masked,
    ScheduledRadius,
    StepMap,
    UnifiedSAM,
    VaSSO,
)

RHO, RATE = 0.3, 0.05
START = np.array([0.7, -0.4, 0.2])


def loss(w):
    """A loss whose gradient is not linear, so that w^p matters."""
    return w[0] ** 2 - w[1] ** 2 + w[0] ** 3 * w[2] + w[2] ** 4 + w[1] * w[2]


def g(w):
    x, y, z = w
    return np.array([2 * x + 3 * x**2 * z, -2 * y + z, x**3 + 4 * z**3 + y])


def unit(v):
    return v / np.linalg.norm(v)


def two_steps(method, momentum=0.0):
    step = StepMap(loss, method, RATE, momentum)
    state, path = step.init(jnp.asarray(START)), []
    for _ in range(2):
        state = step(state)
        path.append(np.asarray(state.w))
    return path


def agrees(method, directions, momentum=0.0):
    """Whether the first two steps descend what `directions`, of (w, number), gives."""
    w, buffer, expected = START.copy(), np.zeros(3), []
    for number in range(2):
        buffer = momentum * buffer + directions(w, number)
        w = w - RATE * buffer
        expected.append(w)
    np.testing.assert_allclose(two_steps(method, momentum), expected, rtol=1e-12)


def test_stable_sam():
    along = lambda w: g(w + RHO * unit(g(w)))  # noqa: E731
    agrees(SSAM(RHO), lambda w, _: np.linalg.norm(g(w)) * unit(along(w)))
    plain = lambda w: g(w + RHO * g(w))  # noqa: E731
    agrees(SSAM(RHO, "gradient"), lambda w, _: np.linalg.norm(g(w)) * unit(plain(w)))


def test_the_surrogate_gap():
    def direction(w, _):
        there = g(w + RHO * unit(g(w)))
        across = g(w) - (g(w) @ unit(there)) * unit(there)
        assert abs(across @ there) < 1e-12
        return there - 0.6 * across

    agrees(GSAM(RHO, 0.6), direction)
    np.testing.assert_allclose(two_steps(GSAM(RHO, 0.0)), two_steps(SAM(RHO)), rtol=1e-14)


def test_unified_sam():
    ascent = lambda w: (1 - 0.3 + 0.3 / np.linalg.norm(g(w))) * g(w)  # noqa: E731
    agrees(UnifiedSAM(RHO, 0.3), lambda w, _: g(w + RHO * ascent(w)))
    for share, other in ((0.0, USAM(RHO)), (1.0, SAM(RHO))):
        np.testing.assert_allclose(two_steps(UnifiedSAM(RHO, share)), two_steps(other), rtol=1e-14)


@pytest.mark.parametrize(("subtracted", "fed"), [("before", "gradient"), ("before", "rest")])
def test_friendly_sam(subtracted, fed):
    mean = np.zeros(3)

    def direction(w, number):
        nonlocal mean
        q = g(w) - 0.7 * mean
        new = g(w) if fed == "gradient" else q
        mean = new if number == 0 else 0.6 * mean + 0.4 * new
        return g(w + RHO * unit(q))

    agrees(FriendlySAM(RHO, 0.7, 0.6, subtracted, fed), direction)


def test_friendly_sam_as_published():
    mean = np.zeros(3)

    def direction(w, _):
        nonlocal mean
        mean = 0.6 * mean + 0.4 * g(w)
        return g(w + RHO * unit(g(w) - 0.7 * mean))

    agrees(FriendlySAM(RHO, 0.7, 0.6, "after"), direction)


def test_variance_suppressed_sam():
    mean = np.zeros(3)

    def direction(w, number):
        nonlocal mean
        mean = g(w) if number == 0 else 0.2 * mean + 0.8 * g(w)
        return g(w + RHO * unit(mean))

    agrees(VaSSO(RHO, 0.8), direction)
    np.testing.assert_allclose(two_steps(VaSSO(RHO, 1.0)), two_steps(SAM(RHO)), rtol=1e-14)


@pytest.mark.parametrize("momentum", [0.0, 0.8])
def test_momentum_sam(momentum):
    """As its authors' code has it, whose parameters are kept perturbed from step to step."""
    kept, v, ahead = START.copy(), np.zeros(3), np.zeros(3)
    expected = []
    for _ in range(2):
        gradient = g(kept)
        kept = kept + ahead
        v = momentum * v + gradient
        kept = kept - RATE * v
        expected.append(kept.copy())
        ahead = RHO * unit(v)
        kept = kept - ahead
    found = two_steps(MSAM(RHO, momentum), momentum)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_look_sam():
    kept = np.zeros(3)

    def direction(w, number):
        nonlocal kept
        here = g(w)
        if number % 3 == 0:
            there = g(w + RHO * unit(here))
            kept = there - (there @ unit(here)) * unit(here)
            return there
        return here + 0.7 * np.linalg.norm(here) * unit(kept)

    w, expected = START.copy(), []
    for number in range(5):
        w = w - RATE * direction(w, number)
        expected.append(w)
    step = StepMap(loss, LookSAM(RHO, 3), RATE)
    state, path = step.init(jnp.asarray(START)), []
    for _ in range(5):
        state = step(state)
        path.append(np.asarray(state.w))
    np.testing.assert_allclose(path, expected, rtol=1e-12)


def test_look_sam_in_one_dimension_is_sam_now_and_then():
    step = StepMap(lambda w: w[0] ** 4, LookSAM(0.1, 2), 0.01)
    sam, plain = (StepMap(step.loss, m, 0.01) for m in (SAM(0.1), samdyn.GD()))
    state, w = step.init(jnp.array([1.0])), jnp.array([1.0])
    for number in range(4):
        state = step(state)
        other = sam if number % 2 == 0 else plain
        w = other(other.init(w)).w
        np.testing.assert_allclose(state.w, w, rtol=1e-14)


def test_masked():
    """SAM-ON: the norm is that of the masked gradient, and everything descends."""
    mask = np.array([1.0, 0.0, 1.0])
    agrees(Masked(SAM(RHO), mask), lambda w, _: g(w + RHO * unit(mask * g(w))))
    with pytest.raises(InvalidInput, match="ones and zeros"):
        Masked(SAM(RHO), np.array([0.5, 1.0]))


def test_m_sam():
    """The mean of each part's own SAM; with one part it is SAM."""
    other = lambda w: jnp.sum(jnp.sin(w)) + w[0] * w[1]  # noqa: E731
    g2 = lambda w: np.cos(w) + np.array([w[1], w[0], 0])  # noqa: E731
    mean = lambda w: (loss(w) + other(w)) / 2  # noqa: E731
    method = InParts(SAM(RHO), (loss, other))
    step = StepMap(mean, method, RATE)
    state, w = step.init(jnp.asarray(START)), START.copy()
    for _ in range(2):
        w = w - RATE * (g(w + RHO * unit(g(w))) + g2(w + RHO * unit(g2(w)))) / 2
        state = step(state)
        np.testing.assert_allclose(state.w, w, rtol=1e-12)
    one = two_steps(InParts(SAM(RHO), (loss,)))
    np.testing.assert_allclose(one, two_steps(SAM(RHO)), rtol=1e-14)


def test_m_sam_has_a_jacobian_where_sam_jumps():
    """At 0 the parts ½(w − c)², c = ±1, pull w^p to w ∓ ρ: linear about it."""
    parts = (lambda w: jnp.sum((w - 1) ** 2) / 2, lambda w: jnp.sum((w + 1) ** 2) / 2)
    mean = lambda w: (parts[0](w) + parts[1](w)) / 2  # noqa: E731
    (point,) = samdyn.stability(StepMap(mean, InParts(SAM(0.1), parts), 0.5), at=[0.0]).points
    assert point.step.verdict == "attractor"
    np.testing.assert_allclose(point.step.eigenvalues, [0.5], rtol=1e-9)


def test_a_radius_by_schedule():
    radii = [0.3, 0.1]
    schedule = lambda t: jnp.where(t == 0, 0.3, 0.1)  # noqa: E731
    agrees(
        ScheduledRadius(SAM(1.0), schedule),
        lambda w, number: g(w + radii[number] * unit(g(w))),
    )
    with pytest.raises(InvalidInput, match="no radius"):
        ScheduledRadius(samdyn.GD(), schedule)


@pytest.mark.parametrize("method", [SSAM(0.1), GSAM(0.1)])
def test_what_is_not_linear_has_no_diffusion(method):
    with pytest.raises(InvalidInput, match="not linear"):
        samdyn.Diffusion(loss, method, 0.1, samdyn.Isotropic(0.1))
    samdyn.Diffusion(loss, method, 0.1, samdyn.Additive(0.1))


@pytest.mark.parametrize(
    "method",
    [SSAM(RHO), GSAM(RHO), UnifiedSAM(RHO), VaSSO(RHO), MSAM(RHO, 0.9), LookSAM(RHO, 2)],
)
def test_a_pytree_is_stepped_like_its_vector(method):
    tree = {"a": jnp.asarray(START[:1]), "b": jnp.asarray(START[1:])}
    of_tree = lambda p: loss(jnp.concatenate([p["a"], p["b"]]))  # noqa: E731
    step = StepMap(of_tree, method, RATE)
    state = step.init(tree)
    for expected in two_steps(method):
        state = step(state)
        found = np.concatenate([state.w["a"], state.w["b"]])
        np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("method", [SSAM(0.2), GSAM(0.2), UnifiedSAM(0.2)])
def test_nothing_is_descended_where_the_gradient_vanishes(method):
    bowl = lambda w: jnp.sum(w**2)  # noqa: E731
    d = method.direction(jax.grad(bowl), jnp.zeros(2))
    np.testing.assert_array_equal(d, 0)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: SSAM(0.1, "both"), "unit or gradient"),
        (lambda: LookSAM(0.1, 0), "every"),
        (lambda: VaSSO(0.1, 0.0), "theta"),
        (lambda: UnifiedSAM(0.1, 1.5), "share"),
        (lambda: GSAM(0.1, -1.0), "alpha"),
        (lambda: FriendlySAM(0.1, fed="q"), "fed is one of"),
        (lambda: InParts(SAM(0.1), ()), "one or more"),
        (lambda: InParts(MSAM(0.1), (loss,)), "remembers"),
    ],
)
def test_wrong_numbers_are_told(make, told):
    with pytest.raises(InvalidInput, match=told):
        make()


def test_what_noise_or_a_mask_would_not_reach_is_refused():
    parts = InParts(SAM(0.1), (loss,))
    for make in (
        lambda: samdyn.StochasticStepMap(loss, parts, 0.1, samdyn.Isotropic(1.0)),
        lambda: samdyn.Diffusion(loss, parts, 0.1, samdyn.Additive(1.0)),
        lambda: Masked(parts, np.ones(3)),
        lambda: ScheduledRadius(samdyn.PerturbedLossGradient(USAM(0.1)), lambda t: 0.1),
        lambda: samdyn.PerturbedLossGradient(MSAM(0.1)),
    ):
        with pytest.raises(InvalidInput):
            make()


def test_look_sam_adds_no_rounding_in_single_precision():
    method, w = LookSAM(0.1, 2), jnp.array([0.3, 0.7, -0.2], jnp.float32)
    gradient = jax.grad(lambda v: jnp.sum(v**2) / 2)
    _, memory = method.update(method.init(w), gradient, w)
    d, _ = method.update(memory, gradient, w)
    np.testing.assert_allclose(d, w, rtol=1e-6)
