"""The SDE is the step map's limit of weak order 1: no sampling, so orders come out sharp.

The solver is that of `scripts/weak_error_figure.py`. In one dimension it carries a function back
through the kernel of the step map and through the backward equation of the SDE.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scripts_of import script

import samdyn

pytestmark = [pytest.mark.thorough, pytest.mark.usefixtures("either_back_end")]


@pytest.fixture(scope="module")
def weak():
    module = script("weak_error_figure", NODES=101)
    module.ETAS = module.ETAS[:5]
    return module


def root(method):
    return lambda eta: method(eta**0.5)


@pytest.mark.parametrize("observable", ["w²", "cos 2w"])
def test_usam_with_one_minibatch_has_weak_order_1_for_rho_of_root_eta(weak, observable):
    """The double well is not quadratic."""
    found = weak.weak_error(root(samdyn.USAM), samdyn.SameBatch(), weak.OBSERVABLES[observable])
    assert abs(found.order - 1) < 0.2
    assert found.half_width < 0.1
    assert abs(found.last - 1) < 0.05


# The next term is smaller by √η only, so that the order is approached slowly from below.
FOUND = {
    "sgd": (samdyn.GD, samdyn.Fresh(), 0.97, 1.05),
    "usam fresh": (root(samdyn.USAM), samdyn.Fresh(), 0.9, 1.0),
    "usam paper": (root(samdyn.USAM), samdyn.Paper(), 0.75, 1.0),
    "sam same-batch": (root(samdyn.SAM), samdyn.SameBatch(), 0.94, 1.03),
}


@pytest.mark.parametrize("case", FOUND)
def test_orders_as_found(weak, case):
    method, coupling, low, high = FOUND[case]
    if method is samdyn.GD:
        method = lambda eta: samdyn.GD()  # noqa: E731
    assert low < weak.weak_error(method, coupling).order < high


def test_independent_minibatches_have_it_too(weak, monkeypatch):
    monkeypatch.setattr(weak, "POINTS", 12)
    monkeypatch.setattr(weak, "ETAS", weak.ETAS[:3])
    assert 0.85 < weak.weak_error(root(samdyn.USAM), samdyn.Independent()).order < 1.05


def test_at_a_fixed_radius_the_sde_stays_away(weak):
    """Of the order ρ²: the mean of the noisy second gradient is taken to first order in it."""
    found = weak.weak_error(lambda eta: samdyn.USAM(0.2), samdyn.SameBatch())
    assert abs(found.order) < 0.1
    assert np.all(np.abs(found.errors) > 0.05)


def test_a_field_that_jumps_has_small_errors_but_no_clear_order(weak):
    """SAM with noise outside the ascent: the error changes sign within the range of η."""
    found = weak.weak_error(root(samdyn.SAM), samdyn.Fresh())
    assert np.all(np.abs(found.errors) < 1e-3)
    assert found.half_width > 0.2


@pytest.mark.parametrize("coupling", ["fresh", "same-batch", "independent", "paper"])
def test_quadratics_have_order_1_in_closed_form(weak, coupling, monkeypatch):
    monkeypatch.setattr(weak, "ETAS", 2.0 ** -np.arange(12, 18))
    assert weak.quadratic_error(coupling, np.sqrt).order == pytest.approx(1, abs=0.04)
    assert weak.quadratic_error("sgd", np.zeros_like, 0.5).order == pytest.approx(1, abs=0.01)


def test_the_kernel_of_the_step_map_agrees_with_simulation(weak):
    for method, coupling in ((samdyn.USAM(0.2), "same-batch"), (samdyn.SAM(0.2), "fresh")):
        parts = weak.WELL, method, 0.04, weak.NOISE, samdyn.COUPLINGS[coupling]
        step_map = samdyn.StochasticStepMap(*parts)

        @jax.jit
        @jax.vmap
        def run(z, step_map=step_map):
            first = step_map.init(jnp.array([weak.START]))
            return jax.lax.scan(lambda s, z: (step_map.step(s, z), None), first, z)[0].w[0]

        w = np.asarray(run(jax.random.normal(jax.random.key(0), (100_000, 25, 1))))
        exact = weak.by_steps(step_map, lambda w: w**2, 25)
        assert abs(np.mean(w**2) - exact) < 3.5 * np.std(w**2) / np.sqrt(w.size)


def test_the_backward_equation_agrees_with_ever_smaller_steps(weak):
    """Additive noise does not know η, so the step map tends to the SDE; Richardson's limit."""
    noise, f = samdyn.Additive(0.07), lambda w: np.cos(2 * w)
    for method in (samdyn.GD(), samdyn.USAM(0.1)):
        values = [
            weak.by_steps(samdyn.StochasticStepMap(weak.WELL, method, 1 / n, noise), f, n)
            for n in (50, 100, 200, 400)
        ]
        while len(values) > 1:
            k = 5 - len(values)
            values = [b + (b - a) / (2**k - 1) for a, b in itertools.pairwise(values)]
        exact = weak.by_sde(samdyn.Diffusion(weak.WELL, method, 1 / 50, noise), f)
        assert exact == pytest.approx(values[0], abs=1e-6)
