"""`samdyn basins`: which starts end where."""

from .. import options, parse
from ..output import emit
from ..setup import region_of, start_jax, system_of, system_with


def add_to(commands) -> None:
    """Add this command's parser."""
    parser = options.command(
        commands,
        run,
        "basins",
        "Run a grid of starts and say at which fixed point each ends. A figure shows gradient "
        "descent beside the method.",
        "double-well-2d --grid 100 --method sam --rho 0.3 --lr 0.01 -o basins.png",
    )
    options.add_loss(parser)
    options.add_box(parser)
    options.add_plane(parser)
    parser.add_argument(
        "--grid", type=parse.count, required=True, metavar="N", help="N^d starts, N² on a plane"
    )
    options.add_method(parser)
    options.add_rho(parser)
    options.add_step(parser)
    parser.add_argument("--steps", type=parse.count, default=20_000, help="default 20000")
    options.add_figure(parser)


def run(args) -> int:
    """Run the command; the exit status."""
    start_jax(args)
    from ...dynamics.systems.system import loss_of

    system = system_of(args, "lr")
    loss = loss_of(system)
    region_of(args, loss)
    result = _basins(args, system)
    if args.output and not result.interrupted:
        from ...dynamics.methods.gd import GD
        from ...plot.results.basins import plot_basins
        from ...plot.save import save
        from ...plot.style import system_name

        drawn, shown = [result], [system]
        if args.method not in ("gd", None):
            shown.insert(0, system_with(args, loss, GD()))
            drawn.insert(0, _basins(args, shown[0]))
        has_border = args.plane is None and getattr(system, "flow", None) is not None
        borders = shown if has_border else None
        save(plot_basins(drawn, [system_name(one) for one in shown], borders), args.output)
    emit(args, result.to_dict(), str(result))
    return 1 if result.interrupted else 0


def _basins(args, system):
    from ...attractors.catching.basins import basins

    return basins(
        system,
        args.box,
        grid=args.grid,
        steps=args.steps,
        seed=args.seed,
        progress=True,
        plane=args.plane,
        at=args.at,
    )
