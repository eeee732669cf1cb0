"""A write leaves the old file or the new one, and says what went wrong in one line."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from audit import cli
from audit.errors import InputError, MachineError
from audit.files import read_json, refuse_overwriting, write_atomic, write_text

ROOT = Path(__file__).parents[1]


def fail_with(number):
    def write(beside):
        beside.write_text("half a")
        raise OSError(number, os.strerror(number), str(beside))

    return write


def test_a_full_disk_keeps_the_old_file_and_no_other(tmp_path):
    path = write_text(tmp_path / "report.html", "old")
    with pytest.raises(MachineError, match=r"no space left while writing .*report\.html.* intact"):
        write_atomic(path, fail_with(errno.ENOSPC))
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(MachineError) as caught:
        write_atomic(tmp_path / "first.html", fail_with(errno.ENOSPC))
    assert "intact" not in str(caught.value), "there was no old file"


def test_pages_go_once_the_new_figures_are_on_the_disk_and_not_before(tmp_path, monkeypatch):
    (tmp_path / "check.json").write_text("old")
    (page := tmp_path / "check.html").write_text("of the old ones")

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(MachineError):
            write_text(tmp_path / "check.json", "new", drawn=[page])
    assert page.exists()
    write_text(tmp_path / "check.json", "new", drawn=[page, tmp_path / "none.html", tmp_path])
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"check.json": "new"}


def test_a_read_only_place_is_the_users_to_mend(tmp_path):
    with pytest.raises(InputError, match="write elsewhere, or make that place writable"):
        write_atomic(tmp_path / "report.html", fail_with(errno.EROFS))


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_what_to_do_names_no_option_that_the_command_may_not_have(number, tmp_path):
    with pytest.raises((InputError, MachineError)) as told:  # `report` has none, `export` has --to
        write_atomic(tmp_path / "report.html", fail_with(number))
    assert "--" not in str(told.value)


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_the_reason_is_the_systems_without_the_name_of_the_hidden_file(number, tmp_path):
    def write(beside):  # as Arrow words it
        words = f"Failed to open local file '{beside}'. Detail: [errno {number}] ..."
        raise OSError(number, words)

    with pytest.raises(InputError) as told:
        write_atomic(tmp_path / "t.parquet", write)
    assert ".part" not in str(told.value)
    assert os.strerror(number) in str(told.value)


@pytest.mark.parametrize(
    "argv",
    [
        ["audit", "p.csv", "--out", "OUT"],
        ["recalibrate", "p.csv", "--out", "OUT"],
        ["tally", "p.csv", "--out", "OUT/t.parquet"],
        ["predict", "no-run", "no-faces", "--out", "OUT/new/p.parquet"],
        ["stress", "no-run", "no-faces", "--out", "OUT"],
    ],
)
@pytest.mark.parametrize("why", ["a file stands where a folder is needed", "no right to write in"])
def test_what_cannot_be_written_is_told_before_the_work(argv, why, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if why.startswith("a file"):
        Path("OUT").write_text("")
    else:
        Path("OUT").mkdir()
        monkeypatch.setattr(os, "access", lambda *_: False)  # a mode keeps no root out
    assert cli.main(argv) == 2
    assert f"cannot write OUT{os.sep}" in (told := capsys.readouterr().err)
    assert why in told


def test_a_file_where_a_folder_is_needed_is_named(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError, match="a file stands where a folder is needed"):
        write_text(tmp_path / "out" / "report.html", "new")


def test_a_failure_inside_the_writer_leaves_nothing_behind(tmp_path):
    def write(beside):
        beside.write_text("half a")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_atomic(tmp_path / "report.html", write)
    assert list(tmp_path.iterdir()) == []


def test_text_ends_its_lines_alike_on_every_system(tmp_path):
    assert write_text(tmp_path / "a.txt", "ä\n").read_bytes() == "ä\n".encode()


def test_kill_9_in_mid_write_leaves_the_old_file(tmp_path):
    path = write_text(tmp_path / "report.html", "old")
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from audit.files import write_atomic\n"
        "def write(beside):\n"
        "    with beside.open('w') as handle:\n"
        "        handle.write('half a'); handle.flush()\n"
        "        print('writing', flush=True); time.sleep(60)\n"
        "write_atomic(Path(sys.argv[1]), write)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout.readline() == "writing\n"
    time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert path.read_text() == "old"


def test_a_pattern_that_names_no_table_is_left_to_who_reads_it(tmp_path):
    """Braces and stars name shards of faces, which no table does."""
    (tmp_path / "a0-0.tar").touch()
    out = tmp_path / "p.parquet"
    out.touch()
    refuse_overwriting(out, [tmp_path / "a{0,1}-*.tar", tmp_path / "none-*.csv"])
    with pytest.raises(InputError, match="is what is read"):
        refuse_overwriting(out, [tmp_path / "*.parquet"])


def test_what_is_flushed_to_disk_is_open_for_writing(tmp_path, monkeypatch):
    flushed, fsync = [], os.fsync

    def flush(handle):  # Windows flushes no other
        os.write(handle, b"")
        flushed.append(os.fstat(handle).st_size)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", flush)
    write_text(tmp_path / "report.html", "all of it")
    assert flushed == [9]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", r"is not whole \(line 1\)"),
        (b'{\n "a": [1,', r"is not whole \(line 2\)"),
        (b'{"a": "\xff"}', "is not whole .*bytes that are no text"),
        (b"[" * 200_000, "is nested too deeply"),
    ],
)
def test_json_that_is_damaged_is_named_with_what_to_do(tmp_path, data, words):
    (tmp_path / "config.json").write_bytes(data)
    with pytest.raises(InputError, match=rf"config\.json {words}.*: copy it again$"):
        read_json(tmp_path / "config.json", again="copy it again")


def test_a_full_disk_that_took_nothing_asks_for_no_zero_bytes(tmp_path):
    def full(_beside):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(MachineError, match=r"while writing \S+table\.parquet; free some"):
        write_atomic(tmp_path / "table.parquet", full)
