"""What the numbers of a run depend on, part by part, so that no folder is taken for another's."""

import jax

from ...dynamics.systems.system import loss_of
from ...results.problem.identity import identity, joined, values
from .attempt import Attempt, Problem
from .stepping.kernel import shapes


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
