"""What viewers write down beside an audit: lines in its `user` folder, or of this session alone."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from audit.lines import Line, append_line, read_lines

FOLDER = "user"


def file_of(folder: Path, name: str) -> Path:
    """The file `name` of an audit folder."""
    return folder / FOLDER / name


def keep(folder: Path, name: str, record: Mapping[str, Any]) -> bool:
    """Append a record to the file `name`; False where it cannot be written (a read-only folder).

    Such a record is held by this session, and `why_not(name)` says what stood in the way.
    """
    try:
        append_line(file_of(folder, name), record)
    except OSError as error:
        st.session_state.setdefault(_held(name), []).append(dict(record))
        st.session_state[_why(name)] = error.strerror or str(error)
        return False
    return True


def lines(folder: Path, name: str) -> list[Line]:
    """The lines of the file, then those that this session holds; a file that cannot be read has
    none.
    """
    try:
        found = read_lines(file_of(folder, name))
    except OSError as error:
        found = []
        st.session_state[_why(name)] = error.strerror or os.strerror(error.errno or 0)
    held = st.session_state.get(_held(name), [])
    return [*found, *(Line(0, record) for record in held)]


def why_not(name: str) -> str:
    """Why lines of `name` are held by this session alone; empty where they are not."""
    return str(st.session_state.get(_why(name), ""))


def _held(name: str) -> str:
    return f"held {name}"


def _why(name: str) -> str:
    return f"not written {name}"
