"""Verbs that judge give the same numbers whatever JAX's default precision is."""

import json
import subprocess
import sys

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


def test_single_precision_by_default_changes_no_digit(request):
    folder = str(request.config.rootpath / "tests")
    assert answers("0", folder) == answers("1", folder)
