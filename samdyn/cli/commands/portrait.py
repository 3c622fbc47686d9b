"""`samdyn portrait`: the phase portrait of one or several methods side by side."""

from .. import options, parse
from ..output import emit
from ..setup import check_dimension, region_of, start_jax, systems_of

DEFAULT = ("gd", "sam")


def add_to(commands) -> None:
    """Add this command's parser."""
    parser = options.command(
        commands,
        run,
        "portrait",
        "Draw streamlines, nullclines, fixed points, manifolds and trajectories.",
        "beale --method gd --method sam --rho 0.5 --start 1,2 -o portrait.svg",
    )
    options.add_loss(parser)
    options.add_box(parser)
    options.add_plane(parser)
    options.add_methods(parser, DEFAULT)
    options.add_rho(parser)
    parser.add_argument(
        "--start",
        action="append",
        nargs="+",
        type=parse.points,
        metavar="P",
        help='starts of trajectories: "1,2" or several, "1,2" "-1,0"',
    )
    options.add_step(parser)
    options.add_figure(parser, required=True)


def run(args) -> int:
    """Run the command; the exit status."""
    start_jax(args)
    from ...dynamics.systems.system import loss_of
    from ...plot.plane.portrait import portrait
    from ...plot.save import save

    systems = systems_of(args, DEFAULT, args.rho)
    loss = loss_of(systems[0])
    args.start = options.flat(options.flat(args.start or []))
    box = region_of(args, loss)
    for start in args.start:
        if args.plane is None or len(start) != 2:
            check_dimension("--start", len(start), loss)
    figure = portrait(
        systems,
        box,
        starts=args.start,
        seed=args.seed,
        plane=args.plane,
        at=args.at,
    )
    save(figure, args.output)
    emit(args, {"figure": args.output}, f"wrote {args.output}")
    return 0
