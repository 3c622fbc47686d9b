"""Small networks without batch norm: an MLP, a residual net for 8×8 images, a ResNet-18 for 32×32.

Batch norm makes the loss of an example depend on its batch and rescales the landscape, which
would hide what is studied here. Without it a residual net must start small: the last layer of
every branch begins at 1/√L of its usual scale, L being the number of blocks, so that the
variance of the signal stays bounded (De & Smith, arXiv 2002.10444; Hayou et al., arXiv
2010.12859). Fixup (arXiv 1901.09321) starts it at zero. That puts the start on a saddle in each
pair of layers, and a study of how long training stays at saddles must not make its own.

A convolution is nine slices and one matrix product: inside a compiled loop on a CPU that is 4 to
35 times as fast as XLA's convolution, and it stays one (batched) product when many networks are
trained side by side.
"""

import functools
import math
from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ... import catalogue
from ...errors import InvalidInput

NORMS = (None, "group")
GROUPS = 8  # at most, and of four channels or more


def _gaussian(key: PRNGKeyArray, shape: Sequence[int], gain: float) -> Float[Array, "..."]:
    """Float32 normals of variance gain²/inputs; every axis but the last counts as input."""
    return jax.random.normal(key, shape, jnp.float32) * (gain / math.sqrt(math.prod(shape[:-1])))


class Linear(eqx.Module):
    """x (inputs) ↦ x·weight + bias (outputs)."""

    weight: Float[Array, "inputs outputs"]
    bias: Float[Array, " outputs"]

    def __init__(self, inputs: int, outputs: int, key: PRNGKeyArray, gain: float = math.sqrt(2)):
        self.weight = _gaussian(key, (inputs, outputs), gain)
        self.bias = jnp.zeros(outputs, jnp.float32)

    def __call__(self, x: Float[Array, " inputs"]) -> Float[Array, " outputs"]:
        return x @ self.weight + self.bias


class Conv(eqx.Module):
    """A square convolution with zero padding: (h, w, inputs) ↦ (h/stride, w/stride, outputs)."""

    weight: Float[Array, "k k inputs outputs"]
    bias: Float[Array, " outputs"] | None
    stride: int = eqx.field(static=True)

    def __init__(
        self,
        size: int,
        inputs: int,
        outputs: int,
        key: PRNGKeyArray,
        *,
        stride: int = 1,
        bias: bool = True,
        gain: float = math.sqrt(2),
    ):
        self.weight = _gaussian(key, (size, size, inputs, outputs), gain)
        self.bias = jnp.zeros(outputs, jnp.float32) if bias else None
        self.stride = stride

    def __call__(self, x: Float[Array, "h w inputs"]) -> Float[Array, "g v outputs"]:
        y = _product(x, self.weight, self.stride)
        return y if self.bias is None else y + self.bias[None, None]


@functools.partial(jax.checkpoint, static_argnums=2)  # not the patches, nine times x, are kept
def _product(x, weight, stride):
    size, _, inputs, outputs = weight.shape
    height, width, _ = x.shape
    pad = size // 2
    padded = jnp.pad(x, ((pad, pad), (pad, pad), (0, 0)))
    shifts = [(i, j) for i in range(size) for j in range(size)]
    rows = [padded[i : i + height : stride, j : j + width : stride] for i, j in shifts]
    return jnp.concatenate(rows, -1) @ weight.reshape(size * size * inputs, outputs)


class GroupNorm(eqx.Module):
    """Mean 0 and variance 1 in each group of channels (Wu & He, arXiv 1803.08494), then affine."""

    scale: Float[Array, " channels"]
    bias: Float[Array, " channels"]
    groups: int = eqx.field(static=True)

    def __init__(self, channels: int, scale: float = 1.0):
        self.scale = jnp.full(channels, scale, jnp.float32)
        self.bias = jnp.zeros(channels, jnp.float32)
        self.groups = math.gcd(max(1, channels // 4), GROUPS)

    def __call__(self, x: Float[Array, "*space channels"]) -> Float[Array, "*space channels"]:
        split = x.reshape(*x.shape[:-1], self.groups, -1)
        axes = (*range(x.ndim - 1), split.ndim - 1)
        centred = split - jnp.mean(split, axes, keepdims=True)
        variance = jnp.mean(centred**2, axes, keepdims=True)
        y = (centred / jnp.sqrt(variance + 1e-5)).reshape(x.shape)
        affine = [jnp.broadcast_to(leaf, x.shape) for leaf in (self.scale, self.bias)]
        return y * affine[0] + affine[1]


def _norm(norm: str | None, channels: int, scale: float = 1.0) -> Callable:
    if norm not in NORMS:
        raise InvalidInput(f"there is no norm {norm!r}: a network has norm None or 'group'.")
    return GroupNorm(channels, scale) if norm else eqx.nn.Identity()


class MLP(eqx.Module):
    """Flattens its input; `depth` hidden layers of `width` ReLUs; logits (classes)."""

    hidden: list[Linear]
    norms: list[Callable]
    head: Linear

    def __init__(
        self,
        shape: Sequence[int],
        classes: int,
        key: PRNGKeyArray,
        norm: str | None = None,
        width: int = 128,
        depth: int = 2,
    ):
        *keys, last = jax.random.split(key, depth + 1)
        sizes = [math.prod(shape), *[width] * depth]
        self.hidden = [Linear(sizes[i], sizes[i + 1], keys[i]) for i in range(depth)]
        self.norms = [_norm(norm, width) for _ in range(depth)]
        self.head = Linear(sizes[-1], classes, last, gain=1.0)

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, " classes"]:
        x = jnp.ravel(x)
        for layer, norm in zip(self.hidden, self.norms, strict=True):
            x = jax.nn.relu(norm(layer(x)))
        return self.head(x)


class Shortcut(eqx.Module):
    """A 1×1 convolution where a block changes resolution or width."""

    project: Conv
    norm: Callable

    def __init__(self, inputs: int, outputs: int, stride: int, norm: str | None, key: PRNGKeyArray):
        self.project = Conv(1, inputs, outputs, key, stride=stride, bias=not norm, gain=1.0)
        self.norm = _norm(norm, outputs)

    def __call__(self, x: Float[Array, "h w inputs"]) -> Float[Array, "g v outputs"]:
        return self.norm(self.project(x))


class Block(eqx.Module):
    """relu(shortcut(x) + conv(relu(conv(x)))); the last convolution, or its norm, is scaled."""

    first: Conv
    second: Conv
    norms: tuple[Callable, Callable]
    shortcut: Callable

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stride: int,
        scale: float,
        norm: str | None,
        key: PRNGKeyArray,
    ):
        keys, bias = jax.random.split(key, 3), not norm
        gain = math.sqrt(2) * (1.0 if norm else scale)
        self.first = Conv(3, inputs, outputs, keys[0], stride=stride, bias=bias)
        self.second = Conv(3, outputs, outputs, keys[1], bias=bias, gain=gain)
        self.norms = _norm(norm, outputs), _norm(norm, outputs, scale)
        same = stride == 1 and inputs == outputs
        self.shortcut = (
            eqx.nn.Identity() if same else Shortcut(inputs, outputs, stride, norm, keys[2])
        )

    def __call__(self, x: Float[Array, "h w inputs"]) -> Float[Array, "g v outputs"]:
        branch = jax.nn.relu(self.norms[0](self.first(x)))
        return jax.nn.relu(self.shortcut(x) + self.norms[1](self.second(branch)))


class Trunk(eqx.Module):
    """A 3×3 stem, then stages of two blocks; every stage after the first halves the resolution."""

    stem: Conv
    norm: Callable
    blocks: list[Block]

    def __init__(self, channels: int, widths: Sequence[int], norm: str | None, key: PRNGKeyArray):
        first, *keys = jax.random.split(key, 1 + 2 * len(widths))
        scale = 1 / math.sqrt(len(keys))
        self.stem = Conv(3, channels, widths[0], first, bias=not norm)
        self.norm = _norm(norm, widths[0])
        self.blocks = []
        inputs = widths[0]
        for index, block_key in enumerate(keys):
            outputs, stride = widths[index // 2], 2 if index % 2 == 0 and index > 0 else 1
            self.blocks.append(Block(inputs, outputs, stride, scale, norm, block_key))
            inputs = outputs

    def __call__(self, x: Float[Array, "h w channels"]) -> Float[Array, " outputs"]:
        x = jax.nn.relu(self.norm(self.stem(x)))
        for block in self.blocks:
            x = block(x)
        return jnp.mean(x, axis=(0, 1))


class SmallResNet(eqx.Module):
    """Four blocks of 8, 8, 16 and 16 channels for images of about 8×8; logits (classes)."""

    trunk: Trunk
    head: Linear

    def __init__(
        self, shape: Sequence[int], classes: int, key: PRNGKeyArray, norm: str | None = None
    ):
        keys, widths = jax.random.split(key), (8, 16)
        self.trunk = Trunk(_channels(shape, "SmallResNet"), widths, norm, keys[0])
        self.head = Linear(widths[-1], classes, keys[1], gain=1.0)

    def __call__(self, x: Float[Array, "h w channels"]) -> Float[Array, " classes"]:
        return self.head(self.trunk(x))


class ResNet18(eqx.Module):
    """ResNet-18 with the 3×3 stem for images of 32×32, 11.2 million parameters; logits (classes).

    Source: He, Zhang, Ren & Sun, arXiv 1512.03385, with the stem of its CIFAR networks.
    """

    trunk: Trunk
    head: Linear

    def __init__(
        self, shape: Sequence[int], classes: int, key: PRNGKeyArray, norm: str | None = None
    ):
        keys, widths = jax.random.split(key), (64, 128, 256, 512)
        self.trunk = Trunk(_channels(shape, "ResNet18"), widths, norm, keys[0])
        self.head = Linear(widths[-1], classes, keys[1], gain=1.0)

    def __call__(self, x: Float[Array, "h w channels"]) -> Float[Array, " classes"]:
        return self.head(self.trunk(x))


def _channels(shape: Sequence[int], name: str) -> int:
    if len(shape) != 3:
        told = "×".join(str(size) for size in shape)
        raise InvalidInput(
            f"{name} takes images of shape height×width×channels, not {told}: use the MLP."
        )
    return shape[2]


MODELS = {name: entry.load() for name, entry in catalogue.MODELS.items()}


def model(
    name: str, shape: Sequence[int], classes: int, key: PRNGKeyArray, norm: str | None = None
) -> eqx.Module:
    """The network called `name` for inputs of `shape`, float32, initialised from `key`.

    `name` is "mlp", "small-resnet" or "resnet18"; `norm` is None or "group". The network maps
    one input to logits of shape (classes,); `jax.vmap` it over a batch. `InvalidInput` for an
    unknown name or norm, and for a residual net on inputs that are no images.
    """
    return catalogue.find("model", name)[0].load()(tuple(shape), classes, key, norm)
