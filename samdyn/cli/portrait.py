"""`samdyn portrait`: the phase portrait of one or several methods side by side."""

from . import options, parse
from .output import emit
from .setup import box_of, check_dimension, figure_target, loss_of, method_of, start_jax


def add_to(commands) -> None:
    """Add this command's parser."""
    parser = options.command(
        commands,
        run,
        "portrait",
        "phase portraits side by side",
        "Draw streamlines, nullclines, fixed points, manifolds and trajectories.",
        "beale --method gd --method sam --rho 0.5 --start 1,2 -o portrait.svg",
    )
    options.add_loss(parser)
    options.add_box(parser)
    parser.add_argument(
        "--method",
        action="append",
        nargs="+",
        metavar="M",
        help=f"{options.METHOD_HELP}; several make panels; default gd and sam",
    )
    options.add_rho(parser)
    parser.add_argument(
        "--start", action="append", nargs="+", type=parse.point, metavar="P", help="trajectories"
    )
    options.add_step(parser, required=False)
    options.add_figure(parser, required=True)


def run(args) -> int:
    """Run the command; the exit status."""
    start_jax(args)
    from ..plot.portrait import portrait
    from ..plot.save import save

    loss = loss_of(args)
    args.method = [name for group in args.method or [["gd", "sam"]] for name in group]
    args.start = [start for group in args.start or [] for start in group]
    methods = [method_of(name, args.rho) for name in args.method]
    box = box_of(args, loss)
    figure_target(args, len(box))
    for start in args.start:
        check_dimension("--start", len(start), loss)
    figure = portrait(
        loss,
        methods,
        box,
        starts=args.start,
        learning_rate=args.lr,
        momentum=args.momentum,
        seed=args.seed,
    )
    save(figure, args.output)
    emit(args, {"figure": args.output}, f"wrote {args.output}")
    return 0
