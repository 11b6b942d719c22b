"""What is shown during a training, in a log and on a terminal."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from mocoop.cli import Pace
from mocoop.training.progress import LineProgress, LiveProgress, losses_text, training_progress
from mocoop.training.trainer import StepLog


def log(step, steps=100, epoch=0, use=(0.75, 0.25)):
    return StepLog(
        epoch=epoch, step=step, steps=steps, loss=1.5, class_loss=1.0, router_loss=0.25, text_loss=0.05,
        accuracy=0.5, gate_entropy=0.1, lr=0.01, expert_use=use,
    )  # fmt: skip


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def said():
    return []


@pytest.fixture
def lines(clock, said):
    progress = LineProgress(("plain", "blurry"), say=said.append, clock=clock)
    progress.started(epochs=10, steps=100, resumed_step=0)
    return progress


def test_a_log_gets_a_line_in_five_seconds_and_one_for_the_last_step(lines, clock, said):
    for step in range(1, 101):
        clock.now = 0.1 * step
        lines.step(log(step))
    steps = [0 if "left" not in line else line.split("left ")[1].split()[0] for line in said]
    assert steps == ["0:05", "0:00"]  # after 5 s, and the last; that one was due as well
    assert said[-1] == (
        "epoch 1/10  loss 1.500  class 1.000  router 0.250  text 0.050  batch accuracy 50%  left 0:00"
        "  experts plain 75%, blurry 25%"
    )


def test_a_term_that_a_method_does_not_have_is_not_shown():
    without_router = replace(log(1), router_loss=0.0)
    assert losses_text(without_router) == "loss 1.500  class 1.000  text 0.050  batch accuracy 50%"
    assert losses_text(replace(without_router, text_loss=0.0)) == "loss 1.500  class 1.000  batch accuracy 50%"
    assert "text 0.000" in losses_text(replace(without_router, text_loss=-4e-8))


def test_a_quick_training_says_its_last_step_only(lines, said):
    for step in range(1, 101):
        lines.step(log(step))
    assert len(said) == 1


def test_a_notice_is_said_once(lines, said):
    for _ in range(3):
        lines.notice("odd words")
    lines.notice("other words")
    assert said == ["note: odd words", "note: other words"]


def test_encoding_many_images_is_reported_now_and_then(lines, clock, said):
    for done in range(1000):
        clock.now = 0.01 * done
        lines.features(done, 1000)
    assert said == ["encoding images: 500 of 1000"]
    lines.features(1000, 1000)  # the end of what was begun is told, or it looks as if it had stopped
    lines.features(64, 64)
    assert said[1:] == ["encoding images: 1000 of 1000"]


def test_a_resumption_is_said_and_its_old_steps_do_not_count_as_fast_ones(clock, said):
    lines = LineProgress(("plain", "blurry"), say=said.append, clock=clock)
    lines.started(epochs=10, steps=100, resumed_step=60)
    assert said == ["going on after step 60 of 100"]
    clock.now = 10.0
    lines.step(log(70))
    assert "left 0:30" in said[-1]


@pytest.mark.parametrize(
    ("seconds", "done", "total", "left"),
    [(0, 0, 10, "-:--"), (10, 1, 10, "1:30"), (60, 1, 100, "1:39:00"), (5, 10, 10, "0:00"), (1, 2, 2000, "16:39")],
)
def test_time_left(clock, seconds, done, total, left):
    pace = Pace(clock)
    pace.start(0)
    clock.now = seconds
    assert pace.left(done, total) == left


def test_without_the_experts_names_their_use_is_left_out(clock, said):
    lines = LineProgress(say=said.append, clock=clock)
    lines.step(log(100))
    assert "experts" not in said[0]


def recording(width):
    return Console(record=True, width=width, file=io.StringIO(), force_terminal=True, legacy_windows=False)


def rendered(progress, console):
    console.print(progress.render())
    return console.export_text()


@pytest.fixture
def live(clock):
    """What the display shows at a width, halfway through a training, after 90 seconds."""

    def at(width, ids=("plain", "blurry"), use=(0.75, 0.25)):
        console = recording(width)
        progress = LiveProgress(console, ids, clock=clock)
        progress.stage("training")
        progress.started(epochs=10, steps=100, resumed_step=0)
        clock.now = 90.0
        progress.step(log(50, epoch=4, use=use))
        return rendered(progress, console)

    return at


def test_a_terminal_shows_stage_bar_losses_and_experts(live):
    shown = live(80)
    for words in ("training", "epoch 5/10", "50/100", "1:30 left", "━", "loss 1.500", "accuracy 50%"):
        assert words in shown
    rows = [line.split() for line in shown.splitlines()[-2:]]
    assert [(row[0], row[-1]) for row in rows] == [("plain", "75%"), ("blurry", "25%")]


def test_a_narrow_terminal_keeps_its_lines(live):
    shown = live(20, ids=("a_very_long_name_of_an_expert", "[b]"))
    assert max(map(len, shown.splitlines())) <= 20
    assert "75%" in shown
    assert "1.500" in shown


def test_many_experts_are_cut_to_the_most_used(live):
    use = [n / 190 for n in range(20)]
    shown = live(80, ids=[f"expert_{n:02d}" for n in range(20)], use=use)
    assert shown.index("expert_19") < shown.index("expert_08")
    assert "expert_07" not in shown
    assert "and 8 more" in shown


def test_encoding_shows_a_bar_and_the_time_left_from_the_start_of_the_stage(clock):
    console = recording(80)
    progress = LiveProgress(console, clock=clock)
    progress.stage("encoding the images")
    clock.now = 8.0
    progress.features(64, 128)
    assert "64/128  0:08 left" in rendered(progress, console)
    progress.features(128, 128)
    progress.features(64, 128)  # the images of another set of classes
    assert "64/128  -:-- left" in rendered(progress, console)
    progress.stage("training")
    assert "128" not in rendered(progress, console)


def test_a_notice_on_a_terminal_is_printed_once_as_it_is():
    console = recording(80)
    with LiveProgress(console, ("plain",)) as progress:
        progress.notice("[b]zebra[/b]")
        progress.notice("[b]zebra[/b]")
    assert console.export_text().count("note: [b]zebra[/b]") == 1


def test_a_log_is_no_terminal(capsys):
    with training_progress(("plain",)) as listener:
        assert isinstance(listener, LineProgress)
        listener.notice("words")
    assert capsys.readouterr() == ("", "note: words\n")
