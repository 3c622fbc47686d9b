"""Paths along flows: stiff ones, and those whose field has edges, along which they slide."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import LSODA

import samdyn
from samdyn import GD, ODE, SAM, Flow, basins
from samdyn.attractors.catching.along_flow import SMOOTH, Along, Where, along
from samdyn.programs.batch import OnPoints

BOX = [(-2, 2), (-2, 2)]


def well(w):
    return (w[0] ** 2 - 1) ** 2 / 4 + w[1] ** 2 / 2


def walls(w, across):
    """Minima at (0, ±1), on the edge x = 0 of a loss that descends to it at the rate `across`."""
    return across * jnp.abs(w[0]) + (w[1] ** 2 - 1) ** 2


def ends(found):
    return {tuple(np.round(one.w, 6) + 0.0): one.fraction for one in found.attractors}


@pytest.mark.parametrize("across", [1e-3, 1.0, 1e3])
def test_descent_slides_along_an_edge_to_its_minima(across):
    found = basins(Flow(lambda w: walls(w, across), GD()), BOX, grid=8)
    assert ends(found) == {(0, -1): 0.5, (0, 1): 0.5}
    upper = np.asarray(found.labels)[:, 4:]
    assert np.all(upper == upper[0, 0])


@pytest.mark.parametrize(
    ("loss", "at"),
    [
        (lambda w: jnp.abs(w[0] ** 2 + w[1] ** 2 - 1) + 0.3 * w[0], (-1, 0)),  # around a ring
        (lambda w: jnp.maximum(jnp.abs(w[0] - 0.2), 3 * jnp.abs(w[1])), (0.2, 0)),
        (lambda w: jnp.where(w[0] > 0, 20 * w[0], -w[0]) + w[1] ** 2, (0, 0)),
        (lambda w: jnp.abs(w[0] + w[1]) + 0.1 * jnp.abs(w[0] - w[1] - 1), (0.5, -0.5)),
        (lambda w: jnp.sqrt(jnp.abs(w[0])) + w[1] ** 2, (0, 0)),  # ever steeper
    ],
)
def test_edges_that_bend_meet_or_are_steeper_on_one_side(loss, at):
    found = basins(Flow(loss, GD()), BOX, grid=8)
    assert ends(found) == {at: 1.0}


@pytest.mark.parametrize(
    ("loss", "rho", "scale", "origin"),
    [
        (well, 0.6, 1, 0),
        (lambda w: 1e6 * well(w), 0.6, 1, 0),
        (lambda w: 1e-6 * well(w), 0.6, 1, 0),
        (lambda w: well(1e5 * w), 0.6e-5, 1e-5, 0),
        (lambda w: well(w - 1e4), 0.6, 1, 1e4),
    ],
)
def test_normalised_sam_reaches_points_at_which_it_jumps(loss, rho, scale, origin):
    """In finite time; the saddle (0, 0) attracts beside x = 0, whatever the units."""
    box = [(origin - 2 * scale, origin + 2 * scale)] * 2
    found = basins(Flow(loss, SAM(rho)), box, grid=10)
    assert [one.critical_type for one in found.attractors] == ["minimum", "saddle", "minimum"]
    assert [one.fraction for one in found.attractors] == [0.4, 0.2, 0.4]


def test_sliding_converges_to_filippov_s_solution():
    """Of |x| + y²/2: x = 0 from t = x₀ on, y = y₀ e^−t throughout."""
    flow = ODE(lambda t, w, _: -jnp.stack([jnp.sign(w[0]), w[1]]))
    starts = np.array([[0.5, 1.0], [-0.2, -0.7], [1.0, 0.3]])
    where = Where(np.zeros(2), 4.0, np.full((1, 1), np.inf))
    w, _ = along(flow, starts, Along(*np.full((4, 3), SMOOTH)), 1.5, where)
    np.testing.assert_allclose(w[:, 0], 0, atol=4e-4)
    np.testing.assert_allclose(w[:, 1], starts[:, 1] * np.exp(-1.5), atol=2e-3)


def test_rows_do_not_depend_on_their_neighbours():
    flow, where = Flow(well, SAM(0.3)), Where(np.zeros(2), 4.0, np.array([[1.0, 0], [-1, 0]]))
    starts = np.random.default_rng(0).uniform(-2, 2, (30, 2))
    many, _ = along(flow, starts, Along(*np.zeros((4, 30))), 0.7, where)
    for k in (0, 7, 29):
        one, _ = along(flow, starts[k : k + 1], Along(*np.zeros((4, 1))), 0.7, where)
        np.testing.assert_allclose(one[0], many[k], rtol=1e-9, atol=1e-9)


def test_valleys_of_normalised_sam_are_stiff_but_have_no_edges():
    """Beale's under SAM turn within 1e-10: to and fro across them a path would go another way.
    An independent solver of stiff equations follows them, too."""
    beale = samdyn.get_loss("beale")
    flow = Flow(beale, SAM(0.3))
    field = OnPoints(flow.velocity, 2)
    starts = np.array([[0.675, -4.275], [2.0, 2.0], [-3.0, 1.0], [3.5, -1.0]])
    where = Where(np.zeros(2), 9.0, np.array([[3.0, 0.5]]))
    found, _ = along(flow, starts, Along(*np.zeros((4, len(starts)))), 2.0, where)
    for start, end in zip(starts, found, strict=True):
        path = LSODA(lambda _, w: field.values(w[None])[0], 0, start, 2.0, rtol=1e-8, atol=1e-10)
        while path.status == "running" and np.linalg.norm(path.y - [3, 0.5]) > 1e-4:
            path.step()
        np.testing.assert_allclose(end, path.y, atol=3e-4)


def test_what_explodes_has_diverged():
    found = basins(ODE(lambda t, w, _: jnp.stack([w[0] ** 3 - w[0], -w[1]])), BOX, grid=8)
    assert ends(found) == {(0, 0): 0.5}
    assert found.diverged == 0.5


def test_a_path_that_stands_still_nowhere_is_on_no_set_that_moves():
    """It sticks where it comes to the edge: a line of points at rest, none of them found."""
    flow = ODE(lambda t, w, _: -jnp.stack([jnp.sign(w[0]), 0 * w[1]]))
    found = basins(flow, [(-1, 1), (0.5, 1)], grid=4)
    assert not [one for one in found.attractors if one.kind in ("chaotic", "quasi-periodic")]


def test_a_plane_through_more_dimensions():
    flow = Flow(lambda w: well(w[:2]) + w[2] ** 2, SAM(0.1))
    found = basins(flow, BOX, grid=4, plane=(0, 1), at=[0, 0, 0.3])
    assert ends(found) == {(-1, 0, 0): 0.5, (1, 0, 0): 0.5}


@pytest.mark.parametrize("time", [30.0, 63.0])
def test_a_short_time_is_enough_to_arrive(time):
    assert ends(basins(Flow(well, GD()), BOX, grid=4, time=time)) == {(-1, 0): 0.5, (1, 0): 0.5}


def test_paths_on_their_way_when_the_time_is_over_are_undecided():
    found = basins(Flow(lambda w: jnp.abs(w[0]) + well(w), GD()), BOX, grid=4, time=0.5)
    assert found.undecided == 1


def test_a_valley_that_is_an_edge_is_followed_to_its_end():
    """Of |y − x²| + (x − 1)²/10: slowly, with a drift that is small beside going to and fro."""
    loss = lambda w: jnp.abs(w[1] - w[0] ** 2) + 0.1 * (w[0] - 1) ** 2  # noqa: E731
    found = basins(Flow(loss, GD()), BOX, grid=6)
    assert list(ends(found)) == [(1, 1)]
    assert found.undecided < 0.1


def test_paths_that_go_round_for_ever_are_not_given_up():
    """A pendulum, which keeps its energy."""
    flow = ODE(lambda t, w, _: jnp.stack([w[1], -jnp.sin(w[0])]))
    starts, where = (
        np.array([[0.5, 0.0], [2.0, 0.3]]),
        Where(np.zeros(2), 4.0, np.full((1, 1), np.inf)),
    )
    energy = lambda w: w[:, 1] ** 2 / 2 - np.cos(w[:, 0])  # noqa: E731
    w, memory = along(flow, starts, Along(*np.zeros((4, 2))), 1200.0, where)
    assert np.all(memory.mode == SMOOTH)
    np.testing.assert_allclose(energy(w), energy(starts), atol=1e-2)
