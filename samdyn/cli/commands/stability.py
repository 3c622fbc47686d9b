"""`samdyn stability`: every fixed point, and whether it attracts."""

from ...errors import InvalidInput
from .. import options
from ..output import emit
from ..problem import load_problem
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
    parser.add_argument(
        "--batches",
        metavar="FILE.py:NAME",
        help="a problem as for diagnose whose mean loss is LOSS: also what steps on one of its "
        "minibatches do, in mean square and almost surely",
    )


def run(args) -> int:
    """Run the command; the exit status."""
    start_jax(args)
    from ...attractors.report import stability
    from ...dynamics.systems.system import loss_of

    system = system_of(args, *(["lr"] if args.batches else []))
    where_of(args, loss_of(system))
    system, batches = (system, None) if args.batches is None else _on_batches(args, system)
    result = stability(system, box=args.box, at=args.at, batches=batches, seed=args.seed)
    emit(args, result.to_dict(), str(result))
    return 0 if result.certain or (args.at is not None and not result.unknown) else 1


def _on_batches(args, step):
    """(the step of the problem's loss, its batches), if their mean is the loss of `step`."""
    import equinox as eqx
    import jax.numpy as jnp
    import numpy as np

    from ...dynamics.systems.system import loss_of

    loss, batches = loss_of(step), None
    if loss is None:
        raise InvalidInput(f"--batches are of a loss, and {args.loss} has none.")
    problem = load_problem(args.batches, args.dtype, "stability")
    batches = problem.batches
    at = jnp.asarray(args.at if args.at is not None else np.mean(args.box, axis=1) + 0.1)
    whole, mean = float(loss(at)), float(np.mean([float(problem.loss(at, b)) for b in batches]))
    if not abs(whole - mean) <= 1e-9 * (abs(whole) + abs(mean)) + 1e-12:
        raise InvalidInput(
            f"the mean of the losses of {args.batches} is {mean:.6g} where {args.loss} is "
            f"{whole:.6g}: they are not of one problem."
        )
    return eqx.tree_at(lambda s: s.loss, step, problem.loss), batches
