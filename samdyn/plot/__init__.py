"""Every picture, in one style: portraits, sweeps over ρ, basins, surfaces, alignment strips."""
