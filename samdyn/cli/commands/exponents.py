"""`samdyn exponents`: how fast a perturbation grows per step, also under minibatches."""

from typing import Any, NamedTuple

from ...errors import InvalidInput
from .. import options, parse
from ..output import emit
from ..problem import is_problem, load_problem
from ..setup import check_dimension, given_system, method_of, start_jax


def add_to(commands) -> None:
    """Add this command's parser."""
    parser = options.command(
        commands,
        run,
        "exponents",
        "How fast a perturbation of a fixed point, or of a line of such, grows per step: in the "
        "mean, in mean square and almost surely. FILE.py:NAME may be a problem as for diagnose, "
        "whose minibatches are then drawn with equal probability at every step; P is by default "
        "its parameters. Exit status 1: a sign is not known.",
        'double-well-2d --at "1,0" --method usam --rho 0.05 --lr 0.1',
    )
    add_step_of_a_point(parser)
    parser.add_argument(
        "--period",
        type=parse.count,
        metavar="k",
        help="of the orbit of k steps, 2 to 8, that Newton reaches from P, instead of the point",
    )
    parser.add_argument(
        "--moment", type=parse.positive, metavar="p", help="also the rate of E‖δ‖ᵖ, as one of ‖δ‖"
    )


def add_step_of_a_point(parser) -> None:
    """LOSS, --at, and the options of a step."""
    options.add_loss(parser)
    parser.add_argument("--at", type=parse.point, metavar="P", help='"x,y,…"')
    options.add_method(parser)
    options.add_rho(parser)
    options.add_step(parser)


class Asked(NamedTuple):
    """A step, the point, its batches and their weights, None where it is deterministic."""

    step: Any
    at: Any
    batches: Any
    weights: Any


def asked(args) -> Asked:
    """What LOSS and the options name."""
    from ...dynamics.systems.step_map import StepMap
    from ...losses.registry import get_loss, load_object

    system = given_system(args)
    if system is not None:
        return Asked(system, _at(args), None, None)
    missing = [f"--{name}" for name in ("method", "lr") if getattr(args, name) is None]
    if missing:
        raise InvalidInput(f"the following arguments are required: {', '.join(missing)}.")
    method = method_of(args.method, args.rho)
    if ":" in args.loss and is_problem(load_object(args.loss)):
        problem = load_problem(args.loss, args.dtype, args.command)
        step = StepMap(problem.loss, method, args.lr, args.momentum)
        at = problem.params if args.at is None else args.at
        return Asked(step, at, problem.batches, problem.weights)
    loss = get_loss(args.loss)
    check_dimension("--at", len(_at(args)), loss)
    return Asked(StepMap(loss, method, args.lr, args.momentum), _at(args), None, None)


def _at(args) -> tuple[float, ...]:
    if args.at is None:
        raise InvalidInput("the following arguments are required: --at.")
    return args.at


def run(args) -> int:
    """Run the command; the exit status."""
    start_jax(args)
    from ...growth.exponents import exponents

    step, at, batches, weights = asked(args)
    moments = () if args.moment is None else (args.moment,)
    how = {"batches": batches, "weights": weights, "moments": moments, "seed": args.seed}
    if args.period is None or args.period == 1:
        result = exponents(step, at=at, **how)
    else:
        result = exponents(step, orbit=_orbit(step, at, batches, args.period), **how)
    emit(args, result.to_dict(), str(result))
    known = (rate.sign is not None for rate in result.growth)
    return 0 if all(known) else 1


def _orbit(step: Any, at: Any, batches: Any, period: int) -> Any:
    """The points of the orbit near P, of the step of the mean loss where there are batches."""
    from ...attractors.minibatches import of_batches
    from ...attractors.orbiting.orbits import orbits
    from ...dynamics.systems.flat import is_vector

    if not is_vector(at):
        raise InvalidInput("--period needs parameters that are one vector: give --at P.")
    random = of_batches(step, batches)
    return orbits(step if random is None else random.mean, at=at, period=period)[0].points
