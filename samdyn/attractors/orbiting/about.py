"""The orbit that a step settles on about a point that it leaves, where a multiplier is below −1."""

import numpy as np

from ...dynamics.systems.map import AbstractMap
from ...dynamics.systems.returns import Return, require_steady
from ...errors import InvalidInput
from ..judging.verdict import Verdict
from .periodic import orbit_from

LENGTHS = np.geomspace(1e-9, 2.0, 64)  # of the point's size: along the eigenvector, for Newton
ROUNDING = 1e3  # spacings of the numbers: an amplitude that is none
MOST = 64  # numbers in a state of which orbits are looked for


def with_orbit(step: AbstractMap, w: np.ndarray, found: Verdict) -> Verdict:
    """A verdict on a point that a smooth step leaves, with the stable period-2 orbit about it, if
    Newton finds one whose middle is nearer to the point than its ends are."""
    values = found.eigenvalues
    if found.verdict not in ("repeller", "saddle") or found.orbit is not None or values is None:
        return found
    turning = (np.abs(np.imag(values)) <= 1e-9 * np.abs(values)) & (np.real(values) < -1)
    if not np.any(turning) or values.size > MOST:
        return found
    try:
        require_steady(step, w.size)
    except InvalidInput:
        return found
    back = Return(step, w.size, 2)
    rest = back.rest(w[None])[0]
    slope = back.once.on_states().with_jacobians(rest[None])[1][0]
    own, vectors = np.linalg.eig(slope)
    along = np.real(vectors[:, np.argmin(np.real(own))])
    size = float(np.max(np.abs(w))) or 1.0
    starts = rest + np.concatenate([LENGTHS, -LENGTHS])[:, None] * size * along
    orbit = orbit_from(back, starts, w)
    if orbit is None or orbit.verdict.verdict != "attractor":
        return found
    off = float(np.linalg.norm(orbit.centre - w))
    if not orbit.amplitude > ROUNDING * np.spacing(size) or off > orbit.amplitude:
        return found
    why = (
        f"{found.why}; about it a period-2 orbit attracts, ±{orbit.amplitude:.6g}, two steps "
        f"contract by {orbit.spectral_radius:.6g}"
    )
    told = {"orbit": "period-2", "amplitude": orbit.amplitude, "period": 2, "centre": orbit.centre}
    return found._replace(why=why, **told)
