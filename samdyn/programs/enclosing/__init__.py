"""Bounds of a program over boxes, with outward rounding."""
