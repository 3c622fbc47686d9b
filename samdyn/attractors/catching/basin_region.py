"""A basin that was computed, as a region that paths may leave."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from ...checks import require_flat, require_kind
from ...dynamics.regions.regions import BasinOnGrid
from ...errors import InvalidInput
from ...text import point_text
from .basins import Basins


def basin_region(basins: Basins, w: Any) -> BasinOnGrid:
    """The basin whose attractor is nearest to w (d,), from what `samdyn.basins` returned."""
    require_kind(basins, Basins, "what samdyn.basins returned")
    w = require_flat(w, "a point")
    if not basins.attractors or w.shape != (len(basins.box),):
        raise InvalidInput(f"these basins have no attractor in dimension {w.size}.")
    home = min(basins.attractors, key=lambda item: float(np.linalg.norm(item.w - w)))
    inside = np.where(basins.labels == home.id, 1.0, -1.0)
    labels = np.full(basins.labels.shape, len(basins.attractors))
    for number, item in enumerate(basins.attractors):
        labels[basins.labels == item.id] = number
    names = (*(f"basin of {point_text(item.w)}" for item in basins.attractors), "no basin")
    return BasinOnGrid(
        basins.box, inside, f"basin of {point_text(home.w)}", jnp.asarray(labels), names
    )
