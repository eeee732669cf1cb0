"""Below one face: its nearest neighbours, what the network looks at, its reading when worse."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import streamlit as st

from audit.embeddings import neighbours
from audit.errors import InputError
from audit.face_look import FaceLook, Reading
from audit.rows import rows_of
from audit.words import score, years
from reports import lookup
from reports.charts import chart, in_theme, is_dark
from reports.markup import with_code
from reports.reread import is_number, map_words, tinted, worse_pictures
from reports.thumbnails import picture_path
from reports.view import View

NEAREST = 6  # a row of the gallery
LOOK = "look again"


def nearest_faces(view: View, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Draw the heading and the sentence on a face's neighbours; return their rows for a gallery."""
    st.html("<h2>Nearest faces, as the network sees them</h2>")
    if view.embeddings is None or view.rows is None:
        _say(view.why_no_embeddings)
        return []
    near = dict(neighbours(view.embeddings, str(row["sample_id"]), most=NEAREST))
    found = lookup.records(rows_of(view.rows, list(near)))
    if not found:
        _say("This face has no embedding in the file.")
        return []
    _say(_neighbour_words(found))
    for one in found:
        one["groups"] = f"cosine {score(near[str(one['sample_id'])])}"
    return found


def _neighbour_words(rows: Sequence[Mapping[str, Any]]) -> str:
    words = (
        f"The {len(rows)} audited faces whose last layer before the heads points nearest the same "
        "way (cosine about the mean of all)."
    )
    ages = [float(r["age_true"]) for r in rows if is_number(r.get("age_true"))]
    errors = [float(r["error"]) for r in rows if is_number(r.get("error"))]
    if ages and errors:
        mean = years(float(np.mean(errors)), signed=True)
        words += (
            f" Labelled {min(ages):.0f} to {max(ages):.0f} years; their age errors average "
            f"{mean} years."
        )
    return words


def second_look(view: View, row: Mapping[str, Any]) -> None:
    """The network's own reading of this picture made worse, and the map of what it rests on."""
    st.html("<h2>Read again: what the network looks at, and worse pictures</h2>")
    if view.look is None:
        _say(view.why_no_look)
        return
    name = row.get("image")
    path = picture_path(view.images, name) if view.images and isinstance(name, str) else None
    if path is None:
        _say("The picture is not there; name its folder: `faceaudit dashboard DIR --images FOLDER`")
        return
    if not st.toggle("Read each opened face again", key=LOOK, persist_state="session"):
        _say(
            "About 120 readings of this picture, some seconds on one processor; the first one "
            "loads the network."
        )
        return
    try:
        look = view.look(path)
    except InputError as error:
        _say(f"It cannot be read again: {error}.")
        return
    if words := _differs(row, look.clean):
        st.html(f'<p class="note">{escape(words)}</p>')
    _maps(view, look)
    for drawn in in_theme(worse_pictures(look.readings, row.get("age_true"))):
        st.html(f'<p class="figure-title">{escape(drawn.title)}</p>')
        chart(drawn, key=f"figure {drawn.key}")


def _differs(row: Mapping[str, Any], clean: Reading) -> str:
    """A remark where the network now reads the clean picture otherwise than the table says."""
    age, stated = row.get("age_pred"), row.get("gender_score")
    other = is_number(age) and abs(float(age) - clean.age) > 0.1  # type: ignore[arg-type]
    other |= is_number(stated) and abs(float(stated) - clean.female) > 0.01  # type: ignore[arg-type]
    if not other:
        return ""
    return (
        f"This network reads {years(clean.age)} years and P(female) {score(clean.female)}, not "
        "what the table says: it is another network, or the table was recalibrated."
    )


def _maps(view: View, look: FaceLook) -> None:
    parts = (("years", look.occlusion.years), ("female", look.occlusion.female))
    picture = None if view.hide_pictures else look.picture
    for column, (what, change) in zip(st.columns(2, gap="medium"), parts, strict=True):
        words = map_words(change, what=what)
        source = tinted(picture, look.occlusion, what, in_dark=is_dark())
        title = "Age read" if what == "years" else "P(female)"
        with column:
            st.html(
                f'<p class="figure-title">{title}, where a grey patch covers the picture</p>'
                f'<div class="map"><img src="{source}" alt="{escape(words)}"></div>'
                f'<p class="how">{with_code(words)}</p>'
            )
    st.html(
        '<p class="how">A patch of '
        f"{look.occlusion.patch} of {look.picture.shape[0]} pixels is moved over the picture by "
        f"{look.occlusion.stride}; each point shows the mean change of the reading over the "
        "patches that cover it. It says what this reading rests on, not why.</p>"
    )


def _say(words: str) -> None:
    st.html(f'<p class="how">{with_code(words)}</p>')
