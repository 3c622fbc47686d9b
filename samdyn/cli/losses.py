"""`samdyn losses`: what can be descended."""

from .output import emit


def add_to(commands) -> None:
    parser = commands.add_parser(
        "losses",
        help="list the registered losses",
        description="List the registered losses with dimension, formula, source and default box.",
        epilog="example: samdyn losses",
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args) -> int:
    from ..attractors.tables import columns
    from ..losses.registry import get_loss, loss_names

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
