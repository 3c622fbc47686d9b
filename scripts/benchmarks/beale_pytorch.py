"""Time gradient descent and SAM on the Beale function in eager PyTorch.

This is the peer for a speed comparison: the loop a PyTorch user would write
for the same float64 experiment, with the gradient from autograd, the update
from ``torch.optim.SGD`` and the point stored after every step. Radius 0 is
plain gradient descent with one gradient per step; any other radius is SAM
with two. One JSON line is printed, and its seconds cover the loops only,
after one untimed step of each kind that lets PyTorch load what it needs.
"""

import argparse
import json
import time

import numpy as np
import torch

START = (1.0, 2.0)
LEARNING_RATE = 1.25e-5
STEPS = 87_683
RADII = (0.0, 0.1, 0.5, 1.0)
NORM_FLOOR = 1e-16


def beale(w):
    """Beale's function of the point ``w``, a tensor of two numbers."""
    x, y = w
    first = 1.5 - x + x * y
    second = 2.25 - x + x * y**2
    third = 2.625 - x + x * y**3
    return first**2 + second**2 + third**2


def gd_step(w, optimizer):
    """Move ``w`` one step down its own gradient."""
    optimizer.zero_grad()
    beale(w).backward()
    optimizer.step()


def sam_step(w, optimizer, rho):
    """Move ``w`` one step down the gradient found a distance ``rho`` uphill."""
    optimizer.zero_grad()
    beale(w).backward()
    with torch.no_grad():
        climb = w.grad * (rho / (w.grad.norm() + NORM_FLOOR))
        w.add_(climb)
    optimizer.zero_grad()
    beale(w).backward()
    with torch.no_grad():
        w.sub_(climb)
    optimizer.step()


def trajectory(rho, steps):
    """Return the points after steps 1 to ``steps`` as a (steps, 2) array."""
    w = torch.tensor(START, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=LEARNING_RATE)
    path = np.empty((steps, 2))
    for t in range(steps):
        if rho == 0:
            gd_step(w, optimizer)
        else:
            sam_step(w, optimizer, rho)
        path[t] = w.detach().numpy()
    return path


def parse_arguments():
    """Read the number of steps and the radii from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument(
        "--rho",
        type=lambda text: [float(part) for part in text.split(",")],
        default=list(RADII),
        help="radii separated by commas (default: 0,0.1,0.5,1)",
    )
    arguments = parser.parse_args()
    if arguments.steps < 1:
        parser.error("--steps must be at least 1")
    return arguments


def main():
    """Run every radius once and print the timing as one JSON line."""
    arguments = parse_arguments()
    for rho in (0.0, 0.5):
        trajectory(rho, 1)
    began = time.perf_counter()
    paths = [trajectory(rho, arguments.steps) for rho in arguments.rho]
    seconds = time.perf_counter() - began
    report = {
        "seconds": seconds,
        "steps": arguments.steps,
        "rhos": arguments.rho,
        "final": [path[-1].tolist() for path in paths],
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
