"""Which direction is descended: GD, SAM and its relatives, one file each."""
