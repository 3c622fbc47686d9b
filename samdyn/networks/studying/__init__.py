"""Grids of training runs, and what they say."""
