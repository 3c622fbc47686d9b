"""Sets of parameters: where a path counts as still inside."""
