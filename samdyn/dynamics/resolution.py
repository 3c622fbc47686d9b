"""Whether floating-point numbers are fine enough for the steps that are taken with them.

Far from 0 the numbers of a dtype lie far apart: about 10⁴ those of float32 are 0.001 apart. A
random step that is not much longer is rounded away, and one a hundred times as long is rounded
by less than a hundredth of itself.
"""

from typing import Any

import numpy as np

from ..errors import InvalidInput

SPACINGS = 100  # of the dtype in a step, at least
WIDER = {"float16": "float32", "bfloat16": "float32", "float32": "float64"}


def spacings(step: Any, at: Any, dtype: Any, longest: bool = False) -> float:
    """The shortest step in units of the distance of neighbouring numbers of `dtype` there, or the
    `longest`.

    `step` and `at` (…, d) are the lengths of steps along each coordinate and the coordinates. A
    coordinate that does not move at all says nothing; inf if none moves.
    """
    step, at = np.abs(np.asarray(step, np.float64)), np.abs(np.asarray(at, np.float64))
    step, at = np.broadcast_arrays(step, at)
    moves = (step > 0) & np.isfinite(step) & np.isfinite(at)
    # beside 0 the numbers are as fine as what has been added up there: steps
    spacing = np.spacing(np.maximum(at, step)[moves].astype(np.dtype(dtype))).astype(np.float64)
    found = step[moves] / spacing
    return float(np.max(found, initial=0.0) if longest else np.min(found, initial=np.inf))


def dtype_for(step: Any, at: Any, dtype: Any) -> str:
    """`dtype`, or the next wider one in which `step` is at least `SPACINGS` spacings long.

    `InvalidInput` if it is too short in float64 as well.
    """
    name = np.dtype(dtype).name
    while spacings(step, at, name) < SPACINGS:
        if name not in WIDER:
            raise InvalidInput(too_short(step, at, name) + " Move the origin of the loss nearer.")
        name = WIDER[name]
    return name


def too_short(step: Any, at: Any, dtype: Any) -> str:
    """One sentence about a step that `dtype` rounds away."""
    far = float(np.max(np.abs(np.asarray(at, np.float64))))
    name, found = np.dtype(dtype).name, spacings(step, at, dtype)
    return (
        f"about w = {far:.6g} a step's noise is {found:.2g} spacings of {name}, "
        f"and below {SPACINGS} rounding decides."
    )
