"""Logging to TensorBoard and Weights & Biases, read back by their own readers."""

from __future__ import annotations

import ast
import json
import struct
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from worlds import write_world

from mocoop.commands import mocoop
from mocoop.config import preset
from mocoop.errors import StorageError, UsageError
from mocoop.mixture.model import Mixed
from mocoop.mixture.objective import Terms
from mocoop.training import loggers
from mocoop.training.loggers import TensorBoardLog, WandbLog, log_to, scalars
from mocoop.training.trainer import Held, Listener, Listeners, StepLog, Trainer, ValidationLog

RECORD = {
    "method": "mocoop", "preset": "recommended", "shots": 4, "seed": 7, "split_seed": 0, "classes": "all",
    "backbone": {"name": "tiny"}, "config": {"lr": 0.25}, "groups": {"ids": ["plain", "blurry"]},
}  # fmt: skip


def step_log(step, loss=1.0, use=(0.25, 0.75)):
    return StepLog(0, step, 3, loss, loss / 2, 0.125, 0.0, 0.5, 0.375, 0.25, use)


def tell(listener, steps, *, resumed=0, whole=True):
    listener.planned(RECORD)
    listener.started(1, 3, resumed)
    for step in steps:
        listener.step(step_log(step, loss=1 / step))
    listener.validated(ValidationLog(0, steps[-1], 0.5, 0.75))
    listener.ended(whole)


def read_tensorboard(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder))
    found.Reload()
    return {name: [(one.step, one.value) for one in found.Scalars(name)] for name in found.Tags()["scalars"]}


def read_wandb(folder):
    """The records of an offline run: LevelDB's log format, a protobuf message each (no record here fills a block)."""
    from wandb.proto import wandb_internal_pb2

    (path,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    data, at, records = path.read_bytes(), 7, []
    while at < len(data):
        _crc, length, kind = struct.unpack_from("<IHB", data, at)
        assert kind == 1  # a whole record
        records.append(wandb_internal_pb2.Record.FromString(data[at + 7 : at + 7 + length]))
        at += 7 + length
    return records


def test_tensorboard_reads_every_number_back(tmp_path):
    tell(log_to(f"tensorboard:{tmp_path / 'runs'}"), (1, 2, 3))
    found = read_tensorboard(tmp_path / "runs")
    assert found["loss"] == [(step, pytest.approx(1 / step)) for step in (1, 2, 3)]
    assert found["lr"] == [(step, 0.25) for step in (1, 2, 3)]
    assert found["expert_use/blurry"][-1] == (3, 0.75)
    assert found["validation/accuracy"] == [(3, 0.75)]
    assert "text_loss" not in found  # no part of this loss


def test_a_resumed_training_goes_on_in_its_folder(tmp_path):
    for steps, resumed in (((1, 2), 0), ((2, 3), 1)):
        tell(TensorBoardLog(tmp_path), steps, resumed=resumed)
    assert [step for step, _ in read_tensorboard(tmp_path)["loss"]] == [1, 2, 3]


def test_nothing_is_written_before_there_is_a_number(tmp_path):
    log = TensorBoardLog(tmp_path / "runs")
    log.planned(RECORD)
    log.started(1, 3, 0)
    log.ended(False)
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
@pytest.mark.parametrize("whole", [True, False])
def test_wandb_offline_holds_settings_and_numbers_and_no_more(tmp_path, monkeypatch, whole):
    import wandb

    for name, value in {"WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path), "WANDB_API_KEY": "k" * 40}.items():
        monkeypatch.setenv(name, value)
    tell(log_to("wandb"), (1, 2, 3), whole=whole)
    wandb.teardown()  # it reads its variables once a process
    records = read_wandb(tmp_path)
    rows = [
        {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
        for record in records
        if record.WhichOneof("record_type") == "history"
    ]
    assert [row["loss"] for row in rows] == [pytest.approx(1 / step) for step in (1, 2, 3)]
    assert rows[-1]["validation/accuracy"] == 0.75
    (run,) = [record.run for record in records if record.WhichOneof("record_type") == "run"]
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert config["settings"] == {"lr": 0.25}
    assert run.project == "mocoop"
    (ended,) = [record.exit for record in records if record.WhichOneof("record_type") == "exit"]
    assert (ended.exit_code == 0) == whole
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"k" * 40 not in written


@pytest.mark.parametrize("where", ["tensorboard", "tensorboard:", "wandb:x", "mlflow", ""])
def test_another_place_is_refused(where):
    with pytest.raises(UsageError, match="is no place to log to"):
        log_to(where)


@pytest.mark.parametrize(
    ("log", "package", "extra"), [(WandbLog, "wandb", "wandb"), (lambda: TensorBoardLog("x"), "tensorboard", "logging")]
)
def test_a_missing_package_is_named_with_its_extra(monkeypatch, log, package, extra):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=rf"{package} is not installed .*\[{extra}\]"):
        log()


def test_neither_package_is_imported_unless_asked_for():
    top = ast.parse(Path(loggers.__file__).read_text(encoding="utf-8")).body
    imported = {
        name for node in top if isinstance(node, (ast.Import, ast.ImportFrom)) for name in ast.unparse(node).split()
    }
    assert not [name for name in imported if "wandb" in name or "tensorboard" in name]


def test_the_command_refuses_a_place_before_it_trains(tmp_path):
    args = ["train", "--method", "zero-shot", "--data", "x.npz", "-o", str(tmp_path / "run"), "--log-to", "mlflow"]
    result = CliRunner().invoke(mocoop, args)
    assert isinstance(result.exception, UsageError)
    assert not (tmp_path / "run").exists()


def test_the_command_logs_what_its_run_folder_logs(tmp_path):
    world, out = write_world(tmp_path), tmp_path / "run"
    args = [
        "train",
        "--method",
        "coop",
        "--data",
        world["data"],
        "-o",
        out,
        "--log-to",
        f"tensorboard:{tmp_path / 'log'}",
    ]
    quick = ["--epochs", "2", "--batch-size", "16", "--shots", "4", "--no-cache"]
    result = CliRunner().invoke(mocoop, [*map(str, args), "--backbone", f"local-dir:{world['backbone']}", *quick])
    assert result.exit_code == 0, result.output
    losses = [json.loads(line)["loss"] for line in (out / "log.jsonl").read_text().splitlines()]
    assert [value for _, value in read_tensorboard(tmp_path / "log")["loss"]] == [
        pytest.approx(loss) for loss in losses
    ]


def test_one_expert_has_no_gate_to_log():
    assert not {"gate_entropy", "expert_use/only"} & scalars(step_log(1, use=(1.0,)), ("only",)).keys()


class Heard(Listener):
    def __init__(self):
        self.events = []

    def step(self, log):
        self.events.append(("step", log.step))

    def validated(self, log):
        self.events.append(("validated", log.step, log.loss, log.accuracy))


def probe_terms(weight):
    """Softmax regression without any prompts."""

    def terms(x, labels, weights=None):
        logits = x @ weight.T
        each = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
        one = torch.ones(len(x), 1)
        return Terms.of((each if weights is None else weights * each).mean(), mixed=Mixed(logits, one, one))

    return terms


def trained(images, labels, *, listener=None, weights=None, held=None, epochs=3):
    weight = torch.nn.Parameter(torch.zeros(2, 3))
    config = preset("recommended", batch_size=64, lr=0.5, epochs=epochs)
    batch = lambda _epoch, index: images[index]  # noqa: E731
    trainer = Trainer(
        {"w": weight}, probe_terms(weight), batch, labels, config, epochs=epochs, seed=1, weights=weights, held=held
    )
    trainer.run(listener or Listener())
    return trainer, weight.detach()


def drawn():
    generator = torch.Generator().manual_seed(3)
    images = torch.nn.functional.normalize(torch.randn(12, 3, generator=generator), dim=-1)
    return images, torch.arange(12) % 2


def test_validation_images_are_measured_after_each_epoch_and_change_nothing():
    images, labels = drawn()
    heard, held = Heard(), Held(lambda: 3 * images[:7], labels[:7], at_once=2)
    _, alone = trained(images, labels)
    trainer, weight = trained(images, labels, listener=Listeners([Listener(), heard]), held=held)
    assert torch.equal(alone, weight)
    assert [event[:2] for event in heard.events] == [
        (kind, step) for step in (1, 2, 3) for kind in ("step", "validated")
    ]
    logits = images[:7] @ weight.T
    assert trainer.validation[-1].loss == pytest.approx(torch.nn.functional.cross_entropy(logits, labels[:7]).item())
    assert trainer.validation[-1].accuracy == pytest.approx((logits.argmax(-1) == labels[:7]).float().mean().item())


def test_an_image_of_weight_2_counts_as_two():
    images, labels = drawn()
    _, weighed = trained(images, labels, weights=torch.tensor([2.0] * 3 + [1.0] * 9))
    _, doubled = trained(torch.cat([images, images[:3]]), torch.cat([labels, labels[:3]]))
    torch.testing.assert_close(weighed, doubled)


def test_a_folder_that_cannot_be_written_is_refused_before_the_training(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match=r"cannot write .*file/logs: Not a directory"):
        log_to(f"tensorboard:{tmp_path / 'file' / 'logs'}")
    log_to(f"tensorboard:{tmp_path / 'new' / 'logs'}")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]  # nothing is made
