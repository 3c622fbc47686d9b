"""`samdyn spread`: how far noise carries the optimizer from a critical point."""

from typing import Any

from .. import options, parse
from ..noise import add_noise, noise_of
from ..output import emit
from ..setup import (
    check_dimension,
    figure_target,
    given_system,
    loss_by_name,
    method_of,
    start_jax,
)


def add_to(commands) -> None:
    """Add this command's parser."""
    parser = options.command(
        commands,
        run,
        "spread",
        "Mean squared displacement from a critical point along each eigenvector of the Hessian "
        "there, simulated, exact for the linearised step and its SDE, and as published.",
        "saddle --at 0,0 --method usam --rho 0.3 --lr 0.05 --noise fisher --batch-size 8 "
        "--coupling same-batch --momentum 0.9 --time 1 --paths 200000",
    )
    options.add_loss(parser)
    parser.add_argument("--at", type=parse.point, required=True, metavar="P", help='"x,y,…"')
    options.add_method(parser)
    options.add_rho(parser)
    options.add_step(parser)
    add_noise(parser)
    parser.add_argument(
        "--time", type=parse.positive, required=True, metavar="T", help="η times the steps"
    )
    parser.add_argument(
        "--paths", type=parse.count, default=200_000, metavar="N", help="default 200000"
    )
    options.add_figure(parser)


def run(args) -> int:
    """Run the command; the exit status."""
    figure_target(args)
    start_jax(args)
    from ...escape.spread import spread

    system = given_system(args)
    result = spread(
        _noisy_step(args) if system is None else system,
        args.at,
        time=args.time,
        paths=args.paths,
        seed=args.seed,
        dtype=args.dtype,
    )
    if args.output:
        from ...plot.save import save

        save(result.plot().figure, args.output)
    emit(args, result.to_dict(), str(result))
    return 0


def _noisy_step(args) -> Any:
    """A step of a method on a loss with noise."""
    from ...dynamics.systems.stochastic_map import StochasticStepMap
    from ...losses.check import check_loss

    loss = loss_by_name(args, "method", "lr", "noise")
    method = method_of(args.method, args.rho)
    check_dimension("--at", len(args.at), loss)
    check_loss(loss, list(args.at))
    noise, coupling = noise_of(args)
    return StochasticStepMap(loss, method, args.lr, noise, coupling, args.momentum)
