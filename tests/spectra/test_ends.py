"""Both ends and the radius against dense linear algebra, within the residuals they state."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import samdyn
from samdyn.errors import ComputationFailed, InvalidInput
from samdyn.spectra.products.operator import Operator

DIM = 3000
DTYPES = (np.float32, np.float64)


@pytest.fixture(scope="module")
def frame():
    """A random rotation."""
    return np.linalg.qr(np.random.default_rng(0).standard_normal((DIM, DIM)))[0]


@pytest.fixture(scope="module")
def operator(frame):
    """The operator with given eigenvalues in that frame."""
    apply = jax.jit(lambda matrix, v: matrix @ v)

    def make(values, dtype, **options):
        matrix = jnp.asarray((frame * values) @ frame.T, dtype)
        return Operator(lambda v: apply(matrix, v), DIM, dtype, **options)

    return make


def saddle():
    """A bulk near 0, a little negative curvature, and a few outliers: as Hessians of networks."""
    bulk = np.random.default_rng(1).exponential(0.02, DIM - 5)
    return np.concatenate([[-0.3, -0.25], bulk, [0.9, 1.9, 2.0]])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rtol", [0.01, 1e-5])
@pytest.mark.thorough
def test_both_ends_of_a_rotated_quadratic_are_within_their_residuals(operator, dtype, rtol):
    values = saddle()
    ends = samdyn.spectrum_ends(operator(values, dtype), krylov=24, rtol=rtol)
    assert ends.converged
    for end, exact in ((ends.low, values[0]), (ends.high, values[-1])):
        assert abs(end.value - exact) <= end.residual + end.error
        assert abs(end.value - exact) <= max(rtol * abs(exact), end.error)
    assert ends.curvature == "negative"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.thorough
def test_a_spectrum_without_gaps_needs_restarts_and_gets_there(operator, dtype):
    values = np.linspace(-0.5, 1.0, DIM)
    ends = samdyn.spectrum_ends(operator(values, dtype), krylov=16, rtol=1e-3, max_products=2000)
    assert ends.converged
    assert ends.products > 3 * 16
    assert abs(ends.low.value + 0.5) <= ends.low.residual + ends.low.error
    assert abs(ends.high.value - 1.0) <= ends.high.residual + ends.high.error


@pytest.mark.parametrize(("dtype", "found"), [(np.float32, "unresolved"), (np.float64, "negative")])
@pytest.mark.thorough
def test_a_hundred_millionth_of_the_top_is_a_sign_in_double_precision_only(operator, dtype, found):
    values = np.concatenate([[-1e-8], np.linspace(0.01, 1, DIM - 1)])
    ends = samdyn.spectrum_ends(operator(values, dtype), krylov=40, rtol=1e-3, max_products=2000)
    assert ends.curvature == found
    assert abs(ends.low.value + 1e-8) <= ends.low.residual + ends.low.error


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.thorough
def test_identity_zero_and_rank_one_break_nothing(operator, dtype):
    one = np.zeros(DIM)
    one[7] = 3.0
    for values in (np.ones(DIM), np.zeros(DIM), one, -one):
        ends = samdyn.spectrum_ends(operator(values, dtype), krylov=12)
        assert ends.converged
        assert abs(ends.low.value - values.min()) <= ends.low.residual + ends.low.error
        assert abs(ends.high.value - values.max()) <= ends.high.residual + ends.high.error
    assert ends.curvature == "negative"


@pytest.mark.thorough
def test_a_hidden_direction_is_within_what_is_called_unseen(operator):
    """One negative eigenvalue, just outside a wide bulk, is easily missed: 20 seeds."""
    values = np.concatenate([[-0.02], np.linspace(0.0, 1.0, DIM - 1)])
    made = operator(values, np.float64)
    found = [samdyn.spectrum_ends(made, krylov=12, max_products=12, seed=s) for s in range(20)]
    assert all(ends.unseen <= -0.02 for ends in found)
    assert any(ends.low.value > 0 for ends in found)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_radius_of_a_rotation_scaled_up(dtype):
    """Complex multipliers: blocks r·(rotation by an angle), the largest r is 1.2."""
    sizes, angles = np.linspace(0.1, 1.0, 250), np.linspace(0.1, 3.0, 250)
    sizes[100] = 1.2
    c, s = sizes * np.cos(angles), sizes * np.sin(angles)

    @jax.jit
    def apply(v):
        x, y = v.reshape(2, -1)
        cosine, sine = jnp.asarray(c, dtype), jnp.asarray(s, dtype)
        return jnp.concatenate([cosine * x - sine * y, sine * x + cosine * y])

    made = Operator(apply, 500, dtype, symmetric=False)
    radius = samdyn.spectral_radius(made, krylov=24, rtol=1e-3, max_products=1000)
    assert radius.converged
    assert abs(radius.value - 1.2) <= radius.residual + made.error(1.2)  # the matrix is normal
    assert abs(abs(np.angle(radius.multiplier)) - angles[100]) < 1e-3


def test_a_dimension_below_the_basis_is_exact():
    matrix = np.diag([-2.0, 1.0, 3.0])
    ends = samdyn.spectrum_ends(samdyn.numpy_operator(lambda v: matrix @ v, 3))
    assert (ends.low.value, ends.high.value) == pytest.approx((-2, 3), abs=1e-12)
    assert ends.unseen == pytest.approx(-2, abs=1e-12)


def test_one_dimension():
    ends = samdyn.spectrum_ends(samdyn.numpy_operator(lambda v: -2.0 * v, 1))
    assert ends.low.value == ends.high.value == -2


def test_ctrl_c_returns_what_is_known():
    count = 0

    def product(v):
        nonlocal count
        count += 1
        if count == 20:
            raise KeyboardInterrupt
        return np.linspace(-1, 1, 100) * v

    ends = samdyn.spectrum_ends(samdyn.numpy_operator(product, 100), rtol=1e-9)
    assert ends.interrupted
    assert not ends.converged
    assert ends.low.value < 0 < ends.high.value
    assert abs(ends.low.value + 1) < 0.1


def test_progress_counts_products_and_shows_residuals():
    looks = []
    made = samdyn.numpy_operator(lambda v: np.linspace(-1, 1, 100) * v, 100)
    samdyn.spectrum_ends(made, rtol=1e-3, progress=looks.append)
    assert [look.products for look in looks] == list(range(1, len(looks) + 1))
    assert looks[-1].residuals.max() < looks[5].residuals.max()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda a: samdyn.spectrum_ends(a, krylov=101), "at most the dimension 100"),
        (lambda a: samdyn.spectrum_ends(a, krylov=2), "at least 4"),
        (lambda a: samdyn.spectrum_ends(a, rtol=0.0), "between 0 and 1"),
    ],
)
def test_wrong_settings_are_one_sentence(call, words):
    with pytest.raises(InvalidInput, match=words):
        call(samdyn.numpy_operator(lambda v: v, 100))


@pytest.mark.parametrize(
    ("product", "words"),
    [
        (lambda v: np.triu(np.ones((50, 50))) @ v, "not symmetric"),
        (lambda v: v * np.abs(v), "not linear"),
        (lambda v: v + np.random.default_rng().standard_normal(50), "hidden state"),
        (lambda v: v[:3], r"shape \(3,\)"),
    ],
)
def test_what_is_no_hessian_is_refused(product, words):
    with pytest.raises(InvalidInput, match=words):
        samdyn.numpy_operator(product, 50)


def test_a_product_that_overflows_is_a_failure():
    with pytest.raises(ComputationFailed, match="not finite"):
        samdyn.numpy_operator(lambda v: v * np.inf, 50)


def test_a_numpy_gradient_is_enough():
    """x⁴ terms: the Hessian is known, differences of the gradient find it."""
    w = np.linspace(0.5, 1.5, 60)
    made = samdyn.gradient_operator(lambda x: x**3 - 2 * x, w)
    ends = samdyn.spectrum_ends(made, rtol=1e-4)
    assert ends.low.value == pytest.approx(3 * 0.25 - 2, abs=1e-4)
    assert ends.high.value == pytest.approx(3 * 2.25 - 2, abs=1e-4)


def test_a_double_operator_is_double_whatever_the_default_precision():
    values, seen = np.concatenate([[-1e-8], np.linspace(0.5, 1, 99)]), set()

    def product(v):
        seen.add(v.dtype)
        return values * v

    with jax.enable_x64(False):
        ends = samdyn.spectrum_ends(samdyn.numpy_operator(product, 100), rtol=1e-6)
    assert seen == {np.dtype(np.float64)}
    assert ends.curvature == "negative"
