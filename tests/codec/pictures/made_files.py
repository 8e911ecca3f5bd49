"""Files that cameras and programs write, made in code."""

import struct
from io import BytesIO

import torch
from PIL import Image

from codec.pictures.exif import START
from codec.pictures.layout import to_image

XMP = (
    '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
    'rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="4"%s</rdf:RDF>'
    '</x:xmpmeta><?xpacket end="w"?>'
)
PLAIN_XMP = (XMP % "/>").encode()
GAIN_MAP_XMP = (
    XMP % ' xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0">'
    '<Container:Directory xmlns:Container="http://ns.google.com/photos/1.0/container/">'
    "<rdf:Seq><rdf:li>x</rdf:li></rdf:Seq></Container:Directory></rdf:Description>"
).encode()
IPTC = b"\x1c\x02\x78\x00\x07caption"  # record 2, data set 120, 7 bytes


def photoshop(thumbnail: bytes = b"") -> bytes:
    """Image resource blocks with IPTC and, if given, a thumbnail."""
    blocks = b""
    for code, data in ((0x0404, IPTC), (0x040C, thumbnail)):
        padding = b"\0" * (len(data) % 2)
        blocks += (
            b"8BIM" + struct.pack(">HHI", code, 0, len(data)) + data + padding if data else b""
        )
    return blocks


def segment(marker: int, body: bytes) -> bytes:
    """A JPEG segment."""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def jpeg(pixels: torch.Tensor, **options: object) -> bytes:
    """(1 or 3, H, W) as a JPEG file."""
    buffer = BytesIO()
    to_image(pixels.to(torch.uint8)).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def mpo(first: torch.Tensor, second: torch.Tensor) -> bytes:
    """Two pictures in one file, as phones write them."""
    buffer = BytesIO()
    images = [to_image(pixels) for pixels in (first, second)]
    images[0].save(buffer, "MPO", save_all=True, append_images=images[1:])
    return buffer.getvalue()


def exif_with_thumbnail(
    thumbnail: bytes, order: str = "<", tail: bytes = b"", orientation: int = 1
) -> bytes:
    """A block with maker, orientation and thumbnail, and something behind them."""
    tiff = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    maker, second = 8 + 2 + 24 + 4, 8 + 2 + 24 + 4 + 6
    tiff += struct.pack(order + "HHHIIHHIHHI", 2, 0x010F, 2, 6, maker, 0x0112, 3, 1, orientation, 0,
                        second)  # fmt: skip
    tiff += b"maker\0"
    place = second + 2 + 36 + 4
    tiff += struct.pack(
        order + "HHHIHHHHIIHHIII", 3, 0x0103, 3, 1, 6, 0, 0x0201, 4, 1, place, 0x0202, 4, 1,
        len(thumbnail), 0,
    )  # fmt: skip
    return START + tiff + thumbnail + tail


def tiff_of_sixteen_bits(pixels: torch.Tensor, orientation: int) -> bytes:
    """(3, H, W) uint16 as one strip, with an orientation tag."""
    _, height, width = pixels.shape
    strip = pixels.permute(1, 2, 0).contiguous().numpy().astype("<u2").tobytes()
    bits = 8 + 2 + 9 * 12 + 4
    entries = (
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, 3, bits), (259, 3, 1, 1),
        (262, 3, 1, 2), (273, 4, 1, bits + 6), (274, 3, 1, orientation), (277, 3, 1, 3),
        (279, 4, 1, len(strip)),
    )  # fmt: skip
    directory = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    head = b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + bytes(4)
    return head + struct.pack("<HHH", 16, 16, 16) + strip


def saved(image: Image.Image, file_format: str, **options: object) -> bytes:
    """A file of Pillow."""
    buffer = BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()
