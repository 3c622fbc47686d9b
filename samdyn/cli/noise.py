"""Gradient noise as `spread` and `escape` are told it: how much, and where it enters."""

import argparse
import math
from typing import Any

from .. import catalogue
from ..errors import InvalidInput
from . import options, parse
from .by_path import Offer, made


def add_noise(parser: argparse.ArgumentParser) -> None:
    """--noise, --batch-size and --coupling."""
    parser.add_argument(
        "--noise",
        type=noise,
        metavar="NOISE",
        help="additive:S (dX = b dt + S dW), isotropic:s (standard deviation of one example's "
        "gradient), fisher (covariance |H|/B) or FILE.py:NAME, called with batch_size if it has "
        "one",
    )
    parser.add_argument("--batch-size", type=parse.count, default=1, metavar="B", help="default 1")
    parser.add_argument(
        "--coupling",
        type=options.named("coupling"),
        metavar="C",
        help=f"which gradients see the minibatch: {catalogue.told('coupling')}; or FILE.py:NAME "
        "(default same-batch)",
    )


def noise(text: str) -> str:
    """ "additive:S", "isotropic:s" with a finite number ≥ 0, "fisher" or a path, as it is."""
    kind, colon, size = text.partition(":")
    if kind in catalogue.NOISES and "size" in catalogue.NOISES[kind].options:
        right = bool(colon) and _size(size) >= 0
    else:
        right = text in catalogue.NOISES or catalogue.is_path(text)
    if not right:
        raise argparse.ArgumentTypeError(
            f"{text!r} given, additive:S, isotropic:s with a finite number ≥ 0, fisher or "
            "FILE.py:NAME is accepted"
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
    model = _model(args.noise, args.batch_size)
    if model.additive:
        for option, given in (("coupling", args.coupling), ("batch-size", args.batch_size != 1)):
            if given:
                raise InvalidInput(
                    f"--{option} has no meaning with --noise {args.noise}, which is the "
                    "coefficient of the SDE itself."
                )
        return model, catalogue.COUPLINGS["same-batch"].load()()
    args.coupling = args.coupling or "same-batch"
    return model, _coupling(args.coupling)


def _model(text: str, batch_size: int) -> Any:
    """The noise that a text stands for, with the arguments that its entry names."""
    from ..dynamics.noise.noise import AbstractNoise

    kind, _, size = text.partition(":")
    if kind not in catalogue.NOISES:
        batches = {"batch_size": Offer("--batch-size", batch_size, 1)}
        return made("--noise", text, AbstractNoise, "a noise (AbstractNoise)", batches)
    entry, _ = catalogue.find("noise", kind)
    values = [batch_size if name == "batch_size" else float(size) for name in entry.options]
    return entry.load()(*values)


def _coupling(text: str) -> Any:
    from ..dynamics.coupling import AbstractCoupling

    if catalogue.is_path(text):
        return made("--coupling", text, AbstractCoupling, "a coupling (AbstractCoupling)")
    return catalogue.find("coupling", text)[0].load()()
