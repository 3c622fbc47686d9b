"""Where noise vanishes and the drift points back, no path crosses: nor do the steps."""

import numpy as np
import pytest
import verbs

import samdyn

pytestmark = pytest.mark.usefixtures("either_back_end")

WELL = samdyn.get_loss("double-well")


@pytest.mark.parametrize(("lr", "dt", "seed"), [(0.2, None, 0), (0.2, 0.02, 0), (0.3, 0.02, 1)])
@pytest.mark.thorough
def test_fisher_noise_does_not_carry_paths_over_the_inflection(lr, dt, seed):
    """|H| is 0 at −1/√3, where the drift points to −1: nothing comes from there to 0."""
    dynamics = samdyn.Diffusion(WELL, samdyn.GD(), lr, samdyn.Fisher())
    found = verbs.escape_times(
        *(dynamics, np.array([-1.0]), samdyn.Below(0, 0.0)),
        paths=500,
        max_time=300.0,
        dt=dt,
        seed=seed,
    )
    assert found.summary.escaped == 0
    if dt is not None:  # steps that long cross
        assert "vanishes" in found.warnings[0]


@pytest.mark.thorough
def test_in_two_dimensions_neither():
    loss = samdyn.get_loss("double-well-2d")
    dynamics = samdyn.Diffusion(loss, samdyn.GD(), 0.3, samdyn.Fisher())
    found = verbs.escape_times(
        *(dynamics, np.array([-1.0, 0.0]), samdyn.Below(0, 0.0)),
        paths=128,
        max_time=60.0,
        dt=0.02,
        seed=1,
    )
    assert found.summary.escaped == 0
    assert "vanishes" in found.warnings[0]


@pytest.mark.thorough
def test_noise_that_vanishes_where_the_drift_goes_on_bars_nothing():
    """From 0.3 towards 1 the noise passes through 0 at the inflection with the drift behind it."""
    dynamics = samdyn.Diffusion(WELL, samdyn.GD(), 0.05, samdyn.Fisher())
    found = verbs.escape_times(
        *(dynamics, np.array([0.3]), samdyn.Below(0, 0.9)),
        paths=256,
        max_time=50.0,
        dt=0.005,
    )
    assert found.summary.escaped > 200
    assert not any("vanishes" in text for text in found.warnings)
