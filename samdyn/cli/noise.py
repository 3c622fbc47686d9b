"""Gradient noise as `spread` and `escape` are told it: how much, and where it enters."""

import argparse
import math
from typing import Any

from ..errors import InvalidInput
from . import parse

COUPLINGS = ("same-batch", "fresh", "independent", "paper")  # `dynamics.coupling` without JAX


def add_noise(parser: argparse.ArgumentParser) -> None:
    """--noise, --batch-size and --coupling."""
    parser.add_argument(
        "--noise",
        type=noise,
        required=True,
        metavar="NOISE",
        help="additive:S (dX = b dt + S dW), isotropic:s (standard deviation of one example's "
        "gradient) or fisher (covariance |H|/B)",
    )
    parser.add_argument("--batch-size", type=parse.count, default=1, metavar="B", help="default 1")
    parser.add_argument(
        "--coupling",
        choices=COUPLINGS,
        metavar="C",
        help=f"which gradients see the minibatch: {', '.join(COUPLINGS)} (default same-batch)",
    )


def noise(text: str) -> str:
    """ "additive:S", "isotropic:s" with a finite number ≥ 0, or "fisher"; returned as it is."""
    kind, colon, size = text.partition(":")
    if text != "fisher" and not (kind in ("additive", "isotropic") and colon and _size(size) >= 0):
        raise argparse.ArgumentTypeError(
            f"{text!r} given, additive:S, isotropic:s with a finite number ≥ 0, or fisher "
            "is accepted"
        )
    return text


def _size(text: str) -> float:
    """The number, or −1 if it is none."""
    try:
        value = float(text)
    except ValueError:
        return -1.0
    return value if math.isfinite(value) else -1.0


def noise_of(args: Any) -> tuple[Any, Any]:
    """(the noise model, the coupling) of --noise, --batch-size and --coupling.

    Additive noise is the coefficient of the SDE itself: with it no coupling and no batch size
    have a meaning, and a given one is refused. Otherwise `args.coupling` is filled in.
    """
    from ..dynamics import coupling
    from ..dynamics.noise import noise

    kind, _, size = args.noise.partition(":")
    if kind == "additive":
        for option, given in (("coupling", args.coupling), ("batch-size", args.batch_size != 1)):
            if given:
                raise InvalidInput(
                    f"--{option} has no meaning with --noise {args.noise}, which is the "
                    "coefficient of the SDE itself."
                )
        return noise.Additive(float(size)), coupling.SameBatch()
    args.coupling = args.coupling or COUPLINGS[0]
    model = noise.Fisher(args.batch_size)
    if kind == "isotropic":
        model = noise.Isotropic(float(size), args.batch_size)
    return model, coupling.COUPLINGS[args.coupling]
