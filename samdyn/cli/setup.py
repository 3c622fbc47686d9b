"""What every computing command does first: precision, device, the loss, the method."""

from typing import Any

from ..errors import InvalidInput


def start_jax(args: Any) -> None:
    """Set precision, platform and the number of CPU devices, before any array exists."""
    import os

    import jax

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


def loss_of(args: Any) -> Any:
    """The loss that LOSS names."""
    from ..losses.registry import get_loss

    return get_loss(args.loss)


def method_of(name: str, rho: float | None) -> Any:
    """The perturbation of --method and --rho."""
    from ..dynamics.methods.names import named_method

    method = named_method(name, 0.0 if rho is None else rho)
    if rho is None and name != "gd":
        raise InvalidInput(f"--method {name} needs --rho, a finite number ≥ 0.")
    return method


def system_of(args: Any, loss: Any, method: Any) -> Any:
    """The step map with --lr, the flow without; a momentum alone is refused."""
    from ..dynamics.systems.flow import Flow
    from ..dynamics.systems.step_map import optional_step_map

    step_map = optional_step_map(loss, method, args.lr, args.momentum)
    return Flow(loss, method) if step_map is None else step_map


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
