"""One program at a time, on every system; a file is never written where a link leads."""

import errno
import importlib.util
import os
import sys
from types import SimpleNamespace

import pytest

from audit import file_lock
from audit.file_lock import locked_file
from audit.lines import append_line, read_lines


class Msvcrt(SimpleNamespace):
    """Locks of bytes from where a handle stands, as Windows keeps them: for every handle apart."""

    LK_NBLCK, LK_UNLCK = 2, 0

    def __init__(self):
        super().__init__(held={})

    def locking(self, handle, how, count):
        assert count == 1
        place = (os.fstat(handle).st_ino, os.lseek(handle, 0, os.SEEK_CUR))
        if how == self.LK_UNLCK:
            assert self.held.pop(place) == handle
        elif place in self.held:
            raise OSError(errno.EACCES, "Permission denied")
        else:
            self.held[place] = handle


@pytest.fixture(params=["here", "windows"])
def lock(request, monkeypatch):
    if request.param == "here":
        return locked_file
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "msvcrt", Msvcrt())
    spec = importlib.util.spec_from_file_location("windows_lock", file_lock.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.undo()
    return module.locked_file


def test_a_second_program_is_kept_out_whatever_the_first_wrote(lock, tmp_path):
    path = tmp_path / "train.lock"
    with lock(path, wait=False) as handle:
        handle.write(b"4711\n")
        handle.flush()
        with pytest.raises(BlockingIOError), lock(path, wait=False):
            pass
        assert path.read_bytes() == b"4711\n"  # whoever is kept out can read who holds it
    with lock(path, wait=False):
        pass


def test_a_lock_is_let_go_where_its_holder_fails(lock, tmp_path):
    path = tmp_path / "train.lock"
    with pytest.raises(KeyboardInterrupt), lock(path):
        raise KeyboardInterrupt
    with lock(path, wait=False):
        pass


def test_a_link_is_not_followed_to_what_it_names(tmp_path):
    secret = tmp_path / "authorized_keys"
    secret.write_text("key\n")
    link = tmp_path / "train.lock"
    link.symlink_to(secret)
    with pytest.raises(OSError, match="a link, which is not followed"), locked_file(link):
        pass
    with pytest.raises(OSError, match="a link"):
        append_line(link, {"n": 1})
    assert secret.read_text() == "key\n"
    (tmp_path / "user").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(OSError, match="its folder is a link"):
        append_line(tmp_path / "user" / "marks.jsonl", {"n": 1})
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in this system's folders")
def test_nobody_waits_for_a_pipe_in_the_place_of_a_file(tmp_path):
    pipe = tmp_path / "marks.jsonl"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="not a regular file"), locked_file(pipe):
        pass
    with pytest.raises(OSError, match="not a regular file"):
        read_lines(pipe)
