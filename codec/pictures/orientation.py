"""Pixels turned as EXIF's orientation tag says, and back."""

from torch import Tensor

from codec.pictures.layout import from_array, to_array

# EXIF orientation -> (swap rows and columns first, flip vertically, flip horizontally).
TURNS = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


def upright(stored: Tensor, orientation: int) -> Tensor:
    """(C, H, W) pixels as they lie in a file -> as they are to be seen."""
    swap, vertical, horizontal = TURNS[orientation]
    array = to_array(stored)
    array = array.swapaxes(0, 1) if swap else array
    return from_array(array[:: -1 if vertical else 1, :: -1 if horizontal else 1])


def turned_back(seen: Tensor, orientation: int) -> Tensor:
    """The inverse of `upright`."""
    swap, vertical, horizontal = TURNS[orientation]
    array = to_array(seen)[:: -1 if vertical else 1, :: -1 if horizontal else 1]
    return from_array(array.swapaxes(0, 1) if swap else array)
