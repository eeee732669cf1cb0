"""Lines that several programs append at once: each whole, none lost, damage kept to its line."""

import errno
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from audit import lines
from audit.file_lock import locked_file
from audit.lines import append_line, read_lines

ROOT = Path(__file__).parents[1]
MANY = 200
WRITER = """
import sys
from pathlib import Path
from audit.lines import append_line
for i in range({many}):
    append_line(Path(sys.argv[1]), {{"by": sys.argv[2], "i": i, "words": "ü" * 3000}})
"""


def records(path):
    return [line.record for line in read_lines(path)]


def test_two_programs_that_append_at_once_lose_and_mix_no_line(tmp_path):
    path = tmp_path / "user" / "events.jsonl"
    command = [sys.executable, "-c", WRITER.format(many=MANY), str(path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    both = [subprocess.Popen([*command, name], env=environment) for name in "ab"]
    assert [process.wait() for process in both] == [0, 0]
    found = records(path)
    for name in "ab":
        assert [r["i"] for r in found if r["by"] == name] == list(range(MANY))
    assert {r["words"] for r in found} == {"ü" * 3000}


def test_a_line_left_unfinished_by_a_killed_program_spoils_no_other(tmp_path):
    path = tmp_path / "events.jsonl"
    append_line(path, {"n": 1})
    with path.open("ab") as handle:
        handle.write(b'{"n": 2, "half')
    append_line(path, {"n": 3})
    assert records(path) == [{"n": 1}, None, {"n": 3}]


def test_damaged_lines_are_named_by_number_and_fault(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"n": 1}\n\n[1]\nno\n\xff\xfe\n{"n": 2}')
    found = read_lines(path)
    assert [(line.number, line.why) for line in found if line.record is None] == [
        (3, "is not a JSON object"),
        (4, "is not JSON"),
        (5, "is not UTF-8 text"),
    ]
    assert [line.number for line in found if line.record] == [1, 6]


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "events.jsonl"
    append_line(path, {"n": 1})
    before = path.read_bytes()

    class Full:
        """A file whose disk fills up half way through a write."""

        def __init__(self, handle):
            self.handle = handle

        def __getattr__(self, name):
            return getattr(self.handle, name)

        def write(self, data):
            self.handle.write(data[:3])
            self.handle.flush()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    @contextmanager
    def full(path):
        with locked_file(path) as handle:
            yield Full(handle)

    monkeypatch.setattr(lines, "locked_file", full)
    with pytest.raises(OSError, match="No space"):
        append_line(path, {"n": 2})
    monkeypatch.undo()
    assert path.read_bytes() == before


def test_there_are_no_lines_where_there_is_no_file(tmp_path):
    assert read_lines(tmp_path / "none.jsonl") == []
