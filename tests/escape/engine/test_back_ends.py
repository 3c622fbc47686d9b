"""Machine code and XLA make the same paths, up to rounding, of every kind of step."""

import os
import signal
import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import verbs

import samdyn
from samdyn.dynamics.regions.regions import Intersection
from samdyn.escape.engine.engine import Engine
from samdyn.escape.engine.stepping.schemes import SCHEMES, EulerMaruyama
from samdyn.programs.machine import compiled as machine

if machine.why_not():
    pytest.skip(f"there is one back end: {machine.why_not()}", allow_module_level=True)

WELL = samdyn.get_loss("double-well-2d")
START = [-1.0, 0.0]
LEFT = samdyn.Below(0, 0.0)
SAME_SHARE = 0.999  # of the paths, within half a step


def both(system, start=START, region=LEFT, paths=2000, **options):
    """The same run by either back end."""
    how = {"paths": paths, "max_time": options.pop("max_time", 3.0), "seed": 5, **options}
    found = [
        verbs.escape_times(system, jnp.asarray(start), region, back_end=name, **how)
        for name in ("llvm", "xla")
    ]
    assert [one.back_end for one in found] == ["llvm", "xla"]
    return found


def check_alike(one, other):
    step = one.dt or float(np.min(np.diff(np.unique(one.times))))
    assert np.mean(one.status == 1) > 0.1
    alike = (np.abs(one.times - other.times) < step / 2) & (one.status == other.status)
    assert np.mean(alike) >= SAME_SHARE


def diffusion(loss=WELL, method=None, noise=None, rate=0.01, **how):
    method = samdyn.USAM(0.1) if method is None else method
    return samdyn.Diffusion(loss, method, rate, noise or samdyn.Additive(0.8), **how)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scheme", sorted(SCHEMES))
def test_every_scheme(scheme, dtype):
    check_alike(*both(diffusion(), scheme=scheme, dt=0.01, dtype=dtype))


# of a radius in units of the region, or of one over the curvature
METHODS = {
    "gd": lambda size, curvature: samdyn.GD(),
    "sam": lambda size, curvature: samdyn.SAM(0.1 * size),
    "usam": lambda size, curvature: samdyn.USAM(0.1 / curvature),
    "asam": lambda size, curvature: samdyn.ASAM(0.1 * size),
    "unified-sam": lambda size, curvature: samdyn.UnifiedSAM(0.1 / curvature),
}


@pytest.mark.thorough
@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize("loss", ["beale", "muller-brown", "himmelblau", "six-hump-camel"])
def test_every_method_on_losses_of_all_kinds(loss, method):
    """From a minimum, out of a ball of one and a half standard deviations."""
    loss = samdyn.get_loss(loss)
    point = next(p for p in loss.critical_points if p.critical_type == "minimum")
    curvature = float(point.hessian_eigenvalues[-1])
    size = 1.5 / (2 * curvature) ** 0.5
    made = METHODS[method](size, curvature)
    system = samdyn.Diffusion(loss, made, 0.01, samdyn.Additive(1.0))
    how = {"paths": 1000, "max_time": 10 / curvature, "dt": 0.02 / curvature}
    # (at the point itself the direction of SAM is that of a rounding)
    start = point.w + 0.3 * size
    check_alike(*both(system, start, samdyn.Ball(point.w, size), **how))


NOISES = {
    "isotropic": samdyn.Isotropic(6.0, 1),
    "fisher": samdyn.Fisher(1),
    "additive": samdyn.Additive(0.8),
}


@pytest.mark.thorough
@pytest.mark.parametrize("coupling", ["same-batch", "fresh", "independent"])
@pytest.mark.parametrize("noise", sorted(NOISES))
def test_every_noise_and_coupling(noise, coupling):
    if noise == "additive" and coupling != "same-batch":
        return  # it is no gradient's: couplings mean nothing to it
    system = diffusion(
        rate=0.3 if noise == "fisher" else 0.01,
        noise=NOISES[noise],
        coupling=samdyn.catalogue.find("coupling", coupling)[0].load()(),
    )
    # (Fisher noise vanishes at −0.58, and no path crosses that)
    check_alike(*both(system, dt=0.005, region=samdyn.Below(0, -0.7)))


REGIONS = {
    "ball": samdyn.Ball(START, 0.5),
    "slab": samdyn.Slab([-1.0, 0.0], 0, 0.5),
    "above": samdyn.Above(0, -1.5),
    "sublevel": samdyn.Sublevel(WELL, 0.2),
    "predicate": lambda w: (w[0] < -0.3) & (w[1] < 1),
    "both": Intersection((samdyn.Below(0, 0.0), samdyn.Ball(START, 0.8))),
}


@pytest.mark.thorough
@pytest.mark.parametrize("region", sorted(REGIONS))
def test_every_region(region):
    check_alike(*both(diffusion(), region=REGIONS[region], dt=0.01))


@pytest.mark.thorough
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("kind", ["diffusion", "map"])
def test_momentum_and_the_step_map(kind, momentum):
    if kind == "map":
        noise = samdyn.Isotropic(8.0, 1)
        system = samdyn.StochasticStepMap(WELL, samdyn.SAM(0.1), 0.05, noise, momentum=momentum)
        check_alike(*both(system))
    else:
        check_alike(*both(diffusion(noise=samdyn.Isotropic(8.0, 1), momentum=momentum), dt=0.002))


def test_a_place_of_a_step_is_not_taken_for_a_number_of_another():
    """Coordinate 2 and the number 2 are the same to Python, also as keys of a cache."""
    noise = lambda w, args: 0.5 * jnp.eye(3, dtype=w.dtype)  # noqa: E731
    region, how = samdyn.Ball([0.0] * 3, 0.8), {"dt": 0.01, "max_time": 5.0, "paths": 500}
    means = []
    for factor in (lambda w: w[2], lambda w: 2.0):

        def drift(w, args, factor=factor):
            return jnp.stack([-w[0] * factor(w), -w[1], -w[2]])

        system = samdyn.SDE(drift, noise)
        found = verbs.escape_times(
            system, jnp.array([0.5, 0.0, 0.1]), region, scheme="euler", back_end="llvm", **how
        )
        means.append(np.mean(found.times))
    assert abs(means[0] - means[1]) > 0.3


def linear_regression(method, rows=40):
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(rows, 2))
    targets = inputs @ np.array([1.0, -0.5]) + rng.normal(size=rows) / 2
    loss = lambda w, example: (jnp.dot(w, example[0]) - example[1]) ** 2 / 2  # noqa: E731
    minimum = np.linalg.lstsq(inputs, targets, rcond=None)[0]
    return samdyn.MinibatchStepMap(loss, (inputs, targets), 2, method, 0.1), minimum


@pytest.mark.parametrize("method", ["gd", pytest.param("sam", marks=pytest.mark.thorough)])
def test_real_minibatches(method):
    system, minimum = linear_regression(METHODS[method](0.5, 1.0))
    ran = both(system, minimum, samdyn.Ball(minimum, 0.25), max_time=1e3)
    assert [result.back_end for result in ran] == ["llvm", "xla"]
    check_alike(*ran)


@pytest.mark.thorough
@pytest.mark.parametrize("law", ["normal", "binomial"])
def test_one_variable_draws_an_odd_number(law):
    loss = lambda w: (w[0] ** 2 - 1) ** 2 / 4  # noqa: E731
    scheme = "euler" if law == "normal" else "euler-binomial"
    system = diffusion(loss, noise=samdyn.Additive(0.8))
    check_alike(*both(system, [-1.0], samdyn.Below(0, 0.0), scheme=scheme, dt=0.01))


def engine(max_steps=None, **how):
    how = {"block": 16, "workers": 1} | how
    stepper = EulerMaruyama(diffusion(), LEFT, jnp.asarray(START, jnp.float32), 0.01)
    return Engine(stepper, 3, max_steps, back_end="llvm", **how)


def rows(engine, count=999):
    parts = []
    engine.run([(0, count)], lambda finished, _: parts.append(finished))
    joined = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return [column[np.argsort(joined[0])] for column in joined]


@pytest.mark.parametrize("count", [1, 999, 1001])
def test_the_width_of_a_vector_leaves_no_trace(count, monkeypatch):
    reference = rows(engine(), count)
    for width in (4, 8, 64):
        monkeypatch.setattr(
            "samdyn.escape.engine.on_llvm.width_of", lambda programs, dtype, width=width: width
        )
        for block, workers in ((1, 1), (3 * width, 3)):
            found = rows(engine(block=block, workers=workers), count)
            for one, other in zip(found, reference, strict=True):
                np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("limit", [1, 2, 7, 50])
def test_no_path_makes_a_step_more_than_it_may(limit):
    free, bound = rows(engine()), rows(engine(limit))
    assert np.max(bound[3]) == limit
    early = free[3] <= limit
    np.testing.assert_array_equal(bound[1][early], free[1][early])
    assert set(bound[2][~early]) <= {2}


def test_a_second_parameter_compiles_nothing(monkeypatch):
    made = []
    before = machine.Compiled
    monkeypatch.setattr(machine, "Compiled", lambda *text: made.append(1) or before(*text))
    for rho, rate, s, level in (
        (0.1, 0.01, 0.8, 0.0),
        (0.3, 0.02, 0.7, 0.1),
        (0.2, 0.01, 0.9, -0.2),
    ):
        system = samdyn.Diffusion(WELL, samdyn.USAM(rho), rate, samdyn.Additive(s))
        verbs.escape_times(system, START, samdyn.Below(0, level), paths=20, max_time=0.5, dt=0.01)
    assert len(made) <= 1


def test_values_that_overflow_or_are_none_end_as_failed_paths():
    steep = lambda w: jnp.where(w[1] > 0, jnp.nan, 1) * w[0]  # noqa: E731
    cliff = lambda w: -jnp.exp(jnp.exp(w[0] * 9))  # noqa: E731
    for loss, start in ((steep, [0.0, -0.3]), (cliff, [0.0, 0.0])):
        system = diffusion(loss, samdyn.GD(), samdyn.Additive(0.5))
        region = samdyn.Slab([0.0, 0.0], 1, 0.6)
        how = {"paths": 300, "max_time": 3.0, "dt": 0.01, "scheme": "euler"}
        found = verbs.escape_times(system, start, region, back_end="llvm", **how)
        assert found.summary.failed > 10
        assert found.summary.n == 300
        assert np.all(np.isfinite(found.points[found.status == 1]))


def test_who_asks_for_machine_code_where_there_is_none_is_told_why():
    unusual = lambda w: jax.scipy.special.erfinv(0.5 * jnp.tanh(w[0])) ** 2 + w[1] ** 2  # noqa: E731
    how = {"paths": 5, "max_time": 0.1, "dt": 0.01}
    system = diffusion(unusual, samdyn.GD())
    with pytest.raises(samdyn.InvalidInput, match=r"erf_inv has no machine code here\. Take xla"):
        verbs.escape_times(system, START, samdyn.Ball(START, 1.0), back_end="llvm", **how)
    assert verbs.escape_times(system, START, samdyn.Ball(START, 1.0), **how).back_end == "xla"
    with pytest.raises(samdyn.InvalidInput, match="llvm or xla"):
        verbs.escape_times(system, START, LEFT, back_end="cuda", **how)


def test_without_llvm_everything_is_done_by_xla(monkeypatch):
    with_it = verbs.escape_times(diffusion(), START, LEFT, paths=200, dt=0.01, max_time=1.0)
    monkeypatch.setenv(machine.HIDDEN, "1")
    without = verbs.escape_times(diffusion(), START, LEFT, paths=200, dt=0.01, max_time=1.0)
    assert (with_it.back_end, without.back_end) == ("llvm", "xla")
    np.testing.assert_allclose(with_it.times, without.times, atol=0.005)


def test_a_folder_is_of_one_back_end(tmp_path, monkeypatch):
    how = {"dt": 0.01, "max_time": 1.0, "out": tmp_path / "runs"}
    verbs.escape_times(diffusion(), START, LEFT, paths=50, back_end="xla", **how)
    more = verbs.escape_times(diffusion(), START, LEFT, paths=100, resume=True, **how)
    assert more.back_end == "xla"
    with pytest.raises(samdyn.InvalidInput, match="back end differs"):
        verbs.escape_times(diffusion(), START, LEFT, paths=9, resume=True, back_end="llvm", **how)
    how["out"] = tmp_path / "others"
    verbs.escape_times(diffusion(), START, LEFT, paths=50, **how)
    monkeypatch.setenv(machine.HIDDEN, "1")
    with pytest.raises(samdyn.InvalidInput, match="begun by back_end llvm, which is not here"):
        verbs.escape_times(diffusion(), START, LEFT, paths=100, resume=True, **how)


CRASH = """
    import os, signal, sys, threading, time
    import jax.numpy as jnp, samdyn
    loss = samdyn.get_loss("double-well-2d")
    system = samdyn.Diffusion(loss, samdyn.USAM(0.1), 0.01, samdyn.Additive(0.35))
    def crash():
        while not any(name.endswith("1.npz") for name in os.listdir({folder!r})):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGSEGV)
    os.makedirs({folder!r}, exist_ok=True)
    if {crashes}:
        threading.Thread(target=crash, daemon=True).start()
    found = samdyn.escape_times(system, [-1.0, 0.0], samdyn.Below(0, 0.5), paths=4000, dt=0.001,
                                scheme="euler", out={folder!r}, resume=True)
    print(found.back_end, found.times.sum(), len(found.times))
"""


@pytest.mark.thorough
def test_a_crash_in_compiled_code_loses_no_block(tmp_path):
    def runs(folder, crashes):
        text = textwrap.dedent(CRASH.format(folder=str(folder), crashes=crashes))
        return subprocess.run(
            [sys.executable, "-c", text], capture_output=True, text=True, timeout=300
        )

    crashed = runs(tmp_path / "runs", True)
    assert crashed.returncode == -signal.SIGSEGV, crashed.stderr
    kept = len(samdyn.load(tmp_path / "runs")["time"])
    assert 0 < kept < 4000
    again = runs(tmp_path / "runs", False)
    plain = runs(tmp_path / "plain", False)
    assert again.stdout == plain.stdout
    assert again.stdout.startswith("llvm")


def test_hidden_is_as_if_it_were_not_installed():
    text = "import samdyn.programs.machine.compiled as m; print(m.why_not())"
    hide = "import sys; sys.modules['llvmlite'] = None; "
    ran = subprocess.run([sys.executable, "-c", hide + text], capture_output=True, text=True)
    assert "llvmlite is not here" in ran.stdout
    environment = os.environ | {machine.HIDDEN: "1"}
    ran = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, env=environment
    )
    assert ran.stdout.strip() == f"{machine.HIDDEN} is set"


def test_a_step_has_machine_code_only_if_it_is_short(monkeypatch):
    monkeypatch.setattr("samdyn.escape.engine.on_llvm.LONGEST", 20)
    loss = lambda w: jnp.sum((w**2 - 1) ** 2)  # noqa: E731
    found = verbs.escape_times(diffusion(loss), START, LEFT, paths=5, dt=0.01, max_time=0.1)
    assert found.back_end == "xla"
