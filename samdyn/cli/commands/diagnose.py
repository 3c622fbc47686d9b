"""`samdyn diagnose`: is it a saddle that holds this training run?"""

from .. import options, parse
from ..output import emit
from ..problem import load_problem
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
    loss, params, batches, weights = load_problem(args.problem, args.dtype, "diagnose")
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
