"""The orbit diagram and Lyapunov exponents: ln 2, Hénon's 0.4192, multipliers of known orbits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import samdyn
from samdyn import GD, SAM, InvalidInput, Map, StepMap

LOGISTIC = Map(lambda w, args: args["r"] * w * (1 - w), {"r": 4.0})
HENON = Map(
    lambda w, args: jnp.stack([1 - args["a"] * w[0] ** 2 + w[1], args["b"] * w[0]]),
    {"a": 1.4, "b": 0.3},
)


def well(w):
    return (w[0] ** 2 - 1) ** 2 / 4


def test_the_logistic_map_at_4_doubles_distances():
    found = samdyn.attractor(LOGISTIC, "r", [4.0], [0.3])
    assert abs(found.exponents[0, 0] - np.log(2)) <= found.errors[0, 0] < 2e-3
    assert found.kind(0) == "chaotic"


def test_the_error_holds_for_nearly_all_starts():
    starts = np.random.default_rng(0).uniform(0.05, 0.95, 40)
    each = [samdyn.attractor(LOGISTIC, "r", [4.0], [x], steps=4096) for x in starts]
    held = [abs(f.exponents[0, 0] - np.log(2)) <= f.errors[0, 0] for f in each]
    assert np.mean(held) >= 0.95


def test_henon():
    found = samdyn.attractor(HENON, "a", [1.4], [0.1, 0.1], steps=200_000, exponents=2)
    assert abs(found.exponents[0, 0] - 0.4192) <= found.errors[0, 0] < 3e-3
    assert np.sum(found.exponents) == pytest.approx(np.log(0.3), abs=1e-12)


def test_periodic_orbits_have_the_rates_of_their_multipliers():
    r = np.array([2.5, 3.2, 3.5])
    found = samdyn.attractor(LOGISTIC, "r", r, [0.3])
    assert found.period.tolist() == [1, 2, 4]
    expected = [np.log(abs(2 - r[0])), np.log(abs(4 + 2 * r[1] - r[1] ** 2)) / 2]
    expected.append(
        np.log(samdyn.orbits(LOGISTIC.at(r=3.5), box=[(0.0, 1.0)], period=4)[0].spectral_radius) / 4
    )
    np.testing.assert_allclose(found.exponents[:, 0], expected, atol=2e-4)


def test_a_run_on_a_circle_is_quasi_periodic():
    """A rotation of the plane by an irrational angle."""
    turn = Map(
        lambda w, args: jnp.stack(
            [
                jnp.cos(args["a"]) * w[0] - jnp.sin(args["a"]) * w[1],
                jnp.sin(args["a"]) * w[0] + jnp.cos(args["a"]) * w[1],
            ]
        ),
        {"a": 1.0},
    )
    found = samdyn.attractor(turn, "a", [2**0.5], [1.0, 0.0])
    assert found.kind(0) == "quasi-periodic"


def test_a_run_that_diverges_is_told():
    found = samdyn.attractor(StepMap(well, GD(), 0.1), "learning_rate", [0.1, 5.0], [1.5])
    assert [found.kind(i) for i in range(2)] == ["fixed point", "diverged"]
    assert np.all(np.isnan(found.points[1]))
    assert "diverged" in str(found)
    assert found.to_dict()["runs"][1]["exponents"][0]["value"] is None


def test_it_runs_the_very_steps_of_the_map():
    step = StepMap(well, SAM(0.1), 0.3, momentum=0.5)
    found = samdyn.attractor(step, "learning_rate", [0.3], [0.4], steps=32, burn=0, kept=4)
    state, path = step.init(jnp.array([0.4])), []
    for _ in range(36):
        state = step(state)
        path.append(float(state.w[0]))
    np.testing.assert_allclose(found.points[0, :, 0], path[-4:], rtol=1e-9)


def test_a_function_without_a_program_gives_the_same():
    """A factorisation has none; its lanes are JAX's own."""

    def through_a_solve(w, args):
        return jnp.linalg.solve(jnp.diag(1 / args["r"] * jnp.ones(1)), w * (1 - w))

    r = np.array([2.5, 3.2])
    ours = samdyn.attractor(LOGISTIC, "r", r, [0.3], steps=320)
    theirs = samdyn.attractor(Map(through_a_solve, {"r": 4.0}), "r", r, [0.3], steps=320)
    np.testing.assert_allclose(theirs.points, ours.points, rtol=1e-9)
    np.testing.assert_allclose(theirs.exponents, ours.exponents, rtol=1e-6)


def test_other_values_compile_nothing():
    samdyn.attractor(LOGISTIC, "r", np.linspace(3, 4, 100), [0.3], steps=320)
    with jax.log_compiles(), pytest.MonkeyPatch.context() as patch:
        compiled = []
        patch.setattr("jax._src.interpreters.pxla.logger.log", lambda *a: compiled.append(a))
        samdyn.attractor(LOGISTIC, "r", np.linspace(3.1, 3.9, 100), [0.4], steps=640)
    assert not [a for a in compiled if "_compiled" in str(a)]


def test_mirror_images_of_a_chaotic_set_have_one_extent():
    loss = lambda w: (w[0] ** 2 - 1) ** 2 + w[0] * w[1] ** 2 + w[1] ** 4 / 4  # noqa: E731
    step = StepMap(loss, SAM(0.3), 0.05, momentum=0.9)
    at = [[-1.2247, 1.565], [-1.2247, -1.565]]
    one, other = (samdyn.stability(step, at=w).points[0].step for w in at)
    assert one.orbit == other.orbit == "chaotic"
    assert one.amplitude == pytest.approx(other.amplitude, rel=0.01)
    assert "exponent" in one.why


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"parameter": "rate"}, "no parameter 'rate'"),
        ({"values": []}, "one finite value"),
        ({"values": [np.nan]}, "one finite value"),
        ({"steps": 3}, "steps"),
        ({"exponents": 5}, "exponents"),
        ({"system": samdyn.Flow(well, GD())}, "steps of a map"),
    ],
)
def test_wrong_input_is_told(change, told):
    given = {"system": LOGISTIC, "parameter": "r", "values": [3.0], "start": [0.3]} | change
    with pytest.raises(InvalidInput, match=told):
        samdyn.attractor(**given)


def test_the_result_is_kept_and_drawn(tmp_path):
    found = samdyn.attractor(LOGISTIC, "r", np.linspace(3.4, 4, 20), [0.3], steps=320)
    again = samdyn.load(found.save(tmp_path / "diagram.samdyn"))
    assert str(again) == str(found)
    ax = found.plot()
    assert ax.get_xlabel() == "r"
    figure = samdyn.plot_attractor([found, again], titles=["one", "other"])
    assert len(figure.axes) == 4


def bowl(w):
    return jnp.sum(w**2) / 2


def test_a_start_at_which_the_slope_is_0_has_the_exponent_of_others():
    found = samdyn.attractor(LOGISTIC, "r", [3.9], [0.5], steps=2048, burn=256)
    other = samdyn.attractor(LOGISTIC, "r", [3.9], [0.51], steps=2048, burn=256)
    assert found.kind(0) == "chaotic"
    gap = abs(found.exponents[0, 0] - other.exponents[0, 0])
    assert gap <= 2 * (found.errors + other.errors)[0, 0]


def test_a_superstable_orbit_has_minus_infinity_and_no_error():
    found = samdyn.attractor(StepMap(bowl, SAM(1.0), 1.0), "learning_rate", [1.0], [1.0])
    assert (found.exponents[0, 0], found.errors[0, 0]) == (-np.inf, 0)


def test_a_run_that_only_begins_to_escape_diverges():
    rates = [2.001, 2.01, 2.03, 2.1]
    found = samdyn.attractor(StepMap(bowl, GD(), 0.1), "learning_rate", rates, [1.0])
    assert {found.kind(i) for i in range(4)} == {"diverged"}


@pytest.mark.parametrize("shift", [0.0, 1e3, 1e6])
def test_rest_and_period_do_not_know_the_origin(shift):
    loss = lambda w: jnp.sum((w - shift) ** 2) / 2  # noqa: E731
    slow = samdyn.attractor(StepMap(loss, GD(), 0.1), "learning_rate", [0.002], [shift + 1])
    assert slow.kind(0) == "fixed point"
    step = StepMap(loss, SAM(1e-4), 0.5)
    small = samdyn.attractor(step, "rho", [1e-4], [shift + 0.01], steps=1024, burn=512)
    assert small.kind(0) == "period-2"


def test_a_momentum_of_0_stands_among_others():
    found = samdyn.attractor(StepMap(bowl, GD(), 0.1), "momentum", [0, 0.5, 0.9], [1.0])
    np.testing.assert_allclose(found.exponents[0, 0], np.log(0.9), atol=2e-4)


def test_a_schedule_is_refused():
    method = samdyn.ScheduledRadius(SAM(0.1), lambda t: 0.1 * 0.99**t)
    with pytest.raises(InvalidInput, match="counts"):
        samdyn.attractor(StepMap(bowl, method, 0.5), "learning_rate", [0.5], [0.3])


def test_a_slow_drift_is_not_quasi_periodic():
    """x ↦ x + 10⁻³: nothing grows, and nothing comes back."""
    drift = Map(lambda w, args: w + args["v"], {"v": 1e-3})
    found = samdyn.attractor(drift, "v", [1e-3], [0.0], steps=2048, burn=0)
    assert found.kind(0) in ("undecided", "diverged")
