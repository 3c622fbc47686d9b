"""One evaluation tells whether a function is a loss."""

import jax.numpy as jnp
import numpy as np
import pytest

from samdyn.errors import ComputationFailed, InvalidInput
from samdyn.losses.check import check_loss, check_loss_in_box
from samdyn.losses.registry import get_loss

W = jnp.array([1.0, 2.0])


def fails(w):
    raise KeyError("no such weight")


def silent(w):
    raise ValueError


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (lambda w: w, r"must return a scalar, but returns shape \(2,\)"),
        (lambda w: jnp.sum(w)[None], r"must return a scalar, but returns shape \(1,\)"),
        (lambda w: (jnp.sum(w), w), "must return a scalar, but returns shape tuple"),
        (lambda w: None, "must return a scalar, but returns shape NoneType"),
        (lambda w: jnp.sum(w).astype(complex), "must return a real number, but returns complex128"),
        (lambda w: jnp.sum(w).astype(int), "must return a real number, but returns int64"),
        (lambda w: jnp.sum(w) > 0, "must return a real number, but returns bool"),
        (lambda w: jnp.log(w[0] - 2), r"the loss is nan at \(1, 2\)"),
        (lambda w: 1 / (w[0] - 1), r"the loss is inf at \(1, 2\)"),
        (fails, "failed on a point of dimension 2: KeyError: 'no such weight'"),
        (silent, "failed on a point of dimension 2: ValueError"),
    ],
)
def test_what_is_no_loss_is_refused_with_the_reason(loss, said):
    with pytest.raises(ComputationFailed, match=said):
        check_loss(loss, W)


def test_a_point_of_another_dimension_is_the_callers_mistake():
    with pytest.raises(InvalidInput, match="beale has dimension 2, but 3 were given"):
        check_loss(get_loss("beale"), jnp.array([1.0, 2.0, 3.0]))
    with pytest.raises(InvalidInput, match="beale has dimension 2, but 1 were given"):
        check_loss(get_loss("beale"), jnp.array(1.0))


def test_a_function_that_cannot_take_the_dimension_reports_its_own_error():
    def only_two(w):
        x, y = w
        return x * y

    with pytest.raises(ComputationFailed, match="dimension 3: ValueError"):
        check_loss(only_two, jnp.array([1.0, 2.0, 3.0]))


def test_a_loss_passes_whatever_sequence_the_point_is():
    check_loss(get_loss("beale"), W)
    check_loss(get_loss("beale"), [1.0, 2.0])
    check_loss(lambda w: jnp.sum(w.astype(jnp.float32)), W)


def test_a_singularity_in_the_middle_of_a_box_is_no_reason_to_refuse_the_loss():
    box = np.array([[-1.0, 1.0], [-1.0, 1.0]])
    check_loss_in_box(lambda w: jnp.log(jnp.sum(w**2)), box)
    with pytest.raises(ComputationFailed, match="nan"):
        check_loss_in_box(lambda w: jnp.nan * w[0], box)
