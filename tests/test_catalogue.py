"""The catalogue is the one place of names, and `samdyn --help` needs nothing else."""

import subprocess
import sys

import pytest

import samdyn
from samdyn import catalogue
from samdyn.catalogue import TABLES, Entry, find
from samdyn.dynamics.coupling import COUPLINGS
from samdyn.dynamics.methods.names import METHODS
from samdyn.escape.engine.stepping.schemes import SCHEMES
from samdyn.networks.training.models import MODELS

ENTRIES = [(kind, entry) for kind, table in TABLES.items() for entry in table.values()]
HEAVY = ("jax", "numpy", "equinox", "matplotlib", "scipy")


def imported_after(code):
    """Which of the heavy packages Python holds after this code."""
    told = f"import sys; {code}; print(*[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


def test_neither_the_catalogue_nor_help_imports_jax():
    assert imported_after("import samdyn.catalogue") == ""
    asked = "from samdyn.cli.main import main\ntry: main(['{}', '--help'])\nexcept SystemExit: pass"
    for command in ("stability", "study"):
        assert imported_after(f"exec({asked.format(command)!r})") == ""
    assert imported_after("from samdyn.cli.main import build_parser; build_parser()") == ""


@pytest.mark.parametrize(
    ("kind", "entry"), ENTRIES, ids=[f"{kind}-{entry.name}" for kind, entry in ENTRIES]
)
def test_every_entry_is_there_and_helps(kind, entry):
    assert isinstance(entry, Entry)
    assert entry.help
    assert TABLES[kind][entry.name] is entry
    assert entry.load() is not None


def test_tables_of_objects_derive_from_it():
    assert METHODS == tuple(catalogue.METHODS) == samdyn.METHODS
    assert list(COUPLINGS) == list(catalogue.COUPLINGS)
    assert list(SCHEMES) == list(catalogue.SCHEMES)
    assert list(MODELS) == list(catalogue.MODELS)
    for name, coupling in COUPLINGS.items():
        assert coupling.name == name
    for name, scheme in SCHEMES.items():
        assert scheme.name == name


@pytest.mark.parametrize("kind", TABLES)
def test_a_wrong_name_lists_the_right_ones(kind):
    with pytest.raises(samdyn.InvalidInput, match=f"there is no {kind} 'nothing'") as caught:
        find(kind, "nothing")
    assert str(caught.value).endswith(f"Accepted: {', '.join(TABLES[kind])}.")


def test_a_number_behind_a_name_is_handed_on():
    assert find("method", "sam-3") == (catalogue.METHODS["sam-K"], (3,))
    for name in ("sam-0", "sam-K", "gd-2"):
        with pytest.raises(samdyn.InvalidInput, match="there is no method"):
            find("method", name)


def test_what_is_a_path():
    for text in ("a/b.py:name", "package.module:Name", "module:name_2", "./x y.py:f"):
        assert catalogue.is_path(text)
    for text in ("sam", "white:1", "additive:0.5", "a.py:", ":b", "a.py:2b"):
        assert not catalogue.is_path(text)
