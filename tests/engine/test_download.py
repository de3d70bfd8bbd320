import hashlib
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from dynamonet.cli import main
from dynamonet.engine.download import download, verify
from dynamonet.errors import UserError
from dynamonet.files import write_json
from dynamonet.spec import CheckpointSpec

CONTENT = bytes(range(256)) * 12000  # 3 MB: three chunks
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves `content` as /net.pyth, with ranges; cuts an answer off after `most` bytes. Remembers what was asked."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.most, self.asked = CONTENT, None, []
        self.url = f"http://127.0.0.1:{self.server_port}/net.pyth"

    @property
    def tag(self) -> str:
        return f'"{hashlib.sha256(self.content).hexdigest()[:8]}"'


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.asked.append(self.headers.get("Range"))
        if self.path != "/net.pyth":
            self.send_error(404)
            return
        begin = 0
        if self.headers.get("Range") and self.headers.get("If-Range") == server.tag:
            begin = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
        rest = server.content[begin:]
        self.send_response(206 if begin else 200)
        self.send_header("ETag", server.tag)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest[: server.most])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def spec(tmp_path):
    """`spec(**fields)`: the path of the spec of a file that is to lie at released/net.pyth."""

    def path_of(**fields):
        where = {"checkpoint": "released-net", "path": str(tmp_path / "released/net.pyth"), **fields}
        write_json(tmp_path / "net.spec.json", where)
        return tmp_path / "net.spec.json"

    return path_of


@contextmanager
def refused(message: str):
    with pytest.raises(UserError, match=message) as refusal:
        yield
    assert "\n" not in str(refusal.value)


def test_a_file_is_got_and_got_once(server, spec, tmp_path):
    for _ in range(2):
        download(spec(url=server.url, sha256=SHA256))
    assert (tmp_path / "released/net.pyth").read_bytes() == CONTENT
    assert server.asked == [None]
    assert [path.name for path in (tmp_path / "released").iterdir()] == ["net.pyth"]


def test_a_transfer_that_broke_goes_on_where_it_stopped(server, spec, tmp_path):
    server.most = 2**20 + 5
    with refused("cannot get http.*put the file at .*net.pyth by hand"):
        download(spec(url=server.url, sha256=SHA256))
    assert not (tmp_path / "released/net.pyth").exists()
    begun = (tmp_path / "released/net.pyth.part").stat().st_size
    assert begun > 0
    server.most = None
    download(spec(url=server.url, sha256=SHA256))
    assert server.asked == [None, f"bytes={begun}-"]
    assert (tmp_path / "released/net.pyth").read_bytes() == CONTENT


def test_a_file_that_has_changed_since_is_begun_anew(server, spec, tmp_path):
    server.most = 2**20 + 5
    with refused("cannot get"):
        download(spec(url=server.url))
    server.content, server.most = CONTENT[::-1], None
    download(spec(url=server.url))
    assert (tmp_path / "released/net.pyth").read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize("expected", [{"sha256": "0" * 64}, {"sha256_prefix": "0" * 8}])
def test_another_file_than_expected_is_not_kept(server, spec, tmp_path, expected):
    with refused("checkpoint released-net: the SHA-256 of http.*it should be 0000"):
        download(spec(url=server.url, **expected))
    assert not list((tmp_path / "released").iterdir())


def test_the_first_digits_of_a_checksum_are_enough(server, spec):
    download(spec(url=server.url, sha256_prefix=SHA256[:8]))


def test_a_file_without_a_published_checksum_must_stay_what_it_was(server, spec, tmp_path):
    download(spec(url=server.url))
    assert (tmp_path / "released/net.pyth.sha256").read_text() == f"{SHA256}  net.pyth\n"
    (tmp_path / "released/net.pyth").write_bytes(b"other")
    with refused("the SHA-256 of .*net.pyth is .*, it was .*, or remove .*net.pyth.sha256 if this is the right one"):
        download(spec(url=server.url))


def test_a_mirror_takes_the_place_of_the_address(server, spec, tmp_path):
    base = server.url.rpartition("/")[0]
    download(spec(url="http://nowhere.invalid/net.pyth", mirror=f"{base}/", sha256=SHA256))
    folder = tmp_path / "mirror"
    folder.mkdir()
    (folder / "net.pyth").write_bytes(CONTENT)
    (tmp_path / "released/net.pyth").unlink()
    download(spec(url="http://nowhere.invalid/net.pyth", mirror=str(folder), sha256=SHA256))
    assert (tmp_path / "released/net.pyth").read_bytes() == CONTENT
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"url": "http://127.0.0.1:9/net.pyth"}, r"cannot get http://127.0.0.1:9/net.pyth \(ConnectionError\): put"),
        ({"url": "http://nowhere.invalid/net.pyth", "mirror": "/nowhere"}, "cannot get /nowhere/net.pyth .*mirror"),
        ({}, "does not exist, and nothing says where to get it"),
    ],
)
def test_what_cannot_be_got_is_said_in_one_sentence(spec, capsys, fields, message):
    path = spec(**fields)
    with refused(message):
        download(path)
    assert main(["download", "--spec", str(path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_an_address_without_the_file_is_named(server, spec):
    with refused("cannot get http.*/other.pyth"):
        download(spec(url=server.url.replace("net", "other")))


def test_verifying_names_where_a_missing_file_comes_from(tmp_path):
    where = CheckpointSpec(checkpoint="net", path=str(tmp_path / "net.pyth"), url="https://example.org/net.pyth")
    with refused("net.pyth does not exist: get it from https://example.org/net.pyth"):
        verify(where)
