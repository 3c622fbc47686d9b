"""A traced function as a flat list of scalar operations, on points, on boxes, and in loops.

Every loop over points, steps and lanes that analyses run is here: `batch` (values and Jacobians on
many points), `newton`, `loops` (a step iterated), `tangents` (with directions carried along),
`lanes` (states that are no flat vectors).
"""
