"""What cannot work is told in one sentence: `InvalidInput`, and never a raw last line."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import samdyn
from samdyn import GD, SAM, Ball, Diffusion, Flow, Isotropic, StepMap, StochasticStepMap

SADDLE = samdyn.get_loss("saddle")
AT, BOX, BALL = np.zeros(2), ((-1.0, 1.0), (-1.0, 1.0)), Ball(jnp.zeros(2), 1.0)
SCHEDULE = optax.exponential_decay(0.1, 10, 0.9)
TWO = SAM(jnp.array([0.1, 0.2]))
POINT = samdyn.stability(Flow(SADDLE, GD()), at=AT)
NOISE = Isotropic(1.0)
FLOW, STEP = Flow(SADDLE, SAM(0.1)), StepMap(SADDLE, SAM(0.1), 0.1)
OWN = samdyn.SDE(lambda w, args: -w, lambda w, args: 0.5 * jnp.eye(2))


class Sized(samdyn.AbstractMethod):
    """A method whose radius is not called rho."""

    size: float = 0.1

    def perturb(self, gradient, w):
        return w


def planar(x, y):
    return x**2 - y**2


def noisy(loss=SADDLE, method=None, noise=NOISE):
    return Diffusion(loss, method or GD(), 0.01, noise)


def noisy_step(loss=SADDLE, method=None):
    return StochasticStepMap(loss, method or GD(), 0.1, NOISE)


def subclass():
    class Mine(Flow):
        def velocity(self, w):
            return -w

    return Mine


def exit_time(drift, diffusion, region):
    return samdyn.mean_exit_time_2d(drift, diffusion, AT, region, ((-2, 2), (-2, 2)), 16)


def within(points):
    return 1 - np.sum(points**2, axis=1)


def captured(system=STEP, start=(1.0, 0.1)):
    return samdyn.threshold(system, "rho", (0.1, 0.2), start=start, target=AT, steps=10)


RHO = ("rho", [0.1, 0.2])
NO_SYSTEM = r"{} takes a system, not a Loss: wrap it, {}\(loss, method"
SEVERAL = r"method\.rho is an array of shape \(2,\), and a verb takes one value"
NO_ARRAY = "is an array of numbers, or a pytree of them, not a Stability"
ONE_ARRAY = r"called with one array w of shape \(d,\), and this one takes \(x, y\)"
NO_RATE = "the learning rate must be a finite number > 0, not the function"

CASES = {
    "a region that is a class": (lambda: samdyn.escape_times(OWN, AT, Ball, paths=4), "a region"),
    "a lambda as dynamics": (
        lambda: samdyn.escape_times(lambda w: w, AT, BALL, paths=4),
        r"not the function <lambda>: wrap it, Diffusion\(loss",
    ),
    "a lambda as a vector field": (
        lambda: samdyn.integrate(lambda w: -w, AT, 1.0),
        r"field\(t, w, args\).*takes 1 positional argument",
    ),
    "a loss as a vector field": (
        lambda: samdyn.integrate(SADDLE, AT, 1.0),
        r"such as an ODE or Flow\(loss, method\), is needed, not a Loss",
    ),
    "a step as a vector field": (lambda: samdyn.integrate(STEP, AT, 1.0), "not a StepMap"),
    "a method without rho": (
        lambda: samdyn.sweep(Flow(SADDLE, Sized()), *RHO, at=AT),
        "has no parameter 'rho'; its parameters are: size",
    ),
    "a result as a start": (lambda: samdyn.integrate(FLOW, POINT, 1.0), NO_ARRAY),
    "a result to iterate from": (lambda: samdyn.iterate(STEP, POINT, 3), NO_ARRAY),
    "a result to escape from": (lambda: samdyn.escape_times(OWN, POINT, BALL, paths=4), NO_ARRAY),
    "a result as a point": (lambda: samdyn.stability(FLOW, at=POINT), NO_ARRAY),
    "a result to follow": (lambda: samdyn.sweep(FLOW, *RHO, at=POINT), NO_ARRAY),
    "a result to spread from": (lambda: samdyn.spread(noisy_step(), POINT, time=1.0), NO_ARRAY),
    "a result to be captured": (lambda: captured(start=POINT), NO_ARRAY),
    "a result in a portrait": (lambda: samdyn.portrait(FLOW, BOX, starts=[POINT]), NO_ARRAY),
    "a matrix of noise": (lambda: samdyn.Additive(jnp.eye(2)), "one number, not a matrix"),
    "a word for the noise": (lambda: Isotropic("a"), "noise must be a finite number >= 0, not 'a'"),
    "radii in stability": (lambda: samdyn.stability(Flow(SADDLE, TWO), at=AT), SEVERAL),
    "radii in sweep": (lambda: samdyn.sweep(Flow(SADDLE, TWO), *RHO, at=AT), SEVERAL),
    "radii in basins": (lambda: samdyn.basins(StepMap(SADDLE, TWO, 0.1), BOX, grid=3), SEVERAL),
    "radii in portrait": (lambda: samdyn.portrait(Flow(SADDLE, TWO), BOX), SEVERAL),
    "radii in fixed_points": (lambda: samdyn.fixed_points(Flow(SADDLE, TWO), BOX), SEVERAL),
    "radii in threshold": (lambda: captured(StepMap(SADDLE, TWO, 0.1)), SEVERAL),
    "radii in iterate": (lambda: samdyn.iterate(StepMap(SADDLE, TWO, 0.1), AT, 3), SEVERAL),
    "radii in integrate": (lambda: samdyn.integrate(Flow(SADDLE, TWO), AT, 1.0), SEVERAL),
    "radii in escape_times": (
        lambda: samdyn.escape_times(noisy(method=TWO), AT, BALL, paths=4),
        SEVERAL,
    ),
    "radii in spread": (lambda: samdyn.spread(noisy_step(method=TWO), AT, time=1.0), SEVERAL),
    "radii in theory": (lambda: samdyn.theory(noisy(method=TWO), AT, BALL), SEVERAL),
    "a schedule in a step": (lambda: StepMap(SADDLE, GD(), SCHEDULE), NO_RATE),
    "a schedule in a diffusion": (lambda: Diffusion(SADDLE, GD(), SCHEDULE, NOISE), NO_RATE),
    "a schedule to diagnose": (
        lambda: samdyn.diagnose(StepMap(SADDLE, GD(), SCHEDULE), AT, [0.0]),
        r"a schedule belongs to an optimizer, OptaxStepMap\(loss, optimizer\)",
    ),
    "a schedule of momentum": (
        lambda: StepMap(SADDLE, GD(), 0.1, SCHEDULE),
        r"momentum must lie in \[0, 1\), not the function",
    ),
    "a word for a radius": (lambda: SAM("big"), "rho must be a finite number ≥ 0, not 'big'"),
    "no radius": (lambda: SAM(None), "rho must be a finite number ≥ 0, not None"),
    "a loss and a method for a portrait": (
        lambda: samdyn.portrait(SADDLE, SAM(0.3), BOX),
        NO_SYSTEM.format("portrait", "Flow"),
    ),
    "a method for a portrait": (
        lambda: samdyn.portrait(SAM(0.3), BOX),
        "portrait takes a system, not a SAM: wrap it",
    ),
    "a loss among systems": (lambda: samdyn.portrait([FLOW, SADDLE], BOX), "not of a Loss"),
    "a loss in stability": (
        lambda: samdyn.stability(SADDLE, at=AT),
        NO_SYSTEM.format("stability", "Flow"),
    ),
    "a loss and a method in stability": (
        lambda: samdyn.stability(SADDLE, GD(), at=AT),
        NO_SYSTEM.format("stability", "Flow"),
    ),
    "a loss in sweep": (
        lambda: samdyn.sweep(SADDLE, *RHO, at=AT),
        NO_SYSTEM.format("sweep", "Flow"),
    ),
    "a loss in basins": (lambda: samdyn.basins(SADDLE, BOX, grid=3), "basins takes a system"),
    "a loss in threshold": (lambda: captured(SADDLE), NO_SYSTEM.format("threshold", "StepMap")),
    "a loss in fixed_points": (lambda: samdyn.fixed_points(SADDLE, BOX), "takes a system"),
    "a loss in iterate": (
        lambda: samdyn.iterate(SADDLE, AT, 3),
        NO_SYSTEM.format("iterate", "StepMap"),
    ),
    "a loss in escape_times": (
        lambda: samdyn.escape_times(SADDLE, AT, BALL, paths=4),
        NO_SYSTEM.format("escape_times", "Diffusion"),
    ),
    "a loss in spread": (
        lambda: samdyn.spread(SADDLE, AT, time=1.0),
        NO_SYSTEM.format("spread", "StochasticStepMap"),
    ),
    "a loss in theory": (lambda: samdyn.theory(SADDLE, AT, BALL), "theory takes a system"),
    "a loss in diagnose": (
        lambda: samdyn.diagnose(SADDLE, AT, [0.0]),
        NO_SYSTEM.format("diagnose", "StepMap"),
    ),
    "a matrix as a diffusion": (
        lambda: exit_time(lambda points: -points, np.eye(2), within),
        r"a function diffusion\(points\)",
    ),
    "a number as a drift": (
        lambda: exit_time(0.0, lambda points: np.eye(2), within),
        r"a function drift\(points\), \(n, 2\) to \(n, 2\), is needed, not 0.0",
    ),
    "a region object on a grid": (
        lambda: exit_time(lambda points: -points, lambda points: np.eye(2), BALL),
        r"a function region\(points\).*, is needed, not a Ball",
    ),
    "a flow with a field of its own": (subclass, r"Mine has a field of its own.*take an ODE"),
    "a loss of two in stability": (
        lambda: samdyn.stability(Flow(planar, GD()), at=AT),
        ONE_ARRAY,
    ),
    "a loss of two in portrait": (lambda: samdyn.portrait(Flow(planar, GD()), BOX), ONE_ARRAY),
    "a loss of two in escape_times": (
        lambda: samdyn.escape_times(noisy(planar), AT, BALL, paths=4),
        ONE_ARRAY,
    ),
    "a loss of two in iterate": (
        lambda: samdyn.iterate(StepMap(planar, GD(), 0.1), jnp.zeros(2), 3),
        ONE_ARRAY,
    ),
    "a loss of two in spread": (
        lambda: samdyn.spread(noisy_step(planar), AT, time=1.0),
        ONE_ARRAY,
    ),
    "a loss of two in theory": (lambda: samdyn.theory(noisy(planar), AT, BALL), ONE_ARRAY),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_one_sentence(case):
    call, says = CASES[case]
    with pytest.raises(samdyn.InvalidInput, match=says) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith((".", "…)."))


# Of each verb a call that works; none of these ever runs. Arguments in FITTING are of many kinds.
CALLS = {
    "stability": ((FLOW,), {"at": AT}),
    "sweep": ((FLOW, *RHO), {"at": AT}),
    "basins": ((STEP, BOX), {"grid": 2}),
    "threshold": ((STEP, "rho", (0.1, 0.2)), {"start": AT, "target": AT, "steps": 2}),
    "exponents": ((STEP,), {"at": AT}),
    "portrait": ((FLOW, BOX), {}),
    "trajectory": ((STEP, AT), {"steps": 2}),
    "manifolds": ((FLOW, AT), {}),
    "escape_times": ((OWN, AT, BALL), {"paths": 4}),
    "theory": ((noisy(), AT, BALL), {}),
    "spread": ((noisy_step(), AT), {"time": 1.0}),
    "diagnose": ((STEP, AT, [0.0]), {}),
    "iterate": ((STEP, AT, 2), {}),
    "integrate": ((FLOW, AT, 1.0), {}),
    "fixed_points": ((FLOW, BOX), {}),
}
RUBBISH = (object(), SADDLE, 1j, jnp.zeros((2, 2, 2)), [[1.0, 2.0], ["a"]], "0:1:3", {"a": AT})
FITTING = {"box", "at", "w", "start", "params", "batches", "state", "weights", "region", "systems"}
FITTING |= {"progress", "plane", "system", "step_map", "flow", "scheme", "solver"}


@pytest.mark.parametrize("verb", CALLS)
def test_every_argument_of_a_verb_refuses_rubbish(verb):
    arguments, options = CALLS[verb]
    signature = inspect.signature(getattr(samdyn, verb))
    right = signature.bind(*arguments, **options).arguments
    told = []
    for name in set(signature.parameters) - FITTING:
        for rubbish in RUBBISH:
            if name in ("parameter", "out", "options") and isinstance(rubbish, str | dict):
                continue
            if name == "target" and not isinstance(rubbish, samdyn.Loss | str):
                continue  # a pytree, of another shape than the start
            with pytest.raises(samdyn.InvalidInput) as caught:
                getattr(samdyn, verb)(**{**right, name: rubbish})
            told.append(str(caught.value))
    assert not [text for text in told if "\n" in text or not text.endswith(".")]


@pytest.mark.parametrize("verb", CALLS)
@pytest.mark.parametrize(
    "rubbish", [*RUBBISH, None, 3, SAM(0.1), SAM], ids=lambda x: type(x).__name__
)
def test_a_verb_refuses_what_is_no_system(verb, rubbish):
    (_, *rest), options = CALLS[verb]
    with pytest.raises(samdyn.InvalidInput):
        getattr(samdyn, verb)(rubbish, *rest, **options)


POINTS = ([1.0, 2.0, 3.0], 1.0, {"a": 1.0, "b": 2.0}, [[1.0, 2.0], [3.0]])


@pytest.mark.parametrize("verb", ["trajectory", "iterate", "integrate", "escape_times", "spread"])
@pytest.mark.parametrize("point", POINTS, ids=repr)
def test_a_point_that_the_loss_cannot_take_is_told(verb, point):
    """The loss takes two numbers; raw errors of somebody's code become a sentence."""
    (system, _, *rest), options = CALLS[verb]
    system = noisy() if verb == "escape_times" else system
    with pytest.raises((samdyn.InvalidInput, samdyn.ComputationFailed)) as caught:
        getattr(samdyn, verb)(system, point, *rest, **options)
    assert "\n" not in str(caught.value)


class Linear(samdyn.AbstractSDE):
    """An SDE with everything that its class asks for, and no more."""

    interpretation = "Itô"

    def draws(self, w):
        return w.size

    def drift(self, y):
        return -y

    def disperse(self, y, z):
        return 0.5 * z

    @property
    def additive(self):
        return True

    def accepts(self, solver):
        return True

    def default_solver(self):
        raise NotImplementedError


class Held(samdyn.Isotropic):
    """A noise that holds a number of NumPy beside its own."""

    extra: np.float64 = np.float64(1.0)

    def draw(self, loss, w, z):
        return jax.tree.map(
            lambda x: x * jnp.asarray(self.extra, x.dtype), super().draw(loss, w, z)
        )


@pytest.mark.thorough
def test_what_was_refused_and_works_is_let_through():
    how = {"paths": 16, "max_time": 0.05}
    for system in (Linear(), noisy(noise=Held(np.float64(1.0))), noisy(noise=Isotropic(1.0))):
        found = samdyn.escape_times(system, AT, lambda w: 1 - jnp.sum(w**2), **how)
        assert found.summary.n == 16


def test_mapped_radii_and_starts_pass():
    def end(rho, start):
        return samdyn.iterate(STEP.at(rho=rho), start, 3).w

    starts = jnp.array([[1.0, 0.1], [0.5, 0.2]])
    ends = jax.vmap(end)(jnp.array([0.1, 0.2]), starts)
    np.testing.assert_allclose(ends[1], end(0.2, starts[1]), rtol=1e-12)
