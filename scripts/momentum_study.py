"""Does momentum help SAM more than SGD? The study of arXiv 2301.06308 at the scale of digits.

    python scripts/momentum_study.py [--redraw] [--out FOLDER]

writes figures/momentum_study.svg and .csv, a line for each run, and prints the numbers; with
--redraw it trains nothing and takes the runs from the CSV. A small residual net without
normalisation or augmentation on 8×8 digits, SGD and SAM, under four rules of fairness: the step η
fixed, or η/(1 − γ) fixed; equal epochs, or equal steps. With --out what is finished is kept there,
and the same command goes on after an interruption. Seeds 0, 1, 2 are those of `study`.

The interaction is (SAM with the largest momentum − SAM with the smallest) − (the same for SGD) in
test accuracy, with Student's interval over the seeds: of the whole grid, and of its parts with one
radius or one batch size. About 25 minutes a grid of equal epochs and 45 of equal steps, on one
core; two can run side by side: `--rules fixed` and `--rules effective` into one --out, then all.
"""

import argparse
import ast
import csv
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

import samdyn
from samdyn.networks.studying.interaction import Row
from samdyn.plot.legends import figure_legend
from samdyn.plot.style import CYCLE, new_figure, styled

FOLDER = pathlib.Path(__file__).parent.parent / "figures"
MODEL, SEEDS = "small-resnet", 3
RHO, MOMENTUM, BATCHES = (0.05, 0.1, 0.2, 0.5), (0.0, 0.5, 0.9, 0.95), (16, 128, 1024)
BUDGETS = {"equal epochs": {"epochs": 30}, "equal steps": {"steps": 200}}
# The step η of each rule, or its η/(1 − γ): the largest at which SGD trains at every momentum.
RULES = {"fixed": 0.02, "effective": 0.1}
MARKS = "os^Dv"  # lines are told apart in grey as well
TEXT = ("rule", "budget", "method", "status")  # columns of the CSV that are no numbers

Grids = dict[tuple[str, str], samdyn.Study]


def run(rule: str, budget: str, out: pathlib.Path | None) -> samdyn.Study:
    """One grid; resumed where `out` holds a part of it."""
    folder = None if out is None else out / f"{rule}-{budget.replace(' ', '-')}"
    return samdyn.study(
        ("gd", "sam"),
        samdyn.digits(seed=0),
        rho=RHO,
        momentum=MOMENTUM,
        batch_size=BATCHES,
        learning_rate=RULES[rule],
        lr_rule=rule,
        seeds=SEEDS,
        model=MODEL,
        out=folder,
        resume=folder is not None and folder.is_dir(),
        **BUDGETS[budget],
    )


def accuracy(found: samdyn.Study, **wanted: Any) -> float:
    """Mean test accuracy of the runs with these settings; a diverged run counts as chance."""
    rows = found.select(**wanted).rows
    return float(np.mean([0.1 if r.test_accuracy is None else r.test_accuracy for r in rows]))


def contrast(found: samdyn.Study) -> dict[str, Any]:
    """Estimate and interval of the interaction of these runs."""
    one = found.interaction
    return {"estimate": one.estimate, "t95": one.t95}


def claims(found: samdyn.Study) -> dict[str, Any]:
    """What the paper says, as numbers: gains are differences of mean test accuracies."""
    largest, smallest = max(MOMENTUM), min(MOMENTUM)
    by_batch = lambda value: {str(b): value(b) for b in BATCHES}  # noqa: E731

    def gain(method: str, batch: int) -> float:
        high, low = (
            accuracy(found, method=method, momentum=m, batch_size=batch)
            for m in (largest, smallest)
        )
        return high - low

    def plain(method: str, batch: int) -> float:
        return accuracy(found, method=method, momentum=smallest, batch_size=batch)

    def large_batch(rho: float) -> float:
        wanted = {"method": "sam", "momentum": smallest, "batch_size": max(BATCHES), "rho": rho}
        return accuracy(found, **wanted)

    best = {
        f"rho {r:g}": max(MOMENTUM, key=lambda m: accuracy(found, method="sam", rho=r, momentum=m))
        for r in RHO
    }
    return {
        "runs": len(found.rows),
        "interaction": found.interaction.to_dict(),
        "interaction by rho": {str(r): contrast(found.select(rho=r)) for r in RHO},
        "interaction by batch": by_batch(lambda b: contrast(found.select(batch_size=b))),
        "SAM without momentum, by batch": by_batch(lambda b: plain("sam", b)),
        "SGD without momentum, by batch": by_batch(lambda b: plain("gd", b)),
        "SAM without momentum, largest batch, by rho": {str(r): large_batch(r) for r in RHO},
        "gain from momentum, SAM, by batch": by_batch(lambda b: gain("sam", b)),
        "gain from momentum, SGD, by batch": by_batch(lambda b: gain("gd", b)),
        "best momentum": best,
    }


def grids(rules: Sequence[str], out: pathlib.Path | None) -> Grids:
    """A study for every rule and budget."""
    return {(rule, budget): run(rule, budget, out) for rule in rules for budget in BUDGETS}


def write_runs(found: Grids, path: pathlib.Path) -> None:
    """Every run as a line: rule, budget, and the fields of a row of `study`."""
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["rule", "budget", *Row._fields])
        for names, one in found.items():
            writer.writerows([*names, *row] for row in one.rows)


def read_runs(path: pathlib.Path) -> Grids:
    """The studies that `write_runs` wrote, without their curves and options."""
    rows: dict[tuple[str, str], list[Row]] = {}
    with path.open(newline="") as stream:
        for line in csv.DictReader(stream):
            values = {k: v if k in TEXT else ast.literal_eval(v or "None") for k, v in line.items()}
            names = values.pop("rule"), values.pop("budget")
            rows.setdefault(names, []).append(Row(**values))
    return {
        names: samdyn.Study(some, [[]] * len(some), {}, len(some), False, 0.0)
        for names, some in rows.items()
    }


@styled
def momentum_study(folder: pathlib.Path, found: Grids | None = None) -> dict[str, Any]:
    """figures/momentum_study.svg and its numbers, from the runs of the CSV or those given."""
    if found is None:
        found = read_runs(folder / "momentum_study.csv")
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
            look = {"marker": MARKS[k], "ms": 3.5, "lw": 1.0, "color": CYCLE[k]}
            ax.plot(places, means, label=label, **look)
        ax.set_xticks(places, [f"{m:g}" for m in MOMENTUM])
    row[0].set_ylabel(f"test accuracy\n{name}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, help="folder of finished runs")
    parser.add_argument("--rules", nargs="+", choices=RULES, help="only run these, into --out")
    parser.add_argument("--redraw", action="store_true", help="from the CSV, without training")
    args = parser.parse_args()
    if args.rules and (args.redraw or not args.out):
        parser.error("--rules runs into a folder: give --out, without --redraw")
    if not args.redraw:
        found = grids(args.rules or tuple(RULES), args.out)
        if args.rules:
            return
        write_runs(found, FOLDER / "momentum_study.csv")
    print(json.dumps(momentum_study(FOLDER), indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
