"""The smallest file of a format: chroma, lossless, JPEG files as sources, the lowest quality."""

import io

import pytest
import torch
from PIL import Image
from torch import Tensor

from codec.search import (
    SCORES,
    Criterion,
    JpegSource,
    Request,
    TargetUnreachable,
    at_least,
    encoder,
    find,
    jpeg_source,
    optimise,
)
from codec.search.find import expectation_of
from tests.codec.search.test_criteria import page
from tests.codec.test_picture import photo


def as_jpeg(picture: Tensor, **options: object) -> tuple[Tensor, bytes]:
    """What comes out of a JPEG file, and the file."""
    buffer = io.BytesIO()
    Image.fromarray(picture.permute(1, 2, 0).numpy()).save(buffer, "JPEG", **options)
    return encoder("jpeg").decode(buffer.getvalue()), buffer.getvalue()


def test_coloured_text_needs_full_chroma() -> None:
    picture = page((220, 0, 0), (255, 255, 255))
    request = Request(at_least("ssimulacra2", 70))
    for name in ("jpeg", "avif"):
        with pytest.raises(TargetUnreachable):
            find(picture, encoder(name), request.criteria)
        found = optimise(picture, encoder(name), request)
        assert found.encoder.name == f"{name}_444" and found.is_certified and found.reached
        assert found.cost == len(found.probes) + len(found.others)


@pytest.mark.parametrize("number", range(3))
def test_the_kind_of_chroma_is_nearly_the_smaller(number: int) -> None:
    picture, criteria = photo(number), at_least("ssimulacra2", 80)
    both = [find(picture, encoder(name), criteria) for name in ("jpeg", "jpeg_444")]
    found = optimise(picture, encoder("jpeg"), Request(criteria))
    assert len(found.data) in [len(each.data) for each in both]
    assert len(found.data) < 1.1 * min(len(each.data) for each in both)
    assert found.is_certified


def test_grey_pictures_have_no_chroma_to_choose() -> None:
    found = optimise(photo()[:1], encoder("jpeg"), Request(at_least("ssimulacra2", 80)))
    assert found.encoder.name == "jpeg" and not found.others


def test_line_art_becomes_lossless_where_the_format_can() -> None:
    picture = page((0, 0, 0), (255, 255, 255))
    found = optimise(picture, encoder("webp"), Request(at_least("ssimulacra2", 90)))
    assert found.lossless and torch.equal(encoder("webp").decode(found.data), picture)
    noise = torch.randint(256, (3, 40, 40), generator=torch.Generator().manual_seed(0))
    request = Request(at_least("ssimulacra2", 100))
    found = optimise(noise.to(torch.uint8), encoder("dfc"), request)
    assert found.lossless and found.others and found.is_certified
    with pytest.raises(TargetUnreachable):
        optimise(noise.to(torch.uint8), encoder("jpeg"), request)
    with pytest.raises(TargetUnreachable):  # no lossless file is smaller than a JPEG file
        optimise(photo(), encoder("dfc"), request._replace(source=JpegSource(90, 1.0, "4:2:0")))


def test_no_quality_below_the_lowest() -> None:
    criteria = [Criterion(SCORES["ssim"], 0.5)]
    for name in ("webp", "avif", "jpeg"):
        free = optimise(photo(), encoder(name), Request(criteria))
        bound = optimise(photo(), encoder(name), Request(criteria, lowest=60))
        assert free.quality < 60 <= bound.quality < 64
    assert optimise(photo(), encoder("avif"), Request(criteria, lowest=100)).reached


@pytest.mark.parametrize(
    ("options", "quality", "chroma"),
    [
        ({"quality": 85}, 85, "4:2:0"),
        ({"quality": 92, "subsampling": "4:4:4", "progressive": True}, 92, "4:4:4"),
        ({"quality": 70, "subsampling": "4:2:2"}, 70, "4:2:2"),
        ({"qtables": [[7] * 64, [9] * 64]}, None, "4:2:0"),
    ],
)
def test_a_jpeg_file_tells_its_quality(
    options: dict[str, object], quality: int | None, chroma: str
) -> None:
    source = jpeg_source(as_jpeg(photo(), **options)[1])
    assert source is not None and (source.quality, source.chroma) == (quality, chroma)
    assert source.log_step > 0


def test_what_is_no_jpeg_file_tells_nothing() -> None:
    assert jpeg_source(b"no") is None and jpeg_source(encoder("webp").encode(photo(), 50)) is None
    grey = jpeg_source(encoder("jpeg").encode(photo()[:1], 40))
    assert grey is not None and (grey.quality, grey.chroma) == (40, "grey")
    assert encoder("jpeg_444").quality_of(grey) == 40  # grey has no chroma that could differ


def test_the_search_goes_to_the_quality_of_its_source() -> None:
    picture, data = as_jpeg(photo(), quality=77)
    source, jpeg = jpeg_source(data), encoder("jpeg")
    assert source is not None and jpeg.quality_of(source) == 77
    assert (
        encoder("jpeg_444").quality_of(source) is None
        and encoder("webp").quality_of(source) is None
    )
    criteria = at_least("ssimulacra2", 92)  # only the same tables come so near below 95
    found = find(picture, jpeg, criteria, source=source)
    assert [p.quality for p in found.probes] == [77, 76] and found.is_certified
    assert len(find(picture, jpeg, criteria).probes) > 2


def test_a_jump_tells_nothing_of_the_qualities_around_it() -> None:
    picture, data = as_jpeg(photo(), quality=77)
    source, jpeg, criteria = jpeg_source(data), encoder("jpeg"), at_least("ssimulacra2", 60)
    expectation = expectation_of(picture, jpeg, criteria, jpeg.qualities, source)
    assert expectation.jump == 76
    found = find(picture, jpeg, at_least("ssimulacra2", 92), source=source)
    (at_the_jump,) = [p for p in found.probes if p.quality == 77]
    assert expectation.position({76: at_the_jump}, criteria) == expectation.position({}, criteria)
