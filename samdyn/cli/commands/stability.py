"""`samdyn stability`: every fixed point, and whether it attracts."""

from .. import options
from ..output import emit
from ..setup import start_jax, system_of, where_of


def add_to(commands) -> None:
    """Add this command's parser."""
    parser = options.command(
        commands,
        run,
        "stability",
        "Find the fixed points of a method on a loss and say whether each attracts.",
        'beale --at "0,1" --method usam --rho 0.05 --lr 0.001',
    )
    options.add_loss(parser)
    options.add_where(parser)
    options.add_method(parser)
    options.add_rho(parser)
    options.add_step(parser)


def run(args) -> int:
    """Run the command; the exit status."""
    start_jax(args)
    from ...attractors.report import stability
    from ...dynamics.systems.system import loss_of

    system = system_of(args)
    where_of(args, loss_of(system))
    result = stability(system, box=args.box, at=args.at, seed=args.seed)
    emit(args, result.to_dict(), str(result))
    return 0 if result.certain or (args.at is not None and not result.unknown) else 1
