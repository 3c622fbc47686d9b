"""Drawers of results: each module registers those that it defines."""
