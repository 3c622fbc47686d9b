"""`samdyn sweep`: how stability changes with ρ."""

from . import options, parse
from .output import emit
from .setup import figure_target, loss_of, method_of, start_jax, system_of, where_of


def add_to(commands) -> None:
    """Add this command's parser."""
    parser = options.command(
        commands,
        run,
        "sweep",
        "branches of fixed points over a range of rho, and where they change",
        "Follow fixed points over a range of rho and locate every bifurcation.",
        'beale --at "0,1" --method usam --rho 0:0.1:101 -o sweep.svg',
    )
    options.add_loss(parser)
    options.add_where(parser)
    options.add_method(parser)
    parser.add_argument(
        "--rho", type=parse.span, required=True, metavar="a:b:n", help="n radii from a to b"
    )
    options.add_step(parser, required=False)
    options.add_figure(parser)


def run(args) -> int:
    """Run the command; the exit status."""
    start_jax(args)
    figure_target(args)
    import numpy as np

    from ..attractors.following.sweep import sweep

    loss = loss_of(args)
    low, high, number = args.rho
    method = method_of(args.method, high)
    where_of(args, loss)
    system = system_of(args, loss, method)
    radii = np.linspace(low, high, number)
    result = sweep(system, "rho", radii, box=args.box, at=args.at, seed=args.seed)
    if args.output:
        from ..plot.rho import plot_sweep
        from ..plot.save import save

        save(plot_sweep(result, loss_name=args.loss), args.output)
    emit(args, result.to_dict(), str(result))
    return 0 if result.branches else 1
