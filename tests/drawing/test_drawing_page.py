from __future__ import annotations

import pytest

from tickerplant.drawing.page import page, paragraph, picture, sentences, table, text_of

SVG = (
    '<?xml version="1.0"?>\n<!DOCTYPE svg>\n<svg width="9pt" viewBox="0 0 9 9">'
    '<defs><clipPath id="c"><rect/></clipPath></defs>'
    '<g id="g" clip-path="url(#c)"><use xlink:href="#c"/><text>id="c" url(#c)</text></g></svg>\n'
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<b>&\"'", "&lt;b&gt;&amp;&quot;&#x27;"),
        ("a\x1b[0m\nb", "a·[0m·b"),
        ("caf\udce9", "caf\\xe9"),
        ("币安", "币安"),
    ],
)
def test_foreign_text_is_shown_and_does_nothing(text: str, shown: str) -> None:
    assert text_of(text) == shown
    assert paragraph(text) == f"<p>{shown}</p>"
    assert shown in table(["a"], [[text]])
    assert shown in sentences([text])
    assert f"<title>{shown}</title>" in page(text, [])


def test_ids_of_a_picture_are_its_own_and_its_text_is_untouched() -> None:
    found = picture(SVG, "r1", 'What "it" shows')
    assert 'id="r1-c"' in found
    assert 'url(#r1-c)">' in found
    assert 'xlink:href="#r1-c"' in found
    assert '<text>id="c" url(#c)</text>' in found
    assert found.startswith('<figure><svg role="img" aria-label="What &quot;it&quot; shows" width=')
    assert "<?xml" not in found


def test_a_page_forbids_scripts_and_the_network() -> None:
    text = page("t", ["<p>x</p>", ""])
    assert "default-src &#x27;none&#x27;; style-src" in text
    assert text.startswith("<!doctype html>")


def test_a_table_keeps_short_cells_on_one_line_and_numbers_to_the_right() -> None:
    text = table(["name", "n"], [["x" * 40, "1,204"]], frozenset({"n"}))
    assert '<td class="number short">1,204</td>' in text
    assert f'<td class="">{"x" * 40}</td>' in text
    with pytest.raises(ValueError, match="zip"):
        table(["a"], [["1", "2"]])
