"""Programs in JavaScript give what they give in NumPy."""

import json
import shutil
import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from samdyn import SAM, USAM, Flow, StepMap, get_loss
from samdyn.losses.registry import loss_names
from samdyn.programs.javascript import HELPERS, LONGEST, NotScripted, function
from samdyn.programs.points import evaluate
from samdyn.programs.program import Program
from samdyn.programs.tracing.flatten import NotFlat, flatten

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(not NODE, reason="there is no node to run JavaScript")


def by_script(program: Program, points: np.ndarray) -> np.ndarray:
    """The outputs at points (n, d), by a JavaScript engine; numbers that JSON lacks as words."""
    words = {"NaN": np.nan, "Infinity": np.inf, "-Infinity": -np.inf}
    rows = [[float(x) if np.isfinite(x) else str(float(x)) for x in row] for row in points]
    spelled = json.dumps(rows).replace('"nan"', "NaN").replace('"inf"', "Infinity")
    text = f"""{HELPERS}
        {function(program, "f", len(program.inputs))}
        const out = new Array({len(program.outputs)});
        const rows = {spelled.replace('"-inf"', "-Infinity")}.map(x => {{
          f(x, [], out);
          return out.map(y => Number.isFinite(y) ? y : String(y));
        }});
        process.stdout.write(JSON.stringify(rows));"""
    ran = subprocess.run([str(NODE), "-"], input=text, capture_output=True, text=True, check=True)
    return np.array([[words.get(y, y) for y in row] for row in json.loads(ran.stdout)], float)


def points_of(loss, count=40):
    return np.random.default_rng(0).uniform(*np.asarray(loss.box).T, (count, loss.dim))


@needs_node
@pytest.mark.parametrize("name", loss_names())
def test_the_steps_of_every_loss(name):
    loss = get_loss(name)
    points, like = points_of(loss), jax.ShapeDtypeStruct((loss.dim,), float)
    for method in (SAM(0.1), USAM(0.1)):
        step = StepMap(loss, method, 1e-3)
        for field in (Flow(loss, method).velocity, lambda w, s=step: s(s.init(w)).w):
            try:
                program = flatten(field, like)
                found = by_script(program, points)
            except (NotFlat, NotScripted):
                continue
            wanted = evaluate(program, points)
            scale = np.maximum(np.abs(wanted), np.max(np.abs(wanted), axis=1, keepdims=True))
            usual = np.isfinite(wanted)
            np.testing.assert_array_equal(found[~usual], wanted[~usual])
            assert np.all(np.abs(found[usual] - wanted[usual]) <= 1e-11 * scale[usual])


FUNCTIONS = {
    "sums and powers": lambda x, y: jnp.stack([x + y, x - y, x * y, x / y, x**3, x**-2, -x]),
    "roots": lambda x, y: jnp.stack([jnp.sqrt(x), lax.rsqrt(x), jnp.cbrt(x), jnp.square(y)]),
    "powers": lambda x, y: jnp.stack([jnp.abs(x) ** y, 1.0**y, jnp.abs(x) ** 0.3]),
    "exponentials": lambda x, y: jnp.stack([jnp.exp(x), jnp.expm1(x), jnp.exp2(y), jnp.log(x)]),
    "logistic": lambda x, y: jnp.stack([jax.nn.sigmoid(x), jnp.log1p(x), jax.nn.softplus(y)]),
    "circles": lambda x, y: jnp.stack([jnp.sin(x), jnp.cos(x), jnp.tan(x), jnp.atan2(x, y)]),
    "arcs": lambda x, y: jnp.stack([jnp.arcsin(x), jnp.arccos(x), jnp.arctan(x)]),
    "hyperbolas": lambda x, y: jnp.stack([jnp.tanh(x), jnp.sinh(x), jnp.cosh(x), jnp.arcsinh(x)]),
    "errors": lambda x, y: jnp.stack([lax.erf(x), lax.erfc(y), jax.nn.gelu(x)]),
    "whole parts": lambda x, y: jnp.stack([jnp.floor(x), jnp.ceil(x), jnp.round(x), jnp.sign(y)]),
    "halves": lambda x, y: jnp.stack([lax.round(x), lax.round(x, lax.RoundingMethod(1))]),
    "extremes": lambda x, y: jnp.stack([jnp.maximum(x, y), jnp.minimum(x, y), jnp.clip(x, 0, 1)]),
    "choices": lambda x, y: jnp.stack([jnp.where(x > y, x, 2 * y), jnp.where(x == y, 1.0, 0)]),
    "truth": lambda x, y: ((x > 0) & (y <= 1)) | ~(x != y) ^ (y >= 0) & jnp.isfinite(x),
    "remainders": lambda x, y: jnp.stack([lax.rem(x, y), jnp.mod(x, y)]),
    "whole numbers": lambda x, y: (
        lax.rem(x.astype(int) * 7 + y.astype(int), jnp.int64(5))
        + lax.div(x.astype(int), y.astype(int) + 1)
    ),
    "words": lambda x, y: (
        (x.astype(jnp.uint32) * jnp.uint32(0x9E3779B9) ^ y.astype(jnp.uint32)) >> 3
    ),
    "single precision": lambda x, y: (x.astype(jnp.float32) / y.astype(jnp.float32) + 1) ** 2,
}
NUMBERS = [0.0, -0.0, 0.5, -0.5, 1.0, 1.5, -2.5, 2.0, 3.7, -1e-9, 1e-300, 40.0, -745.5]
SPECIAL = [np.inf, -np.inf, np.nan]


@needs_node
@pytest.mark.parametrize("case", FUNCTIONS)
def test_what_operations_give(case):
    number = jax.ShapeDtypeStruct((), float)
    program = flatten(FUNCTIONS[case], number, number)
    whole = case in ("words", "whole numbers")
    known = [0.0, 1.0, 2.9, 7.0, 1e4] if whole else NUMBERS + SPECIAL
    points = np.array([[x, y] for x in known for y in known])
    found, wanted = by_script(program, points), evaluate(program, points)
    np.testing.assert_allclose(found, wanted, rtol=4e-15, atol=1e-300)


def test_what_has_no_script_says_so():
    number = jax.ShapeDtypeStruct((), float)
    with pytest.raises(NotScripted, match="lgamma has no equal"):
        function(flatten(lax.lgamma, number), "f", 1)
    with pytest.raises(NotScripted, match="float16"):
        function(flatten(lambda x: x.astype(jnp.float16), number), "f", 1)
    long = flatten(lambda x: lax.fori_loop(0, LONGEST + 1, lambda _, x: jnp.sin(x), x), number)
    with pytest.raises(NotScripted, match="2,000 are the most"):
        function(long, "f", 1)


@needs_node
def test_a_table_is_a_list():
    table = np.arange(5.0) ** 2
    look_up = lambda x: jnp.asarray(table)[jnp.floor(x).astype(int)]  # noqa: E731
    program = flatten(look_up, jax.ShapeDtypeStruct((), float), tables=True)
    points = np.array([[-1.0], [0.0], [3.5], [9.0]])
    np.testing.assert_array_equal(by_script(program, points), evaluate(program, points))
