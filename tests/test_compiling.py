"""What is compiled for few runs computes the same, wherever it is called."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samdyn import compiling
from samdyn.compiling import jit_for_few_runs

W = jnp.array([0.3, -1.2, 2.0])


@jit_for_few_runs
def bent(w):
    return jnp.sin(w) * jnp.sum(w**2)


def test_it_computes_what_the_function_does():
    np.testing.assert_allclose(bent(W), np.sin(W) * np.sum(W**2), rtol=1e-14)


@pytest.mark.parametrize("around", [jax.jit, jax.vmap, jax.jacfwd, jax.jacrev])
def test_it_may_be_called_within_a_transformation(around):
    ws = jnp.stack([W, 2 * W]) if around is jax.vmap else W
    plain = around(lambda w: jnp.sin(w) * jnp.sum(w**2))
    np.testing.assert_allclose(around(bent)(ws), plain(ws), rtol=1e-13)


def test_within_compiled_code_nothing_is_traced_twice():
    traced = []

    @jit_for_few_runs
    def inner(w):
        traced.append(w)
        return jnp.sin(w)

    around = jit_for_few_runs(lambda w: 2 * inner(w))
    np.testing.assert_allclose(around(W), 2 * np.sin(W), rtol=1e-14)
    assert len(traced) == 1


def test_an_error_of_the_function_is_its_own():
    @jit_for_few_runs
    def failing(w):
        raise ValueError(f"no loss of {w.size} numbers")

    with pytest.raises(ValueError, match="no loss of 3 numbers"):
        failing(W)


def test_without_the_option_it_is_compiled_as_usual(monkeypatch):
    unknown = {"compiler_options": {"xla_there_is_no_such_option": True}}
    monkeypatch.setattr(compiling, "_OPTIONS", unknown)
    compiling._accepts.cache_clear()
    try:
        assert not compiling._accepts("cpu")
        assert not compiling._accepts("gpu")
        np.testing.assert_allclose(jit_for_few_runs(jnp.cos)(W), np.cos(W), rtol=1e-15)
    finally:
        compiling._accepts.cache_clear()
