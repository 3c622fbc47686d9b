"""`samdyn stability`: every fixed point, and whether it attracts."""

from . import options
from .output import emit
from .setup import loss_of, method_of, start_jax, system_of, where_of


def add_to(commands) -> None:
    """Add this command's parser."""
    parser = options.command(
        commands,
        run,
        "stability",
        "fixed points and their verdicts for the flow and the step",
        "Find the fixed points of a method on a loss and say whether each attracts.",
        'beale --at "0,1" --method usam --rho 0.05 --lr 0.001',
    )
    options.add_loss(parser)
    options.add_where(parser)
    options.add_method(parser)
    options.add_rho(parser)
    options.add_step(parser, required=False)


def run(args) -> int:
    """Run the command; the exit status."""
    start_jax(args)
    from ..attractors.report import stability

    loss, method = loss_of(args), method_of(args.method, args.rho)
    where_of(args, loss)
    system = system_of(args, loss, method)
    result = stability(system, box=args.box, at=args.at, seed=args.seed)
    emit(args, result.to_dict(), str(result))
    return 0 if result.certain or (args.at is not None and not result.unknown) else 1
