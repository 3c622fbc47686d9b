"""Shapes and dtypes of samdyn's annotations are checked at each call, where a run asks for it."""

import jax.numpy as jnp
import pytest
from jaxtyping import TypeCheckError

from samdyn import GD, Flow, get_loss
from samdyn.attractors.judging.sliding import sliding_verdict


def test_an_array_of_another_shape_or_dtype_is_refused(request):
    if not request.config.getoption("--jaxtyping-packages"):
        pytest.skip("a run with --jaxtyping-packages=samdyn,beartype.beartype asks")
    flow = Flow(get_loss("saddle"), GD())
    for wrong in (jnp.zeros((2, 1)), jnp.zeros(2, jnp.int32)):
        with pytest.raises(TypeCheckError):
            sliding_verdict(flow, wrong, 0.1)
