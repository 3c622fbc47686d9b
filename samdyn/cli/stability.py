"""`samdyn stability`: every fixed point, and whether it attracts."""

from . import options
from .output import emit
from .setup import box_of, check_dimension, loss_of, method_of, start_jax


def add_to(commands) -> None:
    parser = commands.add_parser(
        "stability",
        help="fixed points and their verdicts for the flow and the step",
        description="Find the fixed points of a method on a loss and say whether each attracts.",
        epilog='example: samdyn stability beale --at "0,1" --method usam --rho 0.05 --lr 0.001',
        allow_abbrev=False,
    )
    options.add_loss(parser)
    options.add_where(parser)
    options.add_method(parser)
    options.add_rho(parser)
    options.add_step(parser, required=False)
    options.add_common(parser)
    parser.set_defaults(run=run)


def run(args) -> int:
    start_jax(args)
    from ..attractors.report import stability

    loss, method = loss_of(args), method_of(args.method, args.rho)
    if args.at is None:
        box_of(args, loss)
    else:
        check_dimension("--at", len(args.at), loss)
    result = stability(
        loss,
        method,
        box=args.box,
        at=args.at,
        learning_rate=args.lr,
        momentum=args.momentum,
        seed=args.seed,
    )
    emit(args, result.to_dict(), str(result))
    return 1 if result.complete.consistent is False else 0
