"""What the pages print, kept in docs/outputs/, and whether it is still what they print.

Words must be the same. Numbers may differ by rounding: by two units of the last digit printed, by
1e-6 of themselves, or by anything if both are below 1e-9, where they are rounding themselves.
"""

import json
import pathlib
import re
from collections.abc import Iterator

NUMBER = re.compile(r"(?<![A-Za-z_])[-−+]?\d+(?:[.,]\d+)*(?:e[-+]?\d+)?")
RELATIVE, NOTHING, PLACES = 1e-6, 1e-9, 2.0


def printed(notebook: pathlib.Path) -> str:
    """All text that the cells of an executed notebook put out, in order."""
    parts = []
    for cell in json.loads(notebook.read_text("utf-8"))["cells"]:
        streamed = False
        for output in cell.get("outputs", []):
            if output["output_type"] == "stream":
                # the pages merge a cell's streams into the first of them
                parts.append("" if streamed else "".join(output["text"]))
                streamed = True
            elif not {"image/png", "image/svg+xml"} & set(output.get("data", {})):
                parts.append("".join(output.get("data", {}).get("text/plain", "")) + "\n")
    lines = (line.rstrip() for line in "".join(parts).splitlines())
    return "\n".join(lines).strip() + "\n"


def read(folder: pathlib.Path, ending: str) -> dict[str, str]:
    """What each page prints, by its name: of executed notebooks, or as it was kept."""
    files = sorted(folder.rglob(f"*.{ending}"))
    reader = printed if ending == "ipynb" else lambda file: file.read_text("utf-8")
    return {str(file.relative_to(folder).with_suffix("")): reader(file) for file in files}


def keep(found: dict[str, str], folder: pathlib.Path) -> None:
    """Write what the pages print in place of what was kept."""
    for old in folder.rglob("*.txt"):
        old.unlink()
    for name, text in found.items():
        target = folder / f"{name}.txt"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")


def changes(kept: dict[str, str], found: dict[str, str]) -> Iterator[str]:
    """One line for each page whose output has changed: the first line that differs."""
    for name in sorted(kept.keys() | found.keys()):
        if name not in found:
            yield f"{name} is kept, but no such page ran"
        elif name not in kept:
            yield f"{name} ran, and what it prints is not kept"
        else:
            before, now = kept[name].splitlines(), found[name].splitlines()
            pairs = zip(before, now, strict=False)
            first = next(((b, n) for b, n in pairs if not same(b, n)), None)
            if first:
                yield f"{name} printed {first[0]!r}, and now {first[1]!r}"
            elif len(before) != len(now):
                yield f"{name} printed {len(before)} lines, and now {len(now)}"


def same(before: str, now: str) -> bool:
    """Whether two lines have the same words and, but for rounding, the same numbers."""
    one, other = NUMBER.findall(before), NUMBER.findall(now)
    if len(one) != len(other) or _words(before) != _words(now):
        return False
    return all(map(_close, one, other))


def _words(line: str) -> list[str]:
    return NUMBER.sub("#", line).split()  # columns move with the width of a number


def _close(one: str, other: str) -> bool:
    if one == other:
        return True
    a, b = _value(one), _value(other)
    if max(abs(a), abs(b)) < NOTHING:
        return True
    if all(re.fullmatch(r"[-−+]?[\d,]+", text) for text in (one, other)):
        return False  # whole numbers are counts
    place = max(_place(one), _place(other))
    return abs(a - b) <= max(RELATIVE * max(abs(a), abs(b)), PLACES * place * (1 + 1e-9))


def _value(text: str) -> float:
    return float(text.replace(",", "").replace("−", "-"))


def _place(text: str) -> float:
    """The size of the last digit that is printed."""
    digits, _, power = text.replace(",", "").partition("e")
    return 10.0 ** (int(power or 0) - len(digits.partition(".")[2]))
