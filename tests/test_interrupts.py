"""Ctrl-C is heard, also where the exception that it raises is swallowed."""

import gc
import json
import signal
import subprocess
import sys
import threading
import time

import pytest
import verbs

import samdyn
from samdyn.interrupts import GivenUp, giving_up, happened, heed, heeded

pytestmark = pytest.mark.usefixtures("sigint")


def swallowed_interrupt(*_):
    """As JAX swallows one that arrives while it calls Python."""
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        return
    pytest.fail("the handler has to raise")


def test_a_swallowed_interrupt_is_noticed_at_the_next_safe_point():
    with heeded():
        heed()
        swallowed_interrupt()
        with pytest.raises(KeyboardInterrupt):
            heed()
        heed()  # once is enough
    assert happened()


def test_what_nobody_waits_for_is_given_up_in_its_thread_alone():
    ended = threading.Event()
    with giving_up(ended.is_set):
        heed()
        ended.set()
        with pytest.raises(GivenUp):
            heed()
        other = threading.Thread(target=heed)
        other.start()
        other.join()
    heed()


def test_an_inner_use_leaves_the_note_to_the_outer_one():
    with heeded():
        handler = signal.getsignal(signal.SIGINT)
        swallowed_interrupt()
        with heeded():
            pass
        assert signal.getsignal(signal.SIGINT) is handler
        with pytest.raises(KeyboardInterrupt):
            heed()


def test_an_interrupt_that_arrives_is_not_raised_again():
    with heeded():
        with pytest.raises(KeyboardInterrupt), heeded():
            signal.raise_signal(signal.SIGINT)
        heed()


def test_no_note_outlives_the_outermost_use():
    with heeded():
        swallowed_interrupt()
    heed()
    with heeded():
        heed()


def test_an_error_restores_the_handler():
    with pytest.raises(ZeroDivisionError), heeded():
        _ = 1 / 0
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_of_somebody_else_is_left_alone():
    heard = []
    theirs = lambda *_: heard.append(1)  # noqa: E731
    signal.signal(signal.SIGINT, theirs)
    try:
        with heeded():
            assert signal.getsignal(signal.SIGINT) is theirs
            signal.raise_signal(signal.SIGINT)
            heed()
        assert signal.getsignal(signal.SIGINT) is theirs
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    assert heard


def test_a_handler_that_is_set_inside_stays():
    theirs = lambda *_: None  # noqa: E731
    try:
        with heeded():
            signal.signal(signal.SIGINT, theirs)
        assert signal.getsignal(signal.SIGINT) is theirs
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def test_another_thread_neither_hears_nor_disturbs():
    raised = []

    def work():
        try:
            with heeded():
                heed()
        except KeyboardInterrupt as error:
            raised.append(error)

    with heeded():
        swallowed_interrupt()
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert not raised
        with pytest.raises(KeyboardInterrupt):
            heed()


@pytest.mark.thorough
def test_an_interrupt_in_a_callback_of_the_garbage_collector_is_raised_after_it():
    after = []

    def callback(*_):
        if not after:
            signal.raise_signal(signal.SIGINT)
            after.append(1)

    def collect():
        with heeded():
            gc.collect()
            for _ in range(1000):
                time.sleep(0.01)

    gc.callbacks.append(callback)
    try:
        with pytest.raises(KeyboardInterrupt):
            collect()
    finally:
        gc.callbacks.remove(callback)
    assert after


def study(progress=None):
    data = samdyn.teacher_student(examples=60, test_examples=40, dim=5, classes=3)
    return verbs.study(
        data, "gd", momentum=0.0, batch_size=20, epochs=2, seeds=1, progress=progress
    )


def basins(progress=None):
    return verbs.basins(
        samdyn.get_loss("double-well-2d"),
        samdyn.GD(),
        box=[(-2.0, 2.0), (-2.0, 2.0)],
        grid=8,
        learning_rate=0.05,
        progress=progress,
    )


@pytest.mark.parametrize("computation", [study, basins])
@pytest.mark.thorough
def test_a_loop_ends_at_a_swallowed_interrupt_and_the_next_call_does_not(computation):
    assert computation(swallowed_interrupt).interrupted
    assert not computation().interrupted


CODE = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from samdyn.cli.main import console; console()"
)
COMMAND = [
    *(sys.executable, "-c", CODE, "study", "teacher-student", "--model", "mlp"),
    *("--rho", "0.1", "--momentum", "0,0.5,0.9", "--batch-size", "64", "--epochs", "100"),
    *("--seeds", "2", "--json"),
]


def test_an_interrupted_command_ends_and_what_it_stored_is_whole(tmp_path):
    folder, told = tmp_path / "out", tmp_path / "told"
    with told.open("w") as stderr:  # a pipe that nobody reads yet would hold up what fills it
        command = subprocess.Popen(
            [*COMMAND, "--out", folder], stdout=subprocess.PIPE, stderr=stderr, text=True
        )
        deadline = time.monotonic() + 120
        while not (folder / "cell_00000.json").exists() and time.monotonic() < deadline:
            assert command.poll() is None
            time.sleep(0.01)
        command.send_signal(signal.SIGINT)
        out, _ = command.communicate(timeout=60)
    error = told.read_text()
    assert command.returncode == 1, error
    assert "Fatal Python error" not in error
    result = json.loads(out)["result"]
    cells = [json.loads(file.read_text()) for file in sorted(folder.glob("cell_*.json"))]
    assert 1 <= len(cells) < 6
    assert len(result["rows"]) <= sum(len(cell["rows"]) for cell in cells)
