"""What goes into a file comes out as it was; functions come out as their text."""

import json
import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import samdyn
from samdyn.results.encoding import decode, encode, storable
from samdyn.results.problem.described import Described, name_of


@storable
class Pair(NamedTuple):
    first: object
    second: object = None


class Private(NamedTuple):
    first: object


class Own(eqx.Module):
    scale: float

    def __call__(self, w):
        return self.scale * w


def there_and_back(value):
    arrays = []
    text = json.dumps(encode(value, arrays), allow_nan=False)
    return decode(json.loads(text), arrays)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        -0.1,
        math.inf,
        1 - 2j,
        "text",
        (1, (2.0, "x"), ()),
        [1, [2, (3,)]],
        {"a": 1, "$": 2},
        {0.05: 1.0, 0.5: None, (1, 2): "x"},
        Pair(1, Pair((2,))),
        {"$": {"$": {}}},
    ],
)
def test_plain_values_come_back_with_their_types(value):
    found = there_and_back(value)
    assert found == value
    assert repr(found) == repr(value)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "int8", "bool", "complex128"])
def test_arrays_come_back_with_dtype_and_kind(dtype):
    for make in (np.asarray, jnp.asarray):
        array = make(np.array([[0, 1, 2]]), dtype=jnp.dtype(dtype))
        found = there_and_back({"x": (array,)})["x"][0]
        assert isinstance(found, jax.Array) == isinstance(array, jax.Array)
        assert (found.dtype, found.shape) == (array.dtype, (1, 3))
        np.testing.assert_array_equal(np.asarray(found), np.asarray(array))


def test_numbers_of_numpy_stay_numbers_of_numpy():
    for value in (np.float64(0.1), np.float32(0.1), np.int64(3), np.bool_(True), np.float64("nan")):
        found = there_and_back(value)
        assert type(found) is type(value)
        np.testing.assert_array_equal(found, value)


def test_float64_stays_so_where_it_is_not_the_default():
    arrays = []
    told = encode(samdyn.USAM(jnp.asarray(0.1)), arrays)
    with jax.enable_x64(False):
        assert decode(told, arrays).rho.dtype == jnp.float64


def test_functions_and_foreign_objects_become_their_description():
    found = there_and_back(samdyn.Flow(lambda w: w @ w + 1, samdyn.GD()))
    assert isinstance(found, samdyn.Flow)
    assert found.loss == Described("lambda w: w @ w + 1", "lambda w: w @ w + 1")
    assert there_and_back(Private(3)) == Described("Private(first=3)")
    assert there_and_back(there_and_back(len)) == Described("len")
    key = there_and_back(jax.random.key(0))
    assert str(key) == "key<fry>[]"
    own = there_and_back(Own(2.0))
    assert own.text == "Own(scale=2.0)"
    assert "return self.scale * w" in own.source


def test_a_lambda_is_cut_out_of_its_statement():
    pair = (lambda w: w + 1, lambda w, c=2.0: (w * c, [w]))  # fmt: skip
    assert [name_of(one) for one in pair] == ["lambda w: w + 1", "lambda w, c=2.0: (w * c, [w])"]
    made = eval("lambda w: w - 1")
    assert name_of(made).startswith("lambda of line 1 in <string>")


def test_two_classes_cannot_have_one_name():
    storable(type("One", (), {}), "Mine")
    with pytest.raises(TypeError, match="is kept as 'Mine' already"):
        storable(type("Other", (), {}), "Mine")
