"""`samdyn diagnose`: is it a saddle that holds this training run?"""

from collections.abc import Mapping
from typing import Any

from ..errors import InvalidInput
from . import options, parse
from .output import Progress, emit
from .setup import method_of, start_jax


def add_to(commands) -> None:
    """Add this command's parser."""
    parser = options.command(
        commands,
        run,
        "diagnose",
        "is it a saddle that holds this training run?",
        "Look at the parameters of a network: negative curvature, whether the method pulls it "
        "back, how fast it escapes, and what to change. FILE.py:NAME is a function without "
        'arguments that returns {"params": pytree, "loss": loss(params, batch), "batches": [batch, '
        "…]}; the loss is the mean over the batches.",
        "checkpoint.py:problem --method sam --rho 0.05 --lr 0.1 --momentum 0.9",
    )
    parser.add_argument("problem", metavar="FILE.py:NAME", help="or MODULE:NAME")
    options.add_precision(parser)
    options.add_method(parser)
    options.add_rho(parser)
    options.add_step(parser, required=True)
    parser.add_argument(
        "--krylov", type=parse.count, metavar="m", help="vectors in memory, default 32"
    )
    parser.add_argument(
        "--rtol", type=parse.fraction, default=0.01, metavar="e", help="default 0.01"
    )


def run(args) -> int:
    """Run the command; the exit status."""
    start_jax(args)
    from ..networks.diagnose import diagnose

    method = method_of(args.method, args.rho)
    loss, params, batches = _problem(args)
    progress = Progress("eigenvalues")
    try:
        result = diagnose(
            loss,
            params,
            batches,
            method,
            args.lr,
            args.momentum,
            krylov=args.krylov,
            rtol=args.rtol,
            seed=args.seed,
            progress=lambda look: progress(look.products / look.limit),
        )
    finally:
        progress.close()
    emit(args, result.to_dict(), str(result))
    return 1 if result.verdict == "unresolved" else 0


def _problem(args) -> tuple[Any, Any, list[Any]]:
    """(loss, params, batches) of FILE.py:NAME, floats in --dtype."""
    from ..dynamics.tree import as_dtype
    from ..losses.registry import load_function

    if ":" not in args.problem:
        raise InvalidInput(f"{args.problem!r} is neither FILE.py:NAME nor MODULE:NAME.")
    made = load_function(args.problem)()
    needed = ("params", "loss", "batches")
    missing = [name for name in needed if not isinstance(made, Mapping) or name not in made]
    if missing:
        raise InvalidInput(
            f"{args.problem} must return a mapping with {', '.join(needed)}; "
            f"{', '.join(missing)} missing."
        )
    if not callable(made["loss"]):
        raise InvalidInput(f'"loss" of {args.problem} must be a function loss(params, batch).')
    params = as_dtype(made["params"], args.dtype)
    return made["loss"], params, [as_dtype(batch, args.dtype) for batch in made["batches"]]
