"""Drawings in the plane: portraits, fields, surfaces, paths over their box."""
