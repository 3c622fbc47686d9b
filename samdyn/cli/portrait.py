"""`samdyn portrait`: the phase portrait of one or several methods side by side."""

from . import options, parse
from .output import emit
from .setup import box_of, check_dimension, figure_target, loss_of, method_of, start_jax


def add_to(commands) -> None:
    parser = commands.add_parser(
        "portrait",
        help="phase portraits side by side",
        description="Draw streamlines, nullclines, fixed points, manifolds and trajectories.",
        epilog="example: samdyn portrait beale --method gd --method sam --rho 0.5 --start 1,2 "
        "-o portrait.svg",
        allow_abbrev=False,
    )
    options.add_loss(parser)
    parser.add_argument("--box", type=parse.box, metavar="B", help="default: the loss's own")
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
    options.add_common(parser)
    parser.set_defaults(run=run)


def run(args) -> int:
    start_jax(args)
    figure_target(args)
    from ..errors import InvalidInput
    from ..plot.portrait import portrait
    from ..plot.save import save

    loss = loss_of(args)
    args.method = [name for group in args.method or [["gd", "sam"]] for name in group]
    args.start = [start for group in args.start or [] for start in group]
    methods = [method_of(name, args.rho) for name in args.method]
    box = box_of(args, loss)
    if len(box) != 2:
        raise InvalidInput(f"a portrait needs a 2-D loss, {args.loss} has dimension {len(box)}.")
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
