"""`samdyn threshold`: where in a parameter stability, or the fate of a start, changes."""

from typing import Any

from ...errors import InvalidInput
from .. import options, parse
from ..output import emit
from ..setup import start_jax, with_varied
from .exponents import add_step_of_a_point, asked


def add_to(commands) -> None:
    """Add this command's parser."""
    parser = options.command(
        commands,
        run,
        "threshold",
        "The value of a parameter at which an exponent is 0 (--at P --kind), or at which the fate "
        "of a start changes (--start P --steps N). Of a problem as for diagnose, under its "
        "minibatches.",
        'double-well-2d --at "1,0" --method gd --parameter lr=0.1:2 --kind mean',
    )
    add_step_of_a_point(parser)
    parser.add_argument(
        "--parameter",
        type=parse.named_range,
        required=True,
        metavar="NAME=low:high",
        help="rho, lr, momentum, or a float field of the loss",
    )
    parser.add_argument(
        "--kind",
        choices=("mean", "mean-square", "almost-sure"),
        help="the exponent, default mean; at P, with --at",
    )
    parser.add_argument("--start", type=parse.point, metavar="P", help='"x,y,…"')
    parser.add_argument(
        "--target", type=parse.point, metavar="P", help="default: where it ends at the upper value"
    )
    parser.add_argument("--steps", type=parse.count, metavar="N", help="of the run from a start")


def run(args) -> int:
    """Run the command; the exit status."""
    _check(args)
    start_jax(args)
    from ...attractors.catching.capture import threshold

    short, low, high = args.parameter
    name = options.PARAMETERS.get(short) or short
    given = with_varied(args, {short: high})
    given.at = args.at if args.start is None else args.start
    step, at, batches, weights = asked(given)
    how: dict[str, Any] = {"at": at, "kind": args.kind, "batches": batches, "weights": weights}
    if args.start is not None:
        how = {"start": at, "target": args.target, "steps": args.steps}
    result = threshold(step, name, (low, high), seed=args.seed, **how)
    emit(args, {**result.to_dict(), "parameter": short}, str(result))
    return 0


def _check(args) -> None:
    if args.start is None:
        given = [name for name in ("target", "steps") if getattr(args, name) is not None]
        if given:
            raise InvalidInput(f"--{given[0]} belongs to a run: give --start P as well.")
    elif args.at is not None or args.kind is not None or args.steps is None:
        raise InvalidInput(
            "--start P takes --steps N, and neither --at nor --kind: those are of an exponent."
        )
