"""Arrows between modules run one way: no module imports, even lazily, what imports it."""

import ast
import pathlib

import samdyn

ROOT = pathlib.Path(samdyn.__file__).parent


def module_of(path: pathlib.Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in ROOT.rglob("*.py")}


def imported(name: str) -> set[str]:
    """The modules of samdyn that a module imports anywhere in its text, but for types alone."""
    path = MODULES[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found: set[str] = set()
    for node in _statements(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1]
            target = ".".join([*base, *([node.module] if node.module else [])])
            target = target if node.level else (node.module or "")
            found |= {
                f"{target}.{one.name}" if f"{target}.{one.name}" in MODULES else target
                for one in node.names
            }
        elif isinstance(node, ast.Import):
            found |= {one.name for one in node.names}
    return {target for target in found if target in MODULES and target not in ("samdyn", name)}


def _statements(tree: ast.AST):
    """Every node, but for what stands under `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        types = isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        if not types:
            yield node
            yield from _statements(node)


def circle_from(start: str, arrows: dict[str, set[str]]) -> list[str]:
    """A way along arrows from a module back to itself, if there is one."""
    ways, seen = [[start]], {start}
    while ways:
        way = ways.pop()
        for target in arrows[way[-1]]:
            if target == start:
                return [*way, start]
            if target not in seen:
                seen.add(target)
                ways.append([*way, target])
    return []


def test_no_module_imports_what_imports_it():
    arrows = {name: imported(name) for name in MODULES}
    assert sum(map(len, arrows.values())) > 300  # the reading works
    circles = [way for name in MODULES if (way := circle_from(name, arrows))]
    assert not circles, circles[0]


ORDER = (
    "results",
    "losses",
    "dynamics",
    "spectra",
    "growth",
    "attractors",
    "escape",
    "networks",
    "plot",
    "cli",
)


def test_rooms_import_in_one_direction():
    """A room knows those before it alone; attractors and escape do not know each other."""
    beside = {("escape", "attractors"), ("attractors", "spectra"), ("escape", "spectra")}
    for name in MODULES:
        room = name.split(".")[1] if name.count(".") else ""
        if room not in ORDER:
            continue
        for target in imported(name):
            other = target.split(".")[1]
            if other in ORDER:
                assert ORDER.index(other) <= ORDER.index(room), (name, target)
                assert (room, other) not in beside, (name, target)


def test_the_reading_finds_a_circle():
    arrows = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}
    assert circle_from("a", arrows) == ["a", "b", "c", "a"]
    assert circle_from("d", arrows) == []
