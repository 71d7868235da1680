"""HTML pages that need nothing else: one file, no network, no fonts, readable without a script, small.

A page is a Jinja2 template in the package of whoever shows it, on top of the base page that is here:

    multitask/…/report/templates/run.html.j2      {% extends "pages/base.html.j2" %} and its blocks
    multitask/…/report/templates/run.css, run.js  what this page has beyond the base; each may be missing

    html = render_page("run.html.j2", package="multitask.….report", title="Run x", sections=[…], **values)

The base page brings: the policy (only this page's own style and script, by their hash; nothing is loaded or sent),
light and dark theme, print, phone, a skip link, the row of sections, the footer, tables that sort (`class="sortable"`),
a filter above a table, and `<details>` that open when a link points into them. All of that is used by its blocks:

    first     the first screen, in a `<header class="first">`: the answer (`class="answer"`) and a figure beside it
    main      everything below: a `<section id=… >` for each of `sections`
    footer    under it: `{{ parts.facts([("Versions", "…"), …]) }}`

Values that every page gives: `title`, and `sections`, a list of (id, heading). `pages/parts.html.j2` has macros: the
chip that counts warnings, boxes that scroll, lists of facts, commands, sections. `multitask.pages.charts` draws small
SVG charts.

Whatever comes from data is escaped, because the environment escapes everything that is not `Markup`; a name that is
misspelt in a template is an error (`StrictUndefined`). Styles stand in the CSS files alone: the policy refuses a
`style` attribute, so colours are classes.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multitask.storage.atomic import atomic
from multitask.terminal.escaping import visible

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

HERE = "multitask.pages"


def render_page(template: str, *, package: str, title: str, **values: Any) -> str:
    """A whole page; the same values give the same page.

    Args:
        template: A file in `templates/` of `package`, NAME.html.j2; NAME.css and NAME.js beside it are added to the
            base page's own.
        package: Where it is.
        title: The page's.
        values: All else that the template names. `sections` is [] if it is not given.

    Raises:
        jinja2.UndefinedError: If the template names something else.
    """
    from markupsafe import Markup

    name = template.removesuffix(".html.j2")
    style, script = (f"\n{_text(HERE, f'page.{kind}')}{_text(package, f'{name}.{kind}')}" for kind in ("css", "js"))
    page = (
        environment(package)
        .get_template(template)
        .render(
            title=title,
            policy=policy(style, script),
            style=Markup(style),  # noqa: S704  # files of the package
            script=Markup(script),  # noqa: S704
            **{"sections": [], **values},
        )
    )
    return visible(page)  # once, over all of it: no value can be forgotten


def write_page(path: Path, page: str) -> None:
    """Write a page; a crash leaves no half file."""
    with atomic(path) as temporary:
        temporary.write_bytes(page.encode())  # bytes: the policy names the script by its hash, line ends included


@functools.cache
def environment(package: str) -> Environment:
    """Templates of a package, and those that are here as `pages/…`; everything is escaped."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, PrefixLoader, StrictUndefined

    made = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=ChoiceLoader([PackageLoader(package), PrefixLoader({"pages": PackageLoader(HERE)})]),
    )
    made.filters.update(prose=prose, breakable=breakable, tied=tied, scroll=scroll)
    return made


def policy(style: str, script: str) -> str:
    """Nothing is loaded or sent, and no other style or script counts: not even what escaping has let through."""
    style, script = (
        base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() for content in (style, script)
    )
    return (
        f"default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; "
        "base-uri 'none'; form-action 'none'"
    )


def prose(line: str) -> Markup:
    """A sentence in which `words` stand between backticks.

    >>> prose("`equal` is < 1")
    Markup('<code>equal</code> is &lt; 1')
    """
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(line))))  # noqa: S704  # escaped just before


def breakable(name: str) -> Markup:
    """A long name may go on in the next line after a `_`, `-`, `/` or `.`.

    >>> breakable("tweet_sentiment")
    Markup('tweet_<wbr>sentiment')
    """
    from markupsafe import Markup, escape

    whole = re.split(r"([_\-/.]+)", name)
    return Markup("").join(Markup("{}<wbr>").format(part) if i % 2 else escape(part) for i, part in enumerate(whole))


def tied(line: str) -> Markup:
    """Intervals, which are in brackets, stay on one line.

    >>> tied("−1.0 [−2, 0] & so on")
    Markup('−1.0 <span class="tied">[−2, 0]</span> &amp; so on')
    """
    from markupsafe import Markup, escape

    whole = re.split(r"(\[[^\][]{1,40}\])", line)
    return Markup("").join(
        Markup('<span class="tied">{}</span>').format(part) if i % 2 else escape(part) for i, part in enumerate(whole)
    )


def scroll(content: Markup, label: str) -> Markup:
    """A box that scrolls sideways, by keys too, so that the page never does; in templates the macro of this name."""
    from markupsafe import Markup

    return Markup('<div class="scroll" tabindex="0" role="region" aria-label="{}">{}</div>').format(label, content)


def _text(package: str, name: str) -> str:
    path = files(package).joinpath("templates", name)
    return path.read_text(encoding="utf-8") if path.is_file() else ""
