"""The nearest codes: what brute force says, however they are found."""

import numpy as np
import pytest

from codec.gallery.index import BlockTables, Scan, distances_to

RNG = np.random.default_rng(0)
CODES = RNG.integers(0, 256, (3000, 32), np.uint8)


def brute_force(query: np.ndarray, codes: np.ndarray) -> list[tuple[int, int]]:
    """Distances and numbers, in their order."""
    wanted = int.from_bytes(query.tobytes(), "big")
    every = (int.from_bytes(code.tobytes(), "big") for code in codes)
    return sorted(((wanted ^ one).bit_count(), number) for number, one in enumerate(every))


def flipped(code: np.ndarray, count: int) -> np.ndarray:
    bits = np.unpackbits(code)
    bits[RNG.permutation(len(bits))[:count]] ^= 1
    return np.packbits(bits)


def test_distances() -> None:
    query = CODES[7]
    wanted = {number: distance for distance, number in brute_force(query, CODES)}
    assert list(distances_to(query, CODES)) == [wanted[n] for n in range(len(CODES))]


@pytest.mark.parametrize("most", [1, 10, 300, 5000])
def test_a_scan_is_brute_force(most: int) -> None:
    query = flipped(CODES[5], 30)
    found = Scan(CODES).search(query, most)
    wanted = brute_force(query, CODES)[:most]
    assert list(zip(found.distances, found.numbers, strict=True)) == wanted
    near = Scan(CODES).search(query, most, radius=40)
    assert list(near.numbers) == [5]


@pytest.mark.parametrize(("blocks", "flips"), [(16, 0), (16, 1), (32, 1), (8, 2)])
def test_tables_are_brute_force_within_their_radius(blocks: int, flips: int) -> None:
    tables = BlockTables(CODES, blocks, flips)
    assert tables.radius == blocks * (flips + 1) - 1
    for count in (0, 3, tables.radius):
        codes = np.concatenate([CODES, [flipped(CODES[n], count) for n in range(20)]])
        tables = BlockTables(codes, blocks, flips)
        for number in range(20):
            found = tables.search(CODES[number])
            scanned = Scan(codes).search(CODES[number], radius=tables.radius)
            assert np.array_equal(found.numbers, scanned.numbers)
            assert np.array_equal(found.distances, scanned.distances)
            assert {number, len(CODES) + number} <= set(found.numbers)


def test_what_tables_cannot_do_is_said() -> None:
    with pytest.raises(ValueError, match="radius of at most 31"):
        BlockTables(CODES).search(CODES[0], radius=32)
    with pytest.raises(ValueError, match="blocks of 1 to 32 bits"):
        BlockTables(CODES, blocks=7)
