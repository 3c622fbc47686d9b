"""What is linked may lie anywhere in memory."""

import collections
import platform
import struct

import jax
import jax.numpy as jnp
import pytest

from samdyn.programs.machine import columns, compiled
from samdyn.programs.tracing.flatten import flatten

RELOCATIONS = 4  # the type of a section of these (ELF, SHT_RELA)
WHOLE_ADDRESS = 1  # R_X86_64_64; all others of this list are offsets of 32 bits


def relocations(code: bytes) -> collections.Counter:
    """How many of each type are in an object file."""
    head = struct.unpack_from("<16sHHIQQQIHHHHHH", code)
    first, size, count = head[6], head[11], head[12]
    found: collections.Counter = collections.Counter()
    for number in range(count):
        section = struct.unpack_from("<IIQQQQIIQQ", code, first + number * size)
        if section[1] == RELOCATIONS:
            entries = range(section[4], section[4] + section[5], 24)
            found.update(struct.unpack_from("<QQq", code, at)[1] & 0xFFFFFFFF for at in entries)
    return found


@pytest.mark.skipif(platform.machine() != "x86_64", reason="types of another processor")
def test_code_finds_its_constants_however_far_away_they_are():
    """The linker puts code and constants where there is room, at times more than 2 GiB apart; an
    offset of 32 bits would then end the process."""
    number = jax.ShapeDtypeStruct((), float)
    program = flatten(lambda x: jnp.sin(x) * 2.5 + jnp.exp(x), number)
    code = compiled._object(columns._text(program, 1, 8, compiled.triple()))
    found = relocations(code)
    assert found[WHOLE_ADDRESS] > 10
    assert set(found) == {WHOLE_ADDRESS}
