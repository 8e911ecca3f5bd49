"""evaluate.py: the transfer study and its page, the benchmark's parts, refusals."""

import html.parser
import json
from pathlib import Path

import pytest
import torch

from codec.image_io import Picture, read_picture, write_picture
from defilter.look import load_look
from defilter.study import transfer
from defilter.study.classic import monge_kantorovich, reinhard
from defilter.study.look_pairs import LookPair
from defilter.study.rows import Rows, compare, rows_table
from tests.conftest import colourful


class Tags(html.parser.HTMLParser):
    """Counts tags, checks that they close, and collects what the page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.counts: dict[str, int] = {}
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1
        if tag not in ("meta", "img", "input", "br", "rect"):
            self.open.append(tag)
        self.sources += [value or "" for name, value in attributes if name in ("src", "href")]

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def run_transfer(photos: object, out: Path, **changes: object) -> transfer.TransferResult:
    arguments = {"template": None, "strength": 1.0, "weights": None} | changes
    return transfer.run(photos=photos, out=str(out), **arguments)  # type: ignore[arg-type]


def test_transfer_writes_what_it_says(photo_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (photo_folder / "broken.jpg").write_text("no")
    result = run_transfer(str(photo_folder), out)
    written = sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file())
    assert written == [
        "a.jpg", "contact_sheet.png", "look.cube", "look.json", "look.png", "report.html",
        "trip/b.png",
    ]  # fmt: skip
    assert len(result.failures) == 1
    pixels = read_picture(photo_folder / "trip" / "b.png").pixels
    expected = load_look(out / "look.json").render(pixels)
    assert torch.equal(read_picture(out / "trip" / "b.png").pixels, expected)

    page = (out / "report.html").read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(page)
    assert not tags.open
    assert tags.counts["input"] == 3  # the template and two photos
    assert all(source.startswith("data:image/jpeg") for source in tags.sources)
    assert "http" not in page.replace("http://www.w3.org", "")
    assert "trip/b.png" in page


def test_many_photos_are_linked(tmp_path: Path) -> None:
    for number in range(26):
        write_picture(Picture(colourful(8, 10)), tmp_path / "photos" / f"<{number:02d}>.png")
    run_transfer(str(tmp_path / "photos"), tmp_path / "out")
    tags = Tags()
    tags.feed((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
    assert tags.counts["input"] == 1 + 24
    assert [s for s in tags.sources if not s.startswith("data:")] == [
        "%3C24%3E.png",
        "%3C25%3E.png",
    ]


def test_template_and_pooling(photo_folder: Path, photo_path: Path, tmp_path: Path) -> None:
    templates = [str(photo_path), str(photo_folder / "a.jpg")]
    result = run_transfer(str(photo_folder), tmp_path / "out", template=templates)
    assert result.extraction.look.provenance["templates"] == [photo_path.name, "a.jpg"]


@pytest.mark.parametrize("name", ["look.png", "report.html.jpg", "contact_sheet.png"])
def test_names_that_are_taken(tmp_path: Path, name: str) -> None:
    write_picture(Picture(colourful(8, 10)), tmp_path / "photos" / name)
    run = lambda: run_transfer(str(tmp_path / "photos"), tmp_path / "out")  # noqa: E731
    if name == "report.html.jpg":
        run()
    else:
        with pytest.raises(ValueError, match="rename"):
            run()
        assert not (tmp_path / "out").exists()


def test_refusals(photo_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="strength"):
        run_transfer(str(photo_folder), tmp_path / "out", strength=2)
    with pytest.raises(ValueError, match=r"none\.jpg"):
        run_transfer(str(photo_folder), tmp_path / "out", template="none.jpg")
    broken = tmp_path / "broken.jpg"
    broken.write_text("no")
    with pytest.raises(ValueError, match="no photo could be rendered"):
        run_transfer(str(broken), tmp_path / "out")


def test_classic_transfers_match_statistics() -> None:
    photo = colourful(40, 40).float() / 255 * 0.5 + 0.25
    template = torch.rand(3, 30, 30) * torch.tensor([0.2, 0.3, 0.1])[:, None, None] + 0.3
    moved = monge_kantorovich(photo, template).flatten(1)
    target = template.flatten(1)
    torch.testing.assert_close(moved.mean(1), target.mean(1), atol=2e-3, rtol=0)
    torch.testing.assert_close(torch.cov(moved), torch.cov(target), atol=2e-3, rtol=0)
    assert (reinhard(photo, photo) - photo).abs().max() < 0.01
    assert (reinhard(photo, template).mean((1, 2)) - template.mean((1, 2))).abs().max() < 0.03


def test_benchmark_rows_average_over_pairs_and_looks() -> None:
    rows = Rows()
    truth = torch.full((3, 16, 16), 100, dtype=torch.uint8)
    for look, offset in (("x", 10), ("x", 20), ("y", 10)):
        rows.add("row", LookPair("film", look, ["t"], "p"), truth + offset, truth)
    table = rows.summary()["row"]
    single = [compare(truth + o, truth).psnr for o in (10, 20, 10)]
    assert table["pairs"] == 3
    assert table["psnr"] == pytest.approx(sum(single) / 3)
    per_look = torch.tensor([(single[0] + single[1]) / 2, single[2]])
    assert table["psnr_se"] == pytest.approx(float(per_look.std() / 2**0.5), rel=1e-5)
    assert rows.of_group("pilgram2").summary() == {}
    assert rows.of_group("film").summary()["row"]["gain"] == 0
    assert json.dumps(rows.summary())
    assert "| row | 3 |" in rows_table(rows.summary())
    assert compare(truth, truth).psnr == 60
