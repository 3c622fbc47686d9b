"""Many paths, fast: one step of a stochastic system, compiled and run on all cores and devices."""
