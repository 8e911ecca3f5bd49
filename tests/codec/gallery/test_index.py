"""The nearest codes: what brute force says, however they are found."""

import numpy as np
import pytest

from codec.gallery.index import BlockTables, FaissScan, Scan, TorchScan, distances_to, scan_of

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


@pytest.mark.parametrize("kind", [Scan, TorchScan])
@pytest.mark.parametrize("most", [1, 10, 300, 5000])
def test_a_scan_is_brute_force(kind: type[Scan | TorchScan], most: int) -> None:
    query = flipped(CODES[5], 30)
    found = kind(CODES).search(query, most)
    wanted = brute_force(query, CODES)[:most]
    assert list(zip(found.distances, found.numbers, strict=True)) == wanted
    near = kind(CODES).search(query, most, radius=40)
    assert list(near.numbers) == [5]


@pytest.mark.parametrize("size", [8, 32, 256])
def test_scans_agree_to_the_farthest_bit(size: int) -> None:
    codes = np.array([[0] * size, [255] * size, *RNG.integers(0, 256, (99, size))], np.uint8)
    for query in codes[:3]:
        one, other = (kind(codes).search(query) for kind in (Scan, TorchScan))
        assert np.array_equal(one.distances, other.distances)
        assert np.array_equal(one.numbers, other.numbers)
    assert Scan(codes).search(codes[0], 1000).distances.max() == 8 * size
    assert len(TorchScan(codes[:0]).search(codes[0]).numbers) == 0


def test_faiss_finds_the_same() -> None:
    pytest.importorskip("faiss")
    query = flipped(CODES[5], 30)
    one, other = Scan(CODES).search(query), FaissScan(CODES).search(query)
    assert np.array_equal(one.distances, other.distances)
    assert list(FaissScan(CODES).search(query, radius=40).numbers) == [5]
    assert len(FaissScan(CODES[:0]).search(query).numbers) == 0
    assert isinstance(scan_of(CODES), FaissScan)


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
