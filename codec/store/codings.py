"""How contents are stored, and got back byte for byte: whole, or predicted from another one.

Whatever is made here was decoded and compared before it is handed out.
"""

import hashlib
import lzma
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from codec.container import FormatError
from codec.jpeg.coefficients import UnknownJpeg
from codec.jpeg.stream import decode_jpeg, encode_jpeg
from codec.pictures.jpeg_files import is_jpeg
from codec.store.records import StoreError

RAW, LZMA, LEPTON, JPEG, PICTURE = "raw", "lzma", "lepton", "jpeg", "picture"
_SAMPLE = 1 << 16  # bytes that tell whether a file can be made smaller
_WORTHWHILE = 0.95
_MOST_BYTES = 1 << 30  # of anything that is unpacked


class Coded(NamedTuple):
    """A content as it would be stored.

    Attributes:
        coding: one of this module's names.
        data: the bytes.
        number: of the reference among those that were offered, or None.
    """

    coding: str
    data: bytes
    number: int | None = None


def name_of(data: bytes) -> bytes:
    """What names a content: its SHA-256."""
    return hashlib.sha256(data).digest()


def code_whole(data: bytes) -> Coded:
    """A content on its own, in the smallest coding that gives its bytes back."""
    found = _code_lepton(data) if is_jpeg(data) else _code_lzma(data)
    if found is not None and len(found.data) < len(data) and _comes_back(found, data):
        return found
    return Coded(RAW, data)


def code_predicted(data: bytes, references: Sequence[bytes], room: int) -> Coded | None:
    """A content predicted from one of others in fewer bytes than `room`, or None."""
    if not is_jpeg(data):
        return None
    known = [(number, one) for number, one in enumerate(references) if is_jpeg(one)]
    try:
        found = encode_jpeg(data, [one for _, one in known]) if known else None
    except UnknownJpeg:
        return None
    if found is None or len(found.data) >= room:
        return None
    number, reference = known[found.number]
    coded = Coded(JPEG, found.data, number)
    return coded if _comes_back(coded, data, reference) else None


def decode(coding: str, data: bytes, reference: bytes | None = None) -> bytes:
    """The bytes of a content.

    Raises:
        StoreError: not what was stored, or a coding that this installation cannot read.
    """
    if coding not in _DECODERS:
        raise StoreError(f"needs a newer version, which knows the coding {coding!r}")
    try:
        return _DECODERS[coding](data, reference)
    except (FormatError, lzma.LZMAError, EOFError) as error:
        raise StoreError(f"damaged ({error})") from error


def _comes_back(coded: Coded, data: bytes, reference: bytes | None = None) -> bool:
    try:
        return decode(coded.coding, coded.data, reference) == data
    except StoreError:
        return False


def _code_lzma(data: bytes) -> Coded | None:
    middle = max(0, (len(data) - _SAMPLE) // 2)
    sample = data[middle : middle + _SAMPLE]
    if len(zlib.compress(sample)) > _WORTHWHILE * len(sample):
        return None
    return Coded(LZMA, lzma.compress(data, preset=6))


def _code_lepton(data: bytes) -> Coded | None:
    lepton = _lepton()
    if lepton is None:
        return None
    try:
        return Coded(LEPTON, bytes(lepton.compress_bytes(data)))
    except Exception:  # it has no exception of its own, and refuses what it does not know
        return None


@cache
def _lepton() -> Any:
    try:
        import lepton_jpeg_python
    except ImportError:
        return None
    return lepton_jpeg_python


def has_lepton() -> bool:
    """Whether JPEG files can be stored in three quarters of their bytes."""
    return _lepton() is not None


def _decode_raw(data: bytes, _: bytes | None) -> bytes:
    return data


def _decode_lzma(data: bytes, _: bytes | None) -> bytes:
    unpacker = lzma.LZMADecompressor()
    found = unpacker.decompress(data, _MOST_BYTES)
    if not unpacker.eof:
        raise StoreError("damaged (its end is missing, or it is too large)")
    return found


def _decode_lepton(data: bytes, _: bytes | None) -> bytes:
    lepton = _lepton()
    if lepton is None:
        raise StoreError("needs lepton-jpeg-python: pip install 'defilter[album]'")
    try:
        return bytes(lepton.decompress_bytes(data))
    except Exception as error:  # its message is a page of its own
        raise StoreError("damaged (Lepton cannot read it)") from error


def _decode_predicted(data: bytes, reference: bytes | None) -> bytes:
    if reference is None:
        raise StoreError("damaged (what it is predicted from is not named)")
    return decode_jpeg(data, reference)


_DECODERS: Mapping[str, Callable[[bytes, bytes | None], bytes]] = {
    RAW: _decode_raw,
    PICTURE: _decode_raw,  # its stream
    LZMA: _decode_lzma,
    LEPTON: _decode_lepton,
    JPEG: _decode_predicted,
}


def can_be_predicted(data: bytes) -> bool:
    """Whether a content may be predicted from another one, as far as its first bytes say."""
    return is_jpeg(data)
