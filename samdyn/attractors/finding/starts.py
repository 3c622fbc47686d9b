"""Where searches begin: points that fill a box evenly."""

import numpy as np
from jaxtyping import Float


class EvenPoints:
    """Points of the unit cube in d dimensions, evenly at every count, from where `seed` says.

    Multiples of 1/φ, 1/φ², …, modulo 1, where φ is the root of φ^(d+1) = φ + 1: the generalised
    golden ratio (Roberts, The unreasonable effectiveness of quasirandom sequences, 2018).
    """

    def __init__(self, dim: int, seed: int):
        ratio = 2.0
        for _ in range(64):
            ratio = (1 + ratio) ** (1 / (dim + 1))
        self._step = ratio ** -np.arange(1.0, dim + 1)
        self._first = np.random.default_rng(seed).random(dim)
        self._drawn = 0

    def take(self, count: int) -> Float[np.ndarray, "n d"]:
        """The next `count` points."""
        numbers = np.arange(self._drawn, self._drawn + count)
        self._drawn += count
        return (self._first + numbers[:, None] * self._step) % 1
