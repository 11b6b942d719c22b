"""A server under good and bad requests, in a process of its own: the good are answered, the bad are refused."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files

import numpy as np
import pytest
from attacks import bomb_png
from datafiles import encoded, pixels
from onnxmodels import a_model, slow_model
from servers import form, serving

from mocoop.export.engine import Engine
from mocoop.web.process import _bound

PICTURE = encoded(pixels(1, 30, 40), "PNG")
POST = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
LIMITS = ("--max-bytes", 100_000, "--max-pixels", 100_000, "--max-images", 3, "--body-time-limit", 1.0)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    path.write_bytes(a_model().SerializeToString())
    return path


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    path = tmp_path_factory.mktemp("slow") / "model.onnx"
    path.write_bytes(slow_model().SerializeToString())
    return path


@pytest.fixture(scope="module")
def server(model):
    with serving(model, *LIMITS) as running:
        yield running


@pytest.fixture(autouse=True)
def still_answers(request):
    """Whatever a test did to the server they share, it answers afterwards."""
    yield
    if "server" in request.fixturenames:
        assert request.getfixturevalue("server").ask("/predict", PICTURE)[0] == 200


def raw(server, data, *, wait=10):
    """What comes back for some bytes on a connection, until the server closes it."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=wait) as connection:
        connection.sendall(data)
        found = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := connection.recv(65536):
                found += piece
        return found


class TestGood:
    def test_one_picture_is_answered_as_predict_does(self, server, model, tmp_path):
        path = tmp_path / "image"
        path.write_bytes(PICTURE)
        known = next(iter(Engine(model).predict_images([path])))
        status, found, _ = server.ask("/predict", PICTURE)
        assert status == 200
        assert found == {"predictions": [{**known, "path": "image"}]}

    def test_several_keep_their_order_and_names(self, server):
        pictures = {f"{n}.png": encoded(np.full((9, 9, 3), 20 * n, np.uint8), "PNG") for n in (9, 1, 5)}
        status, found, _ = server.ask("/predict?top=1", *form(*pictures.items()))
        assert status == 200
        answers = found["predictions"]
        assert [one["path"] for one in answers] == list(pictures)
        assert [one["probability"] for one in answers] == pytest.approx([n * 20 / 255 for n in (9, 1, 5)], abs=1e-5)
        assert all(len(one["top_k"]) == 1 for one in answers)

    def test_a_bad_picture_among_good_ones_says_why(self, server):
        status, found, _ = server.ask(
            "/predict", *form(("a.png", PICTURE), ("b.png", b"no picture"), ("c.png", PICTURE))
        )
        assert status == 200
        assert ["error" in one for one in found["predictions"]] == [False, True, False]
        assert "text, not a picture" in found["predictions"][1]["error"]

    def test_what_looks_at_it(self, server):
        assert server.ask("/healthz")[1] == {"status": "ok"}
        about = server.ask("/model")[1]
        assert (about["classes"], about["experts"]) == (["cat", "dog"], ["plain"])
        assert about["limits"]["body_bytes"] == 100_000
        api = server.ask("/openapi.json")[1]
        assert {"/predict", "/healthz", "/model"} <= api["paths"].keys()
        assert {"multipart/form-data", "image/*"} == api["paths"]["/predict"]["post"]["requestBody"]["content"].keys()

    def test_it_counts(self, server):
        lines = ("mocoop_images_total{outcome=\"answered\"}", "mocoop_images_total{outcome=\"unreadable\"}",
                 'mocoop_requests_total{path="/predict",status="200"}', 'mocoop_requests_total{path="other"',
                 'mocoop_requests_total{path="/"', 'mocoop_requests_total{path="/model"',
                 "mocoop_batch_images_sum")  # fmt: skip
        before = [server.metric(line) for line in lines]
        server.ask("/predict", *form(("a.png", PICTURE), ("b.png", b"no picture")))
        for path in ("/such/a/path", "/", "/model"):
            server.ask(path)
        after = [server.metric(line) for line in lines]
        assert [b - a for a, b in zip(before, after, strict=True)] == [1] * len(lines)
        assert server.metric("mocoop_waiting_images") == 0


class TestBad:
    @pytest.mark.parametrize(
        ("body", "kind", "status", "said"),
        [
            (b"x", "text/plain", 415, "multipart/form-data"),
            (b"", "application/octet-stream", 422, "the file is empty"),
            (b"no picture", "image/png", 422, "text, not a picture"),
            (PICTURE[:60], "image/png", 422, "damaged or cut"),
            (b"--x--\r\n", "multipart/form-data; boundary=x", 422, "no files"),
            (b"no form", "multipart/form-data; boundary=x", 400, ""),
            (form(("a\xe9.png", PICTURE))[0], f"{form()[1]}; charset=undefined", 400, "charset"),
            (form(("+2AA-.jpg", b"no picture"))[0], f"{form()[1]}; charset=utf-7", 422, "?.jpg"),
            (b"no form", "multipart/form-data", 400, "boundary"),
            (form(*[("a.png", PICTURE)] * 4)[0], form()[1], 400, "Too many files"),
            (bomb_png(30_000, 3000), "image/png", 422, "more than 100,000"),
            (encoded(np.zeros((400, 400, 3), np.uint8), "PNG"), "image/png", 422, "more than 100,000"),
            (bytes(100_001), "image/png", 413, "larger than 100,000 bytes"),
        ],
    )
    def test_what_is_malformed_or_too_large_is_refused(self, server, body, kind, status, said):
        found, why, _ = server.ask("/predict", body, kind)
        assert found == status, why
        assert said in why["error"]

    @pytest.mark.parametrize(("query", "said"), [("top=0", "query.top"), ("top=x", "query.top")])
    def test_a_wrong_number_is_named(self, server, query, said):
        status, why, _ = server.ask(f"/predict?{query}", PICTURE)
        assert (status, said in why["error"]) == (422, True)

    def test_a_body_that_does_not_say_its_size_is_cut_off(self, server):
        head = POST + b"Transfer-Encoding: chunked\r\n\r\n"
        piece = b"8000\r\n" + bytes(0x8000) + b"\r\n"
        assert raw(server, head + 4 * piece).startswith(b"HTTP/1.1 413")

    def test_a_number_that_is_no_size_is_refused(self, server):
        head = POST + b"Content-Length: %s\r\n\r\n"
        for length in (b"9" * 30, b"9" * 5000, b"-1", b"1e3"):
            assert re.match(rb"HTTP/1.1 4\d\d", raw(server, head % length))

    @pytest.mark.parametrize("data", [b"\0\1\2\3\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n" + bytes(100_000)])
    def test_what_is_no_http_is_refused(self, server, data):
        assert raw(server, data).startswith(b"HTTP/1.1 400")

    def test_headers_without_end_are_refused(self, server):
        assert b"400" in raw(server, b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000)[:20]

    @pytest.mark.parametrize("start", [b"", b"GET /hea", b"GET / HTTP/1.1\r\nHost: local"])
    def test_a_connection_that_asks_nothing_is_closed(self, server, start):
        began = time.monotonic()
        assert raw(server, start) == b""
        assert 0.5 < time.monotonic() - began < 8

    def test_a_kept_connection_is_closed_too(self, server):
        ask = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
        began = time.monotonic()
        found = raw(server, ask + b"GET /healthz HTTP/1.1\r\nHo")
        assert found.count(b"HTTP/1.1 200") == 1
        assert time.monotonic() - began < 8

    def test_a_body_that_comes_slowly_is_refused(self, server):
        head = POST + b"Content-Length: 9000\r\n\r\n"
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as slow:
            slow.sendall(head)
            began, found = time.monotonic(), b""
            while not found and time.monotonic() - began < 9:
                slow.sendall(b"x")
                slow.settimeout(0.2)
                with contextlib.suppress(TimeoutError):
                    found = slow.recv(4096)
                assert server.ask("/predict", PICTURE)[0] == 200, "others are answered in the meantime"
        assert found.startswith(b"HTTP/1.1 408")

    def test_a_client_that_goes_away_is_forgotten(self, server):
        head = POST + b"Content-Length: 9000\r\n\r\n"
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", server.port)) as connection:
                connection.sendall(head + b"x" * 100)
        time.sleep(0.3)
        assert server.metric("mocoop_waiting_images") == 0

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({"Host": "evil.example"}, 400),
            ({"Host": "localhost.evil.example:80"}, 400),
            ({"Host": "[::1"}, 400),
            ({"Host": ""}, 400),
            ({"Host": "LOCALHOST:1"}, 200),
            ({"Host": "[::1]:80"}, 200),
            ({"Host": "192.0.2.7"}, 200),
            ({"Host": "localhost", "Origin": "http://evil.example"}, 403),
            ({"Host": "localhost", "Origin": "null"}, 403),
            ({"Host": "localhost", "Origin": "http://["}, 403),
            ({"Host": "localhost:1", "Origin": "http://localhost:2"}, 403),
            ({"Host": "localhost:1", "Origin": "http://localhost:1"}, 200),
        ],
    )
    def test_foreign_names_and_pages_are_refused(self, server, headers, status):
        assert server.ask("/predict", PICTURE, headers=headers)[0] == status


class TestLoad:
    def test_more_than_it_may_hold_is_refused_and_the_rest_answered(self, slow):
        with serving(slow, "--queue", 4, "--batch-size", 2) as server, ThreadPoolExecutor(16) as pool:
            found = list(pool.map(lambda _: server.ask("/predict", PICTURE, timeout=60), range(16)))
            statuses = [status for status, _, _ in found]
            assert set(statuses) == {200, 429}
            assert statuses.count(200) >= 4
            refused = next(one for one in found if one[0] == 429)
            assert refused[2].headers["Retry-After"] == "1"
            assert "images are being answered" in refused[1]["error"]
            assert server.metric('mocoop_images_total{outcome="answered"}') == statuses.count(200)
            assert server.metric("mocoop_batch_images_sum") == statuses.count(200)
            assert server.metric("mocoop_batch_images_count") < statuses.count(200), "some were answered together"
            whole = server.ask("/predict", *form(*[("a.png", PICTURE)] * 5))
            assert whole[0] == 429, "all or nothing of one request"

    def test_what_takes_too_long_is_refused(self, slow):
        with serving(slow, "--time-limit", 0.02) as server:
            status, why, _ = server.ask("/predict", PICTURE)
            assert (status, why["error"]) == (503, "no answer within 0.02 s; try again")
            assert server.ask("/healthz")[0] == 200

    @pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_loses_nothing_that_was_asked(self, slow, how):
        with serving(slow, "--batch-size", 1) as server, ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(server.ask, "/predict", PICTURE, timeout=60) for _ in range(8)]
            deadline = time.monotonic() + 30
            while server.metric("mocoop_waiting_images") + sum(one.done() for one in asked) < 8:
                assert time.monotonic() < deadline
            assert not all(one.done() for one in asked), "some are being answered"
            assert server.end(how) == 0
            assert [one.result()[0] for one in asked] == [200] * 8
            assert "all that was asked is answered" in server.said[-1]
            with pytest.raises(ConnectionRefusedError):
                server.ask("/healthz")


class TestPages:
    def test_a_browser_may_run_nothing_but_ours(self, server):
        assets = ("predict.js", "docs.js", "style.css", "icon.svg")
        for address in ("/", "/docs", *(f"/pages/{name}" for name in assets), "/none", "/predict"):
            _, _, response = server.ask(address)
            policy = response.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "script-src 'self';" in policy
            assert "unsafe" not in policy
            assert response.headers["X-Content-Type-Options"] == "nosniff"

    def test_pages_ask_this_server_only_and_put_text_in_as_text(self, server):
        pages = files("mocoop.serving").joinpath("pages")
        for name in ("index.html", "docs.html"):
            text = pages.joinpath(name).read_text()
            assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|style=", text), "nothing inline"
            for link in re.findall(r'(?:src|href)="([^"]+)"', text):
                status, content, _ = server.ask(f"/{link}")
                assert status == 200, link
                assert content
        for name in ("predict.js", "docs.js"):
            script = pages.joinpath(name).read_text()
            assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval|Function|https?://", script)


def test_torch_is_not_imported_to_serve_a_model(model):
    script = f"""
import sys, signal, threading, os
sys.modules.update(dict.fromkeys(("torch", "torchvision", "open_clip", "timm", "transformers", "onnx")))
from mocoop import cli
from mocoop.commands import mocoop
threading.Timer(3, os.kill, (os.getpid(), signal.SIGTERM)).start()
cli.run(mocoop, "mocoop", ["serve", {str(model)!r}, "--port", "0"])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "serving 2 classes on http://127.0.0.1:" in done.stderr


def test_answers_are_sent_at_once():
    """asyncio sets TCP_NODELAY for sockets whose protocol is named; each answer took 40 ms before."""
    with contextlib.closing(_bound("127.0.0.1", 0)) as bound:
        assert bound.proto == socket.IPPROTO_TCP


def test_an_address_that_is_taken_is_said_in_one_line(model):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [sys.executable, "-m", "mocoop", "serve", str(model), "--port", str(taken.getsockname()[1])]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert re.search(r"^mocoop: cannot serve on 127.0.0.1 port \d+: Address already in use$", done.stderr, re.MULTILINE)
    assert "Traceback" not in done.stderr
