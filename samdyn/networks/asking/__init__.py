"""Is it a saddle that holds a training run? The answer, and the numbers behind it."""
