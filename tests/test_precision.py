"""Verbs that judge give the same numbers whatever JAX's default precision is."""

import json
import subprocess
import sys

import pytest

SCRIPT = """
import json, sys
import jax
jax.config.update("jax_enable_x64", sys.argv[1] == "1")
import numpy as np
import samdyn, verbs
beale = samdyn.get_loss("beale")
well = samdyn.get_loss("double-well-2d")
found = {}
result = verbs.stability(beale, samdyn.SAM(0.1), at=[0.0, 1.0], learning_rate=1e-3)
found["stability"] = result.to_dict()
found["sweep"] = verbs.sweep(well, samdyn.USAM(0.1), [0.0, 0.7, 1.3], at=[0.0, 0.0]).to_dict()
image = verbs.basins(well, samdyn.SAM(0.3), box=[(-2, 2)] * 2, grid=6, learning_rate=0.1)
found["basins"] = [[*map(float, a.w), a.fraction] for a in image.attractors]
slab = samdyn.Slab([0.0, 0.0], 1, 1.0)
noise = samdyn.Isotropic(1.0, batch_size=4)
diffusion = samdyn.Diffusion(samdyn.get_loss("saddle"), samdyn.USAM(0.2), 0.01, noise)
found["theory"] = verbs.theory(diffusion, [0.0, 0.0], slab)
drift = lambda x: jax.numpy.asarray(x) - jax.numpy.asarray(x) ** 3
found["exit_time"] = samdyn.exit_time(drift, lambda x: np.float64(0.5), -1, -3, 0)
found["capture"] = verbs.capture_threshold(
    well, samdyn.SAM(0.1), start=[0.2, 0.0], target=[0.0, 0.0], rho=(0.05, 0.6),
    learning_rate=1e-2, steps=500, rtol=1e-3,
).rho
assert jax.config.jax_enable_x64 == (sys.argv[1] == "1")
print(json.dumps(found))
"""


def answers(x64: str, folder: str) -> dict:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, x64], capture_output=True, text=True, check=True, cwd=folder
    )
    return json.loads(done.stdout)


@pytest.mark.thorough
def test_single_precision_by_default_changes_no_digit(request):
    folder = str(request.config.rootpath / "tests")
    assert answers("0", folder) == answers("1", folder)


QUIET = """
import warnings
warnings.simplefilter("error")
import jax, optax
import jax.numpy as jnp
import samdyn, samdyn.optax, verbs
well = lambda w: w[0] ** 4 / 4 - w[0] ** 2 / 2 + w[1] ** 2
w = jnp.array([0.3, 0.2])
noise = samdyn.Isotropic(0.3, batch_size=4)
for momentum in (0.9, samdyn.EMA(0.9), samdyn.Nesterov(0.9)):
    assert samdyn.rho_window([1.0, -2.0], 0.1, momentum)
    run = verbs.iterate(samdyn.StepMap(well, samdyn.SAM(0.1, 0.01), 0.1, momentum), w, 9)
    assert run.w.dtype == jnp.float32
    step = samdyn.StochasticStepMap(well, samdyn.USAM(0.1), 0.1, noise, momentum=momentum)
    assert step(step.init(w), jax.random.key(0)).w.dtype == jnp.float32
for coupling in samdyn.COUPLINGS.values():
    diffusion = samdyn.Diffusion(well, samdyn.SAM(0.1), 0.1, noise, coupling=coupling)
    assert diffusion.drift(w).dtype == jnp.float32
params = {"a": jnp.ones(3), "b": jnp.ones(2)}
loss = lambda p, b: jnp.sum(p["a"] ** 2 * b) - jnp.sum(p["b"] ** 2)
gradient = lambda p, *_: jax.grad(loss)(p, 1.0)
for method in (samdyn.SAM(0.1), samdyn.ASAM(0.1)):
    transform = samdyn.optax.sam(optax.sgd(0.1, 0.9), method)
    state = transform.init(params)
    updates, _ = transform.update(gradient(params), state, params, grad_fn=gradient)
    assert updates["a"].dtype == jnp.float32
    found = verbs.diagnose(loss, params, [jnp.ones(1), 2 * jnp.ones(1)], method, 0.1, 0.9)
    assert found.verdict == "saddle"
"""


@pytest.mark.thorough
def test_single_precision_by_default_warns_of_nothing(request):
    """Numbers such as a radius are kept in double precision, which JAX would warn of."""
    folder = str(request.config.rootpath / "tests")
    subprocess.run([sys.executable, "-c", QUIET], check=True, cwd=folder)
