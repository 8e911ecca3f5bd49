"""Files in, files out: where results and kept files go, and what happens if they cannot."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from codec.pictures.jobs import FileResult, Job, Output, keep, plan_jobs, run_jobs, small_together
from codec.pictures.picture import UnsupportedPicture
from codec.pictures.storage import write_atomically


def files(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return [folder / name for name in names]


def refuse(job: Job) -> FileResult:
    raise UnsupportedPicture(f"{job.source}: expected an opaque picture")


def copied(job: Job) -> FileResult:
    write_atomically(job.target, job.source.read_bytes(), like=job.source)
    return FileResult(job.source, job.target)


def test_what_is_kept_never_takes_the_place_of_an_input(tmp_path: Path) -> None:
    inputs = files(tmp_path, "a/x.png", "b/x.png")
    done = run_jobs(plan_jobs(inputs[:1], Output(tmp_path / "b", ".jpg"), others=inputs), refuse)
    assert (tmp_path / "b/x.png").read_text() == "b/x.png" and "no copy can go" in done.failures[0]
    done = run_jobs(plan_jobs(inputs, Output(tmp_path / "b", ".jpg")), refuse)
    assert (tmp_path / "b/x.png").read_text() == "b/x.png"
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == ["x.png"]


def test_what_is_kept_never_takes_the_place_of_a_result(tmp_path: Path) -> None:
    inputs = files(tmp_path, "in/x.png", "in/x.png.gif")
    plan = plan_jobs(inputs, Output(tmp_path / "out", rename=lambda path: path.with_suffix("")))
    places = [place for job in plan.jobs for place in (job.target, job.kept) if place]
    assert tmp_path / "out/x.png" in places and len(places) == len(set(places))
    done = run_jobs(plan, lambda job: copied(job) if job.source.suffix == ".gif" else refuse(job))
    assert (tmp_path / "out/x.png").read_text() == "in/x.png.gif" and len(done.written) == 1


def test_one_file_is_kept_under_the_name_that_was_asked_for_or_not_at_all(tmp_path: Path) -> None:
    source, bystander = files(tmp_path, "a/x.png", "x.png")
    for name, made in (("y.png", True), ("y.jpg", False)):
        output = Output(tmp_path / name, Path(name).suffix)
        done = run_jobs(plan_jobs([source], output), refuse)
        assert (tmp_path / name).exists() == made == (not done.failures)
    assert "nothing is written" in done.failures[0] and bystander.read_text() == "x.png"


def test_kept_files_count_as_there(tmp_path: Path) -> None:
    files(tmp_path, "in/x.png", "in/y.png")

    def refuse_y(job: Job) -> FileResult:
        return refuse(job) if job.source.stem == "y" else copied(job)

    output = Output(tmp_path / "out", ".jpg", skip_existing=True)
    assert len(run_jobs(plan_jobs([tmp_path / "in"], output), refuse_y).written) == 2
    plan = plan_jobs([tmp_path / "in"], output)
    assert not plan.jobs and plan.existing == 2
    here = Output(tmp_path / "in", ".jpg", skip_existing=True)  # where each is its own copy
    assert len(plan_jobs([tmp_path / "in"], here).jobs) == 2


@pytest.mark.parametrize("work", [refuse, copied], ids=["kept", "written"])
def test_a_place_that_cannot_be_written_costs_one_file(
    work: Callable[[Job], FileResult], tmp_path: Path
) -> None:
    files(tmp_path, "in/a.png", "in/b.png")
    (tmp_path / "out/a.png").mkdir(parents=True)
    done = run_jobs(plan_jobs([tmp_path / "in"], Output(tmp_path / "out")), work)
    assert (tmp_path / "out/b.png").exists()
    (failure,) = done.failures
    assert "a.png: " in failure and "cannot be written (Is a directory)" in failure
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.png", "b.png"]


def test_a_name_with_another_suffix_than_its_content_is_refused(tmp_path: Path) -> None:
    (source,) = files(tmp_path, "a.png")
    for suffix, name in ((".jpg", "o.png"), (None, "o.jpg"), (".png", "o.tif")):
        with pytest.raises(ValueError, match=r"expected a name that ends in \."):
            plan_jobs([source], Output(tmp_path / name, suffix))
    (job,) = plan_jobs([source], Output(tmp_path / "o.JPEG", ".jpg")).jobs
    assert job.target == tmp_path / "o.JPEG"
    (job,) = plan_jobs([source], Output(tmp_path / "2026.11", ".jpg")).jobs
    assert job.target == tmp_path / "2026.11/a.jpg"  # no suffix of a file: a folder
    (job,) = plan_jobs([source], Output(tmp_path / "o.png", reserved=["look.json"])).jobs
    assert job.target == tmp_path / "o.png"


def test_groups_are_small_in_pixels_whatever_their_files(tmp_path: Path) -> None:
    jobs = [Job(path, path, None) for path in files(tmp_path, *(f"{n}.png" for n in range(200)))]
    assert [len(group) for group in small_together(jobs[:24], [12_000_000] * 24)] == [1] * 24
    small = small_together(jobs, [10_000] * 200)
    assert [len(group) for group in small] == [64, 64, 64, 8]
    assert [job for group in small for job in group] == jobs


def test_keeping_in_place_touches_nothing(tmp_path: Path) -> None:
    (source,) = files(tmp_path, "a.png")
    before = source.stat().st_mtime_ns
    result = keep(Job(source, tmp_path / "a.jpg", source), "it is small")
    assert result.kept and result.target == source and source.stat().st_mtime_ns == before


def test_a_result_of_another_input_does_not_count_as_there(tmp_path: Path) -> None:
    def become_jpeg(path: Path) -> Path:
        return path.with_suffix(".jpg")

    (photo,) = files(tmp_path, "in/a.heic")
    os.utime(photo, (1_000_000_000, 1_000_000_000))
    output = Output(tmp_path / "out", rename=become_jpeg, skip_existing=True)
    run_jobs(plan_jobs([tmp_path / "in"], output), copied)
    assert plan_jobs([tmp_path / "in"], output).existing == 1
    files(tmp_path, "in/a.jpg")
    plan = plan_jobs([tmp_path / "in"], output)
    assert {job.target.name for job in plan.jobs} == {"a.jpg", "a.heic.jpg"}


def test_templates_that_are_left_out_are_named(tmp_path: Path) -> None:
    template, _ = files(tmp_path, "in/t.png", "in/x.png")
    plan = plan_jobs([tmp_path / "in"], Output(tmp_path / "out"), others=[template])
    assert len(plan.jobs) == 1 and plan.about_skipped.endswith("the look comes from it: t.png")


def test_a_folder_that_may_not_be_read_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files(tmp_path, "in/a.png", "in/locked/b.png")
    scandir = os.scandir

    def locked(path: str) -> object:
        if str(path).endswith("locked"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", locked)
    done = run_jobs(plan_jobs([tmp_path / "in"], Output(tmp_path / "out")), copied)
    assert done.failures == [f"{tmp_path / 'in/locked'}: cannot be read (Permission denied)"]
    assert len(done.written) == 1
    done = run_jobs(plan_jobs([tmp_path / "in/locked"], Output(tmp_path / "out")), copied)
    assert len(done.failures) == 1 and "Permission denied" in done.failures[0]


def test_links_that_are_not_followed_are_named(tmp_path: Path) -> None:
    files(tmp_path, "in/a.png", "elsewhere/b.png")
    (tmp_path / "in/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in/dead.jpg").symlink_to(tmp_path / "nothing.jpg")
    (tmp_path / "in/c.png").symlink_to(tmp_path / "elsewhere/b.png")
    plan = plan_jobs([tmp_path / "in"], Output(tmp_path / "out"))
    assert [job.source.name for job in plan.jobs] == ["a.png", "c.png"]
    assert plan.about_skipped == "not followed: dead.jpg, linked"


def test_a_template_alone_leaves_nothing_to_do(tmp_path: Path) -> None:
    (template,) = files(tmp_path, "in/t.png")
    plan = plan_jobs([tmp_path / "in"], Output(tmp_path / "o.png"), others=[template])
    assert not plan.jobs and "t.png" in plan.about_skipped
