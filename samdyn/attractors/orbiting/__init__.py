"""Does it go round? Periodic orbits of maps and limit cycles of flows."""
