"""A traced function as a flat list of scalar operations, on points and on boxes, in NumPy."""
