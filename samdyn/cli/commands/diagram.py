"""`samdyn diagram`: the stability of a fixed point over two parameters."""

from ...errors import InvalidInput
from .. import options, parse
from ..output import emit
from ..setup import (
    check_dimension,
    figure_target,
    loss_by_name,
    method_of,
    named_system,
    start_jax,
    system_with,
    with_varied,
)


def add_to(commands) -> None:
    """Add this command's parser."""
    parser = options.command(
        commands,
        run,
        "diagram",
        "The verdicts at the fixed point near P over all pairs of values of two parameters: rho, "
        "lr, momentum, or float fields of the loss.",
        'beale --at "0,1" --method usam --parameter rho=0:0.1:200 --parameter lr=0.001:0.08:200',
    )
    options.add_loss(parser)
    parser.add_argument("--at", type=parse.point, required=True, metavar="P", help='"x,y,…"')
    options.add_method(parser)
    options.add_rho(parser)
    options.add_step(parser)
    parser.add_argument(
        "--parameter",
        type=parse.named_span,
        action="append",
        required=True,
        metavar="NAME=a:b:n",
        help="twice: n values from a to b",
    )
    options.add_figure(parser)


def run(args) -> int:
    """Run the command; the exit status."""
    if len(args.parameter) != 2 or args.parameter[0][0] == args.parameter[1][0]:
        raise InvalidInput("a diagram takes --parameter NAME=a:b:n twice, of two parameters.")
    start_jax(args)
    figure_target(args)
    import numpy as np

    from ...attractors.following.diagram import diagram

    if named_system(args):
        raise InvalidInput(f"{args.loss} is a system: ask samdyn.diagram in Python.")
    given = with_varied(args, {name: high for name, _, high, _ in args.parameter})
    loss = loss_by_name(args, "method")
    check_dimension("--at", len(args.at), loss)
    system = system_with(given, loss, method_of(args.method, given.rho))
    asked = {options.PARAMETERS.get(n) or n: np.linspace(a, b, k) for n, a, b, k in args.parameter}
    result = diagram(system, asked, at=args.at)
    if args.output:
        from ...plot.results.diagram import draw_diagram
        from ...plot.save import save

        save(draw_diagram(result), args.output)
    told = result.to_dict()
    shorts = [name for name, *_ in args.parameter]
    told["parameters"] = dict(zip(shorts, told["parameters"].values(), strict=True))
    emit(args, told, str(result))
    return 0
