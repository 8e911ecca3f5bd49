"""Write docs/commands.md from the commands' own help: `python docs/commands.py`."""

import argparse
import os
from pathlib import Path

from codec.commands.parser import parser as codec_parser
from defilter.__main__ import command_parser

RULES = """# Commands

`defilter` and `dfc` are installed with the package; `python -m defilter` and `python -m codec` are the same. What is said here comes from
their `--help` (`make docs`). The exit status is 0 if all went well, 1 if something failed, 2 for wrong usage, 130 if it was stopped; what was written is whole
in any case.

## Files in, files out

- **Inputs** are files, folders and patterns (`'in/*.jpg'`, for shells that expand none). Folders are searched with their subfolders, which the
  output keeps; files of other kinds in them are counted and named. What lies in the output folder is no input.
- **Output** is a folder, or for one input a file. An input is never written over. `--skip-existing` leaves inputs whose result is there, `--dry-run` says
  what would be written.
- **Names** stay. Where two inputs would get one name, they keep their old suffix before the new one: photo.jpg and photo.png become photo.jpg.dfc and
  photo.png.dfc.
- **Read** are JPEG, PNG, WebP, TIFF, AVIF, BMP, PPM, GIF, HEIC (with the extra `heic`) and some more, of up to 150 million pixels. Animations, files of several pages, HDR
  and the like are kept as they are, with a note, so that a folder comes out whole. A broken file is said and costs the others nothing.
- **Kept** are EXIF (its thumbnail is made anew), XMP, IPTC, density, modification time and permissions, and what a format has no place for is said once a file. Renderings
  keep format, bit depth (8 or 16), transparency and orientation; JPEG files keep their quantisation tables and subsampling unless `--quality` is given. Colour
  profiles are converted to sRGB, except by `dfc`, which keeps them. HEIC becomes JPEG. Second frames, gain maps and motion videos cannot be rendered, which is said.
- **Templates** that lie in a folder of photos are not rendered. `apply` needs a *look file*; `extract` and `transfer` take the look *of a picture*.
- **Videos** become H.264 in `<stem>.mp4`; HDR is tone mapped, and sound, subtitles, chapters, pixel aspect and labels are kept where .mp4 has a place for them.
- `dfc encode` keeps an input that is smaller than what would lose part of it; `dfc optimise` never makes a file larger.
"""


def reference(title: str, parser: argparse.ArgumentParser) -> str:
    """The help of a program and of each of its commands."""
    parts = [f"## {title}\n"]
    (commands,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    seen: list[argparse.ArgumentParser] = []
    for name, command in commands.choices.items():
        if command not in seen:
            seen.append(command)
            parts.append(f"### {title} {name}\n\n```text\n{command.format_help().strip()}\n```\n")
    return "\n".join(parts)


def main() -> str:
    os.environ["COLUMNS"] = "100"
    pages = (reference("defilter", command_parser()), reference("dfc", codec_parser()))
    return "\n".join((RULES, *pages))


if __name__ == "__main__":
    Path(__file__).with_suffix(".md").write_text(main(), encoding="utf-8")
