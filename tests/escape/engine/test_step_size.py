"""The default step follows from the process, not from how it is computed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import samdyn
from samdyn.escape.engine.step_size import default_dt
from samdyn.escape.engine.stepping.schemes import EulerMaruyama, Heun

START = jnp.array([-1.0, 0.2], jnp.float32)


def well(w):
    return (w[0] ** 2 - 1) ** 2 / 4 + w[1] ** 2 / 2


def well_without_a_program(w):
    """The same; a loop whose length depends on the data has no scalar form."""
    zero = jax.lax.while_loop(lambda x: x > 1, lambda x: x / 2, jnp.abs(w[0]) + 2) * 0
    return well(w) + jax.lax.stop_gradient(zero)


def found(scheme=EulerMaruyama, loss=well, start=START, noise=0.4, region=None):
    system = samdyn.Diffusion(loss, samdyn.USAM(0.1), 1.0, samdyn.Additive(noise))
    return default_dt(scheme, system, region or samdyn.Below(0, 0.0), start)


@pytest.mark.parametrize("scheme", [EulerMaruyama, Heun])
def test_it_does_not_depend_on_the_precision(scheme):
    assert found(scheme) == found(scheme, start=np.asarray(START, float))


def test_it_does_not_depend_on_who_computes_it():
    np.testing.assert_allclose(found(loss=well_without_a_program), found(), rtol=1e-9)


def test_it_is_the_accuracy_of_the_scheme_over_the_rate_of_a_linear_drift():
    bowl = lambda w: jnp.sum(w**2)  # noqa: E731
    rate = 2 + 0.1 * 2 * 2  # of USAM
    region = samdyn.Ball([0.0, 0.0], 100.0)
    dt = found(EulerMaruyama, bowl, jnp.zeros(2), noise=1e-3, region=region)
    np.testing.assert_allclose(dt, EulerMaruyama.accurate / rate, rtol=1e-6)


def test_it_shrinks_with_the_region():
    near, far = (found(region=samdyn.Ball(START, r), noise=2.0) for r in (0.01, 0.02))
    np.testing.assert_allclose(far / near, 4, rtol=1e-3)
    np.testing.assert_allclose(near, (0.1 * 0.01 / 2.0) ** 2, rtol=1e-3)
