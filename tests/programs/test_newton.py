"""Newton's method from many starts is that from a few."""

import jax.numpy as jnp
import numpy as np
import pytest

from samdyn import USAM, Flow, get_loss
from samdyn.programs import newton as module
from samdyn.programs.newton import MANY, newton


@pytest.mark.parametrize("name", ["himmelblau", "double-well", "rosenbrock"])
def test_many_starts_end_where_few_do(name, monkeypatch):
    loss = get_loss(name)
    field = Flow(loss, USAM(0.01)).velocity
    low, high = np.asarray(loss.box).T
    starts = np.random.default_rng(0).uniform(low, high, (MANY, loss.dim))
    calls = []
    by_machine = module.by_machine
    monkeypatch.setattr(module, "by_machine", lambda *a: calls.append(a) or by_machine(*a))
    many, few = newton(field, starts, 1.0), newton(field, starts[:500], 1.0)
    assert len(calls) == 1
    arrived = np.all(np.isfinite(few), axis=1)
    alike = np.max(np.abs(many[:500] - few), axis=1) < 1e-6
    assert np.mean(arrived) > 0.5
    assert np.mean(alike[arrived]) > 0.95  # the others are thrown far by a rounding


def test_many_starts_of_a_field_without_machine_code_are_found_too():
    field = lambda w: jnp.stack([jnp.arctan2(w[0] - 0.5, 2.0), w[1] - w[0]])  # noqa: E731
    starts = np.random.default_rng(0).uniform(-1, 1, (MANY, 2))
    np.testing.assert_allclose(newton(field, starts, 1.0), 0.5, atol=1e-9)
