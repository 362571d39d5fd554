"""Downloads from a server in this process: mirrors, resumption, digests known and recorded, cards."""

import hashlib
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rheobase.cli.main import app
from rheobase.datasets import download, list_datasets
from rheobase.datasets.cards import CARDS, Card, RemoteFile
from rheobase.errors import DataError, RecipeError

DATA = bytes(range(256)) * 400
MD5 = hashlib.md5(DATA).hexdigest()


class Server(BaseHTTPRequestHandler):
    """Serves DATA at /whole; breaks off half way at /half the first time; ignores ranges at /plain."""

    asked: list[tuple[str, str]]
    broken: set[str]

    def do_GET(self):
        self.asked.append((self.path, self.headers.get("Range", "")))
        if self.path == "/none":
            return self.send_error(404)
        given = self.headers.get("Range")
        start = int(given[6:-1]) if given and self.path != "/plain" else 0
        if start >= len(DATA):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(DATA)}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        body = DATA[start:] if self.path != "/other" else b"another file"
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.path in self.broken:
            self.broken.discard(self.path)
            body = body[: len(body) // 2]
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    handler = type("Handler", (Server,), {"asked": [], "broken": {"/half", "/plain"}})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        handler.url = f"http://127.0.0.1:{httpd.server_port}"
        yield handler
        httpd.shutdown()
        thread.join()


@pytest.fixture
def publish(monkeypatch, server):
    def made(*paths, md5=MD5):
        urls = tuple(server.url + path for path in paths)
        monkeypatch.setitem(CARDS, "things", Card("Things", "", "", "", (RemoteFile("in/a.zip", urls, md5),)))

    return made


def test_a_file_comes_once(publish, server, tmp_path):
    publish("/whole")
    (found,) = download.fetch("things", tmp_path)
    assert found.path.read_bytes() == DATA
    assert (found.path, found.checked, found.md5) == (tmp_path / "in/a.zip", "published", MD5)
    assert download.fetch("things", tmp_path) == [found] and len(server.asked) == 1
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["a.zip"]


@pytest.mark.parametrize(
    ("path", "second"), [("/half", f"bytes={len(DATA) // 2}-"), ("/plain", f"bytes={len(DATA) // 2}-")]
)
def test_a_broken_download_goes_on(publish, server, tmp_path, path, second):
    publish(path)
    with pytest.raises(DataError, match="download failed"):
        download.fetch("things", tmp_path)
    assert not (tmp_path / "in/a.zip").exists()
    assert download.fetch("things", tmp_path)[0].path.read_bytes() == DATA
    assert server.asked == [(path, ""), (path, second)]


def test_what_is_whole_but_not_yet_named_is_not_asked_for_again(publish, server, tmp_path):
    publish("/whole")
    (tmp_path / "in").mkdir()
    for rest in (DATA, DATA + b"too much"):
        (tmp_path / "in/.a.zip.part").write_bytes(rest)
        assert download.fetch("things", tmp_path)[0].path.read_bytes() == DATA
        (tmp_path / "in/a.zip").unlink()


def test_mirrors_are_tried_in_turn(publish, server, tmp_path):
    publish("/none", "/half", "/whole")
    assert download.fetch("things", tmp_path)[0].path.read_bytes() == DATA
    assert [path for path, _ in server.asked] == ["/none", "/half", "/whole"]
    assert server.asked[-1][1] == f"bytes={len(DATA) // 2}-"


def test_all_mirrors_down_names_each_and_keeps_what_came(publish, server, tmp_path, monkeypatch):
    publish("/none", "/half")
    urls = (*CARDS["things"].files[0].urls, "http://127.0.0.1:9/closed")  # no server there
    monkeypatch.setitem(CARDS, "things", Card("Things", "", "", "", (RemoteFile("in/a.zip", urls, MD5),)))
    with pytest.raises(DataError) as caught:
        download.fetch("things", tmp_path)
    assert all(url in str(caught.value) for url in urls) and "copy the file to" in str(caught.value)
    assert (tmp_path / "in/.a.zip.part").stat().st_size == len(DATA) // 2
    assert download.fetch("things", tmp_path)[0].path.read_bytes() == DATA


def test_a_mirror_of_another_file_is_passed_over(publish, server, tmp_path):
    """What a bad mirror sent is thrown away, so that the good one does not go on from it."""
    publish("/other", "/whole")
    assert download.fetch("things", tmp_path)[0].path.read_bytes() == DATA
    assert server.asked == [("/other", ""), ("/whole", "")]


def test_another_file_is_refused(publish, tmp_path):
    publish("/whole", md5="0" * 32)
    with pytest.raises(DataError, match="what came is not the file"):
        download.fetch("things", tmp_path)
    assert not list((tmp_path / "in").iterdir())
    (tmp_path / "in/a.zip").write_bytes(b"other")
    for verb in (download.fetch, download.check):
        with pytest.raises(DataError, match="the one published is 0000"):
            verb("things", tmp_path)


def test_an_unknown_digest_is_recorded_and_then_checked(publish, tmp_path):
    publish("/whole", md5="")
    assert download.check("things", tmp_path)[0].checked == "absent"
    assert download.fetch("things", tmp_path)[0].checked == "new"
    assert download.check("things", tmp_path)[0].checked == "recorded"
    (tmp_path / "in/a.zip").write_bytes(b"other")
    with pytest.raises(DataError, match="recorded when it was first fetched"):
        download.check("things", tmp_path)
    (tmp_path / "in/a.zip").unlink()
    assert download.fetch("things", tmp_path)[0].md5 == MD5


def test_what_cannot_be_fetched_says_what_to_do():
    with pytest.raises(DataError, match="nothing to fetch; get DvsGesture"):
        download.fetch("dvs128-gesture", "x")
    with pytest.raises(RecipeError, match="did you mean 'nmnist'"):
        download.card("nmnsit")


@pytest.mark.parametrize("name", sorted(CARDS))
def test_cards_are_of_data_sets_and_whole(name):
    found = CARDS[name]
    assert name in list_datasets()
    assert found.title and found.what and found.licence and found.source
    assert found.files or found.get
    for file in found.files:
        assert file.urls and len(file.md5) in (0, 32)


def test_every_data_set_has_a_card():
    assert list(CARDS) == list_datasets()


def test_the_page_of_data_sets_has_every_card():
    page = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text()
    for name, found in CARDS.items():
        assert f"| `{name}` | {found.what} | {found.licence} | {found.source} |" in page


def test_everything_that_is_there_is_checked_at_once(tmp_path, monkeypatch):
    """Whole sets are said to be whole, absent ones absent; all that are damaged are named, and the command fails."""
    files = {"first": "a.zip", "second": "b.zip", "third": "c.zip"}
    for name, file in files.items():
        monkeypatch.setitem(
            CARDS, name, Card(name, "", "", "", (RemoteFile(file, ("http://nowhere",), MD5),))
        )
    (tmp_path / "a.zip").write_bytes(DATA)
    run = partial(CliRunner().invoke, app)
    found = run(["data", "fetch", "--check", "--root", str(tmp_path)])
    assert found.exit_code == 0
    assert f"first: {tmp_path / 'a.zip'}: its MD5 is the published one" in found.output.replace("\n", "")
    assert "second: not there" in found.output
    for file in ("b.zip", "c.zip"):
        (tmp_path / file).write_bytes(DATA[:-1])
    found = run(["data", "fetch", "--check", "--root", str(tmp_path)])
    assert isinstance(found.exception, DataError)
    assert all(file in str(found.exception) for file in ("b.zip", "c.zip"))
    found = run(["data", "fetch", "--root", str(tmp_path)])
    assert isinstance(found.exception, RecipeError)
    assert "rheobase data list" in str(found.exception)
