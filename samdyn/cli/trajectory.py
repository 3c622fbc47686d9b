"""`samdyn trajectory`: one run of the step map."""

from typing import Any

from ..errors import InvalidInput
from . import options, parse
from .output import emit
from .setup import check_dimension, figure_target, start_jax, system_of

NAMES = {"hallucinated": "hallucinated fixed point"}


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
    from ..attractors.report import parts_of
    from ..checks import told
    from ..dynamics.check import check_system
    from ..dynamics.systems.map import AbstractMap
    from ..dynamics.systems.system import loss_of

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
    result = _run(args, system, loss)
    if args.output:
        _draw(args, system, loss)
    emit(args, result, _text(result))
    return 0


def _spread(steps: int) -> list[int]:
    """0, 1, 10, 100, … and the last step."""
    powers = [10**k for k in range(len(str(steps))) if 10**k < steps]
    return [0, *powers, steps]


def _run(args, step_map, loss) -> dict[str, Any]:
    import jax.numpy as jnp
    import numpy as np

    from ..attractors.finding.fixed_points import nearest_fixed_point
    from ..attractors.report import parts_of
    from ..dynamics.iterate import STATUS, describe_tail, iterate

    within, target = args.until_within or (0.0, None)
    outcome = iterate(
        step_map,
        jnp.asarray(args.start),
        args.steps,
        at_steps=args.at_steps,
        target=None if target is None else jnp.asarray(target),
        within=within,
    )
    final = np.asarray(outcome.w)
    finite = bool(np.all(np.isfinite(final)))
    taken = int(outcome.steps)
    kept = [
        [step, w.tolist()]
        for step, w in zip(args.at_steps, np.asarray(outcome.checkpoints), strict=True)
        if step <= taken
    ]
    tail = describe_tail(np.asarray(outcome.tail)[-int(outcome.tail_length) :])
    near = nearest_fixed_point(parts_of(step_map)[0], final) if finite else None
    return {
        "final": final.tolist(),
        "final_loss": None if loss is None else float(loss(jnp.asarray(final))),
        "status": STATUS[int(outcome.status)],
        "steps": taken,
        "checkpoints": kept,
        "nearest_fixed_point": None
        if near is None
        else {
            "w": near.w.tolist(),
            "distance": float(np.linalg.norm(near.w - final)),
            "kind": near.kind,
            "critical_type": near.critical_type,
        },
        "tail": {"period": tail.period, "amplitude": tail.amplitude},
    }


def _draw(args, system, loss) -> None:
    from ..plot.portrait import portrait
    from ..plot.save import save

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


def _text(result: dict[str, Any]) -> str:
    from ..text import columns, point_text

    rows = [["step", "w"]]
    rows += [[str(step), point_text(w)] for step, w in result["checkpoints"]]
    tail = result["tail"]
    ending = {
        1: "at rest",
        2: f"alternating at ±{tail['amplitude']:.6g}",
        None: f"moving, within {tail['amplitude']:.6g} of its mean over the last steps",
    }[tail["period"]]
    lines = [columns(rows), ""]
    if result["status"] == "diverged":
        return "\n".join(
            [*lines, f"diverged: w was no longer finite after {result['steps']} steps"]
        )
    lines.append(f"{result['status']} after {result['steps']} steps, {ending}")
    loss = "at" if result["final_loss"] is None else f"loss {result['final_loss']:.8g} at"
    lines.append(f"{loss} {point_text(result['final'])}")
    near = result["nearest_fixed_point"]
    if near is not None:
        kind = near["critical_type"] or NAMES.get(near["kind"], near["kind"])
        where = point_text(near["w"])
        lines.append(f"nearest fixed point: {kind} {where}, {near['distance']:.6g} away")
    return "\n".join(lines)
