"""Does momentum help SAM more than SGD? The study of arXiv 2301.06308 at the scale of digits.

    python scripts/momentum_study.py [--out FOLDER]

writes figures/momentum_study.svg and prints its numbers. A small residual net without
normalisation or augmentation on 8×8 digits, SGD and SAM, under four rules of fairness: the step η
fixed, or η/(1 − γ) fixed; equal epochs, or equal steps. With --out what is finished is kept there,
and the same command goes on after an interruption. Seeds 0, 1, 2 are those of `study`.

The interaction is (SAM with the largest momentum − SAM with the smallest) − (the same for SGD) in
test accuracy, with Student's interval over the seeds: of the whole grid, and of its parts with one
radius or one batch size. About 25 minutes a grid of equal epochs and 70 of equal steps, on one
core; two can run side by side: `--rules fixed` and `--rules effective` into one --out, then all.
"""

import argparse
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

import samdyn
from samdyn.networks.interaction import interaction
from samdyn.plot.style import CYCLE, figure_legend, new_figure, styled

FOLDER = pathlib.Path(__file__).parent.parent / "figures"
MODEL, SEEDS = "small-resnet", 3
RHO, MOMENTUM, BATCHES = (0.05, 0.1, 0.2, 0.5), (0.0, 0.5, 0.9, 0.95), (16, 128, 1024)
BUDGETS = {"equal epochs": {"epochs": 30}, "equal steps": {"steps": 200}}
# The step η of each rule, or its η/(1 − γ): the largest at which SGD trains at every momentum.
RULES = {"fixed": 0.02, "effective": 0.1}


def run(rule: str, budget: str, out: pathlib.Path | None) -> samdyn.Study:
    """One grid; resumed where `out` holds a part of it."""
    folder = None if out is None else out / f"{rule}-{budget.replace(' ', '-')}"
    return samdyn.study(
        samdyn.digits(seed=0),
        ("gd", "sam"),
        RHO,
        MOMENTUM,
        BATCHES,
        RULES[rule],
        rule,
        seeds=SEEDS,
        model=MODEL,
        out=folder,
        resume=folder is not None and folder.is_dir(),
        **BUDGETS[budget],
    )


def accuracy(found: samdyn.Study, **wanted: Any) -> float:
    """Mean test accuracy of the runs with these settings; a diverged run counts as chance."""
    rows = [r for r in found.rows if all(getattr(r, k) == v for k, v in wanted.items())]
    return float(np.mean([0.1 if r.test_accuracy is None else r.test_accuracy for r in rows]))


def contrast(found: samdyn.Study, **wanted: Any) -> dict[str, Any]:
    """The interaction of the rows with these settings; SGD, which has no radius, enters always."""
    rows = [
        r
        for r in found.rows
        if all(getattr(r, k) == v or (k == "rho" and r.method == "gd") for k, v in wanted.items())
    ]
    one = interaction(rows)
    return {"estimate": one.estimate, "t95": one.t95}


def claims(found: samdyn.Study) -> dict[str, Any]:
    """What the paper says, as numbers: gains are differences of mean test accuracies."""
    largest, smallest = max(MOMENTUM), min(MOMENTUM)
    gain = lambda **wanted: (  # noqa: E731
        accuracy(found, momentum=largest, **wanted) - accuracy(found, momentum=smallest, **wanted)
    )
    best = {
        f"rho {r:g}": max(MOMENTUM, key=lambda m: accuracy(found, method="sam", rho=r, momentum=m))
        for r in RHO
    }
    return {
        "interaction": found.interaction.to_dict(),
        "interaction by rho": {str(r): contrast(found, rho=r) for r in RHO},
        "interaction by batch": {str(b): contrast(found, batch_size=b) for b in BATCHES},
        "SAM without momentum, by batch": {
            str(b): accuracy(found, method="sam", momentum=smallest, batch_size=b) for b in BATCHES
        },
        "SGD without momentum, by batch": {
            str(b): accuracy(found, method="gd", momentum=smallest, batch_size=b) for b in BATCHES
        },
        "gain from momentum, SAM, by batch": {
            str(b): gain(method="sam", batch_size=b) for b in BATCHES
        },
        "gain from momentum, SGD, by batch": {
            str(b): gain(method="gd", batch_size=b) for b in BATCHES
        },
        "best momentum": best,
        "seconds": found.seconds,
    }


def grids(rules: Sequence[str], out: pathlib.Path | None) -> dict[tuple[str, str], samdyn.Study]:
    """A study for every rule and budget."""
    return {(rule, budget): run(rule, budget, out) for rule in rules for budget in BUDGETS}


@styled
def momentum_study(folder: pathlib.Path, out: pathlib.Path | None = None) -> dict[str, Any]:
    """figures/momentum_study.svg and its numbers."""
    found = grids(tuple(RULES), out)
    figure, axes = new_figure(len(BATCHES), len(found), height=1.9)
    for row, ((rule, budget), one) in zip(axes, found.items(), strict=True):
        draw(row, one, f"{'η' if rule == 'fixed' else 'η/(1−γ)'} fixed, {budget}")
    for ax, batch in zip(axes[0], BATCHES, strict=True):
        ax.set_title(f"batch {batch}")
    for ax in axes[-1]:
        ax.set_xlabel("momentum γ")
    figure_legend(figure, list(axes.ravel()))
    samdyn.save(figure, folder / "momentum_study.svg")
    return {f"{rule}, {budget}": claims(one) for (rule, budget), one in found.items()}


def draw(row: Any, found: samdyn.Study, name: str) -> None:
    """A panel for each batch size: mean test accuracy against momentum."""
    places = np.arange(len(MOMENTUM))
    for ax, batch in zip(row, BATCHES, strict=True):
        lines = [("SGD", {"method": "gd"})]
        lines += [(f"SAM, ρ = {rho:g}", {"method": "sam", "rho": rho}) for rho in RHO]
        for k, (label, wanted) in enumerate(lines):
            means = [accuracy(found, momentum=m, batch_size=batch, **wanted) for m in MOMENTUM]
            ax.plot(places, means, "o-", ms=3.5, color=CYCLE[k], label=label)
        ax.set_xticks(places, [f"{m:g}" for m in MOMENTUM])
    row[0].set_ylabel(f"test accuracy\n{name}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, help="folder of finished runs")
    parser.add_argument("--rules", nargs="+", choices=RULES, help="only run these, into --out")
    args = parser.parse_args()
    if args.rules:
        grids(args.rules, args.out)
        return
    numbers = momentum_study(FOLDER, args.out)
    print(json.dumps(numbers, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
