"""What waits is answered together, and who asked is told of failures; a run behind it; clients that read nothing."""

from __future__ import annotations

import asyncio
import threading
import time

import numpy as np
import pytest
from exports import small_run, some_pictures
from starlette.exceptions import HTTPException

from mocoop.export.engine import Answer
from mocoop.runs.predict import predict_images
from mocoop.serving.app import Answers
from mocoop.serving.batching import Batcher
from mocoop.serving.limits import Limits
from mocoop.serving.models import RunModel
from mocoop.web.gate import Gate


def doubled(pixels):
    return Answer(2 * pixels, pixels)


def images(*numbers):
    return [np.array([number], np.float32) for number in numbers]


def numbers_of(futures):
    rows = [future.result(10) for future in futures]
    return [float(one.answer.probabilities[one.row, 0]) for one in rows]


class Held:
    """A model that waits at its first batch until it is let go, and remembers the batches."""

    def __init__(self):
        self.go, self.reached, self.batches = threading.Event(), threading.Event(), []

    def predict(self, pixels):
        self.batches.append(pixels[:, 0].tolist())
        self.reached.set()
        assert self.go.wait(10)
        if -1 in pixels:
            raise ValueError("no negative numbers")
        return doubled(pixels)


def test_each_gets_its_own_row():
    batcher = Batcher(doubled, 4)
    assert numbers_of(batcher.submit(images(3, 1, 4, 1, 5))) == [6, 2, 8, 2, 10]
    batcher.stop()


def test_what_comes_while_the_model_works_is_one_batch_and_the_cancelled_cost_nothing():
    model, sizes = Held(), []
    batcher = Batcher(model.predict, 3, sizes.append)
    first = batcher.submit(images(1))
    assert model.reached.wait(10)
    later = batcher.submit(images(2, 3, 4, 5, 6))
    assert later[1].cancel()
    model.go.set()
    assert numbers_of([*first, *later[2:]]) == [2, 8, 10, 12]
    batcher.stop()
    assert model.batches == [[1], [2, 4], [5, 6]]
    assert sizes == [1, 2, 2]


def test_a_failure_is_told_to_those_of_its_batch_and_the_next_is_tried():
    model = Held()
    model.go.set()
    batcher = Batcher(model.predict, 8)
    (bad,) = batcher.submit(images(-1))
    with pytest.raises(ValueError, match="no negative numbers"):
        bad.result(10)
    assert numbers_of(batcher.submit(images(7))) == [14]
    batcher.stop()


def test_stopping_answers_what_waits_and_takes_no_more():
    model = Held()
    batcher = Batcher(model.predict, 1)
    asked = batcher.submit(images(1, 2, 3))
    stopping = threading.Thread(target=batcher.stop)
    stopping.start()
    model.go.set()
    stopping.join(10)
    assert numbers_of(asked) == [2, 4, 6]
    with pytest.raises(RuntimeError, match="has stopped"):
        batcher.submit(images(4))


def test_a_run_answers_as_predict_does(tmp_path):
    run = small_run(tmp_path / "world")
    paths = some_pictures(tmp_path / "photos")
    backbone = run.load_backbone("cpu", precision="float32")
    known = list(predict_images(run, paths, backbone=backbone, top=3))
    answers = Answers(RunModel(run, backbone), Limits())
    found = asyncio.run(answers.answer([(str(path), path.read_bytes()) for path in paths], 3))
    answers.stop()
    assert [one["class"] for one in found] == [one["class"] for one in known]
    for one, other in zip(found, known, strict=True):
        assert one.keys() == other.keys()
        assert one["probability"] == pytest.approx(other["probability"], abs=1e-5)
        assert {e["id"]: e["templates"] for e in one["experts"]} == {e["id"]: e["templates"] for e in other["experts"]}


SCOPE = {"type": "http", "path": "/predict", "headers": [(b"host", b"localhost")]}


async def empty():
    return {"type": "http.request", "body": b"", "more_body": False}


def test_a_client_that_reads_nothing_is_left():
    async def app(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def never(_message):
        await asyncio.sleep(60)

    counted, began = [], time.monotonic()
    gate = Gate(app, Limits(seconds=0.1), (), lambda *what: counted.append(what))
    asyncio.run(gate(SCOPE, empty, never))
    assert time.monotonic() - began < 10
    assert counted[0][:2] == ("/predict", 200)


def test_bodies_together_are_bounded_and_let_go():
    inside, refused, go = [], [], None

    async def app(_scope, receive, _send):
        try:
            await receive()
        except HTTPException as error:
            refused.append(error.status_code)
            return
        inside.append(1)
        await go.wait()

    async def full():
        return {"type": "http.request", "body": bytes(100), "more_body": False}

    gate = Gate(app, Limits(body_bytes=100), (), lambda *_: None)

    async def ten():
        nonlocal go
        go = asyncio.Event()
        tasks = [asyncio.create_task(gate(SCOPE, full, None)) for _ in range(10)]
        await asyncio.sleep(0.05)
        go.set()
        await asyncio.gather(*tasks)

    for round_ in (1, 2):  # the second time there is room again
        asyncio.run(ten())
        assert (len(inside), refused) == (8 * round_, [503, 503] * round_)
