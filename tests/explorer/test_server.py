"""The server answers this machine's own page, and nobody else."""

import http.client
import json
import socket
import threading
import time
from urllib.parse import urlsplit

import jax.numpy as jnp
import numpy as np
import pytest

import samdyn
from samdyn.explorer import evaluated
from samdyn.explorer.server import LONGEST

from .conftest import BOX, RHO, WELL


class Caller:
    """Requests to a server, as anybody may make them."""

    def __init__(self, explorer):
        parts = urlsplit(explorer.address)
        self.host, self.port, self.path = parts.hostname, parts.port, parts.path

    def __call__(self, method, path, body=None, **headers):
        """(status, text); headers with _ for -."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, given)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text

    def ask(self, what, given, **headers):
        headers = {"Content_Type": "application/json"} | headers
        body = given if isinstance(given, str) else json.dumps(given)
        status, text = self("POST", f"{self.path}ask/{what}", body, **headers)
        return status, json.loads(text)

    def alive(self):
        return self("GET", self.path)[0] == 200


@pytest.fixture
def call(served):
    made = Caller(served)
    yield made
    assert made.alive()  # whatever was sent


def test_the_page_of_this_machine(call):
    status, text = call("GET", call.path)
    assert status == 200
    assert "connect-src 'self'" in text


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:80"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_other_origins_are_refused(call, headers):
    assert call("GET", call.path, **headers)[0] == 403
    status, answer = call.ask("verdicts", {"rho": 0.1}, **headers)
    assert status == 403
    assert "points" not in str(answer)


@pytest.mark.parametrize(
    "path", ["/", "/x/0/", "//0/", "/0/", "/../0/", "/favicon.ico", "/" + "A" * 32 + "/0/"]
)
def test_without_the_token_there_is_nothing(call, path):
    assert call("GET", path)[0] == 403
    assert call("POST", path + "ask/verdicts", "{}", Content_Type="application/json")[0] == 403


@pytest.mark.parametrize(
    "rest", ["", "7777/", "x/", "0/x", "0/../0/", "99999999999/", "-1/", "%C2%B2/"]
)
def test_there_is_nothing_else(call, rest):
    token = call.path.split("/")[1]
    assert call("GET", f"/{token}/{rest}")[0] in (400, 404)


@pytest.mark.parametrize("method", ["HEAD", "PUT", "OPTIONS", "TRACE", "BREW"])
def test_other_methods_are_refused_as_everything_is(call, method):
    connection = http.client.HTTPConnection(call.host, call.port, timeout=60)
    connection.request(method, call.path)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    assert answer.status == 501
    assert answer.getheader("Content-Type") == "application/json"
    assert answer.getheader("X-Content-Type-Options") == "nosniff"
    assert method == "HEAD" or "error" in json.loads(text)


def test_what_is_no_http_is_refused(call):
    with socket.create_connection((call.host, call.port), timeout=30) as line:
        line.sendall(b"hello \x00 there is nobody\r\n\r\n")
        assert line.recv(4096)


def test_a_long_message_is_not_read(call):
    status, answer = call.ask("verdicts", "x" * (LONGEST + 1))
    assert status == 413
    assert "at most" in answer["error"]


def test_ten_megabytes_are_refused_before_they_are_sent(call):
    with socket.create_connection((call.host, call.port), timeout=30) as line:
        head = f"POST {call.path}ask/verdicts HTTP/1.1\r\nHost: {call.host}:{call.port}\r\n"
        head += "Content-Type: application/json\r\nContent-Length: 10485760\r\n\r\n"
        line.sendall(head.encode())
        assert b" 413 " in line.recv(4096)


@pytest.mark.parametrize(
    ("given", "kind", "status"),
    [
        ("{", "application/json", 400),
        ("[" * 9000, "application/json", 400),
        ("{}", "text/plain", 415),
        ("", "application/json", 400),
    ],
)
def test_what_is_no_question(call, given, kind, status):
    assert call.ask("verdicts", given, Content_Type=kind)[0] == status


@pytest.mark.parametrize(
    ("what", "given"),
    [
        ("verdicts", []),
        ("verdicts", {"rho": "0.1", "learning_rate": 0, "momentum": 0}),
        ("verdicts", {"rho": -1, "learning_rate": 0, "momentum": 0}),
        ("verdicts", {"rho": 1e300, "learning_rate": 0, "momentum": 0}),
        ("verdicts", {"rho": 0.1, "learning_rate": 0, "momentum": 1.5}),
        ("theory", {"panel": 7, "rho": 0.1, "start": [0, 0], "strength": 1, "reach": 1}),
        ("theory", {"panel": 0, "rho": 0.1, "start": [0], "strength": 1, "reach": 1}),
        ("__class__", {}),
        ("formula", {"text": "__import__('os')", "box": ""}),
        ("formula", {"text": "x^2", "box": "1,2"}),
        ("formula", {"text": 3, "box": ""}),
        ("formula", 3),
    ],
)
def test_a_question_without_sense_gets_a_sentence(call, what, given):
    status, answer = call.ask(what, given)
    assert status == 200
    assert set(answer) == {"error"}
    assert answer["error"].endswith(".")


def test_verdicts_are_the_library_s(call):
    status, answer = call.ask("verdicts", {"rho": 0.3, "learning_rate": 0.5, "momentum": 0.5})
    assert status == 200
    step = samdyn.StepMap(WELL, samdyn.USAM(0.3), 0.5, 0.5)
    wanted = samdyn.stability(step, box=BOX).to_dict()["fixed_points"]
    for point, other in zip(answer["panels"][2]["points"], wanted, strict=True):
        assert point["w"] == other["w"]
        assert point["verdict"] == other["flow"]["verdict"]
        assert point["step"] == other["map"]["verdict"]
        assert point["proven"]


def test_of_many_questions_the_newest_is_answered(served):
    call, answers = Caller(served), {}

    def ask(rho):
        answers[rho] = call.ask("verdicts", {"rho": rho, "learning_rate": 0, "momentum": 0})[1]

    threads = [threading.Thread(target=ask, args=(0.1 + k / 100,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert any("panels" in answer for answer in answers.values())
    assert all("panels" in a or "newer" in a["error"] for a in answers.values())


def test_a_formula_makes_a_page_of_its_own(call):
    status, answer = call.ask("formula", {"text": "x^2 - y^2", "box": "-1,1;-1,1"})
    assert status == 200
    number = answer["page"].strip("./")
    status, text = call("GET", f"/{call.path.split('/')[1]}/{number}/")
    assert status == 200
    assert "x^2 - y^2" in text


def test_a_formula_that_takes_minutes_is_given_up(call):
    """Two thousand fixed points of SAM: who asks for something else does not wait for them."""
    long, answers = {"text": "sin(10*x)*sin(10*y)", "box": "-3,3;-3,3", "page": "a"}, []
    asking = threading.Thread(target=lambda: answers.append(call.ask("formula", long)))
    asking.start()
    time.sleep(1)
    assert "page" in call.ask("formula", {"text": "x^2", "box": "-1,1;-1,1", "page": "a"})[1]
    asking.join(timeout=60)
    assert answers == [(200, {"error": "a newer question has come."})]


def test_the_law_of_a_ball(call):
    given = {"panel": 0, "rho": RHO, "start": [1.0, 0.0], "strength": 0.5, "reach": 0.5}
    status, answer = call.ask("theory", given)
    noise = samdyn.Diffusion(WELL, samdyn.GD(), 1.0, samdyn.Additive(0.5))
    wanted = samdyn.escape_times(noise, [1.0, 0.0], samdyn.Ball([1.0, 0.0], 0.5), paths=2000)
    assert status == 200
    assert answer["mean"] == pytest.approx(wanted.to_dict()["mean"], rel=1e-12)


@pytest.mark.parametrize("backwards", [False, True])
def test_a_trajectory_that_the_page_cannot_follow(call, backwards):
    given = {"panel": 2, "rho": RHO, "start": [0.3, 0.8], "backwards": backwards}
    _, answer = call.ask("path", given | {"learning_rate": 0, "momentum": 0, "count": 0})
    assert answer["ends"] == ("leaves" if backwards else "rests")
    k = len(answer["times"]) // 2
    flow = samdyn.Flow(WELL, samdyn.USAM(RHO))
    if backwards:
        there = samdyn.trajectory(flow, answer["points"][k], time=-answer["times"][k]).final
        np.testing.assert_allclose(there, [0.3, 0.8], atol=1e-5)
    else:
        there = samdyn.trajectory(flow, [0.3, 0.8], time=answer["times"][k]).final
        np.testing.assert_allclose(answer["points"][k], there, atol=1e-6)


def test_steps_that_the_page_cannot_make(call):
    given = {"panel": 1, "rho": RHO, "start": [0.3, 0.8], "backwards": False}
    _, answer = call.ask("path", given | {"learning_rate": 0.3, "momentum": 0.5, "count": 7})
    step = samdyn.StepMap(WELL, samdyn.SAM(RHO), 0.3, 0.5)
    assert answer["times"] == list(range(8))
    for made in (1, 7):
        there = samdyn.trajectory(step, [0.3, 0.8], steps=made).final
        np.testing.assert_allclose(answer["points"][made], there, rtol=1e-12)


def test_a_box_far_from_the_origin_with_unequal_sides_is_no_other_problem():
    """Lengths are those of the sides: an offset, a scale and a stiff direction change no ending."""
    at, side, rates = np.array([1e4, -50.0]), np.array([1e3, 1e-2]), np.array([1.0, 1e5])
    loss = lambda w: jnp.sum(rates * (w - at) ** 2) / 2  # noqa: E731
    flow = samdyn.Flow(loss, samdyn.GD())
    box = np.stack([at - 2 * side, at + 2 * side], axis=1)
    start = (at + 1.5 * side).tolist()
    found = evaluated.path(flow, box, start, False)
    assert found["ends"] == "rests"
    np.testing.assert_allclose((found["points"][-1] - at) / side, 0, atol=1e-6)
    assert evaluated.path(flow, box, start, True)["ends"] == "leaves"


def test_a_saddle_is_passed():
    """A start beside the saddle's stable manifold comes near it, and goes on."""
    found = evaluated.path(samdyn.Flow(WELL, samdyn.GD()), np.array(BOX), [1e-8, 1.0], False)
    assert found["ends"] == "rests"
    assert np.min(np.linalg.norm(found["points"], axis=1)) < 1e-3
    np.testing.assert_allclose(found["points"][-1], [1, 0], atol=1e-6)


def test_a_grid_of_velocities(call):
    _, answer = call.ask("grid", {"panel": 2, "rho": RHO})
    flow = samdyn.Flow(WELL, samdyn.USAM(RHO))
    (x0, x1), (y0, y1) = BOX
    for row, column in ((0, 0), (30, 70), (100, 100)):
        w = np.array([x0 + (x1 - x0) * column / 100, y0 + (y1 - y0) * row / 100])
        np.testing.assert_allclose(answer["grid"][row][column], flow.velocity(w), rtol=1e-12)


def test_it_is_bound_to_this_machine_alone(served):
    assert served._server.server_address[0] == "127.0.0.1"


def test_a_port_that_is_taken(served):
    other = samdyn.Explorer(served.scene)
    with pytest.raises(samdyn.InvalidInput, match="cannot be used"):
        other.serve(urlsplit(served.address).port)


def test_a_trap_that_nobody_leaves_is_not_waited_for(call):
    given = {"panel": 0, "rho": RHO, "start": [1.0, 0.0], "strength": 0.05, "reach": 0.5}
    status, answer = call.ask("theory", given)
    assert status == 200
    assert answer["mean"] is None
    assert "stay longer" in answer["text"]
