"""How a verdict is marked in text."""

SYMBOL = {"attractor": "●", "repeller": "○", "saddle": "◐", "degenerate": "◇"}
SYMBOL |= {"unknown": "?", "not a fixed map": "↻"}
