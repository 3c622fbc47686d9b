"""A function that JAX can trace, read into a program; how functions are told apart and kept."""
