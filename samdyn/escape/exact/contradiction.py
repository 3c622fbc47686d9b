"""Do simulation and theory contradict each other? One of them is wrong then."""

import math
from collections.abc import Mapping
from typing import Any

from ..statistics import Z95, Summary

EXACT = ("exact", "exact_linear")  # names of values that are exact where they are given
BIAS = 0.01  # relative: of the default step, 0.3 %, with room for the exit correction
BEYOND = 3.29  # standard errors: chance alone passes them once in a thousand runs
CHANCE = 1e-3


def contradictions(found: Summary, theory: Mapping[str, Any]) -> tuple[str, ...]:
    """A sentence for each exact value in `theory` that is not the mean that was `found`.

    Both errors are allowed for: that of the mean by chance, to 3.29 standard errors, and 1 % for
    the step. Asymptotic values (`kramers`, …) contradict nothing.
    """
    texts = [_contradiction(found, name, theory[name]) for name in EXACT if name in theory]
    return tuple(text for text in texts if text)


def _contradiction(found: Summary, name: str, value: float) -> str | None:
    if found.mean is not None and found.mean_ci95 is not None:
        low, high = (found.mean + (end - found.mean) * BEYOND / Z95 for end in found.mean_ci95)
        if (1 - BIAS) * low <= value <= (1 + BIAS) * high:
            return None
        told = f"mean {found.mean:.6g} [{found.mean_ci95[0]:.6g}, {found.mean_ci95[1]:.6g}]"
    elif found.mean_lower95 is not None:
        if value >= found.mean_lower95 * math.log(0.05) / math.log(CHANCE) * (1 - BIAS):
            return None
        told = f"mean, above {found.mean_lower95:.6g} as no path escaped,"
    else:
        return None
    return (
        f"the simulated {told} and the {name} value {value:.6g} contradict each other by more "
        "than both errors: the step may be too large (--dt), or what is censored or failed may "
        "not be like the rest."
    )
