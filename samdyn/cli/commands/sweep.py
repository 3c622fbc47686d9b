"""`samdyn sweep`: how stability changes with ρ, or another parameter."""

from typing import Any

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
    with_varied,
)


def add_to(commands) -> None:
    """Add this command's parser."""
    parser = options.command(
        commands,
        run,
        "sweep",
        "Follow fixed points over a range of rho, or of another parameter, and locate every "
        "bifurcation, of the flow and with --lr of the step.",
        'beale --at "0,1" --method usam --rho 0:0.1:101 -o sweep.svg',
    )
    options.add_loss(parser)
    options.add_where(parser)
    options.add_method(parser)
    parser.add_argument(
        "--rho",
        type=parse.span_or_radius,
        metavar="a:b:n",
        help="n radii from a to b; one radius where another parameter is varied",
    )
    parser.add_argument(
        "--parameter",
        type=parse.named_span,
        metavar="NAME=a:b:n",
        help="vary this instead of rho: lr, momentum, or a float field of the loss",
    )
    options.add_step(parser)
    options.add_figure(parser)


def run(args) -> int:
    """Run the command; the exit status."""
    start_jax(args)
    figure_target(args)
    import numpy as np

    from ...attractors.following.sweep import sweep

    name, (low, high, number) = _varied(args)
    if named_system(args):
        raise InvalidInput(
            f"sweep varies the radius of --method on a loss, and {args.loss} is a system: vary "
            "its own numbers in Python, system.at(name=value)."
        )
    loss = loss_by_name(args, "method")
    short = "rho" if args.parameter is None else args.parameter[0]
    given = with_varied(args, {short: high})
    where_of(args, loss)
    system = system_with(given, loss, method_of(args.method, given.rho))
    values = np.linspace(low, high, number)
    result = sweep(system, name, values, box=args.box, at=args.at, seed=args.seed)
    if args.output:
        from ...plot.results.rho import plot_sweep
        from ...plot.save import save

        save(plot_sweep(result, loss_name=args.loss), args.output)
    emit(args, _as_told(result.to_dict(), name, short), str(result))
    return 0 if result.branches else 1


def _varied(args) -> tuple[str, tuple[float, float, int]]:
    """(the parameter's name in Python, its range)."""
    range_of_rho = isinstance(args.rho, tuple)
    if args.parameter is None:
        if not range_of_rho:
            raise InvalidInput(
                "give a range, --rho start:stop:count or --parameter NAME=start:stop:count."
            )
        return "rho", args.rho
    if range_of_rho:
        raise InvalidInput("--rho is one radius where --parameter is varied, not a range.")
    name, *span = args.parameter
    if name == "batch-size":
        raise InvalidInput("the batch size moves no fixed point: see samdyn exponents.")
    if name == "lr" and args.lr is not None:
        raise InvalidInput("--lr is varied by --parameter: leave it out.")
    return options.PARAMETERS.get(name) or name, tuple(span)


def _as_told(result: dict[str, Any], name: str, short: str) -> dict[str, Any]:
    """The grid under the option's name."""
    if name == short:
        return result
    grid = result.pop(name)
    return {**result, "parameter": short, short: grid}
