"""`samdyn portrait`: the phase portrait of one or several methods side by side."""

from . import options, parse
from .output import emit
from .setup import check_dimension, loss_of, method_of, region_of, start_jax, system_of


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
    options.add_plane(parser)
    parser.add_argument(
        "--method",
        action="append",
        nargs="+",
        metavar="M",
        help=f"{options.METHOD_HELP}; several make panels; default gd and sam",
    )
    options.add_rho(parser)
    parser.add_argument(
        "--start",
        action="append",
        nargs="+",
        type=parse.points,
        metavar="P",
        help='starts of trajectories: "1,2" or several, "1,2" "-1,0"',
    )
    options.add_step(parser, required=False)
    options.add_figure(parser, required=True)


def run(args) -> int:
    """Run the command; the exit status."""
    start_jax(args)
    from ..plot.portrait import portrait
    from ..plot.save import save

    loss = loss_of(args)
    args.method = _flat(name.split(",") for name in _flat(args.method or [["gd", "sam"]]))
    args.start = _flat(_flat(args.start or []))
    methods = [method_of(name, args.rho) for name in args.method]
    box = region_of(args, loss)
    for start in args.start:
        if args.plane is None or len(start) != 2:
            check_dimension("--start", len(start), loss)
    figure = portrait(
        [system_of(args, loss, method) for method in methods],
        box,
        starts=args.start,
        seed=args.seed,
        plane=args.plane,
        at=args.at,
    )
    save(figure, args.output)
    emit(args, {"figure": args.output}, f"wrote {args.output}")
    return 0


def _flat(groups) -> list:
    return [item for group in groups for item in group]
