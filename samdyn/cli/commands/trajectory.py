"""`samdyn trajectory`: one run of the step map."""

from typing import Any

from ...errors import InvalidInput
from .. import options, parse
from ..output import emit
from ..setup import check_dimension, figure_target, start_jax, system_of


def add_to(commands) -> None:
    """Add this command's parser."""
    parser = options.command(
        commands,
        run,
        "trajectory",
        "Iterate the step map from a start: checkpoints, the end, and how it ends.",
        "beale --method sam --rho 0.5 --lr 1.25e-5 --steps 87683 --start 1,2",
    )
    options.add_loss(parser)
    options.add_method(parser)
    options.add_rho(parser)
    options.add_step(parser)
    parser.add_argument("--steps", type=parse.count, required=True, metavar="N")
    parser.add_argument("--start", type=parse.point, required=True, metavar="P")
    parser.add_argument(
        "--at-steps", type=parse.steps, metavar="S", help='checkpoints, such as "1,10,100"'
    )
    parser.add_argument(
        "--until-within",
        type=parse.neighbourhood,
        metavar="r:P",
        help='stop within r of P, such as "0.1:3,0.5"',
    )
    options.add_figure(parser)


def run(args) -> int:
    """Run the command; the exit status."""
    start_jax(args)
    figure_target(args, len(args.start))
    import numpy as np

    from ...attractors.judge import parts_of
    from ...attractors.trajectory import trajectory
    from ...checks import told
    from ...dynamics.check import check_system
    from ...dynamics.systems.map import AbstractMap
    from ...dynamics.systems.system import loss_of

    system = system_of(args, "lr")
    if not isinstance(system, AbstractMap):
        raise InvalidInput(
            f"trajectory takes steps, and {args.loss} is {told(system)}: a flow is drawn by "
            "portrait, and solved by samdyn.integrate in Python."
        )
    loss = loss_of(system)
    check_dimension("--start", len(args.start), loss)
    if args.until_within:
        check_dimension("--until-within", len(args.until_within[1]), loss)
    check_system(parts_of(system)[0], list(args.start))
    args.at_steps = list(args.at_steps or _spread(args.steps))
    within, target = args.until_within or (0.0, None)
    target = None if target is None else np.asarray(target)
    how = {"at_steps": args.at_steps, "target": target, "within": within}
    result = trajectory(system, args.start, steps=args.steps, **how)
    if args.output:
        _draw(args, system, loss)
    emit(args, result.to_dict(), str(result))
    return 0


def _spread(steps: int) -> list[int]:
    """0, 1, 10, 100, … and the last step."""
    powers = [10**k for k in range(len(str(steps))) if 10**k < steps]
    return [0, *powers, steps]


def _draw(args, system, loss) -> None:
    from ...plot.plane.portrait import portrait
    from ...plot.save import save

    box = [_with(x, *side) for x, side in zip(args.start, _box(args, loss), strict=True)]
    figure = portrait(
        system,
        box,
        starts=[args.start],
        steps=args.steps,
    )
    save(figure, args.output)


def _box(args, loss) -> Any:
    return getattr(loss, "box", None) or tuple((x - 2, x + 2) for x in args.start)


def _with(x: float, low: float, high: float) -> tuple[float, float]:
    """The side, or one that holds x with a margin."""
    if low <= x <= high:
        return low, high
    margin = 0.05 * (max(x, high) - min(x, low))
    return (x - margin, high) if x < low else (low, x + margin)
