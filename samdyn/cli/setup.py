"""What every computing command does first: precision, device, the loss, the method."""

import argparse
from collections.abc import Sequence
from typing import Any

from .. import catalogue
from ..errors import InvalidInput
from .by_path import Offer, made
from .options import flat


def start_jax(args: Any) -> None:
    """Set precision, platform and the number of CPU devices, before any array exists."""
    import os

    cached = args.cache or os.environ.get("JAX_COMPILATION_CACHE_DIR")
    if cached and os.environ.get("TF_CPP_MIN_LOG_LEVEL", "1") == "1":
        # On some CPUs XLA tells of every program that it reads from a cache, ours or JAX's own,
        # that it was made for features which it then says the machine lacks, 3 kB each, though
        # this machine made it. JAX leaves its own 1 to the programs that it starts.
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import jax

    if args.cache:
        from .. import kept

        kept.turn_on()
    # paths run in --dtype whatever this is; their references need double precision
    jax.config.update("jax_enable_x64", args.dtype == "float64" or args.command == "escape")
    if args.device:
        jax.config.update("jax_platforms", {"gpu": "cuda"}.get(args.device, args.device))
    if getattr(args, "distributed", False):
        _join_processes()
    else:
        jax.config.update("jax_num_cpu_devices", os.cpu_count() or 1)
    try:
        jax.devices()
    except RuntimeError as error:
        raise InvalidInput(f"--device {args.device}: no such device here.") from error


def _join_processes() -> None:
    """Join what a launcher started; it sets JAX_COORDINATOR_ADDRESS, or is one that JAX knows."""
    import os
    import sys

    import jax

    told = {
        "coordinator_address": os.environ.get("JAX_COORDINATOR_ADDRESS"),
        "num_processes": _whole("JAX_NUM_PROCESSES"),
        "process_id": _whole("JAX_PROCESS_ID"),
    }
    # collectives greet on the standard output, which belongs to the result
    ours = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = os.fdopen(ours, "w")
    try:
        jax.distributed.initialize(**told)
    except (ValueError, RuntimeError) as error:
        first = str(error).split("\n")[0]
        raise InvalidInput(
            "--distributed found no launcher: set JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and "
            f"JAX_PROCESS_ID ({first})"
        ) from error


def _whole(name: str) -> int | None:
    import os

    text = os.environ.get(name)
    if text is not None and not text.isdigit():
        raise InvalidInput(f"{name} must be a whole number, not {text!r}.")
    return None if text is None else int(text)


# options that make a system of a loss, and their values where nobody gave them
OF_A_LOSS = {
    "method": None,
    "rho": None,
    "lr": None,
    "momentum": 0.0,
    "noise": None,
    "batch_size": 1,
    "coupling": None,
}


def named_system(args: Any) -> Any:
    """The system that LOSS names, None where it is a loss."""
    from ..dynamics.systems.system import AbstractSystem
    from ..losses.registry import load_object

    named = load_object(args.loss) if ":" in args.loss else None
    return named if isinstance(named, AbstractSystem) else None


def given_system(args: Any) -> Any:
    """The same; options that belong to a loss are refused."""
    named = named_system(args)
    if named is None:
        return None
    for name, default in OF_A_LOSS.items():
        if getattr(args, name, default) != default:
            raise InvalidInput(
                f"--{name.replace('_', '-')} has no meaning with {args.loss}, which is a "
                f"{type(named).__name__} with all its numbers inside."
            )
    return named


def loss_by_name(args: Any, *needed: str) -> Any:
    """The loss that LOSS names; `InvalidInput` where an option is missing that it needs."""
    from ..losses.registry import get_loss

    missing = [f"--{name}" for name in needed if getattr(args, name) is None]
    if missing:
        raise InvalidInput(f"the following arguments are required: {', '.join(missing)}.")
    return get_loss(args.loss)


def method_of(name: str, rho: float | None) -> Any:
    """The method of --method and --rho."""
    from ..dynamics.methods.method import AbstractMethod
    from ..dynamics.methods.names import named_method

    if catalogue.is_path(name):
        radius, what = {"rho": Offer("--rho", rho)}, "a method (AbstractMethod)"
        return made("--method", name, AbstractMethod, what, radius, first="rho")
    entry, _ = catalogue.find("method", name)
    method = named_method(name, 0.0 if rho is None else rho)
    if rho is None and "rho" in entry.options:
        raise InvalidInput(f"--method {name} needs --rho, a finite number ≥ 0.")
    return method


def system_of(args: Any, *needed: str) -> Any:
    """The system that LOSS names; of a loss the step map with --lr, the flow without.

    A momentum alone is refused, and so is an option of those `needed` that is missing.
    """
    system = given_system(args)
    if system is not None:
        return system
    loss = loss_by_name(args, "method", *needed)
    return system_with(args, loss, method_of(args.method, args.rho))


def systems_of(args: Any, default: Sequence[str], rho: float | None) -> list[Any]:
    """That which LOSS names, or one of each method of `add_methods` on it, of radius `rho`."""
    system = given_system(args)
    if system is not None:
        return [system]
    loss = loss_by_name(args)
    args.method = flat(name.split(",") for name in flat(args.method or [default]))
    return [system_with(args, loss, method_of(name, rho)) for name in args.method]


def system_with(args: Any, loss: Any, method: Any) -> Any:
    """The step map of a method with --lr, its flow without."""
    from ..dynamics.systems.flow import Flow
    from ..dynamics.systems.step_map import optional_step_map

    step_map = optional_step_map(loss, method, args.lr, args.momentum)
    return Flow(loss, method) if step_map is None else step_map


def with_varied(args: Any, ends: dict[str, float]) -> Any:
    """The options with a value of each parameter that is varied, where none was given."""
    given = argparse.Namespace(**vars(args))
    for name, value in ends.items():
        if name in ("rho", "lr") and not isinstance(getattr(given, name), float):
            setattr(given, name, value)
    return given


def box_of(args: Any, loss: Any) -> Any:
    """--box, or the loss's own; checked against the loss's dimension."""
    box = args.box or getattr(loss, "box", None)
    if box is None:
        raise InvalidInput(f'{args.loss} has no box of its own: give --box "lo,hi;lo,hi;…".')
    check_dimension("--box", len(box), loss)
    args.box = box
    return box


def region_of(args: Any, loss: Any) -> Any:
    """The box, or the sides of the plane; checked, with the figure that is to be drawn of it."""
    from .options import check_plane

    check_plane(args)
    if args.plane is None:
        box = box_of(args, loss)
    else:
        check_dimension("--at", len(args.at), loss)
        box = _box_of_plane(args, loss)
    figure_target(args, len(box))
    return box


def _box_of_plane(args: Any, loss: Any) -> Any:
    box = args.box or getattr(loss, "box", None)
    if box is None:
        raise InvalidInput(
            f'{args.loss} has no box of its own: give the sides of the plane, --box "lo,hi;lo,hi".'
        )
    if len(box) not in (2, len(args.at)):
        raise InvalidInput(
            f"--box has {len(box)} sides: a plane needs 2, or the {len(args.at)} of --at."
        )
    args.box = box if len(box) == 2 else tuple(box[axis] for axis in args.plane)
    return args.box


def where_of(args: Any, loss: Any) -> None:
    """Check --at, or fill in --box."""
    if args.at is None:
        box_of(args, loss)
    else:
        check_dimension("--at", len(args.at), loss)


def check_dimension(option: str, given: int, loss: Any) -> None:
    """Raise unless `given` is the loss's dimension (where that is known)."""
    expected = getattr(loss, "dim", None)
    if expected is not None and given != expected:
        raise InvalidInput(
            f"{option} has {given} coordinate{'s' * (given != 1)}, {loss.name} needs {expected}."
        )


def figure_target(args: Any, dim: int | None = None) -> None:
    """Fail early if the figure could not be written or, given `dim`, not drawn in the end."""
    if not args.output:
        return
    from ..plot.save import check_target
    from ..plot.style import PLANE_HINT, require_plane

    check_target(args.output)
    if dim is not None:
        hint = PLANE_HINT if hasattr(args, "plane") else ""
        require_plane(dim, f"-o of {args.command}", hint)
