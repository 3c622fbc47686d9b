"""What the numbers of a run depend on, part by part, so that no folder is taken for another's."""

from typing import Any

import jax

from ...dynamics.systems.system import loss_of
from ...errors import InvalidInput
from ...programs.machine import compiled as machine
from ...results.problem.identity import identity, joined, values
from ...results.store import PROBLEM, stored_config
from .attempt import Attempt, Problem
from .stepping.kernel import shapes

BACK_END = "back end"


def going_on(asked: str | None, folder: Any) -> str | None:
    """The back end to go on with in `folder`: the one that it was begun with, unless another is
    `asked` for; None for whichever is fastest. `InvalidInput` where that one is not here."""
    parts = stored_config(folder).get(PROBLEM)
    if asked is not None or parts is None:
        return asked
    made = parts.get(BACK_END, "xla")  # a folder from before there was another
    reason = machine.why_not() if made == "llvm" else ""
    if reason:
        raise InvalidInput(f"{folder} was begun by back_end llvm, which is not here: {reason}.")
    return "xla" if made == "xla" else None


def part_of_back_end(folder: Any, name: str) -> dict[str, str]:
    """The part of a problem's identity that tells the back end; none in a `folder` (or None) from
    before there was another, which XLA made."""
    old = {} if folder is None else stored_config(folder).get(PROBLEM) or {}
    return {} if old and BACK_END not in old and name == "xla" else {BACK_END: name}


def parts_of(problem: Problem, first: Attempt) -> dict[str, str]:
    """Identities of the loss, a step, the region and the start of the first attempt.

    A step holds method, noise, coupling, momentum, rate and dt. The numbers of dynamics and
    region count in the precision that they were given in, as a finer attempt takes them from there.
    """
    with jax.enable_x64(True):
        stepper = problem.stepper(first)
        y, z = shapes(stepper)
        region, w = first.region, stepper.position(stepper.start)
        kind = f"{region.is_predicate(w)} {region.exact}"
        loss = loss_of(first.dynamics)
        step = identity(stepper.step, y, z, orders=0)
        return {
            "jax": jax.__version__,
            **({} if loss is None else {"loss": identity(loss, first.start)}),
            "step": joined(step, stepper.law, values(problem.dynamics)),
            "region": joined(identity(stepper.gap, y), kind, values(problem.region)),
            "start": values(problem.start, stepper.start),
        }
