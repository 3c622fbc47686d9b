"""What must not be claimed: spectra that hide an eigenvalue, maps that are not what they seem."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import samdyn
from samdyn.errors import InvalidInput
from samdyn.spectra.lanczos import ritz_ends
from samdyn.spectra.products.operator import Operator

SEEDS = range(10)


def diagonal(values, dtype=np.float64, **options):
    values = np.asarray(values, dtype)
    return samdyn.numpy_operator(lambda v: values * v, values.size, dtype, **options)


HIDDEN = {
    "one direction in an identity": np.concatenate([[-1.0], np.ones(49_999)]),
    "one direction and two clusters": np.concatenate([[-0.5], np.ones(5000), np.full(5000, 2.0)]),
    "a far top and a bulk": np.concatenate([[-1.0, 1e4], np.linspace(2, 3, 3000)]),
}


@pytest.mark.parametrize("name", HIDDEN)
@pytest.mark.thorough
def test_an_outlier_that_the_start_hardly_has_is_found(name):
    made = diagonal(HIDDEN[name])
    for seed in SEEDS:
        ends = samdyn.spectrum_ends(made, seed=seed)
        assert ends.curvature == "negative"
        assert ends.low.value == pytest.approx(HIDDEN[name].min(), rel=0.01)
        assert ends.unseen <= HIDDEN[name].min()


@pytest.mark.thorough
def test_a_growing_direction_that_the_start_hardly_has_is_found():
    values = np.concatenate([[1.05], np.full(19_999, 0.5)])
    made = diagonal(values, symmetric=False)
    found = [samdyn.spectral_radius(made, seed=seed).value for seed in SEEDS]
    assert found == pytest.approx([1.05] * len(found), abs=1e-6)


@pytest.mark.parametrize("dim", [2, 3, 4, 6, 10, 20])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.thorough
def test_small_spaces_are_exhausted(dim, dtype):
    random = np.random.default_rng(dim)
    for seed in SEEDS:
        matrix = random.standard_normal((dim, dim)).astype(dtype)
        matrix = matrix + matrix.T
        exact = np.linalg.eigvalsh(matrix.astype(float))
        made = samdyn.numpy_operator(lambda v, a=matrix: a @ v, dim, dtype)
        ends = samdyn.spectrum_ends(made, seed=seed)
        for end, value in ((ends.low, exact[0]), (ends.high, exact[-1])):
            assert abs(end.value - value) <= end.residual + end.error
            assert abs(end.value - value) <= 1e-5 * np.abs(exact).max()
        assert ends.unseen <= exact[0]


@pytest.mark.thorough
def test_what_is_unseen_is_below_the_bound_in_one_search_of_a_hundred_at_most():
    """A hundred searches of eight products in spectra whose lowest end is easily missed."""
    random, outside, said = np.random.default_rng(0), 0, 0
    for seed in range(100):
        values = np.concatenate([[-random.exponential(0.3)], random.random(400)])
        ends = samdyn.spectrum_ends(diagonal(values), krylov=8, max_products=8, seed=seed)
        outside += ends.unseen > values[0]
        said += np.isfinite(ends.unseen)
    assert outside <= 4  # 1 is expected at most; 5 come with a probability below 0.4 %
    assert said == 100


def test_too_few_products_bound_nothing():
    ends = samdyn.spectrum_ends(diagonal(np.linspace(-1, 1, 400)), max_products=3)
    assert ends.unseen == -np.inf
    assert "too few products" in str(ends)
    assert not ends.converged


def test_a_search_that_did_not_converge_excludes_nothing():
    values = np.concatenate([[-0.5], np.linspace(1, 100, 500)])
    ends = samdyn.spectrum_ends(diagonal(values), max_products=3)
    assert ends.low.value > 0
    assert ends.curvature == "unresolved"


@pytest.mark.thorough
def test_converged_means_the_tolerance_asked_for():
    spectra = [
        np.geomspace(1e-3, 1, 1000),
        np.concatenate([[-1, -0.97], np.linspace(-0.9, 1, 998)]),
    ]
    converged = 0
    for values in spectra:
        for rtol in (0.1, 0.01):
            for seed in SEEDS:
                ends = samdyn.spectrum_ends(diagonal(values), rtol=rtol, seed=seed)
                if ends.converged:
                    converged += 1
                    assert abs(ends.high.value - values.max()) <= rtol * values.max()
                    assert abs(ends.low.value - values.min()) <= rtol * abs(values.min())
    assert converged > len(SEEDS)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_maps_that_are_not_symmetric_are_refused(dtype):
    """At random vectors their asymmetry is 1/√dim of a product."""
    gauss = np.random.default_rng(0).standard_normal((2000, 2000)).astype(dtype)
    shift = lambda v: dtype(0.9) * v + np.append(v[1:], dtype(0))  # noqa: E731
    for product in (shift, lambda v: gauss @ v):
        with pytest.raises(InvalidInput, match="not symmetric"):
            samdyn.spectrum_ends(samdyn.numpy_operator(product, 2000, dtype))


def test_asymmetry_that_random_vectors_do_not_show_is_seen_in_the_search():
    values = np.linspace(0, 1, 500)

    def product(v):
        after = values * v
        after[-1] += 3 * v[-2]
        return after

    with pytest.raises(InvalidInput, match="not symmetric"):
        samdyn.spectrum_ends(samdyn.numpy_operator(product, 500, check=False))


JACOBIANS = {
    "a small Jordan block": np.diag(np.full(30, 0.9)) + np.diag(np.ones(29), 1),
    "a Jordan block": np.diag(np.full(60, 0.9)) + np.diag(np.ones(59), 1),
    "a full triangle": np.triu(np.ones((100, 100)), 1) + np.diag(np.linspace(0, 0.9, 100)),
}


def radii_found(matrix):
    made = samdyn.numpy_operator(lambda v: matrix @ v, len(matrix), symmetric=False)
    search = lambda seed: samdyn.spectral_radius(made, krylov=20, max_products=40, seed=seed)  # noqa: E731
    return [search(seed) for seed in SEEDS]


@pytest.mark.parametrize("name", JACOBIANS)
@pytest.mark.thorough
def test_the_radius_of_a_matrix_too_far_from_normal_is_not_called_converged(name):
    """Forty products lead far astray: none of the values found is within half of the radius."""
    matrix = JACOBIANS[name]
    exact = np.abs(np.diag(matrix)).max()
    for found in radii_found(matrix):
        assert abs(found.value - exact) > 0.5 * exact
        assert not found.converged


@pytest.mark.parametrize(("coupling", "condition"), [(0.05, 1.6), (0.2, 9766)])
def test_the_radius_of_a_matrix_far_from_normal_is_within_its_error_once_converged(
    coupling, condition
):
    """A triangle with one eigenvalue of 1.2, `condition` times as sensitive as a normal one."""
    diagonal = np.linspace(0, 0.5, 60)
    diagonal[30] = 1.2
    for found in radii_found(np.triu(np.full((60, 60), coupling), 1) + np.diag(diagonal)):
        assert found.converged
        assert abs(found.value - 1.2) <= found.error
        assert 0.1 * condition * found.residual < found.error < 0.01 * 0.2


def test_complex_multipliers_survive_restarts():
    """Two pairs of nearly equal size, and a basis too small to hold what is needed at once."""
    sizes, angles = np.linspace(0.2, 1.1, 150), np.linspace(0.2, 3.0, 150)
    sizes[40] = 1.15
    c, s = sizes * np.cos(angles), sizes * np.sin(angles)

    def product(v):
        x, y = v.reshape(2, -1)
        return np.concatenate([c * x - s * y, s * x + c * y])

    made = samdyn.numpy_operator(product, 300, symmetric=False)
    found = samdyn.spectral_radius(made, krylov=8, rtol=1e-3, max_products=2000)
    assert found.converged
    assert found.products > 2 * 8
    assert abs(found.value - 1.15) <= found.error


@pytest.mark.parametrize("scale", [1e-25, 1e-18, 1e25])
def test_single_precision_holds_at_any_scale(scale):
    values = np.linspace(-1, 1, 400)
    ends = samdyn.spectrum_ends(diagonal(scale * values, np.float32))
    assert ends.curvature == "negative"
    assert ends.low.value == pytest.approx(-scale, rel=0.01)
    assert ends.low.residual < 0.3 * scale


def test_a_gradient_that_returns_its_own_buffer_is_copied():
    buffer = np.zeros(60)

    def gradient(x):
        buffer[:] = x**3 - 2 * x
        return buffer

    ends = samdyn.spectrum_ends(
        samdyn.gradient_operator(gradient, np.linspace(0.5, 1.5, 60)), rtol=1e-4
    )
    assert ends.low.value == pytest.approx(-1.25, abs=1e-4)
    assert ends.high.value == pytest.approx(4.75, abs=1e-4)


def test_truncation_of_differences_counts_as_error():
    """x³ with a factor so large that half a step changes the sign: unresolved."""
    a, c = np.linspace(1e-3, 1e-2, 30), np.zeros(30)
    a[0], c[0] = 1e-6, -1e5
    made = samdyn.gradient_operator(lambda x: a * x + c * x**3, np.zeros(30))
    assert samdyn.spectrum_ends(made).curvature == "unresolved"


def net(params, batch):
    return jnp.tanh(batch[0] @ params["in"]) @ params["out"]


@pytest.mark.thorough
def test_a_loss_whose_closure_has_changed_is_another_loss():
    decay = 0.0

    def loss(params, batch):
        return jnp.mean(net(params, batch) ** 2) + decay * jnp.sum(params["in"] ** 2)

    params = {"in": 0.3 * jnp.ones((2, 3)), "out": jnp.ones((3, 1))}
    batches = [(jnp.linspace(-1, 1, 20).reshape(10, 2),)]
    v = jnp.ones(9)
    before = samdyn.hessian(loss, params, batches)
    decay = 1.0
    after = samdyn.hessian(loss, params, batches)
    extra = jnp.concatenate([jnp.full(6, 2.0), jnp.zeros(3)])
    np.testing.assert_allclose(after(v) - before(v), extra, atol=1e-12)
    assert after.loss - before.loss == pytest.approx(6 * 0.09)


def test_an_array_inside_a_compiled_part_of_the_loss_counts():
    scaled = lambda a: jax.jit(lambda w: jnp.sum(a * w**2))  # noqa: E731
    part = scaled(jnp.ones(3))
    loss = lambda w, batch: part(w) + 0 * jnp.sum(batch)  # noqa: E731
    before = samdyn.hessian(loss, jnp.ones(3), [jnp.zeros(1)])(jnp.ones(3))
    part = scaled(jnp.full(3, 2.0))
    after = samdyn.hessian(loss, jnp.ones(3), [jnp.zeros(1)])(jnp.ones(3))
    np.testing.assert_allclose(before, 2.0)
    np.testing.assert_allclose(after, 4.0)


def test_the_same_loss_compiles_nothing_again(caplog):
    loss = lambda params, batch: jnp.mean(net(params, batch) ** 2)  # noqa: E731
    params = {"in": 0.3 * jnp.ones((2, 3)), "out": jnp.ones((3, 1))}
    batches = [(jnp.linspace(-1, 1, 20).reshape(10, 2),)]
    ask = lambda scale: samdyn.spectrum_ends(  # noqa: E731
        samdyn.hessian(loss, jax.tree.map(lambda x: scale * x, params), batches)
    )
    ask(1.0)
    with jax.log_compiles(True), caplog.at_level("WARNING"):
        ask(0.5)
    names = [record.getMessage() for record in caplog.records]
    assert not [name for name in names if "Finished XLA compilation" in name]


def test_batch_norm_shows_in_the_gradient_where_the_loss_is_flat():
    def loss(params, batch):
        z = batch[0] @ params["in"]
        z = (z - jnp.mean(z, axis=0, keepdims=True)) / jnp.std(z, axis=0, keepdims=True)
        return jnp.mean((jnp.tanh(z) @ params["out"] - batch[1]) ** 2)

    x = jnp.sin(jnp.arange(40.0)).reshape(20, 2)
    params = {"in": jnp.asarray([[1.0, 0.3, -0.5], [0.2, 1.0, 0.7]]), "out": jnp.zeros((3, 1))}
    with pytest.raises(InvalidInput, match="see each other"):
        samdyn.hessian(loss, params, [(x, jnp.ones((20, 1)))])


def test_batches_whose_first_axis_is_not_one_of_examples_are_accepted():
    def loss(w, batch):
        return jnp.mean((batch[0] @ batch[1] @ w) ** 2)

    batch = (jnp.eye(6) + 0.1, jnp.arange(18.0).reshape(6, 3))
    assert samdyn.hessian(loss, jnp.ones(3), [batch]).dim == 3


@pytest.mark.thorough
def test_ritz_values_of_a_short_run_know_their_rounding():
    values = jnp.concatenate([jnp.linspace(0, 1, 99), jnp.asarray([1e6])]).astype(jnp.float32)
    ends = ritz_ends(lambda v: values * v, jnp.ones(100, jnp.float32), 60)
    assert ends.low > -ends.low_residual
    assert abs(ends.high - 1e6) <= ends.high_residual
    broken = ritz_ends(lambda v: v * jnp.nan, jnp.ones(100, jnp.float32), 5)
    assert np.isnan(broken.low_residual)


def test_a_density_has_no_nodes_that_are_no_nodes():
    found = samdyn.spectral_density(samdyn.numpy_operator(lambda v: 2 * v, 100))
    assert found.mean(np.log)[0] == pytest.approx(np.log(2))
    assert "mean eigenvalue 2" in str(found)
    other = samdyn.spectral_density(diagonal(np.linspace(0, 1, 100)), probes=2, krylov=4, seed=0)
    next_ = samdyn.spectral_density(diagonal(np.linspace(0, 1, 100)), probes=2, krylov=4, seed=1)
    assert not np.intersect1d(other.nodes, next_.nodes).size


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda a: samdyn.spectrum_ends(a, max_products=0), "max_products must be 1 or more"),
        (lambda a: samdyn.spectrum_ends(a, rtol=np.nan), "between 0 and 1"),
        (lambda a: samdyn.spectral_radius(a, rtol=0.0), "between 0 and 1"),
        (lambda a: samdyn.spectral_radius(a, max_products=0), "max_products must be 1 or more"),
        (lambda a: samdyn.spectral_density(a, probes=0), "one probe or more"),
        (lambda a: samdyn.spectral_density(a, probes=1).on(np.zeros(1), 0.0), "must be > 0"),
        (
            lambda a: samdyn.gradient_operator(lambda x: x, np.ones(3), step=0.0),
            "finite number > 0",
        ),
        (lambda a: samdyn.numpy_operator(lambda v: v, 5, np.int32), "not int32"),
        (lambda a: samdyn.numpy_operator(lambda v: v + 0j, 5), "complex"),
    ],
)
def test_settings_out_of_range_are_one_sentence(call, words):
    with pytest.raises(InvalidInput, match=words) as caught:
        call(samdyn.numpy_operator(lambda v: v, 100))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("batches", [[None], [()], ["x"]])
def test_batches_that_are_none_are_one_sentence(batches):
    with pytest.raises(InvalidInput, match="batch") as caught:
        samdyn.hessian(lambda w, b: jnp.sum(w**2), jnp.ones(3), batches)
    assert "\n" not in str(caught.value)


def test_whatever_a_loss_raises_is_one_sentence():
    with pytest.raises(InvalidInput, match="KeyError"):
        samdyn.hessian(lambda w, b: b["x"], jnp.ones(3), [{"y": jnp.ones(3)}])


def test_half_precision_works():
    values = jnp.linspace(-1, 1, 50).astype(jnp.bfloat16)
    made = Operator(lambda v: values * v, 50, jnp.bfloat16)
    assert samdyn.spectrum_ends(made, rtol=0.1).low.value == pytest.approx(-1, abs=0.1)


@pytest.mark.thorough
def test_a_product_of_a_convolution_is_that_of_its_batches():
    """On a CPU it is taken batch by batch, outside of compiled loops."""
    rng = np.random.default_rng(0)
    batches = [jnp.asarray(rng.normal(size=(4, 1, 6, 6))) for _ in range(3)]

    def loss(w, x):
        kernel = w[:9].reshape(1, 1, 3, 3)
        seen = jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID")
        return jnp.mean((jnp.sum(jnp.tanh(seen), axis=(1, 2, 3)) * w[9] - 1) ** 2)

    w, v = jnp.asarray(rng.normal(size=10)), jnp.asarray(rng.normal(size=10))
    weights = np.array([1.0, 2.0, 3.0])
    operator = samdyn.hessian(loss, w, batches, weights=weights)
    exact = sum(
        share * jax.hessian(loss)(w, x) @ v for share, x in zip(weights / 6, batches, strict=True)
    )
    np.testing.assert_allclose(operator(v), exact, rtol=1e-10)
