"""The engine's exit times have the law that independent programs give: diffrax, and NumPy loops."""

import itertools

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from samdyn import USAM, Additive, Diffusion, get_loss
from samdyn.dynamics.regions.regions import Predicate
from samdyn.escape.engine.engine import Engine, Finished
from samdyn.escape.engine.stepping.schemes import SCHEMES

START, DT, S, RHO = (-1.0, 0.0), 0.05, 0.7, 0.1
DIFFUSION = Diffusion(get_loss("double-well-2d"), USAM(RHO), 1.0, Additive(S))


def inside(w):
    return w[0] < 0


def engine_steps(scheme, paths, seed, dt=DT):
    """Steps until each path's first exit (paths,), no correction within a step."""
    stepper = SCHEMES[scheme](DIFFUSION, Predicate(inside), jnp.asarray(START), dt)
    parts: list[Finished] = []
    engine = Engine(stepper, seed, None, block=128, workers=2, devices=jax.devices()[:1])
    engine.run([(0, paths)], lambda finished, _: parts.append(finished))
    return np.concatenate([part.steps for part in parts])


def diffrax_steps(paths, seed, tree=False, dt=DT):
    """The same from a vmapped `diffeqsolve` with Euler and an event, fresh increments each."""
    shape = jax.ShapeDtypeStruct((2,), jnp.float64)
    event = diffrax.Event(lambda t, y, args, **_: ~inside(y))

    @jax.jit
    @jax.vmap
    def solve(key):
        path = diffrax.UnsafeBrownianPath(shape, key)
        if tree:
            path = diffrax.VirtualBrownianTree(0.0, 200.0, dt / 4, shape, key)
        solution = diffrax.diffeqsolve(
            DIFFUSION.terms(path),
            diffrax.Euler(),
            0.0,
            200.0,
            dt,
            jnp.asarray(START),
            event=event,
            adjoint=diffrax.ForwardMode(),
            max_steps=None,
        )
        return solution.stats["num_steps"]

    steps = np.asarray(solve(jax.random.split(jax.random.key(seed), paths)))
    assert np.max(steps) < 200 / dt
    return steps


def field(w):
    """−g(w + ρ g(w)) by hand."""
    gradient = lambda x, y: np.stack([x * (x * x - 1), y])  # noqa: E731
    g = gradient(*w)
    return -gradient(*(w + RHO * g))


def numpy_steps(scheme, paths, seed, dt=DT):
    """The same from a plain loop over steps, all paths at once."""
    rng = np.random.default_rng(seed)
    w = np.tile(np.array(START)[:, None], paths)
    number, steps = np.arange(paths), np.zeros(paths, int)
    for step in itertools.count(1):
        noise = S * np.sqrt(dt) * rng.normal(size=w.shape)
        slope = field(w)
        if scheme == "heun":
            slope = (slope + field(w + slope * dt + noise)) / 2
        w = w + slope * dt + noise
        out = ~(w[0] < 0)
        steps[number[out]] = step
        w, number = w[:, ~out], number[~out]
        if not number.size:
            return steps
    raise AssertionError


def assert_same_law(one, other):
    """Means within 3.5 standard errors, and a two-sample Kolmogorov–Smirnov test.

    Ties only make that test more cautious.
    """
    error = np.hypot(*(scipy.stats.sem(steps) for steps in (one, other)))
    assert abs(np.mean(one) - np.mean(other)) < 3.5 * error
    assert scipy.stats.ks_2samp(one, other).pvalue > 1e-3


@pytest.fixture(scope="module")
def euler():
    return engine_steps("euler", 40_000, 1)


@pytest.mark.thorough
def test_euler_agrees_with_diffrax(euler):
    assert_same_law(euler, diffrax_steps(4000, 2))


@pytest.mark.thorough
def test_euler_agrees_with_diffrax_on_a_brownian_tree(euler):
    assert_same_law(euler, diffrax_steps(200, 3, tree=True))


@pytest.mark.parametrize("scheme", ["euler", "heun"])
@pytest.mark.thorough
def test_each_scheme_agrees_with_a_numpy_loop(scheme, euler):
    ours = euler if scheme == "euler" else engine_steps("heun", 40_000, 4)
    assert_same_law(ours, numpy_steps(scheme, 20_000, 5))


def test_a_wrong_step_or_noise_would_be_noticed(euler):
    """The comparison has the power it needs: a step that is 7 % longer fails it."""
    shorter = numpy_steps("euler", 20_000, 6, DT * 1.07)
    with pytest.raises(AssertionError):
        assert_same_law(euler, shorter)


@eqx.filter_jit
def _trajectory(stepper, z):
    return jax.lax.scan(lambda y, z: (stepper.step(y, z),) * 2, stepper.start, z)[1]


@pytest.mark.parametrize("scheme", ["euler", "heun"])
def test_a_scheme_is_its_formula_step_by_step(scheme):
    stepper = SCHEMES[scheme](DIFFUSION, Predicate(inside), jnp.asarray(START), DT)
    z = np.random.default_rng(7).normal(size=(20, 2))
    w, rows = np.array(START), []
    for noise in S * np.sqrt(DT) * z:
        slope = field(w)
        if scheme == "heun":
            slope = (slope + field(w + slope * DT + noise)) / 2
        w = w + slope * DT + noise
        rows.append(w)
    np.testing.assert_allclose(_trajectory(stepper, jnp.asarray(z)), rows, rtol=1e-12, atol=1e-13)
