"""How long does it stay? Escape times of stochastic dynamics: the engine and its references."""
