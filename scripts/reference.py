"""Write docs/reference.md: every public name with the first sentence of what it says of itself."""

import inspect
import pathlib
import re

import samdyn

TARGET = pathlib.Path(__file__).parent.parent / "docs" / "reference.md"
VERBS = (
    *(
        "stability",
        "sweep",
        "diagram",
        "basins",
        "threshold",
        "manifolds",
        "trajectory",
        "portrait",
        "explore",
    ),
    *("escape_times", "spread", "theory", "exponents", "diagnose", "study"),
)
SYSTEMS = (
    *("ODE", "Flow", "Map", "StepMap", "OptaxStepMap", "SDE", "Diffusion"),
    *("StochasticStepMap", "MinibatchStepMap"),
)
HEAD = """# Every public name

Written by `scripts/reference.py` from the docstrings; `help(samdyn.stability)` tells all of each.
"""


def first_sentence(thing: object) -> str:
    """Of its docstring, in one line; what it is, where it has none."""
    text = inspect.getdoc(thing) or ""
    if not text or not (inspect.isroutine(thing) or inspect.isclass(thing)):
        return f"`{thing!r:.60}`" if not inspect.ismodule(thing) else text.split("\n")[0]
    flat = re.sub(r"\s+", " ", text.split("\n\n")[0])
    return re.split(r"(?<=[.:;]) (?=[A-Z`])", flat)[0].rstrip(":;")


def page() -> str:
    """The page as text."""
    names = [name for name in samdyn.__all__ if name not in (*VERBS, *SYSTEMS)]
    abstract = [name for name in names if name.startswith("Abstract")]
    rest = [name for name in names if name not in abstract]
    parts = [HEAD]
    for title, chosen in (
        ("Verbs", VERBS),
        ("Systems", SYSTEMS),
        ("What can be added from outside", abstract),
        ("Everything else", sorted(rest, key=str.lower)),
    ):
        lines = [f"* `{name}`: {first_sentence(getattr(samdyn, name))}" for name in chosen]
        parts.append(f"## {title}\n\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    TARGET.write_text(page())
