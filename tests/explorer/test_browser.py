"""What a person does with the explorer, in Chromium: numbers of the page against the library's."""

import re
import subprocess
import sys
import time

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.image import imread

import samdyn

from .conftest import BOX, RHO, WELL

METHODS = (samdyn.GD(), samdyn.SAM(RHO), samdyn.USAM(RHO))


class Person:
    """A page and the hands on it."""

    def __init__(self, page):
        self.page, self.faults, self.asked = page, [], []
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))

    def see(self, expression):
        return self.page.evaluate(expression)

    def wait(self, condition="work.length === 0", seconds=60):
        ends = time.monotonic() + seconds
        while not self.see(condition):
            assert time.monotonic() < ends, f"{condition} never comes: {self.said()}"
            time.sleep(0.03)

    def said(self):
        return self.page.inner_text("#said")

    def plane(self, number=0):
        return self.page.locator("canvas.plane").nth(number).bounding_box()

    def place(self, w, number=0):
        """Where a point of the plane lies on the screen."""
        box = self.plane(number)
        (x0, x1), (y0, y1) = BOX
        return (
            box["x"] + (w[0] - x0) / (x1 - x0) * box["width"],
            box["y"] + (y1 - w[1]) / (y1 - y0) * box["height"],
        )

    def click(self, w, number=0):
        self.page.mouse.click(*self.place(w, number))
        self.wait()

    def press(self, key):
        self.page.keyboard.press(key)

    def slide(self, name, value):
        self.see(
            f"(() => {{ const s = element('{name}'); s.value = {value};"
            "s.dispatchEvent(new Event('input')); s.dispatchEvent(new Event('change')); })()"
        )
        self.wait()


@pytest.fixture
def opened(chromium, text, tmp_path):
    """The page in a file."""
    file = tmp_path / "page.html"
    file.write_text(text, "utf-8")
    context = chromium.new_context(viewport={"width": 1300, "height": 900})
    person = Person(context.new_page())
    person.page.goto(f"file://{file}")
    person.wait()
    yield person
    assert person.faults == []
    assert [url for url in person.asked if not url.startswith("file://")] == []
    context.close()


@pytest.fixture
def live(chromium, served):
    """The page of a server."""
    context = chromium.new_context(viewport={"width": 1300, "height": 900})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    person = Person(context.new_page())
    person.page.goto(served.address)
    person.wait()
    yield person
    assert person.faults == []
    assert all(url.startswith(("http://127.0.0.1:", "data:")) for url in person.asked)
    context.close()


def test_a_click_follows_a_trajectory_in_every_panel(opened):
    opened.click([0.3, 1.2], 1)
    paths = opened.see("panels.map(p => [p.paths[0].points, p.paths[0].times])")
    start = paths[0][0][0]
    np.testing.assert_allclose(start, [0.3, 1.2], atol=0.01)
    for (points, times), method in zip(paths, METHODS, strict=True):
        k = int(np.searchsorted(times, 1.0))
        flow = samdyn.Flow(WELL, method)
        there = samdyn.trajectory(flow, start, time=times[k]).final
        np.testing.assert_allclose(points[k], there, atol=1e-8)
    assert "USAM: comes to rest at" in opened.said()


def test_a_drag_moves_it(opened):
    opened.click([0.3, 1.2])
    mouse = opened.page.mouse
    mouse.move(*opened.place([0.3, 1.2]))
    mouse.down()
    mouse.move(*opened.place([-0.5, 0.9]), steps=5)
    mouse.up()
    opened.wait()
    assert opened.see("state.starts.length") == 1
    np.testing.assert_allclose(opened.see("state.starts[0].w"), [-0.5, 0.9], atol=0.02)
    np.testing.assert_allclose(
        opened.see("panels[0].paths[0].points.at(-1)"), [-1.0, 0.0], atol=1e-9
    )
    assert opened.see("panels[0].paths[0].points[0]") == opened.see("state.starts[0].w")


def test_the_slider_moves_points_and_verdicts(opened):
    for at in (1, 6, 8):
        opened.slide("rho", at)
        rho = at * RHO / 2
        wanted = samdyn.stability(samdyn.Flow(WELL, samdyn.USAM(rho)), box=BOX).to_dict()
        found = opened.see("pointsOf(panels[2])")
        assert len(found) == len(wanted["fixed_points"])
        rows = opened.page.locator("table").nth(2).locator("tbody tr").all_inner_texts()
        assert len(rows) == len(found)
        for point, row in zip(found, rows, strict=True):
            assert point["verdict"] in row
        assert "proven" not in "".join(rows)
    assert "ρ = 1" in opened.page.locator("h2").nth(2).inner_text()


def test_undo_clear_and_reset(opened):
    opened.click([0.3, 1.2])
    opened.click([-0.3, 1.2])
    opened.page.click("#undo")
    assert opened.see("state.starts.length") == 1
    opened.page.click("#clear")
    assert opened.see("state.starts.length") == 0
    opened.slide("rho", 7)
    opened.page.click("#reset")
    assert opened.see("state.at") == opened.see("DATA.at")


def test_the_address_brings_everything_back(opened):
    opened.click([0.3, 1.2])
    opened.slide("rho", 5)
    opened.slide("eta", 30)
    opened.press("b")
    opened.page.fill("#strength", "0.25")
    opened.page.fill("#reach", "0.5")
    opened.page.check("#noise")
    seen = "JSON.stringify([state.at, state.eta, state.starts, state.backwards, state.noise])"
    before = opened.see(seen)
    opened.page.reload()
    opened.wait()
    assert opened.see(seen) == before
    assert opened.see("panels.every(p => p.swarm)")


def test_steps_one_by_one(opened):
    opened.slide("eta", 50)
    eta = opened.see("state.eta")
    opened.click([0.3, 1.2])
    opened.page.fill("#count", "0")
    opened.page.dispatch_event("#count", "change")
    opened.page.click("#steps")
    for _ in range(3):
        opened.press("n")
    opened.wait()
    assert opened.see("panels[2].paths[0].points.length") == 4
    step = samdyn.StepMap(WELL, samdyn.USAM(RHO), eta)
    start = opened.see("state.starts[0].w")
    wanted = samdyn.trajectory(step, start, steps=3).final
    np.testing.assert_allclose(opened.see("panels[2].paths[0].points[3]"), wanted, rtol=1e-9)


def test_the_keyboard_alone(opened):
    opened.page.locator("canvas.plane").first.focus()
    for key in ["ArrowRight"] * 5 + ["ArrowUp"] * 3 + ["Enter"]:
        opened.press(key)
    opened.wait()
    (start,) = opened.see("state.starts.map(one => one.w)")
    np.testing.assert_allclose(start, [0 + 5 * 4 / 50, 0.25 + 3 * 2.5 / 50], rtol=1e-9)
    opened.press("b")
    opened.press("Enter")
    opened.wait()
    assert opened.see("state.starts[1].backwards") is True
    opened.press("z")
    opened.press("x")
    assert opened.see("state.starts.length") == 0
    focusable = opened.see("document.querySelectorAll('button, input, canvas[tabindex]').length")
    assert focusable > 20
    assert opened.see("[...document.querySelectorAll('input')].every(i => i.labels.length > 0)")


def test_what_is_under_the_pointer(opened):
    opened.page.mouse.move(*opened.place([1.0, 0.0]))
    shown = opened.page.locator(".near").first.inner_text()
    assert shown.startswith("(1, 0): attractor")
    assert "-1, -2" in shown


def test_keys_at_any_moment(opened):
    """Undo while a start is dragged, arrows after a reset, backwards among steps."""
    mouse = opened.page.mouse
    mouse.move(*opened.place([0.3, 1.2]))
    mouse.down()
    opened.press("z")
    mouse.move(*opened.place([0.5, 1.0]))
    mouse.up()
    opened.page.locator("canvas.plane").first.focus()
    for key in ("r", "ArrowLeft", "Enter", "x", "n"):
        opened.press(key)
    opened.wait()
    assert opened.see("state.count") == 300
    opened.slide("eta", 40)
    opened.press("n")
    opened.press("b")
    assert opened.see("[state.steps, state.backwards]") == [True, False]
    mouse.click(*opened.place([0.5, 1.0]), button="right")
    assert opened.see("state.starts.length") == 0


def test_basins_of_the_step_follow_the_step(opened):
    opened.page.check("input[data-layer=basins]")
    opened.slide("eta", 40)
    opened.page.click("#steps")
    opened.wait()
    assert opened.see("panels[0].basins.cells.filter(c => c < 0).length") == 0
    opened.slide("eta", 60)  # no step of 10 converges
    assert opened.see("panels[0].basins.cells.filter(c => c >= 0).length") == 0
    assert "to none of these: 100.0 %" in opened.page.locator(".key").nth(0).inner_text()


def test_pictures(opened):
    opened.click([0.3, 1.2])
    with opened.page.expect_download() as svg:
        opened.page.click("#svg")
    drawn = svg.value.path().read_text()
    assert drawn.startswith("<svg ")
    assert drawn.count("<g ") == 2 * len(METHODS)
    with opened.page.expect_download() as png:
        opened.page.click("#png")
    assert png.value.path().read_bytes().startswith(b"\x89PNG")
    height, wide = imread(png.value.path()).shape[:2]
    sides = [opened.see(f"panels[{k}].canvas.width") for k in range(len(METHODS))]
    assert (wide, height) == (sum(sides) + 16 * (len(METHODS) - 1), sides[0] + 24)  # and titles


def test_frames_are_quick(opened):
    """What a frame costs; what a busy machine does between frames is not the page's."""
    first = opened.see("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    for k in range(30):
        opened.see(f"launch([{np.cos(k):.3f}, {0.25 + np.sin(k):.3f}])")
    opened.wait()
    opened.see("void (frameTimes.length = 0)")
    mouse = opened.page.mouse
    mouse.move(*opened.place(opened.see("state.starts[0].w")))
    mouse.down()
    for k in range(60):
        mouse.move(*opened.place([0.5 + 0.01 * k, 0.5]))
    mouse.up()
    opened.wait()
    frames = np.array(opened.see("frameTimes"))
    print(f"first {first:.0f} ms, frames {len(frames)}, {np.percentile(frames, [50, 95])} ms")
    assert len(frames) > 20
    assert np.median(frames) < 34  # 8 where nothing else runs


def test_a_page_at_400_pixels_fits(opened):
    opened.page.set_viewport_size({"width": 400, "height": 800})
    opened.wait()
    assert opened.see("document.documentElement.scrollWidth") <= 400


def test_a_file_reads_no_formula(opened):
    assert opened.page.locator("#text").is_disabled()


# ---- with somebody to ask


def test_the_verdict_that_binds_comes_on_release(live):
    live.slide("rho", 20)
    live.wait("panels[2].found.every(point => point.proven)")
    rho = live.see("rho()")
    wanted = samdyn.stability(samdyn.Flow(WELL, samdyn.USAM(rho)), box=BOX).to_dict()
    for point, other in zip(live.see("panels[2].found"), wanted["fixed_points"], strict=True):
        assert point["w"] == other["w"]
    assert "proven" in live.page.locator("table").nth(2).inner_text()


def test_a_formula_is_typed_and_a_wrong_one_is_told(live):
    live.page.fill("#text", "x^2 - 2y")
    live.page.press("#text", "Enter")
    live.wait("element('said').textContent.includes('2*x')")
    live.page.fill("#text", "alert(1)")
    live.page.press("#text", "Enter")
    live.wait("element('said').textContent.includes('alert')")
    live.page.fill("#text", "x^4/4 - x^2/2 + y^2")
    live.page.fill("#where", "-2,2;-1,1")
    with live.page.expect_navigation(timeout=60_000):
        live.page.press("#text", "Enter")
    live.wait()
    assert live.page.inner_text("h1") == "x^4/4 - x^2/2 + y^2"
    found = live.see("panels[0].found.map(point => [point.w[0], point.verdict])")
    assert [verdict for _, verdict in found] == ["attractor", "saddle", "attractor"]
    np.testing.assert_allclose([x for x, _ in found], [-1, 0, 1], atol=1e-9)


def test_a_formula_is_given_up(live):
    live.page.fill("#text", "sin(10*x)*sin(10*y)")
    live.page.fill("#where", "-3,3;-3,3")
    live.page.click("#show")
    live.wait("element('show').textContent === 'give up'")
    live.page.click("#show")
    live.wait("element('show').textContent === 'show'")
    assert live.said() == "given up"
    live.page.fill("#text", "x^2 + y^2")
    with live.page.expect_navigation(timeout=60_000):
        live.page.click("#show")
    assert live.see("DATA.typed") == "x^2 + y^2"


def test_what_is_copied_as_python_says_the_same(live, tmp_path):
    live.page.click("#python")
    live.wait("element('said').textContent.startsWith('copied')")
    script = live.see("asPython()")
    assert live.said() == "copied: " + script.rstrip("\n") or script.strip() in live.said()
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    for number in range(3):
        for point in live.see(f"panels[{number}].found"):
            assert point["verdict"] in ran.stdout
    command = live.see("asCommand()")
    assert re.match(r"samdyn portrait double-well-2d --box=", command)


def test_noise_and_the_law_beside_it(live):
    live.page.fill("#strength", "0.6")
    live.page.fill("#reach", "0.5")
    live.page.check("#noise")
    live.wait("panels.every(p => p.swarm && p.swarm.times.length > 300 && p.swarm.theory)")
    told = live.page.locator(".near").nth(1).inner_text()
    assert "left the ball" in told
    assert "samdyn" in told or "exact" in told
    mean, theory = live.see("[meanOf(panels[0].swarm).mean, panels[0].swarm.theory.mean]")
    assert mean == pytest.approx(theory, rel=0.3)
    assert live.see("panels.every(p => p.swarm.theory.law.length === 24)")
    live.page.uncheck("#noise")


def test_basins_are_painted(live):
    live.page.check("input[data-layer=basins]")
    live.wait("panels.every(p => p.basins) && work.length === 0")
    assert live.see("panels[0].basins.ends.length") == 2
    keys = live.page.locator(".key")
    assert keys.nth(0).inner_text().split("\n") == ["to (-1, 0): 50.0 %", "to (1, 0): 50.0 %"]
    live.page.uncheck("input[data-layer=basins]")
    assert not keys.nth(0).is_visible()
    live.page.check("input[data-layer=basins]")
    assert keys.nth(0).is_visible()
    live.page.uncheck("input[data-layer=basins]")


def test_a_field_without_a_program_is_evaluated_by_the_server(chromium):
    """A loss of thousands of operations."""
    long = lambda w: sum(jnp.sin(w[0] * k) ** 2 / k for k in range(1, 120)) + w[1] ** 2  # noqa: E731
    explorer = samdyn.explore(
        samdyn.Flow(long, samdyn.GD()), [(-0.001, 0.001), (-1, 1)], browser=False
    )
    person = Person(chromium.new_page(viewport={"width": 900, "height": 900}))
    person.page.goto(explorer.address)
    person.wait("panels[0].grid !== undefined && work.length === 0")
    assert person.see("panels[0].programs") is None
    person.see("launch([0.0005, 0.5])")
    person.wait("panels[0].paths[0] !== undefined && work.length === 0")
    points = person.see("panels[0].paths[0].points")
    times = person.see("panels[0].paths[0].times")
    k = len(times) // 2
    there = samdyn.trajectory(samdyn.Flow(long, samdyn.GD()), [0.0005, 0.5], time=times[k]).final
    np.testing.assert_allclose(points[k], there, rtol=1e-5, atol=1e-9)
    assert person.see("panels[0].paths[0].ends") == "rests"
    assert "attractor" in person.page.locator("table").inner_text()
    assert person.faults == []
    explorer.close()


def test_a_hostile_page_learns_nothing(chromium, served, tmp_path):
    """From another origin: neither a form nor a request nor a frame gets an answer."""
    file = tmp_path / "evil.html"
    file.write_text(
        f"""<iframe id=f src="{served.address}"></iframe><script>
        const told = [];
        const post = {{ method: "POST", body: "{{}}" }};
        for (const asked of [["{served.address}"], ["{served.address}ask/verdicts", post]])
          fetch(...asked)
            .then(a => a.text()).then(t => told.push("read: " + t), e => told.push("refused"));
        </script>""",
        "utf-8",
    )
    page = chromium.new_page()
    page.goto(f"file://{file}")
    person = Person(page)
    person.wait("told.length === 2")
    assert person.see("told") == ["refused", "refused"]
    inner = page.frames[1]
    assert inner.evaluate("typeof DATA") == "undefined"
    page.close()
