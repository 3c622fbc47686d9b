"""Small commands answer what they answered before: tests/golden, where `record.py` explains."""

import pytest
from golden import record
from golden.contract import contract
from golden.differences import differences, values_at


@pytest.mark.parametrize("name", record.names())
def test_a_command_answers_as_before(name):
    golden = record.load(name)
    found = record.replay(golden["arguments"])
    assert found["status"] == golden["status"], found
    if "stderr" in golden:
        assert found["stderr"] == golden["stderr"]
        assert found["stderr"].count("\n") == 1
        return
    answer = found["answer"]
    told = [f"{list(e.absolute_path)}: {e.message}" for e in contract.iter_errors(answer)]
    assert not told, "\n".join(told)
    for field, allowed in golden.get("one_of", {}).items():
        assert set(values_at(answer["result"], field)) <= set(allowed), answer
    if "one_of" not in golden:
        stored = {key: golden[key] for key in ("config", "result")}
        now = {key: record.steady(answer[key]) for key in stored}
        told = differences(stored, now, golden)
        assert not told, "\n".join([f"{len(told)} fields of {name} differ:", *told])


def test_every_command_has_a_golden_result():
    from samdyn.catalogue import COMMANDS

    shown = {record.load(name)["arguments"][0] for name in record.names()}
    assert shown == set(COMMANDS)


GOLDEN = {"fields": {"mean": {"atol": 0.1}, "b.x": {"rtol": 1e-3}}}


@pytest.mark.parametrize(
    ("stored", "found", "number"),
    [
        ({"x": 1.0}, {"x": 1.0 + 5e-10}, 0),
        ({"x": 1.0}, {"x": 1.0 + 5e-9}, 1),
        ({"x": 1.0}, {"x": None}, 1),
        ({"x": True}, {"x": 1}, 1),
        ({"x": [1.0, 2.0]}, {"x": [1.0]}, 1),
        ({"x": 1.0}, {}, 1),
        ({"x": 1.0}, {"x": 1.0, "y": None}, 1),
        ({"x": "a"}, {"x": "b"}, 1),
        ({"why": "a"}, {"why": "b"}, 0),
        ({"why": "a"}, {"why": ""}, 1),
        ({"mean": [{"y": 1.0}, 2.0]}, {"mean": [{"y": 1.09}, 2.2]}, 1),
        ({"b": [{"x": 1.0, "y": 1.0}]}, {"b": [{"x": 1.0009, "y": 1.0009}]}, 1),
    ],
)
def test_what_counts_as_a_difference(stored, found, number):
    assert len(differences(stored, found, GOLDEN)) == number


def test_values_are_found_by_the_end_of_their_path():
    result = {"a": [{"flow": {"verdict": "saddle"}}, {"map": {"verdict": "unknown"}}]}
    assert values_at(result, "verdict") == ["saddle", "unknown"]
    assert values_at(result, "map.verdict") == ["unknown"]
    assert values_at(result, "dict") == []
