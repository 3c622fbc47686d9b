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
from samdyn.explorer import page as page_module
from samdyn.explorer.page import page

NODE = shutil.which("node")
BOX = [(-2.0, 2.0), (-1.0, 1.5)]
RHO = 0.25
WELL = samdyn.get_loss("double-well-2d")


@pytest.fixture(scope="module")
def text():
    """A page of two methods, with a slider of few values."""
    flows = [samdyn.Flow(WELL, method) for method in (samdyn.GD(), samdyn.USAM(RHO))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page_module, "RADII", 9)
        return page(flows, BOX, "double-well-2d", RHO)


def computed(text, expression):
    """An expression in the words of the page's script, whose panels are in `panels`."""
    if not NODE:
        pytest.skip("there is no node to run JavaScript")
    (script,) = re.findall(r"<script>(.*)</script>", text, re.S)
    script = script.replace("\nbuild();\n", "\n")
    program = f"""{script}
        DATA.panels.forEach((shown, k) => panels.push({{ shown, programs: PROGRAMS[k] }}));
        process.stdout.write(JSON.stringify({expression}));"""
    ran = subprocess.run([NODE, "-"], input=program, capture_output=True, text=True, check=True)
    return json.loads(ran.stdout)


def test_it_is_one_file_that_asks_for_nothing(text):
    assert len(text.encode()) < 200_000
    assert not re.findall(r"https?:|src\s*=|url\(|@import|fetch\(|XMLHttp|WebSocket", text)
    assert "default-src 'none'" in text
    assert not re.findall("@[A-Z]+@", text)


def test_a_name_cannot_become_code():
    flow = samdyn.Flow(WELL, samdyn.GD())
    name = "</script><script>alert(1)//"
    found = page([flow], BOX, name, RHO)
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
        for number, method in enumerate((samdyn.GD(), samdyn.USAM(rho))):
            flow = samdyn.Flow(WELL, method)
            for w, values in zip(points, found, strict=True):
                velocity, jacobian = values[number]
                np.testing.assert_allclose(velocity, flow.velocity(jnp.asarray(w)), rtol=1e-12)
                wanted = jax.jacfwd(flow.velocity)(jnp.asarray(w)).ravel()
                np.testing.assert_allclose(jacobian, wanted, rtol=1e-9, atol=1e-12)


def test_points_are_those_of_the_library(text):
    found = computed(text, "(state.at = 2, panels.map(pointsOf))")
    for number, method in enumerate((samdyn.GD(), samdyn.USAM(RHO * 4 * 2 / 8))):
        wanted = samdyn.stability(samdyn.Flow(WELL, method), box=BOX).to_dict()["fixed_points"]
        assert len(found[number]) == len(wanted)
        for point in wanted:
            near = min(found[number], key=lambda p, w=point["w"]: np.hypot(*np.subtract(p["w"], w)))
            np.testing.assert_allclose(near["w"], point["w"], atol=1e-7)
            assert near["verdict"] == point["flow"]["verdict"]


def test_a_trajectory_is_the_same_curve(text):
    found = computed(text, "panels.map(p => follow(p, [0.1, 1.2], false))")
    for path, method in zip(found, (samdyn.GD(), samdyn.USAM(RHO)), strict=True):
        assert path["ends"] == "rests"
        points, times = np.array(path["points"]), np.array(path["times"])
        some = np.searchsorted(times, [0.5, 2.0, 8.0])
        for k in some:
            flow = samdyn.Flow(WELL, method)
            there = samdyn.trajectory(flow, [0.1, 1.2], time=times[k]).final
            np.testing.assert_allclose(points[k], there, atol=1e-8)


def test_backwards_is_the_way_back(text):
    out = computed(text, "follow(panels[1], [0.3, 0.4], false)")
    point, time = out["points"][30], out["times"][30]
    back = computed(text, f"follow(panels[1], {json.dumps(point)}, true)")
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


def test_what_cannot_be_shown_is_said():
    with pytest.raises(samdyn.InvalidInput, match="3 dimensions"):
        page([samdyn.Flow(samdyn.get_loss("quadratic"), samdyn.GD())], [(-1, 1)] * 3, "q", 0.1)
    special = lambda w: jnp.sum(jax.lax.lgamma(w**2 + 1))  # noqa: E731
    with pytest.raises(samdyn.InvalidInput, match="cannot compute this on its own"):
        page([samdyn.Flow(special, samdyn.GD())], [(-1, 1)] * 2, "s", 0.1)
