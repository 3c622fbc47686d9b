"""Text for people: what every result's `__str__` shares."""

from collections.abc import Sequence
from typing import Any

MOST_ROWS = 24  # of a printed table
MOST_COORDINATES = 6  # of a printed point
ROUNDING = 1e-12  # a smaller coordinate is shown as 0


def with_warnings(warnings: Sequence[str], text: str) -> str:
    """`text` with what must be known before it is believed on the lines above it."""
    return "\n".join([*(f"warning: {warning}" for warning in warnings), text])


def columns(rows: list[list[str]]) -> str:
    """Rows of cells as left-aligned columns two spaces apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join(lines)


def number_text(value: Any) -> str:
    """A number in six digits."""
    return f"{float(value):g}"


def point_text(w: Any) -> str:
    """(x, y, …) in six digits, with zeros that are only rounding shown as 0."""
    shown = [0.0 if abs(x) < ROUNDING else float(x) for x in w[:MOST_COORDINATES]]
    more = ", …" if len(w) > MOST_COORDINATES else ""
    return "(" + ", ".join(map(number_text, shown)) + more + ")"
