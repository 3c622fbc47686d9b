"""A name stands for samdyn's own parts only, and for all that they hold."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samdyn import ASAM, GD, SAM, USAM, Flow, HeavyBall, StepMap, get_loss
from samdyn.dynamics.systems.map import StepOnState
from samdyn.losses.families import quadratic
from samdyn.losses.gradient import Gradient
from samdyn.losses.loss import Loss
from samdyn.losses.surfaces import beale, himmelblau
from samdyn.programs.tracing.names import Nameless, name_of

BEALE = get_loss("beale")


class Mine(SAM):
    """Somebody else's method."""


def mine(w):
    return jnp.sum(w**2)


def functions():
    yield beale
    yield himmelblau
    yield functools.partial(beale, 1.0)
    for loss in (BEALE, get_loss("himmelblau"), quadratic((1.0, -2.0)), quadratic((1.0, -3.0))):
        yield loss
        yield Gradient(loss)
        for method in (GD(), SAM(0.1), SAM(0.2), USAM(0.1), ASAM(0.1)):
            yield Flow(loss, method).velocity
            yield Flow(loss, method).perturbed
            for momentum in (0.0, 0.5, HeavyBall(0.25)):
                yield StepOnState(StepMap(loss, method, 0.01, momentum), 2)


def test_different_functions_have_different_names():
    names = list(map(name_of, functions()))
    assert len(set(names)) == len(names)
    assert names == list(map(name_of, functions()))


def test_the_shape_of_a_number_can_stand_for_it():
    shape = lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype) if eqx.is_array(x) else x  # noqa: E731
    shapes = [jax.tree.map(shape, Flow(BEALE, SAM(rho))) for rho in (0.1, 0.2)]
    assert name_of(shapes[0]) == name_of(shapes[1]) != name_of(Flow(BEALE, SAM(0.1)))


@pytest.mark.parametrize(
    "function",
    [
        mine,
        lambda w: w,
        Mine(0.1),
        Flow(BEALE, Mine(0.1)).velocity,
        Flow(mine, SAM(0.1)).velocity,
        Loss(mine, "beale", 2, "", "", ((0.0, 1.0),)),
        functools.partial(mine, 1),
        [beale, np.array([mine])],
        jax.jit(beale),
    ],
)
def test_what_somebody_else_made_has_none(function):
    with pytest.raises(Nameless):
        name_of(function)


def test_what_took_the_place_of_ours_has_none(monkeypatch):
    name_of(beale)
    monkeypatch.setattr("samdyn.losses.surfaces.beale", mine)
    with pytest.raises(Nameless):
        name_of(beale)
