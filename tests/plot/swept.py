"""Stand-ins for what a sweep returns, of which a drawing needs no more."""

from typing import NamedTuple

import numpy as np


class Event(NamedTuple):
    value: float
    w: np.ndarray
    type: str


class Sweep(NamedTuple):
    values: np.ndarray
    branches: tuple
    bifurcations: tuple
    parameter: str = "rho"
