"""The addresses of the page: its content, pictures by number, corrections; and what is refused."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from hostile import put_photos
from PIL import Image
from starlette.testclient import TestClient

from mocoop.data.images import open_image
from mocoop.data.sources import open_dataset
from mocoop.looking.corrections import Corrections
from mocoop.looking.pictures import SIDES, Album
from mocoop.looking.server import make_app

SECRET = "known-only-to-one"


@pytest.fixture
def served(looked, tmp_path):
    photos = put_photos(tmp_path / "photos")
    dataset = open_dataset(photos)
    corrections = Corrections(dataset, photos)
    paths = [example.path for example in dataset.test]
    app = make_app(looked.content, paths, Album(paths, None), corrections, secret=SECRET)
    client = TestClient(app, base_url="http://127.0.0.1:8123")
    return SimpleNamespace(client=client, corrections=corrections, paths=paths, app=app, photos=photos)


def get(served, path):
    return served.client.get(f"/{SECRET}/{path}")


def correct(served, **body):
    return served.client.post(f"/{SECRET}/api/label", json=body)


def test_the_content_is_told_with_its_corrections(served, looked):
    told = get(served, "api/data").json()
    corrections = told.pop("corrections")
    assert told == looked.content
    assert corrections["choices"] == looked.content["classes"]
    assert corrections["classes"] == [0, 1, 2, 3]
    assert corrections["labels"] == {}
    assert corrections["links"] == ""


def test_pictures_are_decoded_and_written_anew(served):
    """No byte of a file goes out: not its name, not what is hidden in it."""
    path = served.paths[0]
    Image.linear_gradient("L").resize((3000, 1500)).convert("RGB").save(path, "JPEG", comment=b"a secret comment")
    for size, side in SIDES.items():
        answer = get(served, f"api/picture/0/{size}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
        assert b"secret" not in answer.content
        shown = Image.open(io.BytesIO(answer.content))
        assert shown.size == (side, side // 2)
    assert open_image(path).size == (3000, 1500)


@pytest.mark.parametrize(
    "path",
    ["api/picture/99/small", "api/picture/0/huge", "api/picture/-1/small", "api/picture/../small",
     "api/picture/..%2f..%2fetc%2fpasswd/small", "api/picture/0x0/small", "server.py", "../server.py", "pages/main.js"],
)  # fmt: skip
def test_what_is_not_there_is_not_found(served, path):
    assert get(served, path).status_code == 404


def test_a_picture_that_cannot_be_read_is_told(served):
    served.paths[0].write_bytes(b"no picture")
    answer = get(served, "api/picture/0/small")
    assert answer.status_code == 422
    assert served.paths[0].name in answer.json()["error"]


def test_everything_is_behind_the_secret(served):
    for path in ("", "main.js", "api/data", "api/picture/0/small"):
        assert served.client.get(f"/{path}").status_code == 404
    assert served.client.post("/api/label", json={"image": 0, "label": 1}).status_code == 404


def test_a_label_is_corrected_and_told(served):
    answer = correct(served, image=0, label=2).json()
    assert answer["labels"] == {"0": 2}
    assert get(served, "api/data").json()["corrections"]["labels"] == {"0": 2}
    assert served.corrections.labels() == {served.paths[0]: 2}
    assert correct(served, image=0, label=0).json()["labels"] == {}


def test_with_a_table_that_was_spoiled_by_hand_the_images_are_still_shown(served, looked):
    served.corrections.path.write_text("path;old label;new label;time\n")
    told = get(served, "api/data").json()
    assert told["corrections"] is None
    assert "is no table of corrections" in told["notes"][-1]
    assert told["images"] == looked.content["images"]
    assert correct(served, image=0, label=1).status_code == 422
    served.corrections.path.unlink()
    assert get(served, "api/data").json()["corrections"]["labels"] == {}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {}),
        (400, {"image": 0}),
        (400, {"image": "0", "label": 1}),
        (400, {"image": True, "label": 1}),
        (400, {"image": 0, "label": 1.0}),
        (400, {"image": -1, "label": 1}),
        (400, {"image": 999, "label": 1}),
        (422, {"image": 0, "label": 99}),
        (422, {"image": 0, "label": -1}),
        (400, {"image": "../../etc/passwd", "label": 1}),
    ],
)
def test_what_is_no_correction_is_refused(served, status, body):
    answer = correct(served, **body)
    assert answer.status_code == status
    assert answer.json()["error"]
    assert not served.corrections.path.exists()


def test_pages_of_other_servers_may_not_correct(served):
    headers = {"origin": "http://elsewhere.example"}
    answer = served.client.post(f"/{SECRET}/api/label", json={"image": 0, "label": 1}, headers=headers)
    assert answer.status_code == 403
    assert served.client.post(f"/{SECRET}/api/label", content=b'{"image": 0, "label": 1}').status_code == 415


def test_a_table_beside_a_link_is_said_to_be_read_with_links(served, looked, tmp_path):
    (tmp_path / "linked").symlink_to(served.photos)
    linked = Corrections(open_dataset(tmp_path / "linked"), tmp_path / "linked")
    app = make_app(looked.content, [], Album([], None), linked, secret=SECRET)
    told = TestClient(app, base_url="http://127.0.0.1:8123").get(f"/{SECRET}/api/data").json()["corrections"]
    assert told["links"] == " --follow-links"


def test_corrections_at_once_are_all_kept(served):
    with ThreadPoolExecutor(8) as several:
        answers = list(several.map(lambda image: correct(served, image=image, label=3).status_code, range(12)))
    assert answers == [200] * 12
    assert len(served.corrections.labels()) == 12


def test_without_corrections_there_is_no_way_to_correct(served, looked):
    app = make_app(looked.content, served.paths, Album(served.paths, None), None, secret=SECRET)
    client = TestClient(app, base_url="http://127.0.0.1:8123")
    assert client.get(f"/{SECRET}/api/data").json()["corrections"] is None
    assert client.post(f"/{SECRET}/api/label", json={"image": 0, "label": 1}).status_code == 409


def test_classes_that_were_not_trained_on_can_be_chosen_too(served, looked):
    """A run of the base classes: the new ones are choices, and no answers."""
    part = {**looked.content, "classes": looked.content["classes"][:2]}
    app = make_app(part, served.paths, Album(served.paths, None), served.corrections, secret=SECRET)
    told = TestClient(app, base_url="http://127.0.0.1:8123").get(f"/{SECRET}/api/data").json()["corrections"]
    assert (len(told["choices"]), told["classes"]) == (4, [0, 1, None, None])
    part["classes"] = looked.content["classes"][2:]
    app = make_app(part, served.paths, Album(served.paths, None), served.corrections, secret=SECRET)
    told = TestClient(app, base_url="http://127.0.0.1:8123").get(f"/{SECRET}/api/data").json()["corrections"]
    assert told["classes"] == [None, None, 0, 1]
