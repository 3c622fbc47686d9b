"""How eigenvalues settle as more data are seen: both ends on a ladder of numbers of batches."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jaxtyping import PyTree

from .ends import SpectrumEnds, spectrum_ends
from .products.hessian import hessian


class Rung(NamedTuple):
    """The ends of the spectrum on the first `batches` batches."""

    batches: int
    ends: SpectrumEnds


class Ladder(NamedTuple):
    """Rungs with doubling data, the last with all."""

    rungs: tuple[Rung, ...]

    def __str__(self) -> str:
        rows = ["batches   lowest                  highest"]
        for batches, ends in self.rungs:
            low, high = (f"{end.value:+.5g} ± {end.residual:.1g}" for end in (ends.low, ends.high))
            rows.append(f"{batches:7}   {low:22}  {high}")
        return "\n".join(rows)


def ladder(
    loss: Callable[[PyTree, PyTree], Any],
    params: PyTree,
    batches: Sequence[PyTree],
    **options: Any,
) -> Ladder:
    """The ends on 1, 2, 4, … and all batches; `options` go to `spectrum_ends`.

    The lowest eigenvalue rises and the highest falls as data are added (on average): a value that
    has not settled by the last rung is one of the sample, not of the loss.
    """
    sizes = [2**k for k in range(len(batches).bit_length()) if 2**k < len(batches)]
    rungs = []
    for count in [*sizes, len(batches)]:
        operator = hessian(loss, params, batches[:count], check=count == len(batches))
        rungs.append(Rung(count, spectrum_ends(operator, **options)))
    return Ladder(tuple(rungs))
