"""Methods, noises, couplings, schemes, models and systems by path, FILE.py:NAME."""

import json

import pytest
from golden.contract import contract

from samdyn.cli.main import main

FILE = """
import equinox as eqx
import jax
import jax.numpy as jnp

import samdyn


class Mine(samdyn.AbstractMethod):
    rho: jax.Array = samdyn.radius()

    def perturb(self, gradient, w):
        return jax.tree.map(lambda x, g: x + self.rho * g, w, gradient(w))


def scaled(size):
    return Mine(2 * size)


def optional(rho=0.2):
    return Mine(rho)


def plain():
    return samdyn.GD()


made = Mine(0.3)
number = 3


class Noise(samdyn.Isotropic):
    pass


def batches(batch_size):
    return samdyn.Isotropic(1.0, batch_size)


noise = samdyn.Isotropic(1.0, 4)
still = samdyn.Additive(0.5)


class Coupling(samdyn.Fresh):
    name = "mine"


coupling = Coupling()

from samdyn.escape.engine.stepping.schemes import EulerMaruyama


class Scheme(EulerMaruyama):
    name = "mine"


class Linear(eqx.Module):
    weight: jax.Array

    def __init__(self, key):
        self.weight = jax.random.normal(key, (20, 4), jnp.float32)

    def __call__(self, x):
        return x @ self.weight


def fails(rho):
    raise ValueError("no such thing")


def saddle(w):
    return 0.5 * (w[0] ** 2 - w[1] ** 2)


def spiral(t, w, args):
    return jnp.stack([-w[0] - w[1], w[0] - w[1]])


ode = samdyn.ODE(spiral)
flow = samdyn.Flow(saddle, Mine(0.5))
step = samdyn.StepMap(saddle, Mine(0.5), 0.1)
shrink = samdyn.Map(lambda w, args: args["factor"] * w, {"factor": 0.5})
sde = samdyn.SDE(lambda w, args: -w, lambda w, args: 0.5 * jnp.eye(2))
noisy = samdyn.StochasticStepMap(saddle, Mine(0.1), 0.05, samdyn.Isotropic(1.0))
"""

STABILITY = ("stability", "saddle", "--at", "0,0")
ESCAPE = ("escape", "saddle", "--from", "0,0", "--inside", "slab:1:0.2", "--method", "gd")
ESCAPE += ("--lr", "0.01", "--paths", "64")
OF_SYSTEM = ("--from", "0,0", "--inside", "ball:0.3", "--paths", "64")
SPREAD = ("spread", "saddle", "--at", "0,0", "--method", "gd", "--lr", "0.1", "--time", "0.3")
SPREAD += ("--paths", "200")
STUDY = ("study", "teacher-student", "--rho", "0.1", "--momentum", "0", "--batch-size", "64")
STUDY += ("--steps", "2", "--seeds", "1")


@pytest.fixture
def file(tmp_path):
    """The path of the file, before the colon."""
    (tmp_path / "mine.py").write_text(FILE)
    return f"{tmp_path}/mine.py"


@pytest.fixture
def run(capsys, file):
    """Runs a command with --json, mine:NAME standing for the file's; (result, config)."""

    def command(*arguments, status=0):
        code = main([*(a.replace("mine:", f"{file}:") for a in arguments), "--json"])
        captured = capsys.readouterr()
        assert code == status, captured.err
        answer = json.loads(captured.out)
        told = [f"{list(e.absolute_path)}: {e.message}" for e in contract.iter_errors(answer)]
        assert not told, "\n".join(told)
        return answer["result"], answer["config"]

    return command


@pytest.fixture
def refused(capsys, file):
    """Runs a command that fails; the one line that it prints."""

    def command(*arguments, status=2):
        try:
            code = main([a.replace("mine:", f"{file}:") for a in arguments])
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        assert code == status, captured.err
        assert captured.out == ""
        assert captured.err.count("\n") == 1
        return captured.err

    return command


def eigenvalues(result):
    (point,) = result["fixed_points"]
    return sorted(re for re, _ in point["flow"]["eigenvalues"])


@pytest.mark.parametrize(
    ("method", "rho", "radius"),
    [
        ("Mine", "0.2", 0.2),
        ("scaled", "0.2", 0.4),
        ("optional", "0.1", 0.1),
        ("optional", None, 0.2),
        ("plain", None, 0.0),
        ("made", None, 0.3),
    ],
)
@pytest.mark.thorough
def test_a_method(run, method, rho, radius):
    given = () if rho is None else ("--rho", rho)
    result, config = run(*STABILITY, "--method", f"mine:{method}", *given)
    assert eigenvalues(result) == pytest.approx([-2 * (1 + 2 * radius), 2 * (1 - 2 * radius)])
    assert config["method"].endswith(f"mine.py:{method}")


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("--method", "mine:made", "--rho", "0.1"), 2, "--rho has no meaning with --method"),
        (("--method", "mine:plain", "--rho", "0.1"), 2, "--rho has no meaning with --method"),
        (("--method", "mine:Mine"), 2, "needs --rho"),
        (("--method", "mine:Mine", "--rho", "-1"), 2, "finite number ≥ 0"),
        (("--method", "mine:number"), 2, "must be, or give when it is called, a method"),
        (("--method", "mine:coupling"), 2, "must be, or give when it is called, a method"),
        (("--method", "mine:nothing"), 2, "has no object named 'nothing'"),
        (("--method", "nowhere.py:Mine", "--rho", "0.1"), 2, "no file nowhere.py"),
        (("--method", "mine:fails", "--rho", "0.1"), 1, "no such thing"),
        ((), 2, "required: --method"),
    ],
)
def test_a_method_that_is_none(refused, arguments, status, says):
    assert says in refused(*STABILITY, *arguments, status=status)


@pytest.mark.thorough
def test_every_other_command_takes_a_method_by_path(run, tmp_path):
    mine = ("--method", "mine:Mine")
    result, _ = run("sweep", "saddle", "--at", "0,0", *mine, "--rho", "0:1:3")
    assert [event["rho"] for event in result["bifurcations"]] == [pytest.approx(0.5)]
    result, _ = run(
        *("trajectory", "saddle", *mine, "--rho", "1", "--lr", "0.1"),
        *("--steps", "500", "--start", "0.1,0.1"),
    )
    assert result["nearest_fixed_point"]["distance"] < 1e-9
    figure = str(tmp_path / "a.png")
    run("portrait", "saddle", "--method", "gd", *mine, "--rho", "0.7", "-o", figure)


@pytest.mark.parametrize("noise", ["batches", "noise", "still"])
@pytest.mark.thorough
def test_a_noise(run, noise):
    batch = ("--batch-size", "4") if noise == "batches" else ()
    result, _ = run(*ESCAPE, "--noise", f"mine:{noise}", *batch)
    assert result["escaped"] > 0
    if noise != "still":
        result, _ = run(*SPREAD, "--noise", f"mine:{noise}", *batch)
        same, _ = run(*SPREAD, "--noise", "isotropic:1", "--batch-size", "4")
        assert result["simulated"] == same["simulated"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--noise", "mine:noise", "--batch-size", "4"), "--batch-size has no meaning"),
        (("--noise", "mine:Noise"), "needs s: give an instance"),
        (("--noise", "mine:still", "--coupling", "fresh"), "--coupling has no meaning"),
        (("--noise", "mine:made"), "a noise (AbstractNoise)"),
        (("--noise", "isotropic:1", "--coupling", "mine:noise"), "a coupling (AbstractCoupling)"),
        (("--noise", "isotropic:1", "--coupling", "twice"), "there is no coupling 'twice'"),
        (("--noise", "isotropic:1", "--scheme", "mine:noise"), "a subclass of AbstractScheme"),
        (("--noise", "isotropic:1", "--scheme", "hein"), "Did you mean heun?"),
        ((), "required: --noise"),
    ],
)
def test_noise_coupling_and_scheme_that_are_none(refused, arguments, says):
    assert says in refused(*ESCAPE, *arguments)


@pytest.mark.parametrize("coupling", ["Coupling", "coupling"])
def test_a_coupling(run, coupling):
    noise = ("--noise", "isotropic:1")
    result, _ = run(*SPREAD, *noise, "--coupling", f"mine:{coupling}")
    same, _ = run(*SPREAD, *noise, "--coupling", "fresh")
    assert result["simulated"] == same["simulated"]


@pytest.mark.thorough
def test_a_scheme(run):
    noise = ("--noise", "additive:0.5", "--dt", "0.01")
    result, config = run(*ESCAPE, *noise, "--scheme", "mine:Scheme")
    same, _ = run(*ESCAPE, *noise, "--scheme", "euler")
    assert (result["mean"], result["scheme"]) == (same["mean"], "mine")
    assert config["scheme"].endswith("mine.py:Scheme")


@pytest.mark.thorough
def test_a_model_and_methods_of_a_study(run):
    result, config = run(*STUDY, "--model", "mine:Linear", "--method", "gd,mine:Mine,mine:made")
    assert config["model"].endswith("mine.py:Linear")
    assert [(row["method"], row["rho"]) for row in result["rows"]] == [
        ("gd", 0.0),
        ("Mine", 0.1),
        ("Mine", 0.3),
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--model", "mine:number"), "a model is"),
        (("--model", "mlb"), "there is no model 'mlb'. Did you mean mlp?"),
        (("--model", "mine:Linear", "--norm", "group"), "norm"),
        (("--method", "mine:coupling"), "a method"),
    ],
)
def test_models_that_are_none(refused, arguments, says):
    assert says in refused(*STUDY, *arguments)


@pytest.mark.parametrize("system", ["ode", "flow", "step", "shrink"])
@pytest.mark.thorough
def test_fixed_points_of_a_system(run, system):
    result, config = run("stability", f"mine:{system}", "--box=-1,1;-1,1")
    (point,) = result["fixed_points"]
    assert point["w"] == pytest.approx([0, 0], abs=1e-9)
    assert (point["loss"] is None) == (system in ("ode", "shrink"))
    assert (point["flow"] is None) == (system == "shrink")
    assert ("map" in point) == (system in ("step", "shrink"))
    if point["loss"] is None:
        assert (point["kind"], point["critical_type"]) == ("fixed point", None)
    assert config["method"] is None


@pytest.mark.thorough
def test_basins_portraits_and_runs_of_a_system(run, tmp_path):
    figures = [str(tmp_path / f"{name}.png") for name in "abc"]
    box = ("--box=-1,1;-1,1",)
    result, _ = run(
        "basins", "mine:shrink", *box, "--grid", "4", "--steps", "200", "-o", figures[0]
    )
    assert result["attractors"][0]["fraction"] == 1
    result, _ = run("basins", "mine:ode", *box, "--grid", "3")
    assert result["attractors"][0]["fraction"] == 1
    _, config = run("portrait", "mine:ode", *box, "--start", "0.5,0.5", "-o", figures[1])
    assert config["method"] is None
    result, _ = run(
        *("trajectory", "mine:shrink", "--steps", "60", "--start", "0.5,0.5"), "-o", figures[2]
    )
    assert result["final_loss"] is None
    assert result["nearest_fixed_point"]["distance"] < 1e-12


def test_a_run_of_a_system_as_text(file, capsys):
    assert main(["trajectory", f"{file}:shrink", "--steps", "60", "--start", "0.5,0.5"]) == 0
    assert "nearest fixed point: fixed point (0, 0)" in capsys.readouterr().out
    assert main(["stability", f"{file}:shrink", "--at", "0.1,0.1"]) == 0
    assert "attractor" in capsys.readouterr().out


@pytest.mark.thorough
def test_escapes_and_spread_of_a_system(run):
    for system, dynamics in (("sde", "sde"), ("noisy", "map")):
        result, config = run("escape", f"mine:{system}", *OF_SYSTEM)
        assert result["escaped"] == 64
        assert config["dynamics"] == dynamics
    result, _ = run("spread", "mine:noisy", "--at", "0,0", "--time", "0.3", "--paths", "200")
    assert result["simulated"]["variance"][0] > 0


TRAJECTORY = ("--steps", "3", "--start", "0,0")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("stability", "mine:ode", "--at", "0,0", "--method", "gd"), "--method has no meaning"),
        (("stability", "mine:ode", "--at", "0,0", "--rho", "1"), "--rho has no meaning"),
        (("stability", "mine:ode", "--at", "0,0", "--lr", "1"), "--lr has no meaning"),
        (("stability", "mine:ode", "--at", "0,0", "--momentum", "0.5"), "--momentum has no"),
        (("stability", "mine:sde", "--at", "0,0"), "stability takes an ODE"),
        (("stability", "mine:ode"), "--box"),
        (("stability", "mine:number", "--at", "0,0", "--method", "gd"), "no function named"),
        (("sweep", "mine:ode", "--at", "0,0", "--rho", "0:1:3"), "sweep varies the radius"),
        (("trajectory", "mine:ode", *TRAJECTORY), "trajectory takes steps"),
        (("trajectory", "mine:sde", *TRAJECTORY), "trajectory takes steps"),
        (("basins", "mine:sde", "--box=-1,1;-1,1", "--grid", "3"), "SDE"),
        (("portrait", "mine:sde", "--box=-1,1;-1,1", "-o", "a.png"), "a phase portrait is of"),
        (("escape", "mine:ode", *OF_SYSTEM), "paths are those of an SDE"),
        (("escape", "mine:sde", *OF_SYSTEM, "--noise", "additive:1"), "--noise has no meaning"),
        (("escape", "mine:sde", *OF_SYSTEM, "--coupling", "fresh"), "--coupling has no meaning"),
        (("escape", "mine:sde", *OF_SYSTEM, "--dynamics", "map"), "--dynamics map has no"),
        (("escape", "mine:noisy", *OF_SYSTEM, "--scheme", "euler"), "a step map takes"),
        (("spread", "mine:sde", "--at", "0,0", "--time", "1"), "a StochasticStepMap is needed"),
        (("diagnose", "mine:shrink", "--method", "gd", "--lr", "1"), "is a Map"),
    ],
)
def test_what_a_system_does_not_take(refused, arguments, says):
    assert says in refused(*arguments)
