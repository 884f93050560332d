"""Code in colours: each line in those that it has in the whole text."""

from collections.abc import Iterator
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pygments.lexers import get_all_lexers, get_lexer_by_name
from rich.syntax import Syntax
from rich.text import Text

from raptchat.render.markdown.highlight import State, highlighted

# Comments and strings of several lines, with words inside that would have a colour of their own.
SOURCES = {
    "python": "def f():\n    '''A\n  return 2\n    '''\n    x = '''a\nif 3\n''' + '4'  # five\n    return x\n",
    "javascript": "/* one\n return 2; */ let x = 3; // four\n/**\n * return\n */\nlet y = `a\n if b`; return y;\n",
    "java": "class A {\n  /* one\n   return 2; */\n  int x = 3; // four\n}\n",
    "c": 'int x; /* one\n return 2; */\nchar *s = "/* no comment";\nint y;\n',
    "go": "/* one\nreturn 2 */\nx := `a\nreturn b`\nreturn 1\n",
    "rust": "/* one\n /* nested\n */ return 2; */\nlet x = 1;\n",
    "css": "a {\n  color: red;\n  /* b {\n  margin: 0; */\n  margin: 0;\n}\nb { color: blue }\n",
    "html": '<div\n  class="a">\n<!-- <b>\n</b> -->\n<i>x</i>\n</div>\n',
    "sql": "SELECT 1 /* one\nFROM two */ FROM b -- c\nWHERE d = 'e';\n",
    "lua": "--[[ one\nreturn 2\n]]\nreturn 3\n",
    "haskell": "{- one\nmodule 2 -}\nx = 1\n",
    "ocaml": "(* one\nlet 2 *)\nlet x = 1\n",
    "json": '{"a": [1, true,\n null],\n "b": "c"}\n',
    "ruby": "=begin\nreturn 1\n=end\nreturn 2\n",
}


def lines(source: str, language: str) -> Iterator[Text]:
    """The lines of *source*, each coloured in its turn."""
    state = State()
    for line in source.split("\n"):
        text, state = highlighted(line, language, state)
        yield text


def colours(text: Text) -> list[str | None]:
    """The colour of each character of *text* but spaces, which nobody sees."""
    found: list[str | None] = [None] * len(text)
    for span in text.spans:
        style = span.style
        for at in range(span.start, span.end):
            found[at] = str(style)
    return [colour for colour, character in zip(found, text.plain, strict=True) if not character.isspace()]


def in_one_go(source: str, language: str) -> Text:
    """*source* as Pygments colours it when it has all of it."""
    theme, text = Syntax.get_theme("ansi_dark"), Text(source)
    for begin, kind, value in get_lexer_by_name(language).get_tokens_unprocessed(source):
        text.stylize(theme.get_style_for_token(kind), begin, begin + len(value))
    return text


@pytest.mark.parametrize("language", SOURCES)
def test_line_by_line_the_colours_are_those_of_the_whole(language: str) -> None:
    source = SOURCES[language]

    seen = [colour for line in lines(source, language) for colour in colours(line)]
    expected = colours(in_one_go(source, language))

    assert len(set(expected)) > 1
    assert [colour or "none" for colour in seen] == [colour or "none" for colour in expected]


@pytest.mark.parametrize("language", ["", "nonesuch", "../../etc/passwd", "python" * 100])
def test_an_unknown_language_has_no_colours(language: str) -> None:
    text, state = highlighted("def f(): return 1", language, State())

    assert (text.plain, text.spans, state) == ("def f(): return 1", [], State())


def test_a_name_is_known_in_capitals_too() -> None:
    assert highlighted("return 1", "Python", State())[0].spans


def test_an_open_string_ends_with_the_next_sign_however_late() -> None:
    source = ["x = '''", *["return 1"] * 2_000, "'''", "return 1"]

    *within, closing, after = lines("\n".join(source), "python")

    assert {str(span.style) for line in within[1:] for span in line.spans} == {
        str(span.style) for span in closing.spans
    }
    assert after.spans[0].style != closing.spans[0].style


def test_a_grammar_that_goes_ever_deeper_keeps_a_bounded_state() -> None:
    state = State()
    for _ in range(500):
        _, state = highlighted("{ a: {", "scss", state)

    assert 1 < len(state.stack) <= 51


@pytest.mark.parametrize(
    ("language", "line"), [("yaml", "a: 'b'"), ("rebol", 'print "x" ; y'), ("json", '{"a": 1}')]
)
def test_a_lexer_that_keeps_no_state_colours_line_by_line(language: str, line: str) -> None:
    text, state = highlighted(line, language, State())

    assert text.spans
    assert state == State()


def test_a_lexer_that_never_ends_costs_the_colours_of_the_line_only() -> None:
    endless = get_lexer_by_name("mcschema").get_tokens_unprocessed("<!-- <b>\n")

    assert len(list(islice(endless, 10_000))) == 10_000
    assert highlighted("<!-- <b>", "mcschema", State())[0] == Text("<!-- <b>")


LANGUAGES = sorted(aliases[0] for _, aliases, _, _ in get_all_lexers(plugins=False) if aliases)
PIECES = ["def f(x):", '"""', "/* a", "*/", "<div class='a'>", "<?php", "{", "}", "`x ${", "$(", "<<EOF", "#", "'"]
PIECES += [
    "--[[",
    "(*",
    "=begin",
    "%{",
    "{% if %}",
    "\\frac{1}",
    "@@ -1 +1 @@",
    ">>> 1",
    "$ ls",
    "a: b",
    "核👩‍🔬",
    "  ",
    "\t",
]


@settings(max_examples=150, deadline=None, database=None)
@given(
    language=st.sampled_from(LANGUAGES),
    source=st.lists(st.lists(st.sampled_from(PIECES), max_size=4).map(" ".join), max_size=6),
)
def test_no_language_loses_a_character_or_fails(language: str, source: list[str]) -> None:
    assert [line.plain for line in lines("\n".join(source), language)] == ("\n".join(source)).split("\n")


@pytest.mark.deep
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_keeps_every_character(language: str) -> None:
    source = "\n".join([*PIECES, " ".join(PIECES), "".join(PIECES)])

    assert [line.plain for line in lines(source, language)] == source.split("\n")
