"""What differs between a golden result and the one a command gives now."""

from typing import Any

# for people: that there is a text is compared, not its words
WORDING = ("why", "sentence", "complete.method", "warnings", "checked", "weighing")
RTOL, ATOL = 1e-9, 1e-12  # double precision of closed forms and of what Newton converged to


def differences(stored: Any, found: Any, golden: dict[str, Any], path: str = "") -> list[str]:
    """One line for each value that differs by more than `golden` allows.

    Numbers a, b agree where |a − b| ≤ atol + rtol·|a|. `golden["fields"]` maps a name, or the end
    of a path such as "flow.eigenvalues", to its own {"rtol", "atol"}; they hold for what is below
    it, too, and the innermost counts. What random paths give may differ by 4√2 standard errors,
    as far as two seeds are apart: a processor that rounds otherwise can send a path another way.
    """
    if isinstance(stored, dict) and isinstance(found, dict):
        return _of_mappings(stored, found, golden, path)
    if isinstance(stored, list) and isinstance(found, list):
        if len(stored) != len(found):
            return [f"{path}: {len(stored)} entries stored, {len(found)} found"]
        pairs = enumerate(zip(stored, found, strict=True))
        return [x for i, (a, b) in pairs for x in differences(a, b, golden, f"{path}[{i}]")]
    if _is_number(stored) and _is_number(found):
        rtol, atol = _tolerance(golden, path)
        agree = abs(stored - found) <= atol + rtol * abs(stored)
        return [] if agree else [f"{path}: {stored!r} stored, {found!r} found ({rtol=}, {atol=})"]
    if isinstance(stored, str) and isinstance(found, str) and found and _ends(path, WORDING):
        return []
    same = stored == found and type(stored) is type(found)
    return [] if same else [f"{path}: {stored!r} stored, {found!r} found"]


def _of_mappings(stored: dict, found: dict, golden: dict[str, Any], path: str) -> list[str]:
    told = [f"{path}.{key}: no longer there" for key in stored if key not in found]
    told += [f"{path}.{key}: new" for key in found if key not in stored]
    for key in stored.keys() & found.keys():
        told += differences(stored[key], found[key], golden, f"{path}.{key}" if path else key)
    return told


def values_at(value: Any, name: str, path: str = "") -> list[Any]:
    """Every value of which the path ends in `name`."""
    here = [value] if _ends(path, (name,)) else []
    if isinstance(value, dict):
        return here + [x for k, v in value.items() for x in values_at(v, name, f"{path}.{k}")]
    if isinstance(value, list):
        return here + [x for v in value for x in values_at(v, name, path + "[]")]
    return here


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _tolerance(golden: dict[str, Any], path: str) -> tuple[float, float]:
    own: dict[str, float] = {}
    parts = _bare(path).split(".")
    for length in range(1, len(parts) + 1):
        for name, tolerance in golden.get("fields", {}).items():
            if _ends(".".join(parts[:length]), (name,)):
                own = tolerance
    own = own or {"rtol": golden.get("rtol", RTOL), "atol": golden.get("atol", ATOL)}
    return own.get("rtol", 0.0), own.get("atol", 0.0)


def _bare(path: str) -> str:
    """The path without indices."""
    return ".".join(part.split("[")[0] for part in path.split("."))


def _ends(path: str, names: tuple[str, ...]) -> bool:
    return any(f".{_bare(path)}".endswith(f".{name}") for name in names)
