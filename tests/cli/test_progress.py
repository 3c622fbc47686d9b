"""Without a terminal progress is a line now and then, not silence and not a flood."""

import io

import pytest

from samdyn import InvalidInput
from samdyn import progress as output


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(output.time, "monotonic", lambda: now[0])
    return now


def lines_of(stream, clock, monkeypatch, seconds):
    monkeypatch.setattr(output.sys, "stderr", stream)
    with output.telling(True, "basins") as tell:
        for second in range(seconds):
            clock[0] = float(second)
            tell(second / seconds)
    return stream.getvalue()


def test_a_file_gets_a_line_after_ten_seconds_and_then_every_thirty(clock, monkeypatch):
    text = lines_of(io.StringIO(), clock, monkeypatch, 100)
    lines = text.splitlines()
    assert len(lines) == 3  # at 10, 40 and 70 s
    assert all(line.startswith("basins") for line in lines)
    assert "\x1b" not in text


def test_a_short_command_says_nothing_to_a_file(clock, monkeypatch):
    assert lines_of(io.StringIO(), clock, monkeypatch, 9) == ""


def test_a_terminal_has_one_line_that_is_rewritten_and_removed(clock, monkeypatch):
    text = lines_of(Terminal(), clock, monkeypatch, 100)
    assert text.count("\r") == 101
    assert "\n" not in text
    assert text.endswith("\r\x1b[K")


def test_a_function_hears_one_payload_with_the_time_left(clock):
    heard = []
    with output.telling(heard.append, "basins") as tell:
        clock[0] = 3.0
        tell(0.25, "so far", {"open": 2})
    assert heard == [output.Progress("basins", 0.25, 3.0, "so far", {"open": 2})]
    assert heard[0].seconds_left == 9.0
    with pytest.raises(InvalidInput, match="None, True or a function"), output.telling("yes", "x"):
        pass
