"""The folder of the results: whether writing is atomic, whether nodes see it, and whether there is room."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil

from dynamonet.doctor.finding import OK, PROBLEM, WARNING, Finding
from dynamonet.files import write_text
from dynamonet.planning.disk import existing
from dynamonet.planning.show import size
from dynamonet.records import Record

SUBJECT = "disk"
NETWORK = (
    *("nfs", "lustre", "gpfs", "beegfs", "ceph", "cifs", "smb", "afs", "glusterfs", "panfs", "wekafs", "orangefs"),
    *("pvfs2", "fuse.sshfs", "fuse.ceph", "fuse.glusterfs", "fuse.beegfs", "fuse.quobyte", "virtiofs", "9p"),
)
"""How names of file systems begin that several machines can see."""


def check_storage(study_dir: Path, on_cluster: bool) -> Iterator[Finding]:
    """study_dir: results/<study>, there or not. on_cluster: whether other machines write there too."""
    folder = existing(study_dir)
    kind = file_system(folder)
    shared = kind.startswith(NETWORK)
    if on_cluster and not shared:
        says = f"{folder} is on a file system of this machine ({kind}), and the nodes must see it"
        yield Finding(SUBJECT, WARNING, says, "clone the repository to a folder that all nodes share")
    else:
        where = "that machines share" if shared else "of this machine"
        yield Finding(SUBJECT, OK, f"{folder} is on a file system {where} ({kind})")
    yield _replaced(folder)
    yield _room(study_dir, folder)


def file_system(folder: Path) -> str:
    """The kind of file system that a folder is on, as /proc/mounts has it."""
    mounts = {Path(one.mountpoint): one.fstype for one in psutil.disk_partitions(all=True)}
    return next((mounts[path] for path in (folder, *folder.parents) if path in mounts), "unknown")


def _replaced(folder: Path) -> Finding:
    """Write a file and replace it, as every result is written."""
    trial = folder / f".doctor-{os.getpid()}"
    try:
        for text in ("before", "after"):
            write_text(trial, text)
        content = trial.read_text()
    except OSError as error:
        says = f"{folder} cannot be written to ({error.strerror})"
        return Finding(SUBJECT, PROBLEM, says, f"chmod u+w {folder}, or see whether a quota is used up")
    finally:
        with contextlib.suppress(OSError):
            trial.unlink()
    if content != "after":
        says = f"{folder}: a file that was replaced still has its old content"
        return Finding(SUBJECT, PROBLEM, says, "put the repository on another file system")
    return Finding(SUBJECT, OK, f"{folder}: files are flushed and replaced as one")


def _room(study_dir: Path, folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    path = study_dir / "plan.json"
    if not path.is_file():
        says = f"{size(free)} are free; what the study needs is not known yet"
        return Finding(SUBJECT, WARNING, says, "dynamonet plan --study config/<study>.yaml")
    disk = Record.read(path).get("disk")
    parts = ("weights_and_scores", "checkpoints", "copies", "manifests")
    needed = sum(disk[part] or 0 for part in parts)
    unknown = [part for part in parts if disk[part] is None]
    says = f"{size(free)} are free, and the plan needs {size(needed)}"
    says += f", without {', '.join(unknown)}, which are not known" if unknown else ""
    if free < needed:
        return Finding(SUBJECT, PROBLEM, says, "make room, or plan fewer jobs at once: `jobs` of the profile")
    return Finding(SUBJECT, OK, says)
