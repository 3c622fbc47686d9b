"""Basins against a plain loop, closed forms, and at awkward sizes on one and two devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from verbs import basins, capture_threshold, iterate

from samdyn import GD, SAM, USAM, ComputationFailed, HeavyBall, InvalidInput, StepMap, get_loss
from samdyn.programs import lanes
from samdyn.shares import wilson_ci95

SQUARE = [(-2.0, 2.0), (-2.0, 2.0)]


@pytest.mark.thorough
def test_gradient_descent_splits_the_double_well_in_half():
    result = basins(get_loss("double-well-2d"), GD(), box=SQUARE, grid=40, learning_rate=0.05)
    left, right = result.attractors
    assert (left.fraction, right.fraction) == (0.5, 0.5)
    assert np.all((result.labels == left.id) == (np.arange(40) < 20)[:, None])
    assert result.undecided == result.diverged == result.left_box == 0


@pytest.mark.thorough
def test_a_start_on_the_stable_manifold_ends_at_the_saddle():
    result = basins(get_loss("double-well-2d"), GD(), box=SQUARE, grid=41, learning_rate=0.05)
    saddle = next(a for a in result.attractors if a.critical_type == "saddle")
    assert np.all(result.labels[20] == saddle.id)
    assert saddle.fraction == pytest.approx(1 / 41)


@pytest.mark.thorough
def test_sam_gives_the_saddle_a_basin_of_positive_area():
    result = basins(get_loss("double-well-2d"), SAM(0.3), box=SQUARE, grid=100, learning_rate=0.01)
    saddle = next(a for a in result.attractors if a.critical_type == "saddle")
    assert 0.05 < saddle.fraction < 0.15
    assert saddle.ci95[0] < saddle.fraction < saddle.ci95[1]


@pytest.mark.parametrize(
    ("name", "method", "side", "eta", "basins_met", "diverged"),
    [("himmelblau", SAM(0.2), 5.0, 1e-3, 4, 0), ("double-well-2d", GD(), 3.0, 0.5, 2, 12)],
)
@pytest.mark.thorough
def test_labels_agree_with_single_runs(name, method, side, eta, basins_met, diverged):
    """Beyond |x| = √5 the double well throws a step of 0.5 out, from two of six columns."""
    loss = get_loss(name)
    result = basins(loss, method, box=[(-side, side)] * 2, grid=6, learning_rate=eta)
    centres = side * (2 * np.arange(6) + 1 - 6) / 6
    step_map = StepMap(loss, method, eta)
    starts = np.stack(np.meshgrid(centres, centres, indexing="ij"), axis=-1)
    ends = np.array([[iterate(step_map, jnp.asarray(w), 20_000).w for w in row] for row in starts])
    assert np.sum(result.labels == -2) == diverged
    np.testing.assert_array_equal(np.isfinite(ends).all(axis=-1), result.labels >= 0)
    assert len(result.attractors) == basins_met
    for attractor in result.attractors:
        mine = ends[result.labels == attractor.id]
        assert np.max(np.linalg.norm(mine - attractor.w, axis=1)) < 0.1


@pytest.mark.thorough
def test_codes_for_divergence_the_box_and_the_undecided():
    parabola = basins(
        get_loss("styblinski-tang-1d"), GD(), box=[(-5.0, 5.0)], grid=64, learning_rate=1.5
    )
    assert parabola.diverged > 0.9
    slow = basins(get_loss("beale"), GD(), box=SQUARE, grid=8, learning_rate=1e-9, steps=10)
    assert slow.undecided == 1
    away = basins(
        get_loss("double-well-2d"),
        GD(),
        box=[(0.1, 0.6), (-0.2, 0.2)],
        grid=8,
        learning_rate=0.05,
    )
    assert away.left_box == 1


@pytest.mark.thorough
def test_hallucinated_attractors_have_basins():
    result = basins(
        get_loss("double-well"), SAM(1.5), box=[(-2.0, 2.0)], grid=64, learning_rate=0.01
    )
    kinds = {a.kind for a in result.attractors}
    assert kinds == {"hallucinated"}
    assert sum(a.fraction for a in result.attractors) == 1


@pytest.mark.thorough
def test_an_interrupted_run_keeps_what_it_has():
    def stop(_):
        raise KeyboardInterrupt

    result = basins(get_loss("beale"), GD(), box=SQUARE, grid=16, learning_rate=1e-5, progress=stop)
    assert result.interrupted
    assert result.path_steps == 16 * 16 * 128


def test_progress_is_reported_up_to_the_end():
    seen = []
    basins(
        get_loss("double-well-2d"),
        GD(),
        box=SQUARE,
        grid=8,
        learning_rate=0.05,
        progress=seen.append,
    )
    shares = [now.fraction for now in seen]
    assert shares == sorted(shares)
    assert shares[-1] == 1


@pytest.mark.parametrize("rows", [1, 999, 16385, 32769])
@pytest.mark.thorough
def test_lockstep_equals_a_vmapped_loop_on_one_and_two_devices(rows, monkeypatch):
    step_map = StepMap(get_loss("beale"), SAM(0.3), 1e-4, HeavyBall(0.5))
    starts = np.random.default_rng(rows).uniform(-2, 2, (rows, 2))
    states = jax.tree.map(np.asarray, jax.vmap(step_map.init)(jnp.asarray(starts)))
    before, after = lanes.advance(step_map, states, 7)
    plain = states
    for _ in range(6):
        plain = jax.vmap(step_map)(jax.tree.map(jnp.asarray, plain))
    np.testing.assert_allclose(before, plain.w, rtol=1e-12, atol=1e-13)
    monkeypatch.setattr(jax, "local_devices", lambda: jax.devices()[:1])
    alone = lanes.advance(step_map, states, 7)
    np.testing.assert_array_equal(before, alone[0])
    np.testing.assert_array_equal(after.w, alone[1].w)
    few = rows // 2 + 1
    part = lanes.advance(step_map, jax.tree.map(lambda leaf: leaf[:few], states), 7)
    np.testing.assert_array_equal(part[1].w, after.w[:few])


def test_wilson_covers_at_its_nominal_rate():
    """Exact coverage for n = 400, p = 0.07, summed over the binomial: between 93 % and 97 %."""
    from scipy.stats import binom

    hits = np.arange(401)
    inside = [low <= 0.07 <= high for low, high in (wilson_ci95(int(k), 400) for k in hits)]
    assert 0.93 < float(np.sum(binom.pmf(hits, 400, 0.07)[inside])) < 0.97


@pytest.mark.thorough
def test_beale_start_is_captured_from_0_3027():
    result = capture_threshold(
        get_loss("beale"),
        SAM(0.1),
        start=[1.0, 2.0],
        target=[0.0, 1.0],
        rho=(0.0, 1.0),
        learning_rate=1.25e-5,
        steps=87_683,
    )
    assert round(result.rho, 4) == 0.3027
    assert result.high - result.low <= 1e-6 * result.high
    assert result.monotone


@pytest.mark.thorough
def test_capture_in_one_dimension_sets_in_at_the_distance():
    """λ < 0 in 1-D: captured within ρ of the point, whatever λ."""
    result = capture_threshold(
        get_loss("double-well"),
        SAM(0.1),
        start=[0.05],
        target=[0.0],
        rho=(0.0, 0.3),
        learning_rate=1e-5,
        steps=2_000_000,
        within=0.02,
        rtol=1e-4,
    )
    assert result.rho == pytest.approx(0.05, rel=0.02)


def test_a_range_without_onset_fails_in_words():
    settings = {"start": [1.0, 2.0], "target": [0.0, 1.0], "learning_rate": 1e-4, "steps": 2000}
    with pytest.raises(ComputationFailed, match="at no radius"):
        capture_threshold(get_loss("beale"), USAM(0.1), rho=(0.0, 1e-4), **settings)
    with pytest.raises(InvalidInput, match="low < high"):
        capture_threshold(get_loss("beale"), SAM(0.1), rho=(0.5, 0.1), **settings)


@pytest.mark.parametrize("bad", [{"grid": 0}, {"grid": 10_000}, {"steps": 0}])
def test_bad_settings_are_refused(bad):
    settings = {"box": SQUARE, "grid": 4, "learning_rate": 0.1} | bad
    with pytest.raises(InvalidInput):
        basins(get_loss("saddle"), GD(), **settings)


def beale_gradient(x, y):
    """By hand."""
    a, b, c = 1.5 - x + x * y, 2.25 - x + x * y**2, 2.625 - x + x * y**3
    along_x = 2 * (a * (y - 1) + b * (y**2 - 1) + c * (y**3 - 1))
    return along_x, 2 * x * (a + 2 * b * y + 3 * c * y**2)


@pytest.mark.thorough
def test_paths_on_an_orbit_off_its_point_belong_to_the_point():
    """Beale's minimum, η = 1e-3: the share of starts by a NumPy loop that knows no samdyn."""
    loss = get_loss("beale")
    result = basins(loss, SAM(0.5), box=loss.box, grid=30, learning_rate=1e-3)
    minimum = next(a for a in result.attractors if a.critical_type == "minimum")
    centres = -4.5 + 9 * (np.arange(30) + 0.5) / 30
    x, y = (side.ravel() for side in np.meshgrid(centres, centres, indexing="ij"))
    with np.errstate(all="ignore"):
        for _ in range(20_000):
            gx, gy = beale_gradient(x, y)
            climb = 0.5 / np.hypot(gx, gy)
            gx, gy = beale_gradient(x + climb * gx, y + climb * gy)
            x, y = x - 1e-3 * gx, y - 1e-3 * gy
        near = np.hypot(x - 3, y - 0.5) < 0.32
    assert np.sum(result.labels == minimum.id) == np.sum(near)
    assert 0.25 < minimum.fraction < 0.35
