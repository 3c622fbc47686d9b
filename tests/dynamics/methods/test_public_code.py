"""The trajectories that the public code of arXiv 2301.06308 computes on Beale's function."""

import json
import pathlib

import jax.numpy as jnp
import numpy as np
import pytest
from verbs import iterate

from samdyn.dynamics.iterate import REACHED
from samdyn.dynamics.methods.gd import GD
from samdyn.dynamics.methods.sam import SAM
from samdyn.dynamics.systems.step_map import StepMap
from samdyn.losses.registry import get_loss

DATA = json.loads(
    (pathlib.Path(__file__).parents[2] / "data" / "public_code_beale.json").read_text()
)
BEALE = get_loss("beale")
START = jnp.array(DATA["start"], float)
SADDLE = np.array([0.0, 1.0])

# Two runs that differ by one rounding agree until the orbit is captured by the saddle. There it
# is chaotic: normalising a gradient that is nearly zero magnifies its rounding by 1/‖g‖, and
# within a few hundred steps 1e-16 has become the width of the attractor. From the step that the
# data name, only "it stays at the saddle" can be compared.
LAST_COMPARABLE = {
    rho: DATA["gd_steps"] if first is None else first - 1
    for rho, first in DATA["rounding"]["first_step_over_1e-10"].items()
}


def run_public_experiment(rho):
    """(steps, our points, their points) at every checkpoint of the data."""
    steps, points = zip(*DATA["runs"][rho]["checkpoints"], strict=True)
    method = GD() if rho == "0.0" else SAM(float(rho), 1e-16)
    run = iterate(
        StepMap(BEALE, method, DATA["learning_rate"]), START, DATA["gd_steps"], at_steps=steps
    )
    return np.array(steps), np.asarray(run.checkpoints), np.array(points)


@pytest.mark.parametrize("rho", ["0.0", "0.1", "0.5", "1.0"])
def test_trajectory_is_the_published_one_for_as_long_as_rounding_allows(rho):
    steps, ours, theirs = run_public_experiment(rho)
    comparable = steps <= LAST_COMPARABLE[rho]
    assert comparable.sum() >= 9
    np.testing.assert_allclose(ours[comparable], theirs[comparable], rtol=0, atol=1e-13)
    if rho in ("0.0", "0.1"):
        assert np.all(comparable)
    if rho == "0.5":
        assert np.all(comparable[steps <= 2000])


@pytest.mark.parametrize("rho", ["0.5", "1.0"])
def test_captured_runs_stay_at_the_saddle(rho):
    steps, ours, theirs = run_public_experiment(rho)
    late = steps >= 5000
    for points in (ours[late], theirs[late]):
        assert np.max(np.linalg.norm(points - SADDLE, axis=1)) < 1e-3
    np.testing.assert_allclose(BEALE(jnp.asarray(ours[-1])), 14.203125, rtol=1e-6)


def test_the_stop_of_the_public_code_is_the_first_step_nearer_than_0_55():
    run = iterate(
        StepMap(BEALE, GD(), DATA["learning_rate"]),
        START,
        100_000,
        at_steps=[DATA["gd_steps"] - 1],
        target=jnp.array([3.0, 0.5]),
        within=0.55,
    )
    assert (int(run.steps), int(run.status)) == (87_683, REACHED)
    rule = DATA["stop_rule"]
    before, at_stop = (np.linalg.norm(w - np.array([3, 0.5])) for w in (run.checkpoints[0], run.w))
    assert at_stop == pytest.approx(rule["distance_at_stop"], abs=1e-12)
    assert before == pytest.approx(rule["distance_one_step_earlier"], abs=1e-12)
