"""A training run is the step map on minibatches, whatever trains beside it."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import samdyn
from samdyn.dynamics.tree import as_dtype
from samdyn.networks.training.training import BatchLoss, _advance, cross_entropy, train

DATA = samdyn.teacher_student(examples=60, test_examples=40, dim=5, classes=3)


def make(key):
    return samdyn.MLP((5,), 3, key, width=8, depth=1)


def run(**options):
    settings = {"learning_rate": 0.1, "momentum": 0.9, "batch_size": 20, "steps": 12, "seeds": [0]}
    method = options.pop("method", samdyn.SAM(0.1))
    data = options.pop("data", DATA)
    return train(data, make, method, **{**settings, **options})


def in_double_precision(data):
    return data._replace(train_x=data.train_x.astype(float), test_x=data.test_x.astype(float))


def first_network(seed):
    return make(jax.random.fold_in(jax.random.key(seed), 0))


METHODS = {
    "GD": samdyn.GD(),
    "SAM": samdyn.SAM(0.1),
    "ASAM": samdyn.ASAM(0.5),
    "samgrad": samdyn.PerturbedLossGradient(samdyn.USAM(0.2)),
    "two ascents": samdyn.MultiStep(samdyn.SAM(0.1), 2),
}


@pytest.mark.parametrize("name", METHODS)
def test_on_full_batches_training_is_the_step_map(name):
    data, method = in_double_precision(DATA), METHODS[name]
    done = run(data=data, method=method, batch_size=60, steps=7)
    params, static = eqx.partition(as_dtype(first_network(0), float), eqx.is_inexact_array)
    loss = BatchLoss(static, jnp.asarray(data.train_x), jnp.asarray(data.train_y))
    step_map = samdyn.StepMap(loss, method, 0.1, 0.9)
    state = step_map.init(params)
    step = eqx.filter_jit(step_map)
    for _ in range(7):
        state = step(state)
    for mine, theirs in zip(jax.tree.leaves(done.params), jax.tree.leaves(state.w), strict=True):
        # rates, momenta and radii of a lane are float32
        np.testing.assert_allclose(mine[0], theirs, rtol=1e-5, atol=1e-6)


def test_a_first_step_of_momentum_is_a_plain_step_and_the_second_remembers_it():
    data, g = in_double_precision(DATA), []
    params, static = eqx.partition(as_dtype(first_network(0), float), eqx.is_inexact_array)
    loss = BatchLoss(static, jnp.asarray(data.train_x), jnp.asarray(data.train_y))
    w = [params]
    for steps in (1, 2):
        done = run(data=data, method=samdyn.GD(), batch_size=60, steps=steps, momentum=0.5)
        g.append(jax.grad(loss)(w[-1]))
        w.append(jax.tree.map(lambda leaf: leaf[0], done.params))
    for w0, w1, w2, g0, g1 in zip(*(jax.tree.leaves(tree) for tree in (*w, *g)), strict=True):
        np.testing.assert_allclose(w1, w0 - 0.1 * g0, rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(w2, w1 - 0.1 * (g1 + 0.5 * g0), rtol=1e-6, atol=1e-8)


def test_an_epoch_visits_every_example_once():
    """With a vanishing step the mean minibatch loss of each epoch is the loss over all data."""
    done = run(learning_rate=1e-12, steps=9)
    np.testing.assert_allclose(done.curve[0], done.train_loss[0], rtol=1e-5)
    assert done.curve.shape == (1, 3)


def test_epochs_differ_in_their_order():
    done = run(learning_rate=1e-12, batch_size=59, steps=4)
    assert len(np.unique(np.round(done.curve[0], 6))) == 4


@pytest.mark.parametrize("piece", [1, 7, 10, 19])
@pytest.mark.thorough
def test_a_minibatch_in_pieces_gives_the_step_of_the_whole(piece):
    """Also where the last piece is smaller; float64, because training amplifies rounding."""
    data = in_double_precision(DATA)
    whole, pieces = run(data=data), run(data=data, piece=piece)
    for a, b in zip(jax.tree.leaves(whole.params), jax.tree.leaves(pieces.params), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(whole.curve, pieces.curve, rtol=1e-12)


def test_a_piece_as_large_as_the_minibatch_changes_no_bit():
    whole, piece = run(), run(piece=20)
    for a, b in zip(jax.tree.leaves(whole.params), jax.tree.leaves(piece.params), strict=True):
        np.testing.assert_array_equal(a, b)


def test_lanes_side_by_side_are_the_lanes_alone_to_rounding():
    radii, seeds = [0.0, 0.05, 0.2, 0.05], [0, 0, 1, 2]
    together = run(rho=radii, seeds=seeds)
    for lane, (rho, seed) in enumerate(zip(radii, seeds, strict=True)):
        alone = run(rho=[rho], seeds=[seed])
        np.testing.assert_allclose(together.train_loss[lane], alone.train_loss[0], rtol=1e-4)
        np.testing.assert_allclose(together.curve[lane], alone.curve[0], rtol=1e-4)


def test_a_run_repeats_to_the_last_bit():
    one, two = run(seeds=[0, 1]), run(seeds=[0, 1])
    for a, b in zip(jax.tree.leaves(one.params), jax.tree.leaves(two.params), strict=True):
        np.testing.assert_array_equal(a, b)


def test_sam_of_radius_zero_is_gradient_descent():
    sam, gd = run(rho=[0.0]), run(method=samdyn.GD())
    np.testing.assert_allclose(sam.train_loss, gd.train_loss, rtol=1e-5)


def test_nothing_recompiles_for_a_number():
    run()
    compiled = _advance._cached._cache_size()
    run(learning_rate=0.2, momentum=0.3, rho=[0.7], seeds=[5], steps=30)
    assert _advance._cached._cache_size() == compiled


def test_parameters_and_data_stay_in_single_precision():
    done = run()
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(done.params))


def test_the_final_numbers_are_those_of_the_final_network():
    done = run(steps=40)
    static = eqx.partition(first_network(0), eqx.is_inexact_array)[1]
    network = eqx.combine(jax.tree.map(lambda leaf: leaf[0], done.params), static)
    logits = jax.vmap(network)(jnp.asarray(DATA.train_x))
    expected = cross_entropy(logits, jnp.asarray(DATA.train_y))
    assert done.train_loss[0] == pytest.approx(float(expected), rel=1e-5)
    for part in ("train", "test"):
        x, y = getattr(DATA, f"{part}_x"), getattr(DATA, f"{part}_y")
        guess = np.argmax(np.asarray(jax.vmap(network)(jnp.asarray(x))), axis=1)
        right = np.mean(guess == y)
        assert getattr(done, f"{part}_accuracy")[0] == pytest.approx(right, abs=1e-6)


def test_the_end_of_the_plateau_is_where_the_running_mean_says():
    """On full batches the curve holds the loss before every step, from which it can be seen."""
    done = run(method=samdyn.GD(), batch_size=60, steps=60, learning_rate=0.03, momentum=0.0)
    level, threshold = 0.0, 0.9 * DATA.plateau
    for t, loss in enumerate(done.curve[0]):
        level = 0.9 * level + 0.1 * loss
        if level / (1 - 0.9 ** (t + 1)) < threshold:
            break
    assert 0 < t < 59
    assert abs(done.plateau_steps[0] - t) <= 1  # rounding at the threshold
    assert run(steps=3, learning_rate=1e-9).plateau_steps[0] == -1


def test_a_run_that_diverges_says_so_and_has_no_numbers():
    done = run(learning_rate=[0.1, 1e20], seeds=[0, 0], steps=30)
    assert list(done.status) == ["ran", "diverged"]
    assert math.isnan(done.test_accuracy[1])
    assert math.isnan(done.train_loss[1])
    assert np.isfinite(done.test_accuracy[0])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"batch_size": 61}, "between 1 and the 60 training examples, not 61"),
        ({"batch_size": 0}, "not 0"),
        ({"momentum": 1.0}, r"momentum must lie in \[0, 1\)"),
        ({"momentum": -0.1}, r"momentum must lie in \[0, 1\)"),
        ({"learning_rate": 0.0}, "learning rate"),
        ({"rho": [-1.0]}, "rho"),
        ({"seeds": []}, "one seed or more"),
    ],
)
def test_wrong_options_are_told_in_one_line(options, expected):
    with pytest.raises(samdyn.InvalidInput, match=expected) as told:
        run(**options)
    assert "\n" not in str(told.value)
