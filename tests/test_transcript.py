"""A session as Markdown and as a web page: everything is there, and nothing of it acts on who reads it."""

import base64
import html
import io
import random
import re
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt
from screen import shown
from test_terminal_safety import PAYLOADS, acting, hostile

from raptchat.records import Attachment, Message, Session
from raptchat.render import Terminal
from raptchat.render.transcript import as_markdown, show
from raptchat.render.transcript_html import as_html

SESSION_ID = "6163e5f3-1fe2-40dc-9505-a1b6f2c761fe"
TIME = "2026-11-22T09:30:00.000000Z"
PIXEL = base64.b64decode("R0lGODlhAQABAAAAACwAAAAAAQABAAA=")


def session(title: str | None = "Cells", **changes: str | None) -> Session:
    values = {"model": None, "system_prompt": None, **changes}
    time = "2026-11-22T09:30:00.000000Z"
    return Session(
        "6163e5f3-1fe2-40dc-9505-a1b6f2c761fe", "g", title, created_at=time, last_used_at=time, **values
    )


def file(name: str, media_type: str = "image/gif", *, content: bytes | None = PIXEL, size: int = 43) -> Attachment:
    return Attachment(name, media_type, "ab" * 32, size, content)


def user(text: str, *attachments: Attachment) -> Message:
    return Message("user", text, 1, created_at="2026-11-22T09:30:00Z", attachments=attachments)


_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def headings(markdown: str) -> list[str]:
    """The headings of a Markdown text, as any reader of CommonMark finds them."""
    tokens = MarkdownIt("commonmark").parse(markdown)
    return [tokens[at + 1].content for at, token in enumerate(tokens) if token.type == "heading_open"]


def test_the_markdown_has_everything_but_the_contents_of_files() -> None:
    reply = Message("assistant", "It is *water*.", 2, "incomplete", "a/b", "2026-11-22T09:31:00Z", "x" * 1234)

    text = as_markdown(
        session(model="a/b", system_prompt="Be brief."),
        "biology",
        [user("What?", file("cell.gif"), file("notes.txt", "text/plain", size=12_345)), reply],
    )

    assert headings(text)[:2] == ["Cells", "system"]
    assert re.fullmatch(r"1\. user \([-0-9: ]+\)", headings(text)[2])
    assert re.fullmatch(
        r"2\. assistant \([-0-9: ]+, a/b, incomplete, after 1,234 characters of reasoning\)", headings(text)[3]
    )
    for expected in (
        "- group: biology",
        "Be brief.",
        "What?\n\n- attachment: cell.gif (image/gif, 43 bytes)\n- attachment: notes.txt (text/plain, 12.3 kB)",
        "It is *water*.\n",
    ):
        assert expected in text
    assert text.endswith("water*.\n")


@pytest.mark.parametrize(
    "title", ["fix [this] and [that]", "[a](https://x.example) ![b](c)", r"\[x\]", "[x]: y", "$a$ *b* `c` ~d~"]
)
def test_a_title_is_shown_as_it_is(title: str) -> None:
    terminal = Terminal.recorded(is_tty=True)
    show(terminal, as_markdown(session(title), title, []))

    assert isinstance(terminal.out, io.StringIO)
    first, _, group = shown(terminal.out.getvalue())[:3]
    assert (first.strip(), group) == (title, f" • group: {title}")


def test_a_session_without_a_title_has_its_id() -> None:
    assert headings(as_markdown(session(None), "biology", [])) == [f"Session {session().id}"]


@pytest.mark.parametrize(
    "cut",
    [
        "```python\nprint(1)",
        "```python\nprint(1)\n",
        "~~~~\n```\n~~~",
        "   ```\n   x",
        "text\n```",
        "- a\n\n  ```\n  b",
        "> ```\n> b",
        "1. a\n   ```\n   b\n\n   c",
        "```\na\n```",
        "````\n```\n````\n\n```\n# no heading",
        "a ``` b",
        "<!-- a",
        "text\n\n<!-- a\n\nb",
        "<!-- a -->\n\nb",
        "<?php",
        "<![CDATA[ x",
        "<!DOCTYPE",
        "<SCRIPT src=x",
        "   <style>\n\na",
        "<pre>\n```",
        "<textarea>\n\n",
        "<div>\n# no heading",
        "```\n<!--\n```",
        "- <!-- a",
        "    ```\n    code",
    ],
)
def test_a_reply_that_was_cut_in_its_code_or_html_does_not_swallow_the_next(cut: str) -> None:
    text = as_markdown(session(), "biology", [user(cut), Message("assistant", "next", 2)])

    assert [heading.partition(" (")[0] for heading in headings(text)] == ["Cells", "1. user", "2. assistant"]
    assert cut.strip("\n") in text


@pytest.mark.parametrize("name", ["*a* _b_ `c`", "# x", "[a](b)", "<b>&amp;", "a\n# b", "~~a~~ | b", "~a", "\\*"])
def test_names_are_no_markup(name: str) -> None:
    text = as_markdown(session(name), name, [user("x", file(name))])

    shown = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"]).render(text)
    assert not {"<em>", "<code>", "<a ", "<s>", "<table>", "<strong>"} & set(re.findall(r"<[a-z]+[ >]", shown))
    assert shown.count("<h1>") == 1
    assert html.unescape(re.sub("<.*?>", "", shown)).count(name.replace("\n", "␊")) == 3


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (20_000_000, "20.0 MB"),
        (10**15, "1000000.0 GB"),
    ],
)
def test_a_size_is_told_in_three_figures(size: int, shown: str) -> None:
    assert f"(image/gif, {shown})" in as_markdown(session(), "g", [user("x", file("a", size=size))])


def written(terminal: Terminal) -> str:
    return terminal.out.getvalue()  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("is_tty", [True, False])
def test_nothing_in_a_transcript_acts_on_a_terminal(is_tty: bool) -> None:  # noqa: FBT001 - a parameter of pytest
    terminal = Terminal.recorded(is_tty=is_tty)
    for text in [*PAYLOADS, *hostile(50)]:
        about = session(text, model=text, system_prompt=text)
        message = Message("assistant", text, 1, model=text, created_at=text, reasoning=text)
        show(terminal, as_markdown(about, text, [message, user(text, file(text, text))]))

    found = acting(written(terminal)) if is_tty else _CONTROL.findall(written(terminal))
    assert found == []


def test_at_a_terminal_it_is_drawn_and_into_a_pipe_it_is_markdown() -> None:
    text = as_markdown(session(), "biology", [user("a **bold** word")])
    drawn, piped = Terminal.recorded(is_tty=True), Terminal.recorded()
    show(drawn, text)
    show(piped, text)

    assert "**" not in written(drawn)
    assert "bold" in written(drawn)
    assert written(piped) == text


class Page(HTMLParser):
    """The tags and attributes of a page."""

    ALONE = frozenset({"meta", "br", "hr", "img"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.ALONE:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data


TAGS = (
    "html head meta title style body header section figure figcaption details summary div img h1 h2 h3 h4 h5 h6"
    " p a em strong s code pre ul ol li blockquote hr br table thead tbody tr th td"
)
ATTRIBUTES = "lang charset http-equiv content name class dir href title start src alt"


def check_page(text: str) -> Page:
    """*text* as a page that runs nothing and loads nothing."""
    page = Page(text)
    for tag, attributes in page.tags:
        assert tag in set(TAGS.split())
        assert set(attributes) <= set(ATTRIBUTES.split())
        assert not re.match(r"\s*(javascript|vbscript|file|data):", attributes.get("href") or "", re.IGNORECASE)
        if tag == "img":
            assert re.fullmatch(r"data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]*", attributes["src"] or "")
        else:
            assert "src" not in attributes
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
    return page


HTML_PAYLOADS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</section></body><script src=//evil.example></script>",
    "</title><script>",
    "</style><script>",
    "-->",
    "<!--",
    "<![CDATA[",
    '" onmouseover="alert(1)',
    "' onfocus='alert(1)",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](\x01javascript:alert(1))",
    "[x](data:text/html,<script>alert(1)</script>)",
    "[x](vbscript:x) [x](file:///etc/passwd)",
    "<javascript:alert(1)>",
    "![x](https://evil.example/track.png)",
    "![](https://evil.example/track.png 'a \" b')",
    '[x](https://example.com/"onclick="x)',
    '```" onclick="x\ncode\n```',
    "```js <b>\n</code></pre><script>\n```",
    "| a |\n|:-:|\n| <script> |",
    "[x]: javascript:alert(1)\n[x]",
    "&lt;script&gt;alert(1)&lt;/script&gt; &#60;script&#62;",
    "http://evil.example/<script>",
    '<https://evil.example/?a="onclick=x>',
    *PAYLOADS,
]


@pytest.mark.parametrize("payload", HTML_PAYLOADS, ids=lambda text: ascii(text[:30]))
def test_nothing_in_a_page_runs_or_loads(payload: str) -> None:
    message = Message("assistant", payload, 1, "complete", payload, payload, payload)

    page = check_page(
        as_html(
            session(payload, model=payload, system_prompt=payload),
            payload,
            [message, user(payload, file(payload), file(payload, payload), file(payload, "image/svg+xml"))],
        )
    )

    policies = [one["content"] for _, one in page.tags if one.get("http-equiv") == "Content-Security-Policy"]
    assert len(policies) == 1
    assert policies[0]
    assert policies[0].startswith("default-src 'none'; style-src 'sha256-")
    assert page.tags.index(("title", {})) > 2


def test_no_random_text_runs_in_a_page() -> None:
    chance = random.Random(20261122)
    alphabet = [*HTML_PAYLOADS, *"<>\"'&`*_[]()!|~\n#->/ ="] * 2
    for _ in range(400):
        text = "".join(chance.choices(alphabet, k=chance.randrange(1, 12)))
        check_page(as_html(session(text), text, [user(text, file(text))]))


def test_a_page_has_the_words_the_pictures_and_the_names() -> None:
    said = "It is **water** &lt;b&gt;.\n\n| a |\n|--:|\n| 1 |"
    reply = Message("assistant", said, 2, reasoning="I <think>.")
    message = user(
        "What?",
        file("cell.gif"),
        file("notes.txt", "text/plain"),
        file("x.svg", "image/svg+xml", content=b"<svg/>"),
    )

    text = as_html(session("A & B", system_prompt="Be brief."), "biology", [message, reply])
    page = check_page(text)

    for expected in (
        "A & B",
        "biology",
        "Be brief.",
        "What?",
        "It is water <b>.",
        "I <think>.",
        "notes.txt",
        "x.svg",
    ):
        assert expected in page.text
    assert text.count("<img ") == 1
    assert base64.b64encode(PIXEL).decode() in text
    assert "<strong>water</strong>" in text
    assert 'style="' not in text


def test_the_policy_of_a_page_lets_its_own_style_through() -> None:
    import hashlib

    text = as_html(session(), "biology", [])
    style = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    assert len(style) == 1
    digest = base64.b64encode(hashlib.sha256(style[0].encode()).digest()).decode()
    assert f"&#x27;sha256-{digest}&#x27;" in text


def test_deep_nesting_loses_nothing() -> None:
    deep = "> " * 60 + "bottom"
    wide = "".join("  " * level + "- item\n" for level in range(40))

    assert "bottom" in check_page(as_html(session(), "g", [user(deep)])).text
    assert check_page(as_html(session(), "g", [user(wide)])).text.count("item") == 40
