"""Which starts end where? Basins, and the threshold from which a start is captured."""
