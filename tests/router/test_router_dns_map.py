"""The map, against the plainest that could be: a table of all addresses, and a radix tree."""

import random
from typing import Any

import pytest
from dns_world import done
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeproxy.router.dns_map import CLAMP, AnswerMap, AnswerSet, Ranges, merging, overlaying

WIDTH = 6
SETS = [AnswerSet((name,)) for name in "abc"]
BLOCKS = st.lists(
    st.integers(0, WIDTH).flatmap(
        lambda bits: st.tuples(
            st.integers(0, (1 << bits) - 1).map(lambda number: number << (WIDTH - bits)),
            st.just(bits),
            st.sampled_from(SETS),
        )
    ),
    max_size=12,
    unique_by=lambda block: block[:2],
)
BASES = st.lists(st.sampled_from(SETS), min_size=1 << WIDTH, max_size=1 << WIDTH)


def table(base: list[AnswerSet], blocks: Any) -> list[AnswerSet]:
    found = list(base)
    for first, bits, value in sorted(blocks, key=lambda block: int(block[1])):
        found[first : first + (1 << (WIDTH - bits))] = [value] * (1 << (WIDTH - bits))
    return found


def leaf(whole: list[AnswerSet], address: int) -> int:
    """The depth of the leaf that a radix tree has for an address once equal siblings were merged."""
    for bits in range(WIDTH + 1):
        first = address >> (WIDTH - bits) << (WIDTH - bits)
        if len({id(one) for one in whole[first : first + (1 << (WIDTH - bits))]}) == 1:
            return bits
    raise AssertionError


def merged(width: int, starts: list[int], values: list[AnswerSet]) -> Ranges[AnswerSet]:
    return done(merging(width, starts, range(len(starts)), values))


def laid(under: Ranges[AnswerSet], blocks: Any) -> Ranges[AnswerSet]:
    return done(overlaying(under, blocks))


def ranges(base: list[AnswerSet], blocks: Any) -> Ranges[AnswerSet]:
    return done(overlaying(merged(WIDTH, list(range(1 << WIDTH)), base), blocks))


@settings(max_examples=200)
@given(BASES, BLOCKS)
def test_every_address_has_the_answer_of_its_longest_block_and_the_scope_of_its_leaf(
    base: list[AnswerSet], blocks: Any
) -> None:
    found, whole = ranges(base, blocks), table(base, blocks)
    for address, value in enumerate(whole):
        assert found.find(address, WIDTH) == (value, leaf(whole, address))
    assert found.starts[0] == 0
    assert list(found.starts) == sorted(set(found.starts))
    assert all(one is not other for one, other in zip(found.values, found.values[1:], strict=False))


@given(BASES, BLOCKS, st.integers(0, WIDTH))
def test_scopes_that_nest_have_equal_answers_whatever_they_are_clamped_to(
    base: list[AnswerSet], blocks: Any, most: int
) -> None:
    found = ranges(base, blocks)
    drop = WIDTH - most
    answers = {address: found.find(address >> drop << drop, most) for address in range(1 << WIDTH)}
    for address, (value, scope) in answers.items():
        size = 1 << (WIDTH - scope)
        first = address // size * size
        assert {id(answers[other][0]) for other in range(first, first + size)} == {id(value)}


def large_map(seed: int) -> AnswerMap:
    """Some 20 000 ranges and 3 000 blocks of all lengths, in both families."""
    rng = random.Random(seed)
    sets = [AnswerSet((str(number),)) for number in range(9)]
    made = {}
    for width in (32, 128):
        starts = [0, *sorted({rng.getrandbits(width) >> 6 << 6 for _ in range(20_000)} - {0})]
        blocks = {}
        for _ in range(3_000):
            bits = rng.randrange(4, 33) if width == 32 else rng.randrange(12, 65)
            first = rng.getrandbits(width) >> (width - bits) << (width - bits)
            blocks[first, bits] = rng.choice(sets)
        under = merged(width, starts, [rng.choice(sets) for _ in starts])
        made[width] = done(
            overlaying(under, [(first, bits, value) for (first, bits), value in blocks.items()])
        )
    return AnswerMap(made[32], made[128])


@pytest.mark.parametrize("version", [4, 6])
def test_a_hundred_thousand_pairs_within_one_scope_have_the_same_answer(version: int) -> None:
    found, rng = large_map(7), random.Random(version)
    width, clamp = (32, 24) if version == 4 else (128, 56)
    told: dict[tuple[int, int], AnswerSet] = {}
    for _ in range(50_000):
        address = rng.getrandbits(width)
        value, scope = found.find_subnet(version, address)
        assert scope <= clamp
        told[address >> (width - scope), scope] = value
        other = address >> (width - scope) << (width - scope) | rng.getrandbits(width - scope)
        assert found.find_subnet(version, other)[0] is value
    contradictions = [
        (prefix, scope)
        for (prefix, scope), value in told.items()
        for wider in range(scope)
        if told.get((prefix >> (scope - wider), wider), value) is not value
    ]
    assert contradictions == []


def test_what_is_beyond_the_clamp_is_not_looked_at() -> None:
    inner = AnswerSet(("inner",))
    outer = AnswerSet(("outer",))
    found = AnswerMap(done(overlaying(Ranges(32, [0], [outer]), [(0x51450980, 25, inner)])))
    assert found.find_subnet(4, 0x51450981) == (outer, CLAMP[4])
    assert found.find(4, 0x51450981) is inner


def test_one_answer_for_all_has_no_scope() -> None:
    assert AnswerMap().find_subnet(4, 0x01020304)[1] == 0
    assert AnswerMap().find_subnet(6, 1 << 127)[1] == 0


def test_blocks_at_both_ends_of_the_address_space() -> None:
    found = laid(
        Ranges(32, [0], [SETS[0]]), [(0, 8, SETS[1]), (255 << 24, 8, SETS[2]), (0xFFFFFFFF, 32, SETS[0])]
    )
    assert [
        (value.nodes[0], scope)
        for value, scope in (found.find(a, 32) for a in (1, 1 << 31, 0xFFFFFFFE, 0xFFFFFFFF))
    ] == [
        ("b", 8),
        ("a", 2),
        ("c", 32),
        ("a", 32),
    ]
