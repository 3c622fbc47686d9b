"""A diagram as text that fits on one screen."""

from typing import TYPE_CHECKING

import numpy as np

from ...text import columns, with_warnings
from ..judging.symbols import SYMBOL

if TYPE_CHECKING:
    from .diagram import Diagram


def diagram_text(result: "Diagram") -> str:
    """The share of each verdict, and of the corners."""
    (first, rows), (second, cells) = result.parameters.items()
    lines = [
        f"{rows.size} × {cells.size} values of {first}, {rows[0]:.4g} to {rows[-1]:.4g}, and "
        f"{second}, {cells[0]:.4g} to {cells[-1]:.4g}"
    ]
    table = [["", "verdict", "share"]]
    for name, verdicts in (("flow", result.flow), ("step", result.step)):
        if verdicts is not None:
            found, counts = np.unique(verdicts, return_counts=True)
            for one, count in sorted(zip(found, counts, strict=True), key=lambda x: -x[1]):
                share = f"{count / verdicts.size:.1%}"
                table.append([name, f"{SYMBOL[str(one)]} {one}", share])
    return with_warnings(result.warnings, "\n".join([*lines, columns(table)]))
