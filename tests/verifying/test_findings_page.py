"""The page of a verification: what it says is what verify found, and nothing on it runs."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from recordings import folder, line_file, tape

from tickerplant.cli import main
from tickerplant.recording.line import Line, Place
from tickerplant.recording.manifest_entries import Connected, Disconnected, RunStarted
from tickerplant.units import NS_PER_S
from tickerplant.venue import USDM
from tickerplant.verifying import page as findings_page
from tickerplant.verifying.findings import Findings, Gap, RecordingFinding, StreamFinding
from tickerplant.verifying.page import FindingsPage
from tickerplant.verifying.timeline import Timeline

VOID = {"meta", "br", "link"}
HOSTILE = '<script>alert(1)</script>"\'&\x1b[31m$x^2$ id="r0-x" 币@trade'
START_NS = 1_772_323_200 * NS_PER_S


class Parsed(HTMLParser):
    """A page as a browser would read it, which refuses what is not nested."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def assert_inert(text: str) -> Parsed:
    """The page has no script, loads nothing, and its pictures are well-formed."""
    parsed = Parsed(text)
    assert "script" not in parsed.tags
    for name, value in parsed.attributes:
        assert not name.startswith("on")
        if name in {"href", "src", "xlink:href"}:
            assert value.startswith(("#", "data:image/png;base64,"))
    for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        ET.fromstring(svg)  # noqa: S314  # our own
    ids = re.findall(r'<[^>]*\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    return parsed


@pytest.fixture(scope="module")
def market() -> list[Line]:
    return tape(USDM, 2.5)


def run(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(("verify", *arguments))
    output = capsys.readouterr()
    return int(end.value.code or 0), output.out, output.err


@pytest.mark.heavy
def test_the_page_says_what_verify_prints(
    market: list[Line], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trades = [n for n, (_, raw) in enumerate(market) if b"btcusdt@trade" in raw]
    kept = [line for n, line in enumerate(market) if n not in {trades[5], trades[30]}]
    path, page = folder(tmp_path / "r", [kept]), tmp_path / "page.html"
    status, out, err = run(path, "--html", str(page), capsys=capsys)
    assert (status, err) == (1, "")
    text = page.read_text(encoding="utf-8")
    parsed = assert_inert(text)
    assert out.splitlines()[-1] in parsed.text, "the verdict"
    for line in out.splitlines()[3:13]:
        for cell in re.split(r"\s{2,}", line.strip()):
            assert cell in parsed.text
    assert parsed.text.count("messages missing between") == 2
    status, out, _ = run(path, "--html", str(page), "--json", capsys=capsys)
    assert json.loads(out)["summary"] in page.read_text(encoding="utf-8")
    assert page.read_text(encoding="utf-8") == text, "the same recording is the same page"
    assert [each.name for each in tmp_path.iterdir() if each.name.endswith(".part")] == []


@pytest.mark.heavy
def test_an_outage_of_the_manifest_is_in_the_table_with_its_reason(
    market: list[Line], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first_ns = market[0][0]
    names = ("btcusdt@bookTicker", "btcusdt@trade")
    entries = [
        RunStarted(
            time_ns=first_ns, run=1, url="ws://a", profile="", streams=names, software="a test"
        ),
        Connected(time_ns=first_ns, streams=names, connection=1),
        Disconnected(
            time_ns=first_ns + NS_PER_S, streams=names, reason="<b>the line & was cut</b>"
        ),
        Connected(time_ns=first_ns + 2 * NS_PER_S, streams=names, connection=2),
    ]
    path = folder(tmp_path / "r", [market], entries)
    page = tmp_path / "page.html"
    run(path, "--html", str(page), capsys=capsys)
    parsed = assert_inert(page.read_text(encoding="utf-8"))
    assert "b" not in parsed.tags, "a reason is text too"
    assert "not received: disconnected: <b>the line & was cut</b>" in parsed.text
    assert "may have lost" in parsed.text


def test_hostile_names_are_text() -> None:
    gap = Gap(
        symbol="X",
        from_ns=START_NS,
        to_ns=START_NS + 5,
        after_id=1,
        before_id=3,
        missing=1,
        place=Place("f", 1, 0),
        cause=HOSTILE,
    )
    stream = StreamFinding(
        stream=HOSTILE,
        proof="ids by one",
        messages=2,
        first_ns=START_NS,
        last_ns=START_NS + 5,
        gaps=1,
        first_gaps=[gap],
    )
    found = RecordingFinding(
        paths=[HOSTILE],
        first_ns=START_NS,
        last_ns=START_NS + 5,
        messages=2,
        streams=[stream],
        remarks=[HOSTILE],
    )
    timeline = Timeline(4)
    timeline.start_ns = START_NS
    timeline.add_outages(HOSTILE, ())
    timeline.streams[HOSTILE].messages[0] = 2
    timeline.streams[HOSTILE].gaps[0] = 1
    timeline.kinds[HOSTILE] = timeline.streams[HOSTILE].messages
    page = FindingsPage([HOSTILE, "\udc80odd"], 10)
    page.add(found, timeline)
    text = page.text(Findings(complete=False, summary=HOSTILE, recordings=[found]))
    parsed = assert_inert(text)
    shown = HOSTILE.replace("\x1b", "·")
    assert parsed.text.count(shown) >= 5
    assert "\x1b" not in text
    assert 'id="r0-x" 币@trade' in parsed.text, "text in a picture is not taken for an id"
    text.encode()


def test_a_recording_without_lines_is_said_and_too_many_recordings_too() -> None:
    page = FindingsPage(["r"], 10)
    for number in range(findings_page.MOST_RECORDINGS + 2):
        page.add(RecordingFinding(paths=[f"r{number}"]), Timeline())
    text = page.text(Findings(complete=False, summary="NOT complete: it contains no messages"))
    parsed = assert_inert(text)
    assert "There is no line in it, so there is nothing to draw." in parsed.text
    assert "2 more recordings were verified and are in the verdict, but not shown." in parsed.text


@pytest.mark.heavy
def test_a_page_that_fails_to_be_written_leaves_nothing_and_the_findings_are_printed(
    market: list[Line], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / (("x" * 250) + ".html")  # its name is too long with what is added to it
    path = line_file(tmp_path / "r", market)
    status, out, err = run(path, "--html", str(page), capsys=capsys)
    assert (status, err.count("\n")) == (1, 1)
    assert "File name too long" in err
    assert out.splitlines()[-1].startswith("complete: ")
    assert [each.name for each in tmp_path.iterdir()] == ["r"]
