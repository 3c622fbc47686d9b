"""The page computes what the library does; a JavaScript engine runs its own functions."""

import json
import re
import shutil
import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import samdyn
from samdyn.explorer.page import page
from samdyn.explorer.scene import scene_of

from .conftest import BOX, RHO, WELL

NODE = shutil.which("node")
METHODS = (samdyn.GD(), samdyn.SAM(RHO), samdyn.USAM(RHO))


def computed(text, expression):
    """An expression in the words of the page's script, whose panels are in `panels`."""
    if not NODE:
        pytest.skip("there is no node to run JavaScript")
    (script,) = re.findall(r"<script>(.*)</script>", text, re.S)
    script = script.replace("\nbuild();", "\n")
    program = f"""{script}
        DATA.panels.forEach((shown, k) => panels.push(blank(shown, PROGRAMS[k])));
        process.stdout.write(JSON.stringify({expression}));"""
    ran = subprocess.run([NODE, "-"], input=program, capture_output=True, text=True, check=True)
    return json.loads(ran.stdout)


def test_it_is_one_file_that_asks_for_nothing(text):
    assert len(text.encode()) < 200_000
    bare = text.replace('xmlns="http://www.w3.org/2000/svg"', "")  # a name, of what is written
    assert not re.findall(r"https?:|src\s*=|url\((?!#)|@import|fetch\(|XMLHttp|WebSocket", bare)
    assert "default-src 'none'" in text
    assert not re.findall("@[A-Z]+@", text)


def test_a_name_cannot_become_code():
    flow = samdyn.Flow(WELL, samdyn.GD())
    name = "</script><script>alert(1)//"
    found = page(scene_of(flow, BOX, name, RHO))
    assert found.count("<script>") == 1
    assert "alert(1)" not in found.split("<script>")[0].replace("&lt;script>alert(1)", "")


def test_fields_and_jacobians_at_every_radius(text):
    points = np.random.default_rng(0).uniform(*np.array(BOX).T, (5, 2)).tolist()
    for at in (0, 3, 8):
        rho = at * RHO / 2
        found = computed(
            text,
            f"{json.dumps(points)}.map(w => (state.at = {at}, panels.map("
            "p => [velocityOf(p)(...w).slice(), jacobianAt(p, w)])))",
        )
        for number, method in enumerate((samdyn.GD(), samdyn.SAM(rho), samdyn.USAM(rho))):
            flow = samdyn.Flow(WELL, method)
            for w, values in zip(points, found, strict=True):
                velocity, jacobian = values[number]
                np.testing.assert_allclose(velocity, flow.velocity(jnp.asarray(w)), rtol=1e-12)
                wanted = jax.jacfwd(flow.velocity)(jnp.asarray(w)).ravel()
                np.testing.assert_allclose(jacobian, wanted, rtol=1e-9, atol=1e-12)


def test_points_are_those_of_the_library(text):
    found = computed(text, "(state.at = 2, panels.map(pointsOf))")
    for number, method in enumerate(METHODS):
        wanted = samdyn.stability(samdyn.Flow(WELL, method), box=BOX).to_dict()["fixed_points"]
        assert len(found[number]) == len(wanted)
        for point in wanted:
            near = min(found[number], key=lambda p, w=point["w"]: np.hypot(*np.subtract(p["w"], w)))
            np.testing.assert_allclose(near["w"], point["w"], atol=1e-7)
            assert near["verdict"] == point["flow"]["verdict"]


def test_a_trajectory_is_the_same_curve(text):
    found = computed(text, "panels.map(p => follow(p, [0.1, 1.2], false))")
    for path, method in zip(found, METHODS, strict=True):
        assert path["ends"] == "rests"
        points, times = np.array(path["points"]), np.array(path["times"])
        some = np.searchsorted(times, [0.5, 2.0, 8.0])
        for k in some[some < len(times)]:
            flow = samdyn.Flow(WELL, method)
            there = samdyn.trajectory(flow, [0.1, 1.2], time=times[k]).final
            np.testing.assert_allclose(points[k], there, atol=1e-8)


def test_backwards_is_the_way_back(text):
    out = computed(text, "follow(panels[2], [0.3, 0.4], false)")
    point, time = out["points"][30], out["times"][30]
    back = computed(text, f"follow(panels[2], {json.dumps(point)}, true)")
    nearest = np.min(np.linalg.norm(np.array(back["points"]) - [0.3, 0.4], axis=1))
    assert time > 0
    assert nearest < 4 / 40  # a step's length
    assert np.all(np.diff(back["times"]) < 0)


@pytest.mark.parametrize(
    ("matrix", "wanted"),
    [([1, 2, 3, 4], [5.372281323269014, -0.3722813232690143]), ([0, 1, -1, 0], [1j, -1j])],
)
def test_eigenvalues(text, matrix, wanted):
    found = computed(text, f"eigenvalues({matrix})")
    np.testing.assert_allclose([complex(*pair) for pair in found], wanted, rtol=1e-14)


@pytest.mark.parametrize("momentum", [0.0, 0.6])
def test_steps_are_those_of_the_optimizer(text, momentum):
    eta = 0.3
    out = computed(
        text,
        f"(state.eta = {eta}, state.momentum = {momentum}, state.steps = true, state.count = 40,"
        "panels.map(p => follow(p, [0.1, 1.2], false)))",
    )
    for path, method in zip(out, METHODS, strict=True):
        step = samdyn.StepMap(WELL, method, eta, momentum)
        for made in (1, 2, 40):
            there = samdyn.trajectory(step, [0.1, 1.2], steps=made).final
            np.testing.assert_allclose(path["points"][made], there, rtol=1e-9, atol=1e-9)


def test_multipliers_are_those_of_the_step(text):
    for rate in ([-3.0, 0.0], [-1.0, 2.0], [0.5, 0.0]):
        for momentum in (0.0, 0.9):
            found = computed(text, f"multipliers({rate}, 0.3, {momentum})")
            step = np.array([[1 + momentum + 0.3 * complex(*rate), -momentum], [1, 0]])
            wanted = np.linalg.eigvals(step) if momentum else [1 + 0.3 * complex(*rate)]
            found = np.sort_complex([complex(*pair) for pair in found])
            np.testing.assert_allclose(found, np.sort_complex(wanted), rtol=1e-12, atol=1e-14)


def test_a_stiff_field_is_followed_to_its_end():
    flow = samdyn.Flow(lambda w: w[0] ** 2 / 2 + 1e7 * (w[1] - w[0] ** 2) ** 2 / 2, samdyn.GD())
    found = computed(page(scene_of(flow, BOX, "valley")), "follow(panels[0], [1, -0.5], false)")
    assert found["ends"] == "rests"
    np.testing.assert_allclose(found["points"][-1], [0, 0], atol=1e-9)


def test_manifolds_begin_along_eigenvectors_and_end_in_the_wells(text):
    found = computed(text, "(state.at = 0, ended(manifoldsOf(panels[0])))")
    ends = sorted(curve["points"][-1][0] for curve in found if curve["unstable"])
    np.testing.assert_allclose(ends, [-1, 1], atol=1e-6)
    stable = [np.array(curve["points"]) for curve in found if not curve["unstable"]]
    assert len(stable) == 2
    for curve in stable:  # the saddle's is the axis x = 0
        np.testing.assert_allclose(curve[:, 0], 0, atol=1e-9)


def test_basins_are_the_two_sides(text):
    cells = computed(text, "(state.at = 2, Array.from(ended(basinsOf(panels[2])).cells))")
    cells = np.reshape(cells, (80, 80))
    assert (cells[:, :39] == cells[0, 0]).all()
    assert (cells[:, 41:] == cells[0, -1]).all()
    assert cells[0, 0] != cells[0, -1]


def test_the_sides_of_a_box_may_differ_by_any_factor():
    wells = samdyn.Flow(lambda w: (w[1] ** 2 - 1) ** 2 / 4 + (w[0] / 1000) ** 2, samdyn.GD())
    text = page(scene_of(wells, [(-3000.0, 3000.0), (-2.0, 2.0)], "wells"))
    cells = np.reshape(computed(text, "Array.from(ended(basinsOf(panels[0])).cells)"), (80, 80))
    assert (cells[:39] == cells[0, 0]).all()
    assert (cells[41:] == cells[-1, 0]).all()
    assert cells[0, 0] != cells[-1, 0]
    found = computed(text, "follow(panels[0], [2500, 1.5], false)")
    np.testing.assert_allclose(found["points"][-1], [0, 1], atol=1e-6)


def test_the_radius_that_is_asked_for_is_shown():
    for rho in (0.05, 0.25, 0.3, 1.7):
        scene = scene_of(samdyn.Flow(WELL, samdyn.USAM(rho)))
        assert scene.radii[scene.at] == pytest.approx(rho, rel=1e-15)


def test_a_pole_is_no_nullcline():
    flow = samdyn.Flow(lambda w: jnp.log(jnp.abs(w[0] - 0.313)) + w[1] ** 2, samdyn.GD())
    found = computed(page(scene_of(flow, BOX, "pole")), "ended(linesOf(panels[0]))")
    assert found["first"] == []
    assert len(found["second"]) == 100  # the axis y = 0


def test_where_the_gradient_is_taken(text):
    w = [0.4, -0.7]
    found = computed(text, f"(state.at = 2, panels.map(p => ascentAt(p, {w})))")
    assert found[0] is None
    for there, method in zip(found[1:], METHODS[1:], strict=True):
        wanted = samdyn.Flow(WELL, method).perturbed(jnp.asarray(w))
        np.testing.assert_allclose(there, wanted, rtol=1e-12)


def test_points_followed_by_newton_are_those_that_are_found():
    flow = samdyn.Flow(WELL, samdyn.USAM(RHO))
    text = page(scene_of(flow, BOX, "well", RHO), "server")
    near = "(state.at = {}, panels[0].found = followed(panels[0]))"
    moves = [near.format(at) for at in range(13, 20)]  # a slider that is dragged
    found = computed(text, f"({', '.join(moves)})")
    rho = float(np.linspace(0, 4 * RHO, 49)[19])
    wanted = samdyn.stability(samdyn.Flow(WELL, samdyn.USAM(rho)), box=BOX).to_dict()
    assert len(found) == len(wanted["fixed_points"])
    for point, other in zip(found, wanted["fixed_points"], strict=True):
        np.testing.assert_allclose(point["w"], other["w"], atol=1e-9)
        assert point["verdict"] == other["flow"]["verdict"]
        assert not point["proven"]


def test_walks_leave_a_ball_as_paths_do(text):
    """A start at the minimum of a quadratic: the mean exit beside the engine's."""
    out = computed(
        text,
        """(() => {
        state.noise = { strength: 0.6, reach: 0.5 };
        panels[0].swarm = { ...newSwarm(panels[0], 0), from: [1, 0] };
        panels[0].swarm.x.fill(1), panels[0].swarm.y.fill(0);
        drawChart = () => {};
        for (let k = 0; k < 900; k++) advance(panels[0]);
        const { mean, error } = meanOf(panels[0].swarm);
        return [panels[0].swarm.times, panels[0].swarm.dt, mean, error];
        })()""",
    )
    times, dt = np.array(out[0]), out[1]
    assert len(times) > 2000
    noise = samdyn.Diffusion(WELL, samdyn.GD(), 1.0, samdyn.Additive(0.6))
    exact = samdyn.escape_times(noise, [1.0, 0.0], samdyn.Ball([1.0, 0.0], 0.5), paths=20_000)
    error = np.hypot(out[3], exact.to_dict()["mean"] * 0.007)
    assert abs(out[2] - exact.to_dict()["mean"]) < 4 * error + dt


def test_what_cannot_be_shown_is_said():
    with pytest.raises(samdyn.InvalidInput, match="3 dimensions"):
        scene_of(samdyn.Flow(samdyn.get_loss("quadratic"), samdyn.GD()), [(-1, 1)] * 3)
    special = lambda w: jnp.sum(jax.lax.lgamma(w**2 + 1))  # noqa: E731
    with pytest.raises(samdyn.InvalidInput, match="cannot compute this on its own"):
        page(scene_of(samdyn.Flow(special, samdyn.GD()), [(-1, 1)] * 2))
