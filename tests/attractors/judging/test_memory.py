"""Methods that remember, or mix two gradients: verdicts and runs agree."""

import jax.numpy as jnp
import numpy as np
import pytest

import samdyn
from samdyn import GD, MSAM, SSAM, WSAM, FriendlySAM, InvalidInput, StepMap, get_loss

SADDLE = get_loss("saddle")
START, RATE = [-3.0, -0.01], 0.01


def leaves(method, steps=4000):
    """The first step at which |y| is above 50, from (−3, −0.01)."""
    run = samdyn.iterate(
        StepMap(SADDLE, method, RATE), jnp.asarray(START), steps, at_steps=range(steps + 1)
    )
    far = np.abs(np.asarray(run.checkpoints)[:, 1]) > 50
    return int(np.argmax(far)) if np.any(far) else None


def test_friendly_sam_escapes_late_and_weighted_sam_never():
    assert leaves(GD(), 600) == pytest.approx(430, abs=1)
    assert leaves(FriendlySAM(0.5)) == pytest.approx(2720, abs=1)
    assert leaves(WSAM(0.5)) is None


@pytest.mark.parametrize(
    ("method", "step"),
    [
        (SSAM(0.5), None),
        (MSAM(0.5), 300),
        (FriendlySAM(0.5, fed="rest"), None),
        (samdyn.UnifiedSAM(0.5, 1.0), None),
        (samdyn.VaSSO(0.5), None),
    ],
)
def test_who_is_trapped_at_the_saddle(method, step):
    assert leaves(method) == (None if step is None else pytest.approx(step, abs=1))


def test_stable_sam_comes_to_rest_on_the_saddle_itself():
    """Its steps vanish with the gradient: no orbit of period 2 is left about the point."""
    run = samdyn.iterate(StepMap(SADDLE, SSAM(0.5), RATE), jnp.asarray(START), 6000)
    assert np.linalg.norm(run.w) < 1e-12
    sam = samdyn.iterate(StepMap(SADDLE, samdyn.SAM(0.5), RATE), jnp.asarray(START), 6000)
    assert np.linalg.norm(sam.w) > 1e-3
    (point,) = samdyn.stability(StepMap(SADDLE, SSAM(0.5), RATE), at=[0.0, 0.0]).points
    assert (point.step.verdict, point.step.orbit) == ("attractor", None)
    assert "comes to rest at the point" in point.step.why


@pytest.mark.thorough
def test_stability_predicts_both():
    (weighted,) = samdyn.stability(StepMap(SADDLE, WSAM(0.5), RATE), at=[0.0, 0.0]).points
    assert weighted.flow.verdict == "attractor"
    assert weighted.step.verdict == "attractor"
    (friendly,) = samdyn.stability(StepMap(SADDLE, FriendlySAM(0.5), RATE), at=[0.0, 0.0]).points
    assert friendly.flow is None
    assert friendly.step.verdict == "saddle"
    assert friendly.step.orbit == "escapes"


def test_the_first_two_steps_of_friendly_sam_by_algebra():
    step = StepMap(SADDLE, FriendlySAM(0.5, sigma=0.7, decay=0.6), RATE)
    state = step.init(jnp.asarray(START))
    w, mean = np.array(START), np.zeros(2)
    for first in (True, False):
        g = np.array([2, -2]) * w
        q = g - 0.7 * mean
        ahead = w + 0.5 * q / np.linalg.norm(q)
        mean = g if first else 0.6 * mean + 0.4 * g
        w = w - RATE * np.array([2, -2]) * ahead
        state = step(state)
        np.testing.assert_allclose(state.w, w, rtol=1e-14)
        np.testing.assert_allclose(state.ascent.mean, mean, rtol=1e-14)


def test_weighted_sam_is_sam_at_one_half_and_descent_at_zero():
    w = jnp.asarray([0.3, -0.2])
    gradient = lambda v: jnp.asarray([2.0, -2.0]) * v  # noqa: E731
    for gamma, other in ((0.5, samdyn.SAM(0.1)), (0.0, GD())):
        mixed = WSAM(0.1, gamma).direction(gradient, w)
        np.testing.assert_allclose(mixed, other.direction(gradient, w), rtol=1e-14)


def test_what_remembers_has_no_flow():
    with pytest.raises(InvalidInput, match="has no flow: take its StepMap"):
        samdyn.Flow(SADDLE, FriendlySAM(0.5))
