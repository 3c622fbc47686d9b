"""`samdyn sweep`: how stability changes with ρ."""

from . import options, parse
from .output import emit
from .setup import box_of, check_dimension, figure_target, loss_of, method_of, start_jax


def add_to(commands) -> None:
    parser = commands.add_parser(
        "sweep",
        help="branches of fixed points over a range of rho, and where they change",
        description="Follow fixed points over a range of rho and locate every bifurcation.",
        epilog='example: samdyn sweep beale --at "0,1" --method usam --rho 0:0.1:101 -o sweep.svg',
        allow_abbrev=False,
    )
    options.add_loss(parser)
    options.add_where(parser)
    options.add_method(parser)
    parser.add_argument(
        "--rho", type=parse.span, required=True, metavar="a:b:n", help="n radii from a to b"
    )
    options.add_step(parser, required=False)
    options.add_figure(parser)
    options.add_common(parser)
    parser.set_defaults(run=run)


def run(args) -> int:
    start_jax(args)
    figure_target(args)
    import numpy as np

    from ..attractors.sweep import sweep

    loss = loss_of(args)
    low, high, number = args.rho
    method = method_of(args.method, high)
    if args.at is None:
        box_of(args, loss)
    else:
        check_dimension("--at", len(args.at), loss)
    result = sweep(
        loss,
        method,
        np.linspace(low, high, number),
        box=args.box,
        at=args.at,
        learning_rate=args.lr,
        momentum=args.momentum,
        seed=args.seed,
    )
    if args.output:
        from ..plot.rho import plot_sweep
        from ..plot.save import save

        save(plot_sweep(result, loss_name=args.loss), args.output)
    emit(args, result.to_dict(), str(result))
    return 0
