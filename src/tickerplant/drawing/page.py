"""Pages that are one file: text, tables and pictures, without scripts and without the network.

What comes from elsewhere, such as the name of a stream, is escaped where it is put into the page.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

from tickerplant.drawing.style import FAINT, GRID, INK, PAPER
from tickerplant.formatting import encodable, printable

SHORT = 26
"""Characters of a cell that is kept on one line."""
_TAG = re.compile(r"<[^<>]+>")
_REFERENCE = re.compile(r'(\bid="|url\(#|href="#)')
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_CSS = f"""
body {{ margin: 2rem auto; max-width: 76rem; padding: 0 1rem; color: {INK}; background: {PAPER};
  font: 15px/1.5 system-ui, sans-serif; }}
h1 {{ font-size: 1.5rem; }} h2 {{ font-size: 1.15rem; margin-top: 2.5rem; }}
h3 {{ font-size: 1rem; }}
h1, h2, h3, p, li, td {{ overflow-wrap: anywhere; }}
figure {{ margin: 1rem 0; }} svg {{ max-width: 100%; height: auto; }}
.scroll {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-size: 0.87rem; }}
th, td {{ padding: 0.2rem 0.8rem 0.2rem 0; border-bottom: 1px solid {GRID}; text-align: left;
  vertical-align: top; }}
td.short, th {{ white-space: nowrap; }}
td.number, th.number {{ text-align: right; font-variant-numeric: tabular-nums; }}
.verdict {{ font-weight: 600; padding: 0.6rem 0.9rem; border-left: 6px solid; }}
.good {{ border-color: #0072b2; background: #e8f2f9; }}
.bad {{ border-color: #d55e00; background: #fdf0e7; }}
.faint {{ color: {FAINT}; }}
""".strip()


def text_of(text: str) -> str:
    """Return foreign text as HTML that shows it, and does nothing else."""
    return escape(printable(encodable(text)))


def paragraph(text: str, kind: str = "") -> str:
    """Return a paragraph.

    Args:
        text: What it says.
        kind: The classes of its style, such as `faint`.
    """
    attribute = f' class="{escape(kind)}"' if kind else ""
    return f"<p{attribute}>{text_of(text)}</p>"


def heading(text: str, level: int = 2) -> str:
    """Return a heading."""
    return f"<h{level}>{text_of(text)}</h{level}>"


def sentences(texts: Iterable[str]) -> str:
    """Return a list of sentences; nothing if there are none."""
    items = "\n".join(f"<li>{text_of(each)}</li>" for each in texts)
    return f"<ul>\n{items}\n</ul>" if items else ""


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], numbers: frozenset[str] = frozenset()
) -> str:
    """Return a table.

    Args:
        head: The titles of its columns.
        rows: Its rows.
        numbers: Titles of the columns that are aligned to the right.
    """
    kinds = [' class="number"' if title in numbers else "" for title in head]
    titles = "".join(
        f'<th scope="col"{kind}>{text_of(title)}</th>'
        for title, kind in zip(head, kinds, strict=True)
    )
    lines = [
        "<tr>"
        + "".join(
            _cell(cell, is_number=title in numbers) for cell, title in zip(row, head, strict=True)
        )
        + "</tr>"
        for row in rows
    ]
    body = "\n".join(lines)
    return (
        f'<div class="scroll"><table>\n<thead><tr>{titles}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def _cell(text: str, *, is_number: bool) -> str:
    kinds = ["number"] * is_number + ["short"] * (len(text) <= SHORT)
    return f'<td class="{" ".join(kinds)}">{text_of(text)}</td>'


def picture(svg: str, name: str, description: str) -> str:
    """Return a picture as part of a page.

    Args:
        svg: The picture, as `svg_of` returns it.
        name: Is put before the ids in it, so that those of several pictures differ.
        description: What it shows, for those who do not see it.
    """
    drawn = svg[svg.index("<svg") :]
    own = _TAG.sub(lambda tag: _REFERENCE.sub(rf"\g<1>{name}-", tag[0]), drawn)
    label = f'<svg role="img" aria-label="{text_of(description)}"'
    return f"<figure>{own.replace('<svg', label, 1)}</figure>"


def page(title: str, parts: Iterable[str]) -> str:
    """Return a page.

    Args:
        title: The title and first heading.
        parts: Its content, as the functions of this module return it.
    """
    body = "\n".join(filter(None, parts))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text_of(title)}</title>\n<style>\n{_CSS}\n</style>\n</head>\n<body>\n"
        f"{heading(title, 1)}\n{body}\n</body>\n</html>\n"
    )
