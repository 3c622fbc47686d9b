"""The experiments in scripts/, on tiny versions: what each claims to show is there."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scripts_of import script

ROOT = pathlib.Path(__file__).parents[3]


@pytest.fixture(scope="module")
def plateau():
    settings = {"EXAMPLES": 2048, "SEEDS": 2, "EVERY": 100, "LIMIT": 20_000}
    return script("plateau_figure", **settings, RHO=np.array([0.05, 0.3]), BATCHES=(256,))


@pytest.mark.thorough
def test_the_plateau_is_a_saddle_whose_minibatch_gradients_do_not_vanish(plateau):
    made = plateau.setup()
    found = plateau.predictions(made, 256)[0]
    assert found.verdict == "saddle"
    assert found.gradient_norm < 1e-4 < found.batch_gradient_norm
    assert made.left < made.plateau


@pytest.mark.thorough
def test_a_larger_radius_stays_on_the_plateau_for_longer(plateau):
    made = plateau.setup()
    left = plateau.steps_to_leave(made, np.array([0.0, 0.3]), 256)
    assert np.all(np.isfinite(left[0]))
    assert np.median(left[1]) > 1.5 * np.median(left[0])


def test_the_exponents_of_an_exact_law_are_found(plateau):
    module = script("plateau_figure", SEEDS=4)
    batch = np.asarray(module.BATCHES, float)
    law = np.sqrt(batch)[:, None] * module.RHO
    left = np.repeat(law[:, :, None], 4, axis=2)
    found = module.fit(left, np.ones(law.shape, bool))
    assert found["rho"]["exponent"] == pytest.approx(1)
    assert found["batch"]["exponent"] == pytest.approx(0.5)


@pytest.mark.thorough
def test_training_by_sam_hovers_at_its_edge(tmp_path):
    module = script("edge_figure", EXAMPLES=200, WIDTH=8, STEPS=1500, RHO=(0.0, 0.05), TAIL=10)
    with jax.enable_x64(False):
        numbers = module.sam_edge(tmp_path)
    assert numbers["rho 0.05"]["top_over_edge"][1] == pytest.approx(1, abs=0.1)
    assert numbers["rho 0.05"]["top_curvature"] < 0.7 * numbers["rho 0"]["top_curvature"]
    assert (tmp_path / "sam_edge.svg").stat().st_size > 1000


@pytest.mark.thorough
def test_a_stuck_run_is_called_a_saddle_and_its_advice_releases_it(tmp_path):
    module = script("is_it_a_saddle", STUCK=800, AFTER=800)
    with jax.enable_x64(False):
        numbers = module.is_it_a_saddle(tmp_path)
    flat = numbers["entropy of the classes"]
    assert numbers["diagnosis"]["verdict"] == "saddle"
    assert numbers["diagnosis"]["sentence"].startswith("A saddle holds this run")
    assert numbers["final loss"]["kept"] == pytest.approx(flat, abs=0.05)
    assert numbers["final loss"]["released"] < 0.5 * flat
    assert jnp.isfinite(numbers["rho"]["advised"])


@pytest.mark.thorough
def test_the_study_of_momentum_makes_its_contrasts_under_every_rule(tmp_path):
    module = script(
        "momentum_study",
        MODEL="mlp",
        RHO=(0.1,),
        MOMENTUM=(0.0, 0.9),
        BATCHES=(256,),
        BUDGETS={"equal epochs": {"epochs": 2}, "equal steps": {"steps": 5}},
        SEEDS=2,
    )
    rules, runs = tuple(module.RULES), tmp_path / "runs"
    found = module.grids(rules, runs)
    numbers = module.momentum_study(tmp_path, found)
    assert len(numbers) == 4
    for one in numbers.values():
        gains = one["gain from momentum, SAM, by batch"], one["gain from momentum, SGD, by batch"]
        contrast = gains[0]["256"] - gains[1]["256"]
        assert one["interaction"]["estimate"] == pytest.approx(contrast, abs=1e-12)
        parts = one["interaction by rho"]["0.1"], one["interaction by batch"]["256"]
        assert [part["estimate"] for part in parts] == pytest.approx([contrast] * 2, abs=1e-12)
    assert module.momentum_study(tmp_path, module.grids(rules, runs)) == numbers  # as stored
    module.write_runs(found, tmp_path / "momentum_study.csv")
    assert module.momentum_study(tmp_path) == numbers
    for names, one in module.read_runs(tmp_path / "momentum_study.csv").items():
        assert one.rows == found[names].rows
    assert (tmp_path / "momentum_study.svg").stat().st_size > 1000


def test_the_runs_of_the_momentum_study_are_whole_and_its_table_is_theirs():
    """figures/momentum_study.csv against docs/networks.md."""
    module = script("momentum_study")
    told = (ROOT / "docs" / "networks.md").read_text()
    for (rule, budget), found in module.read_runs(ROOT / "figures" / "momentum_study.csv").items():
        keys = {(r.method, r.rho, r.momentum, r.batch_size, r.seed) for r in found.rows}
        cells = (len(module.RHO) + 1) * len(module.BATCHES) * len(module.MOMENTUM)
        assert len(keys) == len(found.rows) == cells * module.SEEDS
        numbers = module.claims(found)
        whole = numbers["interaction"]
        cells = [
            f"{'η' if rule == 'fixed' else 'η/(1−γ)'} fixed, {budget}",
            f"{points(whole['estimate'])} [{points(whole['t95'][0])}, {points(whole['t95'][1])}]",
        ]
        for part in numbers["interaction by rho"].values():
            half = (part["t95"][1] - part["t95"][0]) / 2
            cells.append(f"{points(part['estimate'])} ± {100 * half:.0f}")
        assert f"| {' | '.join(cells)} |" in told


def points(share):
    return f"{100 * share:+.0f}".replace("-", "−")
