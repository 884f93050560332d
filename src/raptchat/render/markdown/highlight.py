"""Code in colours, line by line: what one line leaves open is open in the next.

A lexer of Pygments wants the whole text, and a fence may have 20,000 lines. So each line is read alone, from the
state in which the line before it ended (`pygments.lexer.LexerContext`). Of a comment or string of many lines that
the lexer finds with one pattern, only the opening sign is remembered, and stands before every later line.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import islice
from typing import cast

from pygments.lexer import ExtendedRegexLexer, Lexer, LexerContext, RegexLexer
from pygments.lexers import get_all_lexers, get_lexer_by_name
from pygments.token import Comment, String, _TokenType
from rich.syntax import Syntax, SyntaxTheme
from rich.text import Text

_LONG = {
    "/*": "*/",
    "<!--": "-->",
    '"""': '"""',
    "'''": "'''",
    "`": "`",
    "--[[": "]]",
    "(*": "*)",
    "{-": "-}",
    "<#": "#>",
    "#|": "|#",
    "=begin": "=end",
}

_BETWEEN = "\n\n"
# A grammar that only ever goes deeper must not make every line slower than the one before.
_DEEPEST = 50

_Tokens = list[tuple[int, _TokenType, str]]


@dataclass(frozen=True, slots=True)
class State:
    """Where a line ended: the lexer's states, innermost last, and the sign of a comment or string left open."""

    stack: tuple[str, ...] = ("root",)
    opened: str = ""


def highlighted(line: str, language: str, state: State) -> tuple[Text, State]:
    """*line*, without its newline, in colours, and the state that the next one begins in.

    *language* is a name that Pygments knows; in any other the line has no colour.
    """
    lexer = _lexer(language)
    text = Text(line)
    if lexer is None:
        return text, state
    before = f"{state.opened}{_BETWEEN}" if state.opened else ""
    tokens, after = _read(lexer, before + line, state)
    for begin, kind, value in tokens:
        start, end = max(0, begin - len(before)), begin - len(before) + len(value)
        if end > start and not value.isspace():
            text.stylize(_theme().get_style_for_token(kind), start, end)
    return text, after


def _read(lexer: Lexer, source: str, state: State) -> tuple[_Tokens, State]:
    for opening, closing in _LONG.items():
        if opening in source:
            # Some patterns want a line between the signs.
            tokens, _ = _lexed(lexer, f"{source}{_BETWEEN}{closing}\n", state.stack)
            # What holds the line's end and the closing sign was open.
            for begin, kind, value in tokens:
                is_long = begin < len(source) and begin + len(value) > len(source) + len(_BETWEEN)
                if is_long and not {Comment, String}.isdisjoint(kind.split()):
                    _, stack = _lexed(lexer, source[:begin], state.stack)
                    return tokens, State(stack, opening)
    tokens, stack = _lexed(lexer, f"{source}\n", state.stack)
    return tokens, State(stack)


def _lexed(lexer: Lexer, source: str, stack: tuple[str, ...]) -> tuple[_Tokens, tuple[str, ...]]:
    if not isinstance(lexer, RegexLexer):
        return _bounded(lexer.get_tokens_unprocessed(source), source), stack
    context = LexerContext(source, 0, list(stack))
    # It reads the table of any such lexer, and is the one that takes a context.
    extended = cast("ExtendedRegexLexer", lexer)
    try:
        tokens = _bounded(ExtendedRegexLexer.get_tokens_unprocessed(extended, context=context), source)
    except (TypeError, AttributeError):
        # Some lexers have actions of their own that take no context, or want more of it: they keep no state.
        return _bounded(lexer.get_tokens_unprocessed(source), source), stack
    return tokens, (*context.stack[:1], *context.stack[1:][-_DEEPEST:])


def _bounded(tokens: Iterable[tuple[int, _TokenType, str]], source: str) -> _Tokens:
    # Some lexers yield empty tokens without end (`mcschema` of Pygments 2.21, for `<!-- <b>`): no colours then.
    most = 2 * len(source) + 100
    found = list(islice(tokens, most + 1))
    return found if len(found) <= most else []


@lru_cache(maxsize=32)
def _lexer(language: str) -> Lexer | None:
    # Looking up another name would look through every installed package for more lexers.
    return get_lexer_by_name(language) if language.lower() in _languages() else None


@cache
def _languages() -> frozenset[str]:
    return frozenset(alias for _, aliases, _, _ in get_all_lexers(plugins=False) for alias in aliases)


@cache
def _theme() -> SyntaxTheme:
    return Syntax.get_theme("ansi_dark")
