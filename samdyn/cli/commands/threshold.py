"""`samdyn threshold`: where in a parameter stability, or the fate of a start, changes."""

from ...errors import InvalidInput
from .. import options, parse
from ..output import emit
from ..setup import start_jax
from .exponents import add_step_of_a_point, asked

NAMES = {"lr": "learning_rate", "batch-size": "batch_size"}
OPTIONS = {"rho": "rho", "learning_rate": "lr", "momentum": "momentum"}


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
    start_jax(args)
    from ...attractors.catching.capture import threshold

    name, low, high = args.parameter
    name = NAMES.get(name, name)
    if (args.start is None) == (args.at is None) and (args.start or args.kind is None):
        raise InvalidInput("give either --at P and --kind, or --start P and --steps.")
    if args.start is not None and (args.kind is not None or args.steps is None):
        raise InvalidInput("a start takes --steps N and no --kind: that is of a point, --at P.")
    option = OPTIONS.get(name)
    missing = option is not None and getattr(args, option) is None
    if missing:
        setattr(args, option, high)
    given = args.at
    args.at = args.start if given is None and args.start is not None else given
    step, at, batches, weights = asked(args)
    args.at = given
    if missing:
        setattr(args, option, None)
    between = (low, high)
    if args.start is not None:
        how = {"start": at, "target": args.target, "steps": args.steps, "seed": args.seed}
        result = threshold(step, name, between, **how)
    else:
        how = {"kind": args.kind, "batches": batches, "weights": weights, "seed": args.seed}
        result = threshold(step, name, between, at=at, **how)
    emit(args, {**result.to_dict(), "parameter": args.parameter[0]}, str(result))
    return 0
