"""Small pieces of HTML for the report: escaped text, tables that can be sorted, figures that follow the page's theme.

Words
    text    comes from data and is escaped: `text(…)`
    markup  is HTML already: a `Markup`, made only here and in the report's sections
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import NamedTuple

from multitask.interference.lookup import MISSING, interval, plain, signed
from multitask.interference.palette import THEMED


class Markup(str):
    """HTML that is written as it is; any other string is escaped."""


class Cell(NamedTuple):
    """One cell of a table."""

    shown: str
    """Escaped unless it is `Markup`."""
    key: float | None = None
    """What the column is sorted by where it is a number."""
    classes: str = ""


Row = list[str | Cell]


class Column(NamedTuple):
    """One column of a table."""

    title: str
    number: bool = True
    """Numbers stand on the right and are sorted as such; what is missing goes last either way."""
    filtered: bool = False
    """Whether a control above the table chooses among its values."""


def text(value: object) -> Markup:
    r"""Any string as text. Control characters are shown as pictures, halves of surrogate pairs as U+FFFD.

    >>> text("<b>&\x00"), text("a\ud83db")
    ('&lt;b&gt;&amp;␀', 'a\ufffdb')
    """
    shown = re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f]", lambda m: chr(0x2400 + ord(m[0])), str(value))
    shown = re.sub("[\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]", "\ufffd", shown.replace("\r", "␍"))
    return Markup(html.escape(shown, quote=True))


def join(parts: Iterable[str], between: str = "") -> Markup:
    """Markup and text, one after the other; text is escaped."""
    return Markup(between.join(part if isinstance(part, Markup) else text(part) for part in parts))


def element(name: str, *content: str, **attributes: str | bool | None) -> Markup:
    """An element; `class_` is class, `data_x` is data-x, an attribute that is None or False is left out.

    >>> element("p", "a < b", class_="note")
    '<p class="note">a &lt; b</p>'
    """
    written = []
    for key, value in attributes.items():
        named = key.rstrip("_").replace("_", "-")
        if value is True:
            written.append(f" {named}")
        elif value is not None and value is not False:
            written.append(f' {named}="{text(value)}"')
    return Markup(f"<{name}{''.join(written)}>{join(content)}</{name}>")


def scroll(content: Markup, label: str) -> Markup:
    """A box that scrolls sideways, by keys too, so that the page never does."""
    return element("div", content, class_="scroll", tabindex="0", role="region", aria_label=label)


def captioned(caption: str, *content: Markup, **attributes: str | bool | None) -> Markup:
    """A table with its caption, which is shown above the box that scrolls: inside it would scroll away."""
    made = element("table", element("caption", caption, class_="sr"), *content, **attributes)
    return join([element("p", caption, class_="caption", aria_hidden="true"), scroll(made, caption)])


def table(
    caption: str,
    columns: Sequence[Column],
    rows: Iterable[Row],
    *,
    attributes: Iterable[dict[str, str]] = (),
    key: str | None = None,
) -> Markup:
    """A table that can be sorted; the first cell of a row names it.

    Args:
        caption: What it shows; read out before the table.
        columns: One for each cell of a row.
        rows: Cells, a row each.
        attributes: Of each row, if it has any.
        key: The table's id, if something points to it.
    """
    head = join(
        element("th", c.title, scope="col", class_="n" if c.number else None, data_filter=c.filtered) for c in columns
    )
    none: dict[str, str] = {}
    body = []
    for row, more in zip_longest(rows, attributes, fillvalue=none):
        written = []
        for i, (column, value) in enumerate(zip(columns, row, strict=True)):
            cell = value if isinstance(value, Cell) else Cell(value)
            classes = " ".join(filter(None, ("n" if column.number else "", cell.classes))) or None
            sort = None if cell.key is None else f"{cell.key:.6g}"
            name, scope = ("td", None) if i else ("th", "row")
            written.append(element(name, cell.shown, scope=scope, class_=classes, data_key=sort))
        body.append(element("tr", *written, **dict(more)))
    parts = (element("thead", element("tr", head)), element("tbody", join(body, Markup("\n"))))
    return captioned(caption, *parts, id=key, class_="sortable")


# ---------------------------------------------------------------------------------------------------------------- cells


def number_cell(value: float | None, digits: int = 2) -> Cell:
    """A number."""
    return Cell(plain(value, digits), value)


def signed_cell(value: float | None, digits: int = 2) -> Cell:
    """A difference."""
    return Cell(signed(value, digits), value)


def share_cell(value: float | None) -> Cell:
    """A share 0..1, in per cent.

    >>> share_cell(0.125).shown
    '12.5 %'
    """
    return Cell(MISSING if value is None else f"{plain(100 * value, 1)} %", value)


def interval_cell(low: float | None, high: float | None, digits: int = 2) -> Cell:
    """Both ends; sorted by the lower one."""
    return Cell(interval(low, high, digits), low)


def chance_cell(value: float | None) -> Cell:
    """A p or q value.

    >>> chance_cell(0.0004).shown, chance_cell(0.03).shown
    ('<0.001', '0.030')
    """
    return Cell(MISSING if value is None else "<0.001" if value < 0.001 else plain(value, 3), value)


# -------------------------------------------------------------------------------------------------------------- figures


def inline_figure(svg: str, name: str, label: str) -> Markup:
    """An SVG file as part of the page: ids of its own, the page's colours, one name for those who hear it.

    What stands outside the element (XML declaration, document type) is dropped, and so is its style sheet, which would
    hold for the whole page.
    """
    made = re.sub(r"<style[^>]*>.*?</style>|<!--.*?-->", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    # Only a reference needs an id: groups are named after matplotlib's objects, the same in every figure.
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', made))
    made = re.sub(r' id="([^"]+)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", made)
    made = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", made)
    made = re.sub(r'xlink:href="#([^"]+)"', rf'href="#{name}-\1"', made)
    made = re.sub(r' xmlns(?::xlink)?="[^"]*"', "", made)
    for colour, variable in THEMED.items():
        made = made.replace(f": {colour}", f": var(--{variable})")
    made = re.sub(r"\n\s*", "\n", made)
    return Markup(made.strip().replace("<svg", f'<svg role="img" aria-label="{text(label)}" class="figure"', 1))
