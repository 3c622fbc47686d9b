"""What moves, and what it depends on: flows, maps, SDEs and noisy steps."""
