"""Ctrl-C that cannot get lost: it is also noted, and long loops ask for the note at safe points.

Python raises KeyboardInterrupt wherever the main thread happens to be. Where that is a callback
of the garbage collector (JAX has one), a finalizer or the like, the exception is printed as
"ignored", and the computation goes on. Within `heeded()` the handler therefore leaves a note
before it raises; `heed()` raises again if the note is still there. In a callback of the collector
the handler does not even try, but comes again a moment later.

    try:
        with heeded():
            for block in blocks:
                compute(block)
                heed()
    except KeyboardInterrupt:
        ...  # keep what there is

In other threads, and where the program handles SIGINT in a way of its own, nothing is done. There
`heed()` can be told by `giving_up(…)` to end what nobody waits for any more.
"""

import _thread
import contextlib
import gc
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

LATER = 0.01  # seconds: longer than most callbacks of the garbage collector take


class _Note:
    """Plain attributes: a lock could be held by the very code that the signal interrupts."""

    pending = False  # raised, and not known to have arrived
    ever = False


@contextlib.contextmanager
def heeded() -> Iterator[None]:
    """Interrupts are noted inside. Uses nest; the outermost sets up the handler and restores it.

    A KeyboardInterrupt that leaves the block has arrived: its note goes, so that whoever catches
    it can go on and is not interrupted again.
    """
    if not _in_main_thread():
        yield
        return
    outermost = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    try:
        if outermost:
            _Note.pending = False
            signal.signal(signal.SIGINT, _interrupt)
        yield
    except KeyboardInterrupt:
        _Note.pending = False
        raise
    finally:
        if outermost:
            _restore()


class GivenUp(Exception):
    """What was computed is not wanted any more."""


_thread_local = threading.local()


@contextlib.contextmanager
def giving_up(unwanted: Callable[[], bool]) -> Iterator[None]:
    """`heed()` raises `GivenUp` inside, in this thread, once `unwanted()` is true."""
    before = getattr(_thread_local, "unwanted", None)
    _thread_local.unwanted = unwanted
    try:
        yield
    finally:
        _thread_local.unwanted = before


def heed() -> None:
    """Raise KeyboardInterrupt if one was raised since `heeded()` and has not arrived; `GivenUp`
    where this thread's work is not wanted any more."""
    unwanted = getattr(_thread_local, "unwanted", None)
    if unwanted is not None and unwanted():
        raise GivenUp
    if _Note.pending and _in_main_thread():
        _Note.pending = False
        raise KeyboardInterrupt


def happened() -> bool:
    """Has there been any interrupt within `heeded()`, arrived or not, since the program began?"""
    return _Note.ever


def _interrupt(number: int, frame: FrameType | None) -> None:
    _Note.pending = _Note.ever = True
    if _in_gc_callback(frame):
        _thread.start_new_thread(_again, ())  # the bare one: it takes no lock of Python's
    else:
        signal.default_int_handler(number, frame)


def _again() -> None:
    time.sleep(LATER)
    if _Note.pending:
        _thread.interrupt_main()


def _in_gc_callback(frame: FrameType | None) -> bool:
    """Python ignores what is raised there. JAX has such a callback, and it runs very often."""
    codes = [getattr(callback, "__code__", None) for callback in gc.callbacks]
    while frame is not None:
        if any(frame.f_code is code for code in codes):
            return True
        frame = frame.f_back
    return False


def _restore() -> None:
    if signal.getsignal(signal.SIGINT) is _interrupt:  # else somebody has set another inside
        signal.signal(signal.SIGINT, signal.default_int_handler)
    _Note.pending = False


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
