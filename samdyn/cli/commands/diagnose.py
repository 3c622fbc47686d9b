"""`samdyn diagnose`: is it a saddle that holds this training run?"""

from collections.abc import Callable, Mapping
from typing import Any

from ...errors import ComputationFailed, InvalidInput, brief
from .. import options, parse
from ..output import emit
from ..setup import method_of, start_jax


def add_to(commands) -> None:
    """Add this command's parser."""
    parser = options.command(
        commands,
        run,
        "diagnose",
        "Look at the parameters of a network: negative curvature, whether the method pulls it "
        "back, how fast it escapes, and what to change. FILE.py:NAME is a function without "
        'arguments that returns {"params": pytree, "loss": loss(params, batch), "batches": [batch, '
        '…]}, and "weights", one a batch, if they count for more or less than their size; the loss '
        "is the mean over the batches. The file runs in the precision of --dtype and "
        "may import its neighbours. Exit status 1: unresolved. What the numbers mean: "
        "docs/networks.md.",
        "checkpoint.py:problem --method sam --rho 0.05 --lr 0.1 --momentum 0.9",
    )
    parser.add_argument("problem", metavar="FILE.py:NAME", help="or MODULE:NAME")
    options.add_precision(parser)
    options.add_method(parser, required=True)
    options.add_rho(parser)
    options.add_step(parser, required=True)
    parser.add_argument(
        "--no-check",
        action="store_true",
        help="let a loss through whose examples see each other, or that a random key changes",
    )
    parser.add_argument(
        "--krylov",
        type=parse.count,
        metavar="m",
        help="vectors in memory, each as large as the parameters, default 32",
    )
    parser.add_argument(
        "--rtol",
        type=parse.fraction,
        default=0.01,
        metavar="e",
        help="relative accuracy of the eigenvalues, default 0.01",
    )
    parser.add_argument(
        "--max-products",
        type=parse.count,
        default=300,
        metavar="n",
        help="Hessian products at most for both ends, half as many steps; default 300",
    )


def run(args) -> int:
    """Run the command; the exit status."""
    start_jax(args)
    from ...dynamics.systems.step_map import StepMap
    from ...networks.asking.diagnose import diagnose

    method = method_of(args.method, args.rho)
    loss, params, batches, weights = _problem(args)
    result = diagnose(
        StepMap(loss, method, args.lr, args.momentum),
        params,
        batches,
        weights=weights,
        check=not args.no_check,
        krylov=args.krylov,
        rtol=args.rtol,
        max_products=args.max_products,
        seed=args.seed,
        progress=True,
    )
    emit(args, result.to_dict(), str(result))
    return 1 if result.verdict == "unresolved" or result.ends.interrupted else 0


def _problem(args) -> tuple[Any, Any, list[Any], Any]:
    """(loss, params, batches, weights or None) of FILE.py:NAME, floats in --dtype."""
    from ...dynamics.systems.system import AbstractSystem
    from ...dynamics.tree import as_dtype
    from ...losses.registry import load_function

    if ":" not in args.problem:
        raise InvalidInput(f"{args.problem!r} is neither FILE.py:NAME nor MODULE:NAME.")
    function = load_function(args.problem)
    if isinstance(function, AbstractSystem):
        raise InvalidInput(
            f"diagnose is of a loss over batches, and {args.problem} is a "
            f"{type(function).__name__}: stability judges it."
        )
    made = _call(function, args)
    needed = ("params", "loss", "batches")
    mapping = isinstance(made, Mapping)
    missing = [name for name in needed if not mapping or name not in made]
    if missing:
        what = f"{', '.join(missing)} missing" if mapping else f"it returned {type(made).__name__}"
        raise InvalidInput(
            f"{args.problem} must return a mapping with {', '.join(needed)}; {what}."
        )
    if not callable(made["loss"]):
        raise InvalidInput(f'"loss" of {args.problem} must be a function loss(params, batch).')
    params = as_dtype(made["params"], args.dtype)
    batches = made["batches"]
    if not hasattr(batches, "__len__"):
        raise InvalidInput(f'"batches" of {args.problem} must be a list: it does not tell its end.')
    batches = [as_dtype(batch, args.dtype) for batch in batches]
    return made["loss"], params, batches, made.get("weights")


def _call(function: Callable, args: Any) -> Any:
    """What the user's function returns; an error in it is told in one line."""
    try:
        return function()
    except (Exception, SystemExit) as error:
        told = brief(error, function)
        hint = " The file runs in double precision; --dtype float32 runs it in single."
        hint = hint if args.dtype == "float64" and "float" in told else ""
        raise ComputationFailed(f"{args.problem} failed: {told}.{hint}") from error
