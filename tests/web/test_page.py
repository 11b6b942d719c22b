"""A page of one's own answers those who know its address, and nobody else."""

from __future__ import annotations

import pytest
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from mocoop.errors import DataError
from mocoop.web.page import body_of, make_page, new_secret

SECRET = "known-only-to-one"


async def echo(request):
    return JSONResponse(await body_of(request))


async def fails(_request):
    raise DataError("the picture is gone", "put it back")


@pytest.fixture(scope="module")
def page():
    routes = [
        Route("/api/echo", echo, methods=["POST"]),
        Route("/api/fails", fails),
        Route("/api/number/{number:int}", fails),
    ]
    return TestClient(make_page("mocoop.serving", routes, secret=SECRET), base_url="http://127.0.0.1:8123")


def test_the_page_and_its_files_lie_below_the_secret(page):
    answer = page.get(f"/{SECRET}/")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert page.get(f"/{SECRET}/predict.js").headers["content-type"].startswith("text/javascript")


@pytest.mark.parametrize(
    "address", ["/", "/predict.js", "/api/fails", "/known-only-to-on/", f"/{SECRET}x/", f"//{SECRET}/"]
)
def test_without_the_secret_everything_is_the_same_empty_404(page, address):
    answer = page.get(address)
    assert (answer.status_code, answer.content) == (404, b"")


def test_no_number_is_too_long_to_be_answered(page):
    assert page.get(f"/{SECRET}/api/number/{'9' * 900}").status_code == 422
    assert page.get(f"/{SECRET}/api/number/{'9' * 5000}").status_code == 404


def test_what_is_asked_goes_in_and_comes_out_as_json(page):
    assert page.post(f"/{SECRET}/api/echo", json={"a": 1}).json() == {"a": 1}
    assert page.get(f"/{SECRET}/api/fails").json() == {"error": "the picture is gone", "hint": "put it back"}


@pytest.mark.parametrize(
    ("status", "content", "kind"),
    [
        (415, b"{}", "text/plain"),
        (400, b"{", "application/json"),
        (400, b"[]", "application/json"),
        (400, b"[" * 90_000, "application/json"),
    ],
)
def test_what_is_no_json_object_is_refused(page, status, content, kind):
    assert page.post(f"/{SECRET}/api/echo", content=content, headers={"content-type": kind}).status_code == status


def test_pages_of_other_servers_and_other_names_are_refused(page):
    assert page.post(f"/{SECRET}/api/echo", json={}, headers={"origin": "http://elsewhere.example"}).status_code == 403
    assert page.get(f"/{SECRET}/", headers={"host": "elsewhere.example:8123"}).status_code == 400
    assert page.post(f"/{SECRET}/api/echo", json={}, headers={"origin": "http://127.0.0.1:8123"}).status_code == 200


def test_the_name_that_it_was_started_under_is_its_own():
    named = TestClient(make_page("mocoop.serving", (), secret=SECRET, names=["Desk.Example"]))
    assert named.get(f"/{SECRET}/", headers={"host": "desk.example:8123"}).status_code == 200
    answer = named.get(f"/{SECRET}/", headers={"host": "elsewhere.example:8123"})
    assert (answer.status_code, "start it with --host NAME" in answer.json()["error"]) == (400, True)


def test_a_tunnel_may_have_another_port(page):
    assert (
        page.get(f"/{SECRET}/", headers={"host": "localhost:9999", "origin": "http://localhost:9999"}).status_code
        == 200
    )


def test_secrets_differ_and_are_long():
    assert len({new_secret() for _ in range(100)}) == 100
    assert len(new_secret()) >= 32
