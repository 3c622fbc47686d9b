"""How runs that draw a minibatch at every step grow, over all directions at once.

The ends of the mean's spectrum are two directions. Minibatches may differ so much along others, or
turn displacements from one into another, that runs leave where neither end lets them.
"""

import jax.numpy as jnp
import numpy as np

from ...dynamics.methods.method import AbstractMethod
from ...dynamics.systems.step_map import StepMap
from ...growth.matrix_free import Products, almost_sure, mean_square
from ...growth.products import growth_of
from ...growth.rates import Growth, Rate
from ...growth.steps import StepUnder
from ...spectra.products.hessian import HessianOperator

WRITTEN_DOWN = 48  # numbers in a state whose Jacobians are
LOOKS = 24  # products with every batch's Jacobian for the mean square at most
CHAINS, STEPS = 4, 120  # of the runs


def whole_growth(
    operator: HessianOperator,
    method: AbstractMethod,
    mean: Rate,
    learning_rate: float,
    gamma: float,
    seed: int,
) -> tuple[Growth, int]:
    """(the rates, whose `mean` is given, products with one batch's Jacobian)."""
    batches = list(operator.mean.batches())
    weights = np.asarray(operator.mean.weights, float)
    with operator.precision():
        w = jnp.asarray(operator.w)
        rate, momentum = (jnp.asarray(x, w.dtype) for x in (learning_rate, gamma))
        step = StepMap(operator.mean.loss, method, rate, momentum if gamma else None)
        state = w if gamma == 0 else jnp.concatenate([w, jnp.zeros_like(w)])
        products = Products(StepUnder(step, None, None, w.size, state.size).after, state, batches)
        if len(batches) == 1:
            return Growth(mean, mean, mean), 0
        if state.size <= WRITTEN_DOWN:
            columns = products.of_all(jnp.eye(state.size, dtype=state.dtype))
            matrices = np.stack([np.asarray(c, float).T for c in columns])[None]
            return growth_of(matrices, weights, seed), products.count
        square = mean_square(products, weights, 0.01, LOOKS * len(batches), seed).rate
        spent, products.count = products.count, 0
        runs = almost_sure(products, weights, STEPS, CHAINS, seed)
        square = Rate(max(square.value, mean.value), square.error)
        return Growth(mean, square, runs), spent + products.count
