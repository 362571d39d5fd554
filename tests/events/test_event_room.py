"""Room for decoded events: what is kept survives growth, whether a block lay there already or elsewhere."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rheobase.events.room import ARRAYS, Room
from rheobase.events.stream import Block


def numbers(first, count):
    return {name: (np.arange(first, first + count) % 200).astype(kind) for name, kind in ARRAYS.items()}


def decoded(room, first, count):
    """A block as a decoder makes it: written to free entries."""
    room.free(count + 1)
    block = room.decoded(count, str)
    for name, values in numbers(first, count).items():
        getattr(block, name)[:] = values
    return block


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 90), st.sampled_from(["here", "part", "elsewhere", "dropped"])), max_size=12
    )
)
def test_what_is_kept_survives(blocks):
    room, kept, first = Room(3), [], 0
    for count, how in blocks:
        if how == "elsewhere":
            block = Block(**{k: v.astype(np.int64) for k, v in numbers(first, count).items()}, place=str)
        else:
            block = decoded(room, first, count)
        if how == "part":
            block = block.part(count // 3, count)
        if how != "dropped":
            kept += block.t.tolist()
            room.append(block)
        first += count
    taken = room.take()
    for name, kind in ARRAYS.items():
        assert taken[name].dtype == kind
        assert taken[name].tolist() == [value % 200 for value in kept]
    assert room.count == 0 and room.take()["t"].size == 0


def test_a_block_that_lies_there_is_kept_without_a_copy():
    room = Room(100)
    block = decoded(room, 0, 50)
    address = block.t.ctypes.data
    room.append(block)
    assert room.free(1)[2] == address + 50 * 8
    assert room.take()["t"].ctypes.data == address
