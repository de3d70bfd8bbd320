"""Files of released weights: got once, whole, verified, and verified again whenever they are used."""

import shutil
from pathlib import Path

import requests

from dynamonet.errors import UserError
from dynamonet.files import atomic_path, sha256_file, write_text
from dynamonet.progress import progress
from dynamonet.spec import CheckpointSpec, read_spec

CHUNK_BYTES = 2**20
TIMEOUT_S = 30
"""Without a byte; a whole file may take as long as it takes."""


def download(spec_path: Path) -> None:
    """Put the file that `<checkpoint>.spec.json` describes where it says, going on where an earlier call stopped.

    A mirror, if the study names one, takes the place of the authors' address. A file that is there already is only
    verified. Raises UserError if it cannot be got, saying where to put it by hand, and for one of another checksum.
    """
    where = read_spec(CheckpointSpec, spec_path)
    path = Path(where.path)
    if not path.is_file():
        if where.url is None:
            raise UserError(f"{path} does not exist, and nothing says where to get it: put it there")
        name = where.url.rpartition("/")[2]
        source = where.url if where.mirror is None else f"{where.mirror.rstrip('/')}/{name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if source.startswith(("http://", "https://")):
            _fetch(source, path, where)
        else:
            _copy(Path(source).expanduser(), path, where)
    verify(where)


def verify(where: CheckpointSpec) -> str:
    """The SHA-256 of the file, which must be what its authors or the study say, or else what it was when it was got.

    Raises UserError if the file is absent or another.
    """
    path = Path(where.path)
    if not path.is_file():
        source = "" if where.url is None else f": get it from {where.url} and put it there"
        raise UserError(f"checkpoint {where.checkpoint}: the file {path} does not exist{source}")
    found = sha256_file(path)
    pin = _pin(path)
    if where.sha256 is None and where.sha256_prefix is None and not pin.is_file():
        write_text(pin, f"{found}  {path.name}\n")  # in the format of sha256sum
    expected = where.sha256 or where.sha256_prefix or pin.read_text().split()[0]
    if not found.startswith(expected):
        if where.sha256 or where.sha256_prefix:
            says, or_else = "it should be", "correct the checksum"
        else:
            says, or_else = "it was", f"remove {pin} if this is the right one"
        raise UserError(
            f"checkpoint {where.checkpoint}: the SHA-256 of {path} is {found[:12]}, {says} {expected[:12]}; remove the "
            f"file and get it again, or {or_else}"
        )
    return found


def _pin(path: Path) -> Path:
    """Where the checksum of a file lies whose authors publish none: what it was when it was first used."""
    return path.with_name(f"{path.name}.sha256")


def _copy(source: Path, path: Path, where: CheckpointSpec) -> None:
    try:
        with atomic_path(path) as temporary:
            shutil.copyfile(source, temporary)
    except OSError as error:
        raise _not_got(str(source), error.strerror or str(error), path, where) from error


def _fetch(url: str, path: Path, where: CheckpointSpec) -> None:
    part, tag = (path.with_name(f"{path.name}.{suffix}") for suffix in ("part", "part.tag"))
    try:
        with requests.get(url, headers=_range(part, tag), stream=True, timeout=TIMEOUT_S) as answer:
            if answer.status_code == requests.codes.requested_range_not_satisfiable:
                part.unlink()
                return _fetch(url, path, where)
            answer.raise_for_status()
            resumed = answer.status_code == requests.codes.partial_content
            begin = part.stat().st_size if resumed else 0
            total = begin + int(answer.headers.get("Content-Length", 0))
            # By this the server tells whether what is there already is the beginning of the same file.
            write_text(tag, answer.headers.get("ETag") or answer.headers.get("Last-Modified") or "")
            with progress(path.name) as report, part.open("ab" if resumed else "wb") as file:
                for chunk in answer.iter_content(CHUNK_BYTES):
                    file.write(chunk)
                    report(file.tell() // CHUNK_BYTES, max(total, file.tell()) // CHUNK_BYTES, "MiB")
    except (requests.RequestException, OSError) as error:
        raise _not_got(url, type(error).__name__, path, where) from error
    if (done := part.stat().st_size) < total:
        raise _not_got(url, f"it ended after {done} of {total} bytes; the next try goes on from there", path, where)
    found = sha256_file(part)
    expected = where.sha256 or where.sha256_prefix or ""
    tag.unlink()
    if not found.startswith(expected):
        part.unlink()
        raise UserError(
            f"checkpoint {where.checkpoint}: the SHA-256 of {url} is {found[:12]}, it should be {expected[:12]}; try "
            f"again, or put the right file at {path}"
        )
    part.replace(path)


def _range(part: Path, tag: Path) -> dict[str, str]:
    """Headers that ask for the rest of a file, if what is there can be told to be of the same one."""
    headers = {"Accept-Encoding": "identity"}  # lengths and ranges of the file itself
    if part.is_file() and tag.is_file() and (known := tag.read_text()) and not known.startswith("W/"):
        headers |= {"Range": f"bytes={part.stat().st_size}-", "If-Range": known}
    return headers


def _not_got(source: str, reason: str, path: Path, where: CheckpointSpec) -> UserError:
    return UserError(
        f"checkpoint {where.checkpoint}: cannot get {source} ({reason}): put the file at {path} by hand, or name a "
        "folder or URL that has it as the study's mirror"
    )
