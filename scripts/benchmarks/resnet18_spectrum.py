"""Both ends of the Hessian of a ResNet-18: products and peak memory, beside curvlinops.

11.2 million parameters, no batch norm, one batch of 128 images of 32×32 (noise with random
labels: the cost does not depend on them), float32. Each contestant runs in a process of its own,
so that peak memory is its own. curvlinops gives products to SciPy's ARPACK, asked for both ends,
and takes the parameters of the first contestant: both look for the same two numbers.
"""

import argparse
import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

BATCH, CLASSES, RTOL, SEED = 128, 10, 0.01, 0


def peak_mebibytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def images(count: int):
    import numpy as np

    random = np.random.default_rng(SEED)
    x = random.standard_normal((count, 32, 32, 3)).astype(np.float32)
    return x, random.integers(0, CLASSES, count)


def ours(batch: int, part: int, krylov: int, limit: int, weights: str | None) -> dict:
    import jax
    import jax.numpy as jnp
    import numpy as np

    import samdyn

    net = samdyn.ResNet18((32, 32, 3), CLASSES, jax.random.key(SEED))
    if weights:
        np.savez(weights, *jax.tree.leaves(net))
    x, y = images(batch)
    batches = [
        (jnp.asarray(x[i : i + part]), jnp.asarray(y[i : i + part])) for i in range(0, batch, part)
    ]

    def loss(net, batch):
        logits = jax.vmap(net)(batch[0])
        chosen = jnp.take_along_axis(logits, batch[1][:, None], 1)[:, 0]
        return jnp.mean(jax.nn.logsumexp(logits, axis=1) - chosen)

    before = peak_mebibytes()
    began = time.perf_counter()
    operator = samdyn.hessian(loss, net, batches, check=False)
    built = time.perf_counter() - began
    ends = samdyn.spectrum_ends(operator, krylov, RTOL, limit, progress=_report)
    return {
        "products": operator.products,
        "low": [ends.low.value, ends.low.residual],
        "high": [ends.high.value, ends.high.residual],
        "converged": ends.converged,
        "build_seconds": built,
        "seconds": time.perf_counter() - began - built,
        "peak_mebibytes": peak_mebibytes() - before,
        "estimate_mebibytes": samdyn.memory_bytes(operator, krylov) / 2**20,
        "vector_mebibytes": operator.dim * 4 / 2**20,
    }


def _report(look) -> None:
    low, high = look.values
    print(
        f"  {look.products:3} products, {look.seconds:5.0f} s: {low:+.4g} ± {look.residuals[0]:.1g}"
        f", {high:+.4g} ± {look.residuals[1]:.1g}",
        file=sys.stderr,
        flush=True,
    )


def peer(batch: int, part: int, krylov: int, limit: int, weights: str) -> dict:
    import numpy as np
    import scipy.sparse.linalg
    import torch
    from curvlinops import HessianLinearOperator

    torch.manual_seed(SEED)
    torch.set_num_threads(2)
    net = torch_resnet18(torch)
    params = list(net.parameters())
    take_over(params, weights)
    dim = sum(p.numel() for p in params)
    x, y = images(batch)
    data = [
        (torch.from_numpy(x[i : i + part]).permute(0, 3, 1, 2), torch.from_numpy(y[i : i + part]))
        for i in range(0, batch, part)
    ]
    before = peak_mebibytes()
    began = time.perf_counter()
    operator = HessianLinearOperator(
        net, torch.nn.CrossEntropyLoss(), params, data, check_deterministic=False
    )
    products = 0

    def matvec(v):
        nonlocal products
        products += 1
        print(f"  {products:3} products, {time.perf_counter() - began:5.0f} s", file=sys.stderr)
        with torch.enable_grad():
            return (operator @ torch.from_numpy(v.astype(np.float32)).reshape(-1)).numpy()

    linear = scipy.sparse.linalg.LinearOperator((dim, dim), matvec, dtype=np.float32)
    try:
        values = scipy.sparse.linalg.eigsh(
            linear, k=2, which="BE", ncv=krylov, tol=RTOL, return_eigenvectors=False,
            maxiter=max(1, limit // krylov),
        )  # fmt: skip
        converged = True
    except scipy.sparse.linalg.ArpackNoConvergence as error:
        values, converged = error.eigenvalues, False
    return {
        "products": products,
        "values": [float(v) for v in values],
        "converged": converged,
        "seconds": time.perf_counter() - began,
        "peak_mebibytes": peak_mebibytes() - before,
        "vector_mebibytes": dim * 4 / 2**20,
    }


def torch_resnet18(torch):
    """The same network in PyTorch: 3×3 stem, two blocks for each width, no normalisation."""
    nn = torch.nn

    class Block(nn.Module):
        def __init__(self, inputs, outputs, stride):
            super().__init__()
            self.one = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=True)
            self.two = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=True)
            same = stride == 1 and inputs == outputs
            self.short = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride)

        def forward(self, x):
            return torch.relu(self.two(torch.relu(self.one(x))) + self.short(x))

    widths = [64, 64, 128, 128, 256, 256, 512, 512]
    blocks, previous = [nn.Conv2d(3, 64, 3, 1, 1), nn.ReLU()], 64
    for width in widths:
        blocks.append(Block(previous, width, 1 if width == previous else 2))
        previous = width
    blocks += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, CLASSES)]
    return nn.Sequential(*blocks)


def take_over(params: list, weights: str) -> None:
    """Our parameters: the same order, another order of axes."""
    import numpy as np
    import torch

    axes = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}
    with np.load(weights) as leaves, torch.no_grad():
        for parameter, leaf in zip(params, leaves.values(), strict=True):
            parameter.copy_(torch.from_numpy(leaf.transpose(axes[leaf.ndim])))


def alone(who: str, arguments: list[str], python: str) -> dict:
    """One contestant in a process of its own."""
    command = [python, __file__, "--only", who, *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--part", type=int, default=32, help="images at a time")
    parser.add_argument("--krylov", type=int, default=24)
    parser.add_argument("--limit", type=int, default=58, help="products before the last check")
    parser.add_argument("--only", choices=("samdyn", "curvlinops"))
    parser.add_argument("--weights", help="where the first leaves its parameters for the second")
    parser.add_argument("--without-peer", action="store_true")
    parser.add_argument("--peer-python", default=sys.executable, help="an interpreter with torch")
    args = parser.parse_args()
    settings = (args.batch, args.part, args.krylov, args.limit)
    if args.only:
        contestant = ours if args.only == "samdyn" else peer
        print(json.dumps(contestant(*settings, args.weights)))
        return
    names = ("--batch", "--part", "--krylov", "--limit")
    options = [text for pair in zip(names, map(str, settings), strict=True) for text in pair]
    with tempfile.TemporaryDirectory() as folder:
        options += ["--weights", str(pathlib.Path(folder) / "weights.npz")]
        results = {"samdyn": alone("samdyn", options, sys.executable)}
        if not args.without_peer:
            results["curvlinops"] = alone("curvlinops", options, args.peer_python)
    for name, result in results.items():
        print(name)
        for key, value in result.items():
            print(f"  {key:20} {value}")
        vectors = result["peak_mebibytes"] / result["vector_mebibytes"]
        print(f"  {'peak in vectors':20} {vectors:.1f}")


if __name__ == "__main__":
    main()
