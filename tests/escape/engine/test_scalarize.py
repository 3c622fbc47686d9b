"""`componentwise(f)` is `vmap(f)`, whatever f is made of."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from samdyn import get_loss, loss_names
from samdyn.escape.engine.stepping.scalarize import componentwise

LANES = 5
SIZES = {jnp.float32: 1e-5, jnp.float64: 1e-12}


def components(rows):
    """Lanes (n, *shape) as an object array of `shape`, each entry (n,)."""
    rows = jnp.asarray(rows)
    out = np.empty(rows.shape[1:], dtype=object)
    for place in np.ndindex(out.shape):
        out[place] = rows[(slice(None), *place)]
    return out


def stacked(result, lanes=LANES):
    flat = [np.broadcast_to(np.asarray(entry), (lanes,)) for entry in result.flat]
    return np.stack(flat, axis=-1).reshape(lanes, *result.shape)


def assert_same(function, *rows, rtol=1e-12):
    """componentwise = vmap, eager and compiled, in values, shape and dtype."""
    rows = [jnp.asarray(r) for r in rows]
    expected = np.asarray(jax.jit(jax.vmap(function))(*rows))
    scalar = componentwise(function, *[jax.ShapeDtypeStruct(r.shape[1:], r.dtype) for r in rows])

    def run(*rows):
        return jax.tree.map(jnp.asarray, tuple(scalar(*map(components, rows)).flat))

    shape = jax.eval_shape(function, *[r[0] for r in rows]).shape
    for entries in (run(*rows), jax.jit(run)(*rows)):
        out = np.empty(len(entries), dtype=object)
        out[:] = entries
        assert all(entry.dtype == expected.dtype for entry in entries)
        actual = stacked(out.reshape(shape))
        finite = np.abs(expected[np.isfinite(expected)])
        scale = np.max(finite, initial=1.0) if expected.dtype.kind == "f" else 0
        np.testing.assert_allclose(actual, expected, rtol=rtol, atol=rtol * scale)


def lanes_of(dim, dtype=float, seed=0):
    return jnp.asarray(np.random.default_rng(seed).uniform(-1.2, 1.2, (LANES, dim)), dtype)


@pytest.mark.parametrize("dtype", SIZES, ids=["float32", "float64"])
@pytest.mark.parametrize("name", loss_names())
@pytest.mark.thorough
def test_the_gradient_of_every_loss(name, dtype):
    loss = get_loss(name)
    assert_same(jax.grad(loss), lanes_of(loss.dim, dtype), rtol=20 * SIZES[dtype])


@pytest.mark.parametrize("name", loss_names())
@pytest.mark.thorough
def test_the_hessian_vector_product_of_every_loss(name):
    loss = get_loss(name)
    product = lambda w, v: jax.jvp(jax.grad(loss), (w,), (v,))[1]  # noqa: E731
    assert_same(product, lanes_of(loss.dim), lanes_of(loss.dim, seed=1), rtol=1e-10)


MATRIX = np.random.default_rng(2).normal(size=(3, 3))


def while_loop(w):
    return lax.while_loop(lambda v: jnp.sum(v**2) > 0.1, lambda v: 0.8 * v, w)


def scanned(w):
    return lax.scan(lambda carry, v: (carry * 0.5 + v, carry**2), w[0], w)[1]


def custom(w):
    @jax.custom_jvp
    def f(v):
        return jnp.sin(v) * v

    f.defjvp(lambda primals, tangents: (f(*primals), 2 * tangents[0] * jnp.cos(primals[0])))
    return jax.grad(lambda v: jnp.sum(f(v)))(w)


def custom_backward(w):
    @jax.custom_vjp
    def f(v):
        return v**2

    f.defvjp(lambda v: (f(v), v), lambda v, g: (3 * g * v,))
    return jax.grad(lambda v: jnp.sum(f(v)))(w)


FUNCTIONS = {
    "gather": lambda w: w[jnp.array([2, 0, 1, 1])],
    "gather at a place that varies": lambda w: w[jnp.argmax(w)],
    "dynamic slice": lambda w: lax.dynamic_slice(w, [(w[0] > 0).astype(int)], (2,)),
    "dynamic update": lambda w: lax.dynamic_update_slice(w, w[:1] * 2, [(w[0] > 0).astype(int)]),
    "scatter": lambda w: w.at[1].multiply(w[0]).at[jnp.array([0, 2])].add(1.0),
    "sort": jnp.sort,
    "argsort": jnp.argsort,
    "cumsum": jnp.cumsum,
    "while": while_loop,
    "fori": lambda w: lax.fori_loop(0, 3, lambda i, v: v * w + i, w),
    "cond": lambda w: lax.cond(w[0] > 0, jnp.sin, jnp.cos, w),
    "switch": lambda w: lax.switch((w[0] > 0).astype(int), [jnp.sin, jnp.cos], w),
    "scan": scanned,
    "map": lambda w: lax.map(lambda v: v**2 + w[0], w),
    "matrix times vector": lambda w: jnp.asarray(MATRIX) @ w,
    "outer and back": lambda w: (w[:, None] * w[None]) @ jnp.asarray(MATRIX) @ w,
    "einsum with a batch": lambda w: jnp.einsum(
        "ij,ik->ikj", w[:, None] * MATRIX, jnp.asarray(MATRIX)
    ),
    "solve": lambda w: jnp.linalg.solve(jnp.asarray(MATRIX) + jnp.diag(w**2), w),
    "sum": lambda w: jnp.sum(w[:, None] * jnp.asarray(MATRIX), axis=0),
    "product, largest, smallest": lambda w: jnp.stack([jnp.prod(w), jnp.max(w), jnp.min(w)]),
    "all and any": lambda w: jnp.stack([jnp.all(w > -1), jnp.any(w > 1)]),
    "norm": lambda w: jnp.linalg.norm(w),
    "logsumexp": lambda w: jax.nn.logsumexp(w),
    "softmax": jax.nn.softmax,
    "where, clip, sign": lambda w: jnp.where(w > 0, jnp.clip(w, -0.5, 0.5), jnp.sign(w)),
    "integers": lambda w: jnp.arange(3) + (w > 0).astype(int),
    "flip and roll": lambda w: jnp.flip(jnp.roll(w, 1)),
    "pad": lambda w: lax.pad(w, jnp.zeros(()), [(1, -1, 2)]),
    "concatenate, reshape, transpose": lambda w: jnp.concatenate([w, w]).reshape(2, 3).T,
    "strided slice": lambda w: w[::2] * w[::-2],
    "custom derivative": custom,
    "custom backward pass": custom_backward,
    "rematerialised": jax.grad(jax.checkpoint(lambda w: jnp.sum(jnp.sin(w) ** 2))),
    "compiled inside": jax.jit(lambda w: jnp.tanh(w) * 2),
    "convolution": lambda w: jnp.convolve(w, jnp.asarray([1.0, 2.0])),
    "a constant": lambda w: jnp.ones(3),
    "the argument itself": lambda w: w,
    "literal zeros": lambda w: jnp.zeros(3) + w * 0.0 + jnp.zeros(3),
    "vmapped inside": lambda w: jax.vmap(lambda v: v * w)(w),
    "second derivative": lambda w: jax.hessian(lambda v: jnp.sum(v**3) * v[0])(w),
    "empty": lambda w: jnp.concatenate([w[:0], w]) + jnp.sum(w[:0]) + jnp.prod(w[:0]),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.thorough
def test_every_kind_of_operation(name):
    assert_same(FUNCTIONS[name], lanes_of(3))


def test_infinities_and_nan_pass_through():
    rows = jnp.array([[np.inf, 1.0], [np.nan, 2.0], [-np.inf, 3.0], [0.0, -0.0], [1e308, 1e308]])
    for function in (jnp.sum, jnp.max, jnp.isfinite, lambda w: w + w * 0):
        assert_same(function, rows)


def test_it_closes_over_arrays_and_over_traced_values():
    rows = lanes_of(3)

    @jax.jit
    def run(matrix, shift):
        function = lambda w: matrix @ jnp.sin(w) + shift  # noqa: E731
        scalar = componentwise(function, jax.ShapeDtypeStruct((3,), rows.dtype))
        return tuple(scalar(components(rows)))

    shift = jnp.array([1.0, 2.0, 3.0])
    for scale in (1.0, 2.0):
        actual = np.stack(run(scale * jnp.asarray(MATRIX), shift), axis=-1)
        expected = np.sin(rows) @ (scale * MATRIX).T + np.asarray(shift)
        np.testing.assert_allclose(actual, expected, rtol=1e-12)


def test_lanes_may_have_any_shape():
    rows = lanes_of(3).reshape(5, 1, 3) * jnp.ones((1, 2, 1))
    parts = np.empty(3, dtype=object)
    for i in range(3):
        parts[i] = rows[..., i]
    for function in (jnp.sort, jnp.cumsum, jax.grad(lambda w: jnp.prod(w))):
        scalar = componentwise(function, jax.ShapeDtypeStruct((3,), rows.dtype))
        actual = np.stack(list(scalar(parts)), axis=-1)
        expected = np.asarray(jax.vmap(jax.vmap(function))(rows))
        np.testing.assert_allclose(actual, expected, rtol=1e-12)


def test_what_does_not_depend_on_the_arguments_is_computed_once():
    """A sine of a traced constant appears once, however often the function is called."""
    rows = lanes_of(2)

    def twice(angle):
        function = lambda w: jnp.sin(angle) * w + jnp.sort(angle * jnp.ones(2))  # noqa: E731
        scalar = componentwise(function, jax.ShapeDtypeStruct((2,), rows.dtype))
        once = scalar(components(rows))
        return tuple(scalar(once))

    text = str(jax.make_jaxpr(twice)(0.3))
    assert text.count(" sin ") == 1
    assert text.count("sort[") == 1


def test_no_array_of_components_is_left_in_a_plain_gradient():
    """Every equation works on lanes alone: nothing is stacked, sliced or padded."""
    loss = get_loss("beale")
    scalar = componentwise(jax.grad(loss), jax.ShapeDtypeStruct((2,), jnp.float64))
    run = functools.partial(lambda rows: tuple(scalar(components(rows))))
    names = {equation.primitive.name for equation in jax.make_jaxpr(run)(lanes_of(2)).eqns[4:]}
    assert not names & {"concatenate", "pad", "scatter", "dynamic_slice", "gather", "transpose"}
