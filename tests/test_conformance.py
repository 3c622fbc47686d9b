"""What this package brings keeps the contracts that it asks of others."""

import numpy as np
import optax
import pytest

import samdyn
import samdyn.testing as conformance

SAM, USAM = samdyn.SAM(0.1), samdyn.USAM(0.1)
HERE = np.array([0.3, 0.2])
BOWL = samdyn.quadratic((2.0, 1.0), None)
BALL, BELOW = samdyn.Ball(np.zeros(2), 1.0), samdyn.Below(0, 0.5)

METHODS = {
    "GD": samdyn.GD(),
    "SAM": SAM,
    "SAM with eps": samdyn.SAM(0.1, 1e-3),
    "USAM": USAM,
    "ASAM": samdyn.ASAM(0.1),
    "WSAM": samdyn.WSAM(0.1),
    "FriendlySAM": samdyn.FriendlySAM(0.1),
    "FriendlySAM as published": samdyn.FriendlySAM(0.1, subtracted="after"),
    "FriendlySAM fed with the rest": samdyn.FriendlySAM(0.1, fed="rest"),
    "VaSSO": samdyn.VaSSO(0.1),
    "MSAM": samdyn.MSAM(0.1, 0.9),
    "LookSAM": samdyn.LookSAM(0.1, 3),
    "SSAM": samdyn.SSAM(0.1),
    "SSAM from USAM's point": samdyn.SSAM(0.1, "gradient"),
    "GSAM": samdyn.GSAM(0.1),
    "UnifiedSAM": samdyn.UnifiedSAM(0.1),
    "ScheduledRadius": samdyn.ScheduledRadius(SAM, lambda t: 0.1 / (1 + t)),
    "MultiStep": samdyn.MultiStep(SAM, 2),
    "PerturbedLossGradient": samdyn.PerturbedLossGradient(USAM),
}
MOMENTA = [samdyn.NoMomentum(), samdyn.HeavyBall(0.9), samdyn.EMA(0.9), samdyn.Nesterov(0.9)]
REGIONS = {
    "ball": BALL,
    "slab": samdyn.Slab(np.zeros(2), 0, 1.0),
    "below": BELOW,
    "above": samdyn.Above(0, -1.0),
    "sublevel": samdyn.Sublevel(BOWL, 0.5),
    "function": lambda w: w[0] < 1,
    "intersection": samdyn.Intersection((BALL, BELOW)),
}
MAPS = {
    "step": samdyn.StepMap(BOWL, SAM, 0.1),
    "step with memory": samdyn.StepMap(BOWL, samdyn.FriendlySAM(0.1), 0.1, 0.9),
    "step that looks": samdyn.StepMap(BOWL, samdyn.LookSAM(0.1), 0.1, 0.9),
    "step along its momentum": samdyn.StepMap(BOWL, samdyn.MSAM(0.1, 0.9), 0.1, 0.9),
    "optax": samdyn.OptaxStepMap(BOWL, optax.sgd(0.1, 0.9), SAM),
}


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.thorough
def test_methods(name):
    conformance.check_method(METHODS[name])


@pytest.mark.parametrize("momentum", MOMENTA, ids=lambda m: type(m).__name__)
@pytest.mark.thorough
def test_momenta(momentum):
    conformance.check_momentum(momentum)


@pytest.mark.parametrize("noise", [samdyn.Isotropic(0.5, 4), samdyn.Additive(0.5)])
@pytest.mark.thorough
def test_noises(noise):
    conformance.check_noise(noise)


@pytest.mark.thorough
def test_the_folded_hessian_is_a_noise_in_the_plane():
    conformance.check_noise(samdyn.Fisher(4), samdyn.get_loss("beale"), HERE)


@pytest.mark.thorough
def test_the_noise_of_examples():
    random = np.random.default_rng(0)
    loss = lambda w, x: ((w - x) ** 4).sum()  # noqa: E731
    noise = samdyn.Empirical(loss, random.normal(size=(6, 2)), 2)
    conformance.check_noise(noise, noise.loss, HERE)


@pytest.mark.parametrize("name", samdyn.COUPLINGS)
@pytest.mark.thorough
def test_couplings(name):
    conformance.check_coupling(samdyn.COUPLINGS[name])


@pytest.mark.parametrize("scheme", [samdyn.EulerMaruyama, samdyn.BinomialEuler, samdyn.Heun])
@pytest.mark.thorough
def test_schemes(scheme):
    conformance.check_scheme(scheme)


@pytest.mark.parametrize("name", REGIONS)
@pytest.mark.thorough
def test_regions(name):
    conformance.check_region(REGIONS[name], HERE)


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.thorough
def test_maps(name):
    conformance.check_map(MAPS[name], HERE)


@pytest.mark.thorough
def test_flows_and_diffusions():
    conformance.check_ode(samdyn.Flow(BOWL, SAM), HERE)
    conformance.check_sde(samdyn.Diffusion(BOWL, USAM, 0.1, samdyn.Isotropic(0.5)), HERE)


@pytest.mark.thorough
def test_networks():
    make = lambda key: samdyn.MLP((8, 8, 1), 10, key, width=8)  # noqa: E731
    conformance.check_model(make, (8, 8, 1), 10)
