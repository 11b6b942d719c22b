"""`mocoop-groups review --web` as it is typed: its options, what it says, how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from review_page import ReviewServer, reviewing

from mocoop.grouping.editing import drafts

GROUPS = {
    "schema_version": 1,
    "domain": "birds",
    "groups": [
        {"id": "plain", "templates": ["a photo of a {}.", "a picture of the {}."]},
        {"id": "fog", "templates": ["a {} in mist.", "a {} in thick fog."]},
    ],
}
MOVE = {"operation": "move", "texts": ["a {} in mist."], "to": "plain"}


@pytest.fixture
def path(written):
    return written("groups.json", json.dumps(GROUPS))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--web", "--json"], "are of the review at the terminal"),
        (["--web", "--again"], "are of the review at the terminal"),
        (["--web", "--only", "doubtful"], "are of the review at the terminal"),
        (["--port", "8123"], "add --web"),
        (["--host", "0.0.0.0"], "add --web"),
        (["--no-browser"], "add --web"),
        (["--images", "3"], "add --web"),
        (["--llm-config", "model.json"], "add --web"),
        (["--data", "photos"], "add --web"),
        (["--web", "--data", "photos"], "add --backbone NAME"),
        (["--web", "--host", "no.such.host.invalid"], "is no address of this machine"),
        (["--web", "--port", "99999"], "99999"),
    ],
    ids=" ".join,
)
def test_options_that_do_not_go_together(typed, path, options, told):
    done = typed("review", path, *options)
    assert done.code == 2
    assert told in done.err


def test_stdin_has_no_page(typed):
    done = typed("review", "-", "--web")
    assert (done.code, "the page needs a file" in done.err) == (2, True)


def test_an_invalid_file_is_refused_with_all_its_problems(typed, written):
    done = typed("review", written("bad.json", b'{"schema_version": 1, "domain": "", "groups": []}'), "--web")
    assert done.code == 3
    assert "G024" in done.err


def test_what_is_not_installed_is_named_with_the_extra(typed, path, monkeypatch):
    monkeypatch.setattr("mocoop.packages.importlib.util.find_spec", lambda name: None)
    done = typed("review", path, "--web")
    assert done.code == 2
    assert "starlette is not installed" in done.err
    assert "'.[web]'" in done.err


def test_it_says_where_it_is_and_ctrl_c_ends_it(path):
    server = ReviewServer(path, "--lexical")
    assert server.said[-1].startswith(f"reviewing {path} on http://127.0.0.1:")
    assert server.ask("api/state")["order"] == ["plain", "fog"]
    assert server.end(signal.SIGINT) == 0
    assert server.said[-1] == f"{path}: 0 of 4 templates reviewed\n"


def test_what_is_unsaved_is_told_at_the_end_and_taken_up_at_the_start(path):
    with reviewing(path) as server:
        answer = server.do(1, **MOVE)
        assert answer["unsaved"]
        assert server.end(signal.SIGTERM) == 0
        again = f"mocoop-groups review {path} --web"
        assert f"{path}: what is not saved is kept; the same command takes it up: {again}\n" in server.said
    with reviewing(path) as server:
        assert "note: 1 unsaved change of last time is taken up\n" in server.said
        assert server.ask("api/state")["notes"] == ["1 unsaved change of last time is taken up"]
        server.ask("api/save", {"version": server.ask("api/state")["version"]})
        assert server.end() == 0
        assert not any("not saved" in line for line in server.said)


def test_a_half_typed_line_outlives_a_page_that_nobody_opened(path):
    line = drafts.Line("words:", "a {} in mist.", "a {} in thin mi")
    drafts.keep_line(str(path), line)
    with reviewing(path) as server:
        assert server.ask("api/state")["line"]["typed"] == line.typed
        server.end(signal.SIGKILL)
    assert drafts.take_line(str(path)) == line


def test_it_is_said_at_the_end_if_nothing_could_be_kept(path, written):
    with reviewing(path, MOCOOP_STATE=str(written("no folder", ""))) as server:
        server.do(1, operation="lock-group", group="plain")
        assert server.end() == 0
        told = " ".join(server.said)
        assert "what is not saved is lost" in told
        assert "takes it up" not in told


def test_a_second_page_of_the_file_is_refused_until_the_first_ends(path):
    command = [sys.executable, "-m", "mocoop.grouping.commands", "review", str(path), "--web", "--no-browser"]
    with reviewing(path):
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 2
        assert "is open already" in done.stderr
    with reviewing(path) as server:  # the first was killed
        assert server.ask("api/state")["version"] == 1


def test_port_host_class_names_and_who_may_ask(path, written):
    names = written("names.txt", "photo booth\nowl\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with reviewing(path, "--port", port, "--classes", names) as server:
        assert f":{port}/" in server.address
        for _ in range(50):
            state = server.ask("api/news?version=1")
            found = [one for listed in state["findings"]["cards"].values() for one in listed]
            if found:
                break
        assert {"G115"} == {one["code"] for one in found}  # "a owl"
        for headers, address, status in (
            ({}, f"http://127.0.0.1:{port}/", 404),
            ({}, f"http://127.0.0.1:{port}/{'x' * 32}/api/state", 404),
            ({"Host": "elsewhere.example"}, f"{server.address}api/state", 400),
            ({"Origin": "http://elsewhere.example"}, f"{server.address}api/state", 403),
        ):
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=10)
            assert caught.value.code == status


def test_a_language_model_is_named_on_the_page(path, written):
    config = written("model.json", '{"base_url": "http://127.0.0.1:9/v1", "model": "mine"}')
    with reviewing(path, "--llm-config", config) as server:
        assert server.ask("api/state")["model"] == "mine at 127.0.0.1:9"


def test_an_address_for_others_is_told(path):
    with reviewing(path, "--host", "127.0.0.1") as server:
        assert not any("whoever reaches" in line for line in server.said)
    command = [sys.executable, "-m", "mocoop.grouping.commands", "review", str(path), "--web", "--no-browser"]
    process = subprocess.Popen([*command, "--lexical", "--host", "0.0.0.0"], stderr=subprocess.PIPE, text=True)
    assert "whoever reaches 0.0.0.0 and knows the address may change" in process.stderr.readline()
    assert "http://0.0.0.0:" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 0


def test_a_name_to_serve_on_is_one_to_ask_by(path):
    name = socket.gethostname()
    try:
        socket.create_server((name, 0)).close()
    except OSError:
        pytest.skip("the name of this machine is no address of it")
    command = [sys.executable, "-m", "mocoop.grouping.commands", "review", str(path), "--web", "--no-browser"]
    process = subprocess.Popen([*command, "--lexical", "--host", name], stderr=subprocess.PIPE, text=True)
    address = next(found[0] for line in process.stderr if (found := re.search(r"http://\S+", line)))
    assert f"//{name}:" in address
    assert urllib.request.urlopen(address, timeout=30).status == 200
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)


def test_a_browser_is_opened_unless_told_otherwise(path, tmp_path):
    """Python's own way to name a browser: a program that loads the page, and writes down which address it was given.

    Python waits for its end, as for that of any browser which it does not know, or which runs in the terminal.
    """
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(
        f"#!{sys.executable}\nimport sys, urllib.request\nurllib.request.urlopen(sys.argv[1], timeout=20).read()\n"
        f"open({str(opened)!r}, 'w').write(sys.argv[1])\n"
    )
    browser.chmod(0o755)
    command = [sys.executable, "-m", "mocoop.grouping.commands", "review", str(path), "--web", "--lexical"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "BROWSER": str(browser)})
    line = process.stderr.readline()
    until = time.monotonic() + 30
    while not (opened.exists() and opened.read_text()) and time.monotonic() < until:
        time.sleep(0.02)
    assert opened.read_text().strip() in line
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 0
