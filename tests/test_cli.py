"""The command line as a new user meets it: typos, wrong folders, Ctrl-C, exit codes."""

import errno
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from audit import cli, command_steps, commands, options
from audit.errors import InputError, MachineError
from audit.synthetic import synthetic_predictions

COMMANDS = list(options.ARGUMENTS)


def said(capsys):
    out, err = capsys.readouterr()
    assert len(err.strip().splitlines()) <= 1, "an error is one line"
    return out, err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command_shows_an_example(command, capsys):
    with pytest.raises(SystemExit) as left:
        cli.main([command, "--help"])
    assert left.value.code == 0
    assert f"faceaudit {command}" in capsys.readouterr().out.split("example:")[1]


def test_a_program_may_call_it_from_a_thread_of_its_own(tmp_path, capsys):
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(cli.main, ["report", str(tmp_path)]).result() == 2
    assert "no result.json" in capsys.readouterr().err


def test_many_features_are_told_to_take_their_time(capsys):
    command_steps.say_if_many(10, depth=2)
    assert capsys.readouterr().err == ""
    command_steps.say_if_many(15, depth=2)
    out, err = said(capsys)
    assert not out
    assert "15 features and 105 crossings" in err
    assert "--depth 1" in err


def test_no_command_shows_the_help_and_fails(capsys):
    assert cli.main([]) == 2
    assert "faceaudit demo" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["adit", "x.csv"], "did you mean 'audit'"),
        (["audit", "x.csv", "--out", "o", "--cutz", "a=1"], "did you mean '--cuts'"),
        (["audit", "x.csv"], "--out"),
        (["audit", "x.csv", "--out", "o", "--split", "tset"], "did you mean 'test'"),
        (["audit", "x.csv", "--out", "o", "--depth", "two"], "--depth"),
        (["audit", "x.csv", "--out", "o", "--column", "age"], "NAME=THEIRS"),
        (["audit", "x.csv", "--out", "o", "--cuts", "iso=a,b"], "not a list of numbers"),
        (["audit", "x.csv", "--out", "o", "--age-groups", "0;20"], "not a list of whole numbers"),
        (["audit", "missing.csv", "--out", "o"], "missing.csv"),
        (["check", "no-such-folder"], "no-such-folder"),
        (["report", "no-such-folder"], "result.json"),
        (["dashboard", "no-such-folder"], "no-such-folder"),
        (["predict", "no-run", "no-faces", "--out", "p.parquet"], "no-"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(argv, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(argv) == 2
    out, err = said(capsys)
    assert words in err
    assert out == ""


@pytest.mark.parametrize(
    "argv",
    [
        ["audit", "t.csv", "--out", ""],
        ["audit", "t.csv", "--out="],
        ["audit", "", "--out", "o"],
        ["audit", "t.csv", "--out", "o", "--images", ""],
        ["audit", "t.csv", "--out", "o", "--model", ""],
        ["audit", "t.csv", "--out", "o", "--age-groups", ""],
        ["audit", "t.csv", "--out", "o", "--without-marked", ""],
        ["audit", "t.csv", "--out", "o", "--by", "race", ""],
        ["report", ""],
    ],
)
def test_an_empty_value_is_neither_this_folder_nor_left_out(argv, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    synthetic_predictions(200, seed=1).to_csv("t.csv", index=False)
    assert cli.main(argv) == 2
    assert "is empty; give a value; see `faceaudit" in said(capsys)[1]
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"]


def test_an_error_line_stays_one_line_whatever_the_file_is_called(capsys):
    assert cli.main(["report", "a\nb"]) == 2
    said(capsys)


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (MachineError("disk full"), 4),
        (MemoryError(), 4),
        (OSError(errno.ENOSPC, "No space left on device", "r.html"), 4),
        (OSError(errno.ENOSPC, "No space left on device"), 4),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory"), 4),
        (KeyboardInterrupt("go on with --resume"), 130),
        (cli.Terminated(), 143),
        (PermissionError(errno.EACCES, "Permission denied", "o"), 2),
    ],
)
def test_failures_have_their_exit_codes(failure, code, monkeypatch, capsys):
    def fail(_args):
        raise failure

    monkeypatch.setattr(commands, "report", fail)
    fail.__doc__ = "Fail."
    assert cli.main(["report", "x"]) == code
    said(capsys)


@pytest.mark.parametrize(
    ("command", "words"), [("audit", "fewer features"), ("train", "a smaller --batch")]
)
def test_out_of_memory_says_what_helps_the_command(command, words, monkeypatch, capsys):
    def fail(_args):
        raise MemoryError

    fail.__doc__ = "Fail."
    monkeypatch.setattr(commands, command, fail)
    assert cli.main([command, "x", "--out", "y"]) == 4
    assert words in said(capsys)[1]


def test_a_caller_keeps_its_own_handler_of_signals(capsys):
    before = signal.getsignal(signal.SIGTERM)
    cli.main(["report", "no-such-folder"])
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_bug_shows_its_traceback(monkeypatch):
    def bug(_args):
        """Fail."""
        raise ZeroDivisionError

    monkeypatch.setattr(commands, "report", bug)
    with pytest.raises(ZeroDivisionError):
        cli.main(["report", "x"])


def test_options_of_several_values_may_be_repeated_or_take_several_at_once():
    both = ["audit", "p.csv", "--out", "o", "--by", "race", "site", "--by", "age_group"]
    args = cli.parse([*both, "--column", "age_pred=a", "--column", "gender_score=g"])
    settings = options.audit_settings(args)
    assert settings.by == ("race", "site", "age_group")
    assert settings.columns == {"age_pred": "a", "gender_score": "g"}


def test_an_audit_is_meant_by_its_files_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("result.json", "report.html"):
        Path(name).touch()
        for command in ("report", "dashboard"):
            assert cli.parse([command, name]).folder == Path()
            assert cli.parse([command, str(tmp_path / name)]).folder == tmp_path
    assert cli.parse(["report", "a/result.json"]).folder == Path("a/result.json")  # there is none


def test_options_win_over_the_config_file(tmp_path):
    config = tmp_path / "audit.toml"
    config.write_text('depth = 1\nthreshold = 0.4\nby = ["race"]\n')
    args = cli.parse(["audit", "p", "--out", "o", "--config", str(config), "--depth", "3"])
    settings = options.audit_settings(args)
    assert (settings.depth, settings.threshold, settings.by) == (3, 0.4, ("race",))


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("doing", ["python", "query"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_command_without_a_traceback(number, code, doing):
    wait = {
        "python": "time.sleep(60)",
        "query": "duckdb.sql('SELECT sum(a.i * b.i % 7) FROM range(1000000) a(i), "
        "range(1000000) b(i)').fetchall()",
    }
    program = (
        "import duckdb, sys, time\n"
        "from audit import cli, commands\n"
        "def slow(args):\n"
        "    'Wait.'\n"
        "    print('started', flush=True)\n"
        f"    {wait[doing]}\n"
        "commands.report = slow\n"
        "sys.exit(cli.main(['report', 'x']))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    assert process.stdout.readline() == "started\n"
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == code
    assert "Traceback" not in err


def test_a_damaged_audit_is_refused_before_faces_are_read_for_its_stress(tmp_path, capsys):
    (tmp_path / "result.json").write_text("{")
    assert cli.main(["stress", "no-run", "no-faces", "--out", str(tmp_path)]) == 2
    assert "result.json is not whole" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("epoch,loss_train,loss_valid\n1,2.\n", "holds no number of loss_valid; was it cut off?"),
        ("epoch,loss_train\n1,2.\nx,3.\n", "an epoch is no number"),
        ("epoch\n1\n", "nothing stands beside it"),
        ("", "history.csv is empty; copy it anew"),
    ],
)
def test_a_history_that_draws_no_curve_is_told(text, words, tmp_path):
    (tmp_path / "history.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        command_steps.read_history(tmp_path / "history.csv")


@pytest.mark.parametrize("stop", [KeyboardInterrupt, cli.Terminated])
def test_a_run_stopped_after_its_training_says_how_it_goes_on(stop, tmp_path, monkeypatch, capsys):
    def stopped(*_, **__):
        raise stop

    monkeypatch.setattr(commands, "_run", stopped)
    command = ["run", "faces", "--out", str(tmp_path)]
    code = cli.main(command)
    assert said(capsys)[1] == "faceaudit: interrupted\n"  # nothing is kept yet
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoint.pt").write_bytes(b"")
    assert cli.main(command) == code
    assert "--resume goes on" in said(capsys)[1]
