"""Products of a Hessian, or a step, with a vector, over batches."""
