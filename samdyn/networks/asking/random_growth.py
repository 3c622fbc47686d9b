"""How fast a displacement grows along one direction when every step draws a minibatch.

Along a direction in which minibatch b has the curvature a_b (of its descent, ascent included), a
heavy-ball step multiplies (w, m) by A_b = [[1 − ηa_b, −ηγ], [a_b, γ]].
"""

import numpy as np

from ...growth.products import growth_of
from ...growth.rates import Growth


def random_growth(
    curvatures: np.ndarray, weights: np.ndarray, learning_rate: float, momentum: float
) -> Growth:
    """Rates for curvatures (n,) drawn with probabilities `weights` (n,), anew at every step."""
    a = np.asarray(curvatures, float)
    matrices = np.empty((1, *a.shape, 2, 2))
    matrices[..., 0, 0], matrices[..., 0, 1] = 1 - learning_rate * a, -learning_rate * momentum
    matrices[..., 1, 0], matrices[..., 1, 1] = a, momentum
    if momentum == 0:
        matrices = matrices[..., :1, :1]
    return growth_of(matrices, np.asarray(weights, float) / np.sum(weights))
