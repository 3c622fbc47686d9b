"""What is found out about a loss before its Hessian is believed: who sees whom, what is random."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import samdyn
from samdyn.errors import ComputationFailed, InvalidInput

RNG = np.random.default_rng(0)
W = {"in": jnp.asarray(RNG.normal(size=(3, 5))), "out": jnp.asarray(RNG.normal(size=5))}


def arrays(n, seed=0):
    rng = np.random.default_rng(seed)
    return {"x": rng.normal(size=(n, 3)), "y": rng.normal(size=n)}


def residuals(w, b):
    return (jnp.tanh(b["x"] @ w["in"]) @ w["out"] - b["y"]) ** 2


def mean(w, b):
    return jnp.mean(residuals(w, b))


def normed(w, b):
    h = b["x"] @ w["in"]
    h = (h - jnp.mean(h, 0)[None]) / jnp.sqrt(jnp.var(h, 0) + 1e-5)[None]
    return jnp.mean((jnp.tanh(h) @ w["out"] - b["y"]) ** 2)


def masked(w, b):
    m = b["m"].astype(float)
    return jnp.sum(residuals(w, b) * m) / jnp.sum(m)


def penalised(w, b):
    return jnp.sum(residuals(w, b)) + jnp.sum(w["in"] ** 2)


def contrastive(w, b):
    z = jnp.tanh(b["x"] @ w["in"])
    return -jnp.mean(jnp.diag(jax.nn.log_softmax(z @ z.T, axis=1)))


def dropped(w, b):
    keep = jax.random.bernoulli(b["key"], 0.5, b["x"].shape).astype(float)
    return mean(w, {"x": b["x"] * keep, "y": b["y"]})


def recurrent(w, b):
    """Time first: (T, n, 3)."""

    def cell(h, x):
        h = jnp.tanh(x @ w["in"] + h)
        return h, h @ w["out"]

    out = jax.lax.scan(cell, jnp.zeros((b["x"].shape[1], 5)), b["x"])[1]
    return jnp.mean((out - b["y"]) ** 2)


def checked(loss, batch, **more):
    return samdyn.hessian(loss, W, [batch], **more).checked


@pytest.mark.parametrize("n", [3, 512])
@pytest.mark.thorough
def test_independent_examples_pass_and_those_that_see_each_other_do_not(n):
    batch = arrays(n)
    for loss in (mean, penalised, lambda w, b: jnp.sum(residuals(w, b))):
        assert "do not see each other" in checked(loss, batch)
    for loss in (normed, contrastive):
        with pytest.raises(InvalidInput, match="see each other"):
            checked(loss, batch)
        assert "not checked" in checked(loss, batch, check=False)


@pytest.mark.parametrize(
    "extra",
    [
        {"step": jnp.asarray(3.0)},
        {"class weights": np.ones(10)},
        {"key": jax.random.PRNGKey(0)},
        {"key": jax.random.key(0)},
        {"table": np.ones((7, 7, 2))},
    ],
)
@pytest.mark.thorough
def test_what_else_a_batch_holds_switches_nothing_off(extra):
    batch = arrays(48) | extra
    assert "do not see each other" in checked(mean, batch)
    with pytest.raises(InvalidInput, match="see each other"):
        checked(normed, batch)


@pytest.mark.parametrize("key", [jax.random.PRNGKey(1), jax.random.key(1)])
def test_a_key_that_matters_is_refused(key):
    with pytest.raises(InvalidInput, match="depends on a random key"):
        checked(dropped, arrays(16) | {"key": key})


@pytest.mark.parametrize("kind", [bool, float, int])
@pytest.mark.thorough
def test_a_masked_mean_passes_and_masked_batch_norm_does_not(kind):
    batch = arrays(30) | {"m": (np.arange(30) % 3 > 0).astype(kind)}
    assert "mask" in checked(masked, batch)
    with pytest.raises(InvalidInput, match="see each other"):
        checked(lambda w, b: normed(w, b) + 0.0 * jnp.sum(b["m"].astype(float)), batch)


def test_examples_may_lie_along_the_second_axis():
    rng = np.random.default_rng(1)
    batch = {"x": rng.normal(size=(12, 6, 3)), "y": rng.normal(size=(12, 6))}
    assert "axis 1" in checked(recurrent, batch)


def test_too_few_examples_are_said_to_be_unchecked():
    for n in (1, 2):
        assert checked(mean, arrays(n)).startswith("not checked")


def test_a_true_mean_in_bfloat16_is_not_refused_for_its_rounding():
    few = lambda x: jnp.asarray(x, jnp.bfloat16)  # noqa: E731

    def loss(w, b):
        h = jnp.tanh(few(b["x"]) @ few(w["in"])) @ few(w["out"])
        return jnp.mean((h.astype(jnp.float32) - b["y"].astype(jnp.float32)) ** 2)

    single = lambda tree: jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), tree)  # noqa: E731
    assert "do not see" in samdyn.hessian(loss, single(W), [single(arrays(64))]).checked


def test_a_gradient_that_is_not_finite_has_a_sentence_of_its_own():
    for loss in (
        lambda w, b: mean(w, b) + jnp.linalg.norm(w["in"] - W["in"]),
        lambda w, b: mean(w, b) + jnp.sqrt(jnp.sum((w["out"] - W["out"]) ** 2)),
    ):
        with pytest.raises(ComputationFailed, match="gradient is not finite"):
            checked(loss, arrays(20))


def test_an_array_that_relates_examples_leaves_the_rest_unchecked():
    """The matrix of a graph: nodes see each other by design, in the mean too."""
    batch = arrays(7) | {"graph": np.eye(7) + np.eye(7, k=1)}
    loss = lambda w, b: mean(w, {"x": b["graph"] @ b["x"], "y": b["y"]})  # noqa: E731
    assert "relates examples to one another" in checked(loss, batch)
    assert "do not see each other" in checked(lambda w, b: mean(w, b), batch)
    with pytest.raises(InvalidInput, match="see each other"):
        checked(normed, batch)  # the matrix lies there unused


IGNORED = -100.0


def ignoring(w, b):
    """A mean over the labels that are not to be ignored."""
    kept = b["y"] != IGNORED
    return jnp.sum(jnp.where(kept, residuals(w, b), 0)) / jnp.sum(kept.astype(float))


def weighted(w, b):
    """Normalised by the weights of the classes that are there."""
    share = jnp.asarray([1.0, 2.0, 5.0])[b["c"]]
    return jnp.sum(share * residuals(w, b)) / jnp.sum(share)


@pytest.mark.parametrize("loss", [ignoring, weighted])
@pytest.mark.thorough
def test_a_mean_over_what_the_data_select_passes(loss):
    batch = arrays(30) | {"c": np.arange(30) % 3}
    batch["y"][::4] = IGNORED if loss is ignoring else 1.0
    assert "selects" in checked(loss, batch)
    with pytest.raises(InvalidInput, match="see each other"):
        checked(lambda w, b: loss(w, b) + 1e-3 * normed(w, b), batch)


@pytest.mark.parametrize("share", [1.0, 1e-2, 1e-4])
def test_a_small_part_that_sees_other_examples_is_seen(share):
    """As the balance term of a mixture of experts."""

    def balanced(w, b):
        use = jnp.mean(jax.nn.softmax(b["x"] @ w["in"]), axis=0)
        return mean(w, b) + share * jnp.sum(use**2)

    with pytest.raises(InvalidInput, match="see each other"):
        checked(balanced, arrays(32))


def test_time_first_and_one_label_each_is_an_axis_of_examples():
    rng = np.random.default_rng(2)
    batch = {"x": rng.normal(size=(12, 6, 3)), "y": rng.normal(size=6)}

    def last(w, b):
        def cell(h, x):
            return jnp.tanh(x @ w["in"] + h), None

        h, _ = jax.lax.scan(cell, jnp.zeros((b["x"].shape[1], 5)), b["x"])
        return jnp.mean((h @ w["out"] - b["y"]) ** 2)

    assert "length 6" in checked(last, batch)


def test_keys_of_the_old_kind_that_may_be_numbers_are_told():
    keys = jax.vmap(jax.random.PRNGKey)(jnp.arange(16))
    assert "may be keys" in checked(mean, arrays(16) | {"keys": keys})


def dense(batches, weights):
    """The Hessian of the weighted mean of least-squares losses."""
    parts = [2 * x.T @ x / len(x) for x, _ in batches]
    return sum(p * h for p, h in zip(weights, parts, strict=True)) / np.sum(weights)


@pytest.mark.thorough
def test_sets_of_unequal_batches_have_the_spectrum_of_their_weighted_mean():
    """Random sizes, scales up to 10⁶ apart, with and without weights of one's own."""
    rng = np.random.default_rng(2)
    loss = lambda w, b: jnp.mean((b[0] @ w - b[1]) ** 2)  # noqa: E731
    for number in range(10):
        sizes = np.array([4, 6, 9] if number < 8 else [5, 5, 5])
        scale = 10 ** rng.uniform(-3, 3)
        batches = [(scale * rng.normal(size=(n, 3)), rng.normal(size=n)) for n in sizes]
        own = rng.uniform(0.1, 5, 3) if number % 2 else None
        found = samdyn.hessian(loss, jnp.zeros(3), batches, weights=own, check=number == 0)
        weights = sizes if own is None else own
        if own is None and np.ptp(sizes) == 0:
            weights = np.ones(3)
        want = dense(batches, weights)
        rows = np.array([found(jnp.asarray(e)) for e in np.eye(3)])
        np.testing.assert_allclose(rows, want, rtol=1e-10, atol=1e-12 * scale**2)
    with pytest.raises(InvalidInput, match="weights are 3 finite numbers > 0"):
        samdyn.hessian(loss, jnp.zeros(3), batches, weights=[1.0, 2.0])
