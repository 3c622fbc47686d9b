"""A trajectory as text that fits on one screen."""

from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax.flatten_util import ravel_pytree

from ..text import columns, point_text

if TYPE_CHECKING:
    from .trajectory import Trajectory

MOST_ROWS = 12


def trajectory_text(found: "Trajectory") -> str:
    """Checkpoints, how it ends, and what it is near then."""
    name = "step" if found.of == "steps" else "time"
    chosen = np.unique(np.linspace(0, len(found.at) - 1, MOST_ROWS).astype(int))
    if len(found.at) <= MOST_ROWS:
        chosen = np.arange(len(found.at))
    rows = [[name, "w"]]
    for i in chosen:
        w = jax.tree.map(lambda leaf, i=i: leaf[i], found.w)
        rows.append([f"{found.at[i]:.6g}", point_text(_flat(w))])
    lines = [columns(rows), ""] if len(rows) > 1 else []
    length = f"{int(found.end)} steps" if found.of == "steps" else f"time {found.end:.6g}"
    if found.status == "diverged":
        return "\n".join([*lines, f"diverged: w was no longer finite after {length}"])
    lines.append(f"{found.status} after {length}{_ending(found)}")
    where = point_text(_flat(found.final))
    loss = "" if found.final_loss is None else f"loss {found.final_loss:.8g} "
    lines.append(f"{loss}at {where}")
    if found.nearest is not None:
        kind = found.nearest.critical_type or {"hallucinated": "hallucinated fixed point"}.get(
            found.nearest.kind, found.nearest.kind
        )
        place = point_text(found.nearest.w)
        lines.append(f"nearest fixed point: {kind} {place}, {found.distance:.6g} away")
    return "\n".join(lines)


def _flat(w: Any) -> np.ndarray:
    return np.asarray(ravel_pytree(w)[0])


def _ending(found: "Trajectory") -> str:
    """How the last steps of a map go on."""
    tail = found.tail
    if tail is None:
        return ""
    return {
        1: ", at rest",
        2: f", alternating at ±{tail.amplitude:.6g}",
        None: f", moving, within {tail.amplitude:.6g} of its mean over the last steps",
    }[tail.period]
