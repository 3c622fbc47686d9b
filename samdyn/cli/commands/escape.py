"""`samdyn escape`: how long until a path leaves a region?"""

from typing import Any

from ... import catalogue
from ...errors import InvalidInput
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

MAX_TIME = "censor there; default 10^4 times what the first few need to leave"


def add_to(commands) -> None:
    """Add this command's parser."""
    parser = options.command(
        commands,
        run,
        "escape",
        "Simulate first exits from a region and compare their mean with theory. Time is learning "
        "rate times steps.",
        "saddle --from 0,0 --inside slab:1:1 --method usam --rho 0.2 --lr 0.01 "
        "--noise isotropic:1 --paths 10000",
    )
    options.add_loss(parser, dtype="float32")
    parser.add_argument("--from", dest="start", type=parse.point, required=True, metavar="P")
    parser.add_argument(
        "--inside",
        required=True,
        metavar="REGION",
        help="ball:R, slab:AXIS:R, below:AXIS:C, above:AXIS:C or FILE.py:NAME",
    )
    options.add_method(parser)
    options.add_rho(parser)
    options.add_step(parser)
    add_noise(parser)
    parser.add_argument(
        "--dynamics",
        choices=("sde", "map"),
        default="sde",
        help="the diffusion, or the optimizer's own steps; default sde",
    )
    parser.add_argument(
        "--scheme",
        type=options.named("scheme"),
        metavar="NAME",
        help=f"{catalogue.told('scheme')}; or FILE.py:NAME, a subclass of AbstractScheme; default "
        "heun for additive noise, else euler",
    )
    parser.add_argument("--dt", type=parse.positive, metavar="h", help="default: from curvature")
    parser.add_argument("--paths", type=parse.count, required=True, metavar="N")
    parser.add_argument("--max-time", type=parse.positive, metavar="T", help=MAX_TIME)
    parser.add_argument(
        "--target-error", type=parse.fraction, metavar="E", help="stop at this relative error"
    )
    parser.add_argument("--block", type=parse.count, metavar="L", help="lanes of a worker")
    parser.add_argument("--out", metavar="DIR", help="store finished paths as they come")
    parser.add_argument("--resume", action="store_true", help="go on with what is in --out")
    parser.add_argument(
        "--distributed", action="store_true", help="join the processes a launcher started"
    )
    options.add_figure(parser)


# what changes how a run is made, but none of its numbers
FREE = {"command", "run", "json", "out", "resume", "block", "device", "distributed", "output"}
FREE |= {"paths", "target_error"}


def run(args) -> int:
    """Run the command; the exit status."""
    if args.resume and not args.out:
        raise InvalidInput("--resume goes on with a results folder: give --out DIR.")
    figure_target(args)
    start_jax(args)
    dynamics, region = _problem(args)
    result = _simulate(args, dynamics, region)
    if args.dynamics == "sde":
        from ...escape.exact.theory import theory

        result.theory = theory(dynamics, args.start, region)
    if _is_first(args):
        if args.output:
            from ...plot.save import save

            save(result.plot().figure, args.output)
        emit(args, result.to_dict(), str(result))
    return 1 if result.interrupted or not result.summary.escaped else 0


def _problem(args) -> tuple[Any, Any]:
    from ...dynamics.regions.region_text import parse_region
    from ...losses.registry import get_loss

    system = given_system(args)
    if system is None:
        system = _noisy(args)
    else:
        _check_given(args, system)
    return system, parse_region(args.inside, args.start, get_loss)


def _noisy(args) -> Any:
    """A method on a loss with noise."""
    from ...dynamics.systems.diffusion import Diffusion
    from ...dynamics.systems.stochastic_map import StochasticStepMap
    from ...losses.check import check_loss

    loss = loss_by_name(args, "method", "lr", "noise")
    check_dimension("--from", len(args.start), loss)
    check_loss(loss, list(args.start))
    method = method_of(args.method, args.rho)
    noise, coupling = noise_of(args)
    kind = Diffusion if args.dynamics == "sde" else StochasticStepMap
    return kind(loss, method, args.lr, noise, coupling, args.momentum)


def _check_given(args, system) -> None:
    from ...dynamics.check import check_motion
    from ...dynamics.systems.sde import AbstractSDE

    check_motion(system, args.start)
    is_sde = isinstance(system, AbstractSDE)
    if is_sde and args.dynamics == "map":
        raise InvalidInput(
            f"--dynamics map has no meaning with {args.loss}, which is a {type(system).__name__}."
        )
    args.dynamics = "sde" if is_sde else "map"


def _scheme_of(args) -> Any:
    """A name, a class by path, or None for the default."""
    if args.scheme is None or not catalogue.is_path(args.scheme):
        return args.scheme
    from ...losses.registry import load_object

    return load_object(args.scheme)


def _simulate(args, dynamics, region):
    import numpy as np

    from ...escape.escape_times import escape_times

    compared = {name: value for name, value in vars(args).items() if name not in FREE}
    return escape_times(
        dynamics,
        np.asarray(args.start),
        region,
        paths=args.paths,
        max_time=args.max_time,
        scheme=_scheme_of(args),
        dt=args.dt,
        seed=args.seed,
        dtype=args.dtype,
        target_error=args.target_error,
        out=args.out,
        resume=args.resume,
        block=args.block,
        distributed=args.distributed,
        options=compared,
        progress=True,
    )


def _is_first(args) -> bool:
    if not args.distributed:
        return True
    import jax

    return jax.process_index() == 0
