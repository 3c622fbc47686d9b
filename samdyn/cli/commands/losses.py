"""`samdyn losses`: what can be descended."""

from .. import options
from ..output import emit


def add_to(commands) -> None:
    """Add this command's parser."""
    options.command(
        commands,
        run,
        "losses",
        "List the registered losses with dimension, formula, source and default box.",
        "",
    )


def run(args) -> int:
    """Run the command; the exit status."""
    from ...losses.registry import get_loss, loss_names
    from ...text import columns

    rows = [["name", "dim", "points", "formula", "box", "source"]]
    entries = []
    for name in loss_names():
        loss = get_loss(name)
        points = loss.critical_points
        number = None if points is None else len(points)
        entries.append(
            {
                "name": name,
                "dim": loss.dim,
                "formula": loss.formula,
                "source": loss.source,
                "box": [list(side) for side in loss.box],
                "critical_points": number,
                "continua": list(loss.continua),
            }
        )
        known = "?" if number is None else str(number) + "+∞" * bool(loss.continua)
        rows.append([name, str(loss.dim), known, loss.formula, _box(loss.box), loss.source])
    emit(args, {"losses": entries}, columns(rows))
    return 0


def _box(box) -> str:
    same = all(side == box[0] for side in box) and len(box) > 1
    shown = box[:1] if same else box
    text = " × ".join(f"[{low:g}, {high:g}]" for low, high in shown)
    return f"{text}^{len(box)}" if same else text
