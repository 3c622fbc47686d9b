"""An enclosure contains every value: asserted, without a tolerance, in longer arithmetic."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samdyn import SAM, USAM, Flow, get_loss, loss_names
from samdyn.programs.derivative import with_jacobian
from samdyn.programs.enclosing import intervals
from samdyn.programs.enclosing.boxes import enclose
from samdyn.programs.enclosing.interval_rules import RULES, NotEnclosed
from samdyn.programs.points import evaluate
from samdyn.programs.program import Builder, Input
from samdyn.programs.tracing.flatten import flatten

LONG = np.longdouble
BOXES, INSIDE = 2_000, 50
SMALL = [name for name in loss_names() if get_loss(name).dim <= 4]

# name: (how it is computed in longer arithmetic, how many arguments, where they lie)
TRUTH = {
    "add": (np.add, 2, (-9, 9)),
    "sub": (np.subtract, 2, (-9, 9)),
    "mul": (np.multiply, 2, (-9, 9)),
    "div": (np.divide, 2, (-9, 9)),
    "neg": (np.negative, 1, (-9, 9)),
    "abs": (np.abs, 1, (-9, 9)),
    "sign": (np.sign, 1, (-9, 9)),
    "square": (np.square, 1, (-9, 9)),
    "sqrt": (np.sqrt, 1, (-1, 9)),
    "rsqrt": (lambda x: 1 / np.sqrt(x), 1, (-1, 9)),
    "cbrt": (np.cbrt, 1, (-9, 9)),
    "exp": (np.exp, 1, (-20, 20)),
    "exp2": (np.exp2, 1, (-20, 20)),
    "expm1": (np.expm1, 1, (-3, 3)),
    "log": (np.log, 1, (-1, 9)),
    "log1p": (np.log1p, 1, (-2, 9)),
    "sin": (np.sin, 1, (-30, 30)),
    "cos": (np.cos, 1, (-30, 30)),
    "tan": (np.tan, 1, (-9, 9)),
    "asin": (np.arcsin, 1, (-1.2, 1.2)),
    "acos": (np.arccos, 1, (-1.2, 1.2)),
    "atan": (np.arctan, 1, (-9, 9)),
    "atan2": (np.arctan2, 2, (-9, 9)),
    "sinh": (np.sinh, 1, (-9, 9)),
    "cosh": (np.cosh, 1, (-9, 9)),
    "tanh": (np.tanh, 1, (-9, 9)),
    "asinh": (np.arcsinh, 1, (-9, 9)),
    "acosh": (np.arccosh, 1, (0.5, 9)),
    "atanh": (np.arctanh, 1, (-1.2, 1.2)),
    "logistic": (lambda x: 1 / (1 + np.exp(-x)), 1, (-20, 20)),
    "floor": (np.floor, 1, (-9, 9)),
    "ceil": (np.ceil, 1, (-9, 9)),
    "max": (np.maximum, 2, (-9, 9)),
    "min": (np.minimum, 2, (-9, 9)),
    "clamp": (lambda a, x, b: np.minimum(np.maximum(x, a), b), 3, (-9, 9)),
    "gt": (np.greater, 2, (-2, 2)),
    "lt": (np.less, 2, (-2, 2)),
    "ge": (np.greater_equal, 2, (-2, 2)),
    "le": (np.less_equal, 2, (-2, 2)),
    "eq": (np.equal, 2, (-2, 2)),
    "ne": (np.not_equal, 2, (-2, 2)),
    "pow": (np.power, 2, (-1, 4)),
    "rem": (np.fmod, 2, (-9, 9)),
    "not": (lambda x, y: ~(x > y), 2, (-2, 2)),
    "and": (lambda x, y: (x > y) & (x > 0), 2, (-2, 2)),
    "or": (lambda x, y: (x > y) | (x > 0), 2, (-2, 2)),
}


def test_every_rule_is_looked_at():
    assert set(RULES) <= set(TRUTH) | set(SPECIAL)


SPECIAL = {"erf": (-6, 6), "erfc": (-6, 28), "erf_inv": (-1, 1)}


@pytest.mark.parametrize("name", SPECIAL)
def test_functions_of_scipy_lie_inside(name):
    """Against 40 digits."""
    mpmath = pytest.importorskip("mpmath")
    exact = {"erf": mpmath.erf, "erfc": mpmath.erfc, "erf_inv": mpmath.erfinv}[name]
    builder = Builder([Input("x", np.dtype(float))], 9)
    program = builder.program([builder.add(name, [0], float)])
    rng = np.random.default_rng(0)
    middle = np.concatenate([rng.uniform(*SPECIAL[name], 400), 10.0 ** rng.uniform(-200, -1, 100)])
    low, high = np.sort(np.stack([middle, middle + rng.uniform(0, 1, middle.size)]), axis=0)
    low[::2] = high[::2] = middle[::2]
    found = enclose(program, low[:, None], high[:, None])
    with mpmath.workdps(40):
        for row, share in zip(range(middle.size), rng.uniform(size=middle.size), strict=True):
            x = float(np.clip(low[row] + share * (high[row] - low[row]), low[row], high[row]))
            if name == "erf_inv" and abs(x) >= 1:
                assert found.undefined[row, 0]
                continue
            assert found.low[row, 0] <= exact(mpmath.mpf(x)) <= found.high[row, 0]


@pytest.mark.parametrize("method", [0, 1])
def test_rounding_to_whole_numbers(method):
    builder = Builder([Input("x", np.dtype(float))], 9)
    options = (("rounding_method", method),)
    program = builder.program([builder.add("round", [0], float, options)])
    lows, highs = random_boxes(1, -3, 3)
    found = enclose(program, lows, highs)
    points = points_of(lows, highs)
    for inside in points:
        values = evaluate(program, inside)
        assert np.all((values >= found.low) & (values <= found.high))
    assert np.array_equal(found.kinked, found.low != found.high)


def program_of(name):
    """The program of one operation."""
    count = TRUTH[name][1]
    builder = Builder([Input(str(k), np.dtype(float)) for k in range(count)], 9)
    places = list(range(count))
    if name in ("not", "and", "or"):
        first = builder.add("gt", places, bool)
        second = builder.add("gt", [0, np.float64(0)], bool)
        places = [first] if name == "not" else [first, second]
    truth = name in ("gt", "lt", "ge", "le", "eq", "ne", "not", "and", "or")
    return builder.program([builder.add(name, places, bool if truth else float)])


def random_boxes(count, low, high, seed=0):
    """Boxes (n, count) of every width, a third of them points, a third with whole numbers as
    ends."""
    rng = np.random.default_rng(seed)
    middle = rng.uniform(low, high, (BOXES, count))
    half = 10.0 ** rng.uniform(-17, 1, (BOXES, count))
    half[::3] = 0
    lows, highs = middle - half, middle + half
    lows[1::3], highs[1::3] = np.round(lows[1::3]), np.round(highs[1::3])
    return lows, highs


def points_of(lows, highs, seed=1):
    """Points (INSIDE, n, count) of the boxes, their corners among them."""
    share = np.random.default_rng(seed).uniform(size=(INSIDE, *lows.shape))
    share[:8] = np.round(share[:8])
    points = lows + share * (highs - lows)
    return np.clip(points, lows, highs)


def misses(name):
    """How often a value lies outside the bounds, or is undefined where that is excluded."""
    function, count, (low, high) = TRUTH[name]
    lows, highs = random_boxes(count, low, high)
    found = enclose(program_of(name), lows, highs)
    points = points_of(lows, highs).astype(LONG)
    with np.errstate(all="ignore"):
        values = function(*np.moveaxis(points, -1, 0))
    defined = np.isfinite(values) if values.dtype == LONG else np.ones(values.shape, bool)
    lower, upper = found.low[:, 0].astype(LONG), found.high[:, 0].astype(LONG)
    outside = defined & ~((values >= lower) & (values <= upper))
    wrong = ~defined & ~found.undefined[:, 0] | defined & found.nowhere[:, 0]
    return int(np.sum(outside | wrong))


@pytest.mark.parametrize("name", sorted(TRUTH))
def test_a_rule_contains_100_000_values(name):
    assert misses(name) == 0


@pytest.mark.parametrize("y", [-3, -2, -1, 2, 3, 4, 7])
def test_powers(y):
    builder = Builder([Input("x", np.dtype(float))], 9)
    program = builder.program([builder.add("integer_pow", [0], float, (("y", y),))])
    lows, highs = random_boxes(1, -3, 3)
    found = enclose(program, lows, highs)
    points = points_of(lows, highs).astype(LONG)[..., 0]
    with np.errstate(all="ignore"):
        values = points ** LONG(y)
    inside = (values >= found.low[:, 0]) & (values <= found.high[:, 0])
    assert np.all(inside | ~np.isfinite(values))


ROUNDED = ["add", "sub", "mul", "div", "sqrt", "rsqrt"]
ELEMENTARY = ["exp", "log", "sin", "cos", "tanh", "atan", "pow", "cosh", "tan"]


@pytest.mark.parametrize("name", ROUNDED + ELEMENTARY)
def test_a_rule_without_its_rounding_is_caught(name, monkeypatch):
    which = "outwards" if name in ROUNDED else "widened"
    monkeypatch.setattr(intervals, which, lambda x, *least: x)
    assert misses(name) > 0


@pytest.mark.parametrize("name", SMALL)
def test_gradients_and_hessians_of_every_loss_lie_inside(name):
    loss = get_loss(name)
    program = with_jacobian(flatten(jax.grad(loss), jnp.zeros(loss.dim)))
    box = np.asarray(loss.box, float)
    rng = np.random.default_rng(0)
    middle = rng.uniform(box[:, 0], box[:, 1], (300, loss.dim))
    half = (box[:, 1] - box[:, 0]) * 10.0 ** rng.uniform(-9, -0.5, (300, 1))
    lows, highs = middle - half, middle + half
    found = enclose(program, lows, highs)
    points = points_of(lows, highs)
    for inside in points:
        values = evaluate(program, inside)
        slack = 1e-13 * np.max(np.abs(np.where(np.isfinite(values), values, 0)), axis=0)
        assert np.all((values >= found.low - slack) & (values <= found.high + slack))
    assert not np.any(found.nowhere)


@pytest.mark.parametrize("method", [SAM(0.3), USAM(0.1)], ids=["SAM", "USAM"])
def test_fields_lie_inside(method):
    loss = get_loss("double-well-2d")
    program = flatten(Flow(loss, method).velocity, jnp.zeros(2))
    lows, highs = random_boxes(2, -1.5, 1.5)
    found = enclose(program, lows, highs)
    for inside in points_of(lows, highs):
        values = evaluate(program, inside)
        slack = 1e-12 * (1 + np.abs(values))
        assert np.all((values >= found.low - slack) & (values <= found.high + slack))
    meets = np.any((lows <= 0) & (highs >= 0), axis=1)
    assert np.any(found.kinked[meets]) == (method.discontinuous)


def bounds(function, low, high, slope=False):
    program = flatten(function, jnp.zeros(len(low)))
    program = with_jacobian(program) if slope else program
    return enclose(program, np.array([low], float), np.array([high], float))


def test_the_slope_of_a_kink_is_that_of_both_sides():
    found = bounds(jax.grad(lambda w: jnp.abs(w[0])), [-0.1], [0.2])
    assert (found.low[0, 0], found.high[0, 0]) == pytest.approx((-1, 1))
    assert found.kinked[0, 0]
    found = bounds(jax.grad(lambda w: jnp.maximum(w[0], 2 * w[0])), [-0.1], [0.2])
    assert found.low[0, 0] <= 1
    assert found.high[0, 0] >= 2
    beside = bounds(jax.grad(lambda w: jnp.maximum(w[0], 2 * w[0])), [0.3], [0.35])
    assert (beside.low[0, 0], beside.high[0, 0]) == pytest.approx((2, 2))
    assert not beside.kinked[0, 0]


def test_where_a_loss_is_not_defined_is_known():
    found = bounds(lambda w: jnp.log(w[0]), [-2.0], [-1.0])
    assert found.nowhere[0, 0]
    found = bounds(lambda w: jnp.log(w[0]), [-2.0], [1.0])
    assert found.undefined[0, 0]
    assert not found.nowhere[0, 0]
    wall = bounds(lambda w: jnp.where(w[0] > 0, w[0], jnp.inf), [-2.0], [-1.0])
    assert wall.nowhere[0, 0]
    guarded = bounds(lambda w: jnp.where(w[0] > 0, jnp.log(w[0]), 1.0), [-2.0], [-1.0])
    assert not guarded.undefined[0, 0]
    assert (guarded.low[0, 0], guarded.high[0, 0]) == (1, 1)


@pytest.mark.parametrize("name", ["lt", "le", "gt", "ge", "eq", "ne"])
def test_what_is_no_number_compares_as_it_does(name):
    """√x at x < 0: every comparison is false, but for ≠."""
    compare = getattr(jax.lax, name)
    function = lambda w: jnp.where(compare(jnp.sqrt(w[0]), 3.0), 5.0, 7.0)  # noqa: E731
    for low, high in ((-2.0, -1.0), (-2.0, 1.0), (-2.0, 100.0), (1.0, 2.0)):
        found = bounds(function, [low], [high])
        assert not found.nowhere[0, 0]
        for x in np.linspace(low, high, 50):
            assert found.low[0, 0] <= float(function(jnp.array([x]))) <= found.high[0, 0]


POLES = {
    "1/0": lambda x: jnp.exp(-1 / jnp.maximum(x, 0)),
    "a power": lambda x: jnp.exp(-(jnp.maximum(x, 0) ** -2)),
    "log 0": lambda x: jnp.exp(2 * jnp.log(jnp.maximum(x, 0))),
    "log1p": lambda x: jnp.exp(jnp.log1p(jnp.maximum(x, -1))),
    "rsqrt": lambda x: jnp.exp(-jax.lax.rsqrt(jnp.maximum(x, 0))),
    "arctan of a pole": lambda x: jnp.arctan(1 / jnp.maximum(x, 0)),
    "arctanh": lambda x: jnp.tanh(jnp.arctanh(jnp.minimum(jnp.maximum(x, -1), 1))),
}


@pytest.mark.parametrize("name", POLES)
def test_a_pole_may_give_a_number(name):
    function = POLES[name]
    for low, high in ((-2.0, -1.5), (-2.0, 0.0), (-2.0, 1.0), (0.5, 0.75)):
        found = bounds(lambda w: function(w[0]), [low], [high])
        assert not found.nowhere[0, 0]
        for x in np.linspace(low, high, 50):
            value = float(function(jnp.array(x)))
            if np.isfinite(value):
                slack = 1e-12
                assert found.low[0, 0] - slack <= value <= found.high[0, 0] + slack


@pytest.mark.parametrize(
    "function",
    [
        lambda w: w.astype(jnp.float32).astype(float),
        lambda w: (w.astype(jnp.float32) * 2).astype(float),
        lambda w: w.astype(jnp.float16).astype(float),
        lambda w: jnp.where(w > 0, jnp.float32(0.1), jnp.float32(0.3)).astype(float),
    ],
)
def test_single_precision_has_no_rules(function):
    with pytest.raises(NotEnclosed, match="single precision"):
        bounds(function, [0.1], [0.1])


@pytest.mark.parametrize(
    "function", [lambda k: k // 2, lambda k: jax.lax.rem(k, 2), lambda k: k * k, lambda k: k + k]
)
def test_whole_numbers_have_no_rules(function):
    with pytest.raises(NotEnclosed, match="no rule"):
        bounds(
            lambda w: function(1 + 2 * (w[0] > 0).astype(int)).astype(float) * w[0], [-1.0], [1.0]
        )


def test_an_infinity_may_give_a_number():
    for hidden in (
        lambda w: jnp.exp(-jnp.where(w[0] > 0, w[0], jnp.inf)),
        lambda w: 1 / jnp.where(w[0] > 0, 1.0, -jnp.inf),
        lambda w: jnp.minimum(jnp.where(w[0] > 0, 3.0, jnp.inf), 0.0),
    ):
        found = bounds(hidden, [-2.0], [-1.0])
        assert not found.nowhere[0, 0]
        assert found.low[0, 0] <= 0 <= found.high[0, 0]
    assert bounds(lambda w: 1 - jnp.where(w[0] > 0, w[0], jnp.inf), [-2.0], [-1.0]).nowhere[0, 0]


def test_what_has_no_rule_says_so():
    with pytest.raises(NotEnclosed, match="lgamma"):
        bounds(lambda w: jax.lax.lgamma(w[0]), [1.0], [2.0])


@pytest.mark.parametrize("factor", [3.0, -0.1, 2.0, -4.0, 0.5, 1e-300, 5e-324, -1e300, 0.0])
def test_a_product_with_a_number_holds_every_value(factor):
    builder = Builder([Input("x", np.dtype(float))], 9)
    program = builder.program([builder.add("mul", [0, np.float64(factor)], float)])
    lows, highs = random_boxes(1, -9, 9)
    lows[:50], highs[:50] = -0.4 * np.finfo(float).max, 0.4 * np.finfo(float).max
    lows[50:100], highs[50:100] = 5e-324, 1e-310
    found = enclose(program, lows, highs)
    values = points_of(lows, highs).astype(LONG)[..., 0] * LONG(factor)
    low, high = found.low[:, 0].astype(LONG), found.high[:, 0].astype(LONG)
    assert np.all((values >= low) & (values <= high))


def test_a_product_that_is_too_small_for_a_sign_keeps_its_sign_open():
    program = flatten(lambda w: w[0] * w[1], jnp.zeros(2))
    found = enclose(program, np.array([[-1e-200, 1e-200]]), np.array([[-1e-200, 1e-200]]))
    assert found.low[0, 0] < 0


def test_parameters_may_be_intervals():
    program = flatten(lambda w, rho: w * rho, jnp.zeros(1), jnp.zeros(()))
    found = enclose(program, np.ones((3, 1)), np.full((3, 1), 2.0), [(0.1, 0.2)])
    assert np.all(found.low <= 0.1)
    assert np.all(found.high >= 0.4)
