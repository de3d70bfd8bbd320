"""The fingerprint of a data set: what it notices of lists and folders, in every layout."""

import os
import shutil
import sys
from pathlib import Path

import pytest
from listed_roots import write
from tiny_study import TINY

from dynamonet.data.layouts import ucf101
from dynamonet.data.listing import fingerprint, layout_names, read_listing
from dynamonet.study import load_study

CLIPS = {
    "classInd.txt": "1 wave\n2 jump\n",
    "trainlist01.txt": "wave/a.mp4 1\njump/b.mkv 2\n",
    "testlist01.txt": "wave/d.avi\njump/e.avi\n",
    "trainlist02.txt": "wave/a.mp4 1\njump/b.mkv 2\n",
    "testlist02.txt": "wave/d.avi\njump/e.avi\n",
    **dict.fromkeys(["wave/a.mp4", "jump/b.mkv", "wave/d.avi", "jump/e.avi"], ""),
}
POOL = ["list.txt", "some/a.mp4", "more/b.mp4"]
LAYOUTS = [*layout_names(), "unlabelled with a list"]


@pytest.fixture
def root(request, motion_home, tmp_path):
    """A data set of the layout: the embedded one, or a few empty files."""
    embedded = motion_home / load_study(TINY).motion_root
    name = {"unlabelled": "pool"}.get(request.param, request.param)
    if (embedded / name).is_dir():
        return shutil.copytree(embedded / name, tmp_path / name, symlinks=True)
    if request.param == "folder":
        return write(tmp_path / "folder", CLIPS)
    return write(tmp_path / "listed", dict.fromkeys(POOL, "") | {"list.txt": "some/a.mp4\nmore/b.mp4\n"})


def layout_of(name: str) -> str:
    return name.partition(" ")[0]


opened: list[str] = []
watching = False


def watch(event: str, arguments: tuple) -> None:
    if watching and event == "open" and isinstance(arguments[0], str | os.PathLike):
        opened.append(os.fspath(arguments[0]))


sys.addaudithook(watch)


def lists_read(layout, root) -> set[str]:
    """The files under the root that its listing opens."""
    global watching
    opened.clear()
    watching = True
    try:
        read_listing(layout, root)
    finally:
        watching = False
    return {path for path in opened if path.startswith(f"{root}{os.sep}")}


@pytest.mark.parametrize(
    ("root", "layout"), [(name, layout_of(name)) for name in LAYOUTS], ids=LAYOUTS, indirect=["root"]
)
def test_every_list_and_every_folder_counts_and_their_time_stamps_do_not(layout, root):
    before = fingerprint(layout, root)
    lists = lists_read(layout, root)
    assert (not lists) == (layout == "unlabelled" and not (root / "list.txt").exists())
    for path in lists:
        os.utime(path, (1, 1))
    if layout != "unlabelled":  # where every folder is one of videos
        write(root, ["notes/read me.txt"])
    assert fingerprint(layout, root) == before
    seen = {before}
    for path in sorted(lists):
        with Path(path).open("a") as file:
            file.write("\n")
        seen.add(fingerprint(layout, root))
    assert len(seen) == 1 + len(lists)
    folders = {(root / video.path).parent for video in read_listing(layout, root).videos}
    for number, folder in enumerate(sorted(folders)):
        os.utime(folder, (1, 1))  # so that the next change is another time, however coarse the clock
        before = fingerprint(layout, root)
        (folder / f"{number}.new.mp4").touch()
        assert fingerprint(layout, root) != before, folder


@pytest.mark.parametrize("root", ["ucf101"], indirect=True)
def test_what_cannot_be_read_is_another_state_and_no_error(root):
    before = fingerprint("ucf101", root)
    (lists,) = [root / name for name in ucf101.LISTS if (root / name).is_dir()]
    shutil.move(lists, root / "elsewhere")
    without = fingerprint("ucf101", root)
    shutil.move(root / "elsewhere", lists)
    assert fingerprint("ucf101", root) == before != without
