"""`samdyn sweep`: how stability changes with ρ."""

from ...errors import InvalidInput
from .. import options, parse
from ..output import emit
from ..setup import (
    figure_target,
    loss_by_name,
    method_of,
    named_system,
    start_jax,
    system_with,
    where_of,
)


def add_to(commands) -> None:
    """Add this command's parser."""
    parser = options.command(
        commands,
        run,
        "sweep",
        "Follow fixed points over a range of rho and locate every bifurcation.",
        'beale --at "0,1" --method usam --rho 0:0.1:101 -o sweep.svg',
    )
    options.add_loss(parser)
    options.add_where(parser)
    options.add_method(parser)
    parser.add_argument(
        "--rho", type=parse.span, required=True, metavar="a:b:n", help="n radii from a to b"
    )
    options.add_step(parser)
    options.add_figure(parser)


def run(args) -> int:
    """Run the command; the exit status."""
    start_jax(args)
    figure_target(args)
    import numpy as np

    from ...attractors.following.sweep import sweep

    low, high, number = args.rho
    if named_system(args):
        raise InvalidInput(
            f"sweep varies the radius of --method on a loss, and {args.loss} is a system: vary "
            "its own numbers in Python, system.at(name=value)."
        )
    loss = loss_by_name(args, "method")
    method = method_of(args.method, high)
    where_of(args, loss)
    system = system_with(args, loss, method)
    radii = np.linspace(low, high, number)
    result = sweep(system, "rho", radii, box=args.box, at=args.at, seed=args.seed)
    if args.output:
        from ...plot.results.rho import plot_sweep
        from ...plot.save import save

        save(plot_sweep(result, loss_name=args.loss), args.output)
    emit(args, result.to_dict(), str(result))
    return 0 if result.branches else 1
