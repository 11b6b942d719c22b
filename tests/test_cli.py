"""What both command lines share: exit codes, one line for an error, tables in pipes and on terminals."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import textwrap

import click
import pytest

from mocoop import cli, errors
from mocoop.commands import mocoop
from mocoop.grouping.commands import groups


def call(capsys, body, *arguments):
    """Run a command line of one command `do` with this body; its exit code, stdout and stderr."""

    @click.group()
    @cli.options
    def tool():
        """A tool."""

    tool.command("do")(click.option("--size", type=int)(lambda size: body()))
    with pytest.raises(SystemExit) as exited:
        cli.run(tool, "tool", arguments or ["do"])
    return exited.value.code, *capsys.readouterr()


def failing(error):
    def body():
        raise error

    return body


CODES = {
    errors.MoCoOpError: 1,
    errors.UsageError: 2,
    errors.BackboneError: 2,
    errors.ConfigError: 3,
    errors.GroupFileError: 3,
    errors.DataError: 4,
    errors.RemoteError: 5,
    errors.StorageError: 6,
    errors.CheckpointError: 6,
    errors.TrainingStopped: 7,
}


@pytest.mark.parametrize(("kind", "code"), CODES.items())
def test_an_error_is_one_line_a_hint_and_its_own_code(capsys, kind, code):
    assert call(capsys, failing(kind("it broke", "mend it"))) == (code, "", "tool: it broke\n  hint: mend it\n")
    assert call(capsys, failing(kind("it broke"))) == (code, "", "tool: it broke\n")


def test_a_traceback_only_with_debug(capsys):
    code, out, err = call(capsys, failing(errors.DataError("it broke")), "--debug", "do")
    assert (code, out) == (4, "")
    assert "Traceback" in err
    assert err.endswith("tool: it broke\n")
    assert "Traceback" not in call(capsys, failing(errors.DataError("it broke")))[2]  # asked anew each time


def test_our_own_fault_exits_1_and_says_how_to_see_more(capsys):
    code, out, err = call(capsys, failing(KeyError("shots")))
    assert (code, out) == (1, "")
    assert err.splitlines()[0] == "tool: a fault of ours: KeyError: 'shots'"
    assert "--debug" in err.splitlines()[1]
    assert "Traceback" not in err


def test_the_problems_of_a_group_file_are_each_said_once(capsys):
    error = errors.GroupFileError("g.json has 2 errors:\ng.json:1:1: one\ng.json:2:1: two", findings=["one", "two"])
    assert call(capsys, failing(error))[2].splitlines() == [
        "tool: g.json has 2 errors:", "g.json:1:1: one", "g.json:2:1: two"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["dew"], "tool: no such command 'dew'"),
        (["do", "--sise", "3"], "tool do: no such option '--sise'"),
        (["do", "--size", "three"], "tool do: invalid value for '--size': 'three' is not a valid integer"),
        (["do", "more"], "tool do: got unexpected extra argument (more)"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_a_hint(capsys, arguments, said):
    code, out, err = call(capsys, lambda: None, *arguments)
    line, hint = err.splitlines()
    assert (code, out) == (2, "")
    assert line.startswith(said)
    assert hint == f"  hint: {line.partition(':')[0]} --help shows how"


def test_no_command_shows_the_help(capsys):
    with pytest.raises(SystemExit):
        cli.run(click.Group("tool", help="What it is."), "tool", [])
    assert "What it is." in "".join(capsys.readouterr())


@pytest.mark.parametrize("text", ["nan", "NaN", "inf", "-inf", "1e999"])
def test_a_number_of_a_range_is_a_number(capsys, text):
    tool = click.Command(
        "tool", params=[click.Option(["--share"], type=cli.Between(min=0))], callback=lambda share: None
    )
    with pytest.raises(SystemExit) as refused:
        cli.run(tool, "tool", ["--share", text])
    assert (refused.value.code, "--share" in capsys.readouterr().err) == (2, True)
    with pytest.raises(SystemExit) as taken:
        cli.run(tool, "tool", ["--share", "0.5"])
    assert taken.value.code == 0


def test_no_command_takes_a_range_that_lets_nan_pass():
    every = [command for group in (mocoop, groups) for command in group.commands.values()]
    ranges = [p.type for command in every for p in command.params if isinstance(p.type, click.FloatRange)]
    assert ranges
    assert all(isinstance(one, cli.Between) for one in ranges)


def test_a_file_name_cannot_break_a_line_or_move_the_cursor(capsys):
    name = "a\nb\x1b[2J\u202e\udcff.png"
    escaped = r"a\nb\x1b[2J\u202e\udcff.png"
    assert call(capsys, failing(errors.DataError(f"{name} is bad")))[2] == f"tool: {escaped} is bad\n"
    cli.show_table(("path", "tab"), [(name, "x\ty")])
    assert capsys.readouterr().out == f"path\ttab\n{escaped}\tx\\ty\n"


def child(script, **options):
    environment = {**os.environ, **options.pop("env", {})}
    command = [sys.executable, "-c", textwrap.dedent(script)]
    return subprocess.Popen(command, env=environment, **options)


TALKS = """
    import click
    from mocoop import cli

    @click.command()
    def talk():
        for _ in range(100_000):
            click.echo("words, words, words")

    cli.run(talk, "talk", [])
"""


def test_a_closed_pipe_ends_the_command_quietly():
    talking = child(TALKS, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert talking.stdout.readline() == b"words, words, words\n"
    talking.stdout.close()
    assert talking.stderr.read() == b""
    assert talking.wait() == 141


def test_a_closed_stdout_is_no_terminal_and_no_fault():
    script = """
        import click
        from mocoop import cli
        cli.run(click.Command("table", callback=lambda: cli.show_table(("a",), [("b",)])), "table", [])
    """
    running = child(script, stderr=subprocess.PIPE, preexec_fn=lambda: os.close(1))
    assert running.communicate()[1] == b""
    assert running.returncode == 0


def test_ctrl_c_exits_130():
    script = """
        import os, signal, click
        from mocoop import cli

        @click.command()
        def wait():
            signal.signal(signal.SIGINT, signal.default_int_handler)  # shells let background jobs ignore it
            os.kill(os.getpid(), signal.SIGINT)
            signal.pause()

        cli.run(wait, "wait", [])
    """
    stopped = child(script, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = stopped.communicate()
    assert stopped.returncode == 130
    assert out == b""
    assert err.decode().split() == ["wait:", "interrupted"]


TABLE = """
    from mocoop import cli
    cli.show_table(("class", "share"), [("Käse [b]igloo[/b]", "12%"), ("a very long name of a class", "3%")], "Names")
"""


def on_a_terminal(script, **env):
    """What a script shows on a terminal of its own."""
    ours, theirs = pty.openpty()
    shown = b""
    running = child(script, stdout=theirs, env={"TERM": "xterm", "COLUMNS": "40", **env})
    os.close(theirs)
    try:
        while piece := os.read(ours, 4096):
            shown += piece
    except OSError:  # Linux says so when the other end is closed
        pass
    os.close(ours)
    assert running.wait() == 0
    return shown.decode()


def plain(text):
    return re.sub(r"\x1b\[[\d;]*m", "", text)


def test_a_table_is_drawn_on_a_terminal_and_tab_separated_in_a_pipe():
    drawn = on_a_terminal(TABLE)
    assert "│ Käse [b]igloo[/b] " in plain(drawn)  # a name is never markup
    assert "Names" in drawn
    piped = child(TABLE, stdout=subprocess.PIPE).communicate()[0].decode()
    assert piped == "class\tshare\nKäse [b]igloo[/b]\t12%\na very long name of a class\t3%\n"


def test_a_narrow_terminal_loses_no_text():
    lines = plain(on_a_terminal(TABLE, COLUMNS="20")).splitlines()
    assert max(map(len, lines)) <= 20
    letters = "".join(re.findall(r"│ (.{8}) │", "\n".join(lines)))
    assert "".join(letters.split()).endswith("averylongnameofaclass")


def test_no_color_means_no_colour():
    shown = on_a_terminal(
        "from mocoop import cli; cli.console().print('red', style='red'); cli.show_table(('a',), [('b',)])",
        NO_COLOR="1",
    )
    assert not re.search(r"\x1b\[[\d;]*(3[0-8]|4[0-8]|9[0-7])m", shown)


def test_a_terminal_without_unicode_gets_ascii():
    ascii_only = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    script = """
        import click
        from mocoop import cli

        @click.command()
        def table():
            cli.show_table(("class",), [("K\\xe4se",)])
            cli.say("\\xfcber")

        cli.run(table, "table", [])
    """
    shown = on_a_terminal(script, **ascii_only)
    assert shown.isascii()
    assert r"K\xe4se" in shown


def test_a_package_that_is_not_installed_is_named_and_no_fault_of_ours(monkeypatch, capsys):
    @click.command()
    def needs_torch():
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    @click.command()
    def broken():
        raise ModuleNotFoundError("No module named 'mocoop.nowhere'", name="mocoop.nowhere")

    for command, said, code in (
        (needs_torch, "needs torch, which is not installed", 2),
        (broken, "a fault of ours", 1),
    ):
        with pytest.raises(SystemExit) as ended:
            cli.run(command, "mocoop", [])
        assert ended.value.code == code
        assert said in capsys.readouterr().err
