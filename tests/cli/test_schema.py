"""docs/cli.schema.json says what every command prints, and nothing else passes it."""

import copy

import jsonschema
import pytest
from golden import record
from golden.contract import contract

from samdyn.catalogue import COMMANDS
from samdyn.cli.main import build_parser


def answered(name):
    """A golden answer as the command prints it."""
    golden = record.load(name)
    return {
        "samdyn": "0",
        "command": golden["arguments"][0],
        "config": {**golden["config"], "device": None},
        "result": golden["result"],
    }


def test_it_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(contract.schema)


def test_it_knows_every_command_and_option():
    assert set(contract.schema["properties"]["command"]["enum"]) == set(COMMANDS)
    (commands,) = (action for action in build_parser()._actions if action.dest == "command")
    hidden = {"help", "json", "cache"}  # on which no result depends
    for name, parser in commands.choices.items():
        options = {action.dest for action in parser._actions} - hidden
        options |= {"dtype"} if name == "study" else set()
        assert set(contract.schema["$defs"][f"{name}_config"]["required"]) == options


def changed(answer, path, value):
    """A copy of the answer with one value changed; "…" removes it."""
    answer = copy.deepcopy(answer)
    *way, last = path
    place = answer
    for key in way:
        place = place[key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return answer


POINT = ("result", "fixed_points", 0)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("extra",), 1),
        (("config",), ...),
        (("config", "extra"), 1),
        (("config", "seed"), ...),
        (("command",), "stabilities"),
        (("command",), "sweep"),
        (("result", "extra"), 1),
        (("result", "warnings"), []),
        (("result", "complete", "consistent"), "no"),
        ((*POINT, "loss"), "low"),
        ((*POINT, "extra"), 1),
        ((*POINT, "w"), [None]),
        ((*POINT, "residual"), ...),
        ((*POINT, "kind"), "corner"),
        ((*POINT, "critical_type"), "minimal"),
        ((*POINT, "flow", "verdict"), "not a fixed map"),
        ((*POINT, "map", "verdict"), "stable"),
        ((*POINT, "map", "orbit"), "period-0"),
        ((*POINT, "map", "multipliers"), [1.0]),
    ],
)
def test_what_is_not_in_it_fails(path, value):
    answer = answered("stability-saddle-sam")
    assert contract.is_valid(answer)
    assert not contract.is_valid(changed(answer, path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("result", "warnings"), ["the step jumps"]),
        (("result", "complete", "consistent"), None),
        ((*POINT, "kind"), "kink"),
        ((*POINT, "loss"), None),
        ((*POINT, "flow", "verdict"), "unknown"),
        ((*POINT, "map", "verdict"), "not a fixed map"),
        ((*POINT, "map", "orbit"), "period-7"),
        ((*POINT, "enclosure"), [[0.0, 1.0]]),
        (("result", "complete", "undecided"), [{"box": [[0.0, 1.0]], "why": "undefined there"}]),
    ],
)
def test_what_may_be_unknown_or_absent_passes(path, value):
    assert contract.is_valid(changed(answered("stability-saddle-sam"), path, value))
