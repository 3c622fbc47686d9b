"""Regions: true distances where they say so, usable derivatives, one sentence for what is wrong."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from verbs import basins

from samdyn import GD, InvalidInput, StepMap, basin_region, get_loss
from samdyn.dynamics.regions.region_distance import YesOrNo, with_distance
from samdyn.dynamics.regions.region_text import parse_region
from samdyn.dynamics.regions.regions import (
    Above,
    Ball,
    BasinOf,
    BasinOnGrid,
    Below,
    Intersection,
    Predicate,
    Slab,
    Sublevel,
    require_inside,
)

ORIGIN = np.zeros(2)
WELLS = np.array([[-1.0, 0.0], [1.0, 0.0]])


def right_well():
    loss = get_loss("double-well-2d")
    return BasinOf(StepMap(loss, GD(), 0.05), WELLS, 1, 400)


def right_well_on_grid():
    image = basins(
        get_loss("double-well-2d"), GD(), box=[(-2.0, 2.0)] * 2, grid=40, learning_rate=0.05
    )
    return basin_region(image, [0.9, 0.0])


REGIONS = {
    "ball": lambda: Ball([0.5, 0.0], 1.0),
    "slab": lambda: Slab([0.5, 0.0], 0, 1.0),
    "below": lambda: Below(0, 1.0),
    "above": lambda: Above(0, -1.0),
    "sublevel": lambda: Sublevel(lambda w: jnp.sum(w**2), 1.0),
    "truth": lambda: Predicate(lambda w: w[0] < 1),
    "number": lambda: Predicate(lambda w: 1 - w[0] ** 4),
    "basin": right_well,
    "basin on a grid": right_well_on_grid,
    "intersection": lambda: Intersection([Ball(ORIGIN, 1.0), Above(1, -0.5)]),
}


@pytest.fixture(params=REGIONS)
def region(request):
    return REGIONS[request.param]()


@pytest.mark.thorough
def test_every_region_gives_a_scalar_of_the_dtype_of_w(region):
    for dtype in (jnp.float32, jnp.float64):
        distance = region.distance(jnp.asarray([0.4, 0.1], dtype))
        assert (distance.shape, distance.dtype) == ((), dtype)
        assert distance > 0
    assert str(region)
    assert not region.contains(jnp.array([jnp.nan, 0.0]))


@pytest.mark.thorough
def test_one_by_one_compiled_and_vmapped_agree(region):
    points = jnp.asarray(np.random.default_rng(0).uniform(-1.9, 1.9, (33, 2)))
    one = np.array([region.distance(w) for w in points])
    np.testing.assert_allclose(jax.vmap(region.distance)(points), one, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(jax.jit(jax.vmap(region.distance))(points), one, atol=1e-12)


def test_an_exact_distance_has_slope_one_and_others_do_not_claim_it(region):
    points = jnp.asarray(np.random.default_rng(1).uniform(-0.45, 0.45, (20, 2)))
    slopes = jnp.linalg.norm(jax.vmap(jax.grad(region.distance))(points), axis=1)
    if region.exact:
        np.testing.assert_allclose(slopes, 1, rtol=1e-12)
    else:
        assert np.all(np.isfinite(slopes))
    assert not (region.exact and region.is_predicate(jnp.zeros(2)))


def test_centres_have_derivatives():
    for region in (Ball(ORIGIN, 1.0), Slab(ORIGIN, 1, 1.0)):
        assert np.all(np.isfinite(jax.grad(region.distance)(jnp.zeros(2))))
    np.testing.assert_array_equal(jax.grad(Ball(ORIGIN, 1.0).distance)(jnp.zeros(2)), jnp.zeros(2))


def test_distances_by_hand():
    w = jnp.array([3.0, 4.0])
    assert Ball(ORIGIN, 1.0).distance(w) == -4
    assert Slab([1.0, 9.0], 0, 5.0).distance(w) == 3
    assert (Below(1, 6.0).distance(w), Above(1, 6.0).distance(w)) == (2, -2)
    assert Intersection([Below(1, 6.0), Above(0, 2.5)]).distance(w) == 0.5


def test_what_is_exact_and_what_is_a_predicate():
    facts = {
        name: (make().exact, make().is_predicate(jnp.zeros(2))) for name, make in REGIONS.items()
    }
    exact = {"ball", "slab", "below", "above", "intersection"}
    assert {name for name, (is_exact, _) in facts.items() if is_exact} == exact
    assert {name for name, (_, only) in facts.items() if only} == {"truth", "basin"}


@pytest.mark.parametrize("make", [right_well, right_well_on_grid])
def test_the_basin_of_the_right_well_is_the_right_half(make):
    points = np.random.default_rng(2).uniform(-1.9, 1.9, (200, 2))
    points = points[np.abs(points[:, 0]) > 0.06]
    inside = jax.vmap(make().contains)(jnp.asarray(points))
    np.testing.assert_array_equal(inside, points[:, 0] > 0)


def test_a_diverging_path_is_in_no_basin():
    region = BasinOf(StepMap(get_loss("double-well-2d"), GD(), 0.05), WELLS, 0, 400)
    assert region.distance(jnp.array([50.0, 0.0])) == -1


def test_outside_the_box_of_a_grid_nothing_is_inside():
    region = BasinOnGrid([(-1.0, 1.0)] * 2, np.ones((4, 4)))
    inside = [bool(region.contains(jnp.array(w))) for w in ([0.99, -0.99], [1.01, 0.0])]
    assert inside == [True, False]


def test_command_line_forms():
    start, w = [1.0, 2.0], jnp.array([1.5, 2.5])
    expected = {"ball:2": 2 - np.sqrt(0.5), "slab:1:0.7": 0.2, "below:0:3": 1.5, "above:1:-1": 3.5}
    for text, distance in expected.items():
        assert parse_region(text, start, get_loss).distance(w) == pytest.approx(distance, rel=1e-12)


def test_a_predicate_from_a_file(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "def truth(w):\n    return w[0] > 0\n"
        "def number(w):\n    return w[0]\n"
        "def vector(w):\n    return w\n"
        "def host(w):\n    return float(w[0]) > 0\n"
    )
    truth = parse_region(f"{file}:truth", [1.0, 2.0], get_loss)
    number = parse_region(f"{file}:number", [1.0, 2.0], get_loss)
    w = jnp.array([-0.5, 0.0])
    assert (truth.is_predicate(w), number.is_predicate(w)) == (True, False)
    assert (truth.distance(w), number.distance(w)) == (-1, -0.5)
    require_inside(truth, [1.0, 2.0])
    with pytest.raises(InvalidInput, match=r"start \(-1, 2\) is outside the region: truth"):
        require_inside(truth, [-1.0, 2.0])
    with pytest.raises(InvalidInput, match="must return one truth value or real number"):
        parse_region(f"{file}:vector", [1.0, 2.0], get_loss)
    with pytest.raises(InvalidInput, match="cannot be evaluated by JAX"):
        parse_region(f"{file}:host", [1.0, 2.0], get_loss)
    with pytest.raises(InvalidInput, match="no function named 'absent'"):
        parse_region(f"{file}:absent", [1.0, 2.0], get_loss)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("disc:1", "there is no region 'disc:1': ball:R, slab:AXIS:R"),
        ("ball", "there is no region 'ball'"),
        ("ball:1:2", "there is no region"),
        ("ball:-1", "R must be a finite number > 0, not '-1'"),
        ("ball:wide", "R must be a finite number > 0, not 'wide'"),
        ("slab:2:1", "AXIS must be 0 to 1 in dimension 2, not '2'"),
        ("slab:-1:1", "AXIS must be 0 to 1 in dimension 2"),
        ("slab:0:0", "R must be a finite number > 0"),
        ("below:0:nan", "'nan' is not a finite number"),
        ("nowhere.py:inside", "there is no file nowhere.py"),
    ],
)
def test_a_region_that_is_wrong_says_what_would_be_right(text, told):
    with pytest.raises(InvalidInput, match=told):
        parse_region(text, ORIGIN, get_loss)


def test_a_start_outside_is_refused():
    with pytest.raises(InvalidInput, match=r"start \(0, 0\) is outside the region: half-space"):
        require_inside(parse_region("above:0:1", ORIGIN, get_loss), ORIGIN)
    with pytest.raises(InvalidInput, match="finite number > 0"):
        Ball(ORIGIN, -1.0)


def test_components_are_picked_by_slices_so_that_lanes_fuse():
    for region in (Ball(ORIGIN, 1.0), Slab(ORIGIN, 1, 1.0), Below(0, 1.0), Above(1, 1.0)):
        text = str(jax.make_jaxpr(region.distance)(jnp.zeros(2)))
        assert "gather" not in text
        assert "dynamic" not in text


def test_a_function_means_the_same_in_python_and_on_the_command_line():
    """A truth value is yes or no, a number a distance, unless it is said otherwise."""
    w = jnp.zeros(1)
    number, truth = (lambda w: 1 - w[0] ** 2), (lambda w: w[0] ** 2 < 1)
    assert not Predicate(number).is_predicate(w)
    assert Predicate(truth).is_predicate(w)
    assert Predicate(lambda w: jnp.sign(number(w)), predicate=True).is_predicate(w)
    assert not Predicate(lambda w: jnp.asarray([1.0, 0.5])[0] - w[0]).is_predicate(w)


LEFT = np.array([[-1.0, 0.1], [1.1, -0.2], [0.2, 2.0], [0.1, -1.5]])


@pytest.mark.parametrize(
    ("region", "want"),
    [
        (Slab([0.5, 0.0], 0, 1.0), ["w[0] = -0.5", "w[0] = 1.5", "w[0] = -0.5", "w[0] = -0.5"]),
        (Below(1, 0.5), ["w[1] = 0.5"] * 4),
        (Above(0, 0.5), ["w[0] = 0.5"] * 4),
        (Ball(ORIGIN, 1.0), ["−w[0] side", "+w[0] side", "+w[1] side", "−w[1] side"]),
        (
            Intersection([Slab(ORIGIN, 0, 0.9), Below(1, 1.0)]),
            ["w[0] = -0.9", "w[0] = 0.9", "w[1] = 1", "w[0] = 0.9"],
        ),
    ],
)
def test_where_a_path_has_left(region, want):
    names, where = region.borders(LEFT, np.zeros(2))
    assert [names[k] for k in where] == want


def test_in_one_dimension_the_ends_are_found_for_any_function():
    """Also far from 0, and where there is one end only."""
    for centre, scale in ((0.0, 1.0), (1e4, 0.01), (-3e5, 20.0)):
        points = centre + scale * np.array([[-1.0], [2.0]])
        truth = Predicate(lambda w, c=centre, s=scale: (w[0] > c - s) & (w[0] < c + 2 * s))
        names, where = truth.borders(points, np.array([centre]))
        np.testing.assert_array_equal(where, [0, 1])
        found = [float(name.removeprefix("w[0] = ")) for name in names]
        np.testing.assert_allclose(found, points[:, 0], rtol=1e-5)
    names, where = Predicate(lambda w: w[0] < 1).borders(np.array([[1.0]]), np.zeros(1))
    assert [names[k] for k in where] == ["w[0] = 1"]


@pytest.mark.parametrize("make", [right_well, right_well_on_grid])
def test_a_path_that_left_a_basin_is_in_another(make):
    names, where = make().borders(np.array([[-0.4, 0.2], [-1.2, 0.0]]), np.array([1.0, 0.0]))
    assert {names[k] for k in where} == {"basin of (-1, 0)"}


@pytest.mark.parametrize(
    ("function", "known"),
    [
        (lambda w: jnp.where(w[0] < 0, 1.0, 0.0), False),
        (lambda w: jnp.where(w[0] < 0, 1, -1), False),
        (lambda w: -jnp.sign(w[0]), False),
        (lambda w: jnp.floor(-w[0]) + 1, False),
        (lambda w: (w[0] < 0).astype(float), False),
        (lambda w: -w[0], True),
        (lambda w: jnp.clip(-w[0], -0.1, 0.1), True),
    ],
)
def test_a_number_without_a_derivative_is_yes_or_no(function, known):
    assert Predicate(function).is_predicate(jnp.ones(1)) != known


@pytest.mark.thorough
def test_in_one_dimension_a_region_is_the_interval_about_the_start():
    """Whatever its number does at the border, in any unit, and up to the nearest hole."""
    for unit in (1e-8, 1.0, 1e8):
        for function in (
            lambda w, s=unit: (w[0] > -s) & (w[0] < 2 * s),
            lambda w, s=unit: (w[0] / s + 1) ** 3 * (2 - w[0] / s),
            lambda w, s=unit: ((w[0] > -s) & (w[0] < 7 * s)) & (abs(w[0] - 2.0005 * s) > 5e-4 * s),
        ):
            found = with_distance(Predicate(function), [0.0])
            np.testing.assert_allclose([found.low, found.high], [-unit, 2 * unit], rtol=1e-6)
            inside = np.array([[-0.5], [1.9], [-1.1], [2.1]]) * unit
            told = jax.vmap(found.distance)(jnp.asarray(inside)) / unit
            np.testing.assert_allclose(told, [0.5, 0.1, -0.1, -0.1], rtol=1e-4)


@pytest.mark.thorough
def test_a_number_that_does_not_grow_with_the_distance_is_asked_for_its_sign_alone():
    disc = lambda w: 1 - w[0] ** 2 - w[1] ** 2  # noqa: E731
    for function in (lambda w: disc(w) ** 3, lambda w: jnp.cbrt(disc(w))):
        found = with_distance(Predicate(function), [0.0, 0.2])
        assert isinstance(found, YesOrNo)
        assert found.is_predicate(jnp.ones(2))
        assert [float(found.distance(jnp.array([x, 0.0]))) for x in (0.5, 1.5)] == [1, -1]
    for region in (Predicate(disc), Sublevel(lambda w: -disc(w), 0.0), Ball([0.0, 0.0], 1.0)):
        assert with_distance(region, [0.0, 0.2]) is region


@pytest.mark.thorough
def test_an_interval_names_the_basins_beyond_its_ends():
    """(x² − 1)²(x² − 4)² has minima at ±1 and ±2; the basin of 1 ends at 0 and at a maximum."""
    loss = lambda w: (w[0] ** 2 - 1) ** 2 * (w[0] ** 2 - 4) ** 2 / 50  # noqa: E731
    image = basins(loss, GD(), box=[(-2.5, 2.5)], grid=400, learning_rate=0.02)
    found = with_distance(basin_region(image, [1.0]), [1.0])
    names, where = found.borders(np.array([[0.1], [1.5]]), np.array([1.0]))
    assert [names[i] for i in where] == ["basin of (-1)", "basin of (2)"]
    half = with_distance(Predicate(lambda w: w[0] < 3), [1.0])
    names, where = half.borders(np.array([[3.0]]), np.array([1.0]))
    assert names[where[0]] == "w[0] = 3"
