"""Words as HTML: what must stay on one line, and what is code."""

import re

from markupsafe import Markup

_UNBROKEN = re.compile(r"(\d+-\d+|\[[^\]]*\])")


def unbroken(text: str) -> Markup:
    """`text` as HTML in which no line ends within a group of ages (0-2) or an interval."""
    span = Markup('<span class="whole">{}</span>')
    parts = _UNBROKEN.split(text)  # every second one is a match
    return Markup("").join(span.format(part) if i % 2 else part for i, part in enumerate(parts))


def with_code(words: str) -> Markup:
    """Words as HTML, what stands between backticks as code."""
    code = Markup("<code>{}</code>")
    parts = words.split("`")  # every second one stood between two
    return Markup("").join(code.format(part) if i % 2 else part for i, part in enumerate(parts))
