"""How much a step fluctuates across the border: the same in all directions where noise is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import samdyn
from samdyn import GD, USAM, Above, Additive, Ball, Below, Diffusion, Fisher, Isotropic, Slab
from samdyn import testing as conformance
from samdyn.dynamics.systems.flat import flattened
from samdyn.escape.engine.stepping.schemes import EulerMaruyama

WELL = samdyn.get_loss("double-well-2d")
HERE = np.array([-0.8, 0.3])
UNIFORM = {
    "additive": Diffusion(WELL, USAM(0.1), 0.3, Additive(0.7)),
    "additive, of another size": Diffusion(WELL, GD(), 0.03, Additive(2)),
}
OTHERS = {
    "of a gradient": Diffusion(WELL, GD(), 0.3, Isotropic(2.0, 4)),
    "through the ascent": Diffusion(WELL, USAM(0.1), 0.3, Isotropic(2.0)),
    "by place": Diffusion(WELL, GD(), 0.3, Fisher(1)),
    "by component": Diffusion(WELL, GD(), 0.3, Additive(np.array([0.2, 0.9]))),
    "of momentum": Diffusion(WELL, GD(), 0.3, Additive(0.7), momentum=0.9),
    "anyone's": samdyn.SDE(lambda w, args: -w, lambda w, args: jnp.eye(2)),
}
EXACT = [Ball([-1.0, 0.0], 1.0), Slab([-1.0, 0.0], 1, 1.0), Below(0, 0.0), Above(0, -2.0)]


@pytest.mark.parametrize("kind", UNIFORM)
def test_uniform_noise_is_the_identity_times_a_number(kind):
    matrix = np.asarray(UNIFORM[kind].matrix(HERE))
    np.testing.assert_allclose(matrix @ matrix.T, (matrix @ matrix.T)[0, 0] * np.eye(2), atol=1e-15)
    assert UNIFORM[kind].uniform
    conformance.check_sde(UNIFORM[kind], HERE)


class Scaled(Diffusion):
    """Noise of another size in each direction."""

    def disperse(self, y, z):
        return super().disperse(y, z) * jnp.array([1.0, 0.1])


def test_a_subclass_that_scales_it_is_not_uniform():
    assert not Scaled(WELL, GD(), 0.3, Additive(0.7)).uniform


@pytest.mark.parametrize("kind", OTHERS)
def test_other_noise_is_not_called_so(kind):
    assert not OTHERS[kind].uniform


@pytest.mark.parametrize("region", EXACT, ids=str)
@pytest.mark.parametrize("kind", UNIFORM)
def test_its_variance_at_a_border_is_that_along_the_normal(kind, region):
    scheme = EulerMaruyama(UNIFORM[kind], region, HERE, 0.01)
    matrix = np.asarray(UNIFORM[kind].matrix(HERE))
    normal = np.asarray(jax.grad(scheme.gap)(jnp.asarray(HERE)))
    wanted = 0.01 * np.sum((matrix.T @ normal) ** 2)
    np.testing.assert_allclose(scheme.border_variance(jnp.asarray(HERE)), wanted, rtol=1e-12)


def test_a_border_in_another_unit_is_asked_by_its_gradient():
    system, region = UNIFORM["additive"], samdyn.Sublevel(WELL, 0.2)
    scheme = EulerMaruyama(system, region, HERE, 0.01)
    steepness = np.sum(np.asarray(jax.grad(WELL)(HERE)) ** 2)
    np.testing.assert_allclose(scheme.border_variance(jnp.asarray(HERE)), 0.0049 * steepness)


def test_uniform_noise_of_a_pytree_stays_so():
    loss = lambda w: jnp.sum(w["a"] ** 2) + w["b"] ** 2  # noqa: E731
    start = {"a": jnp.ones(2), "b": jnp.ones(())}
    assert flattened(Diffusion(loss, USAM(0.1), 0.1, Additive(0.3)), start).system.uniform


class Boastful(samdyn.SDE):
    """Says of any noise that it is uniform."""

    uniform = True


def test_who_declares_it_wrongly_is_told():
    system = Boastful(lambda w, args: -w, lambda w, args: jnp.diag(jnp.array([1.0, 2.0])))
    with pytest.raises(samdyn.InvalidInput, match="uniform, but its noise differs"):
        conformance.check_sde(system, HERE)
