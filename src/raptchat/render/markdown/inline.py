"""What stands inside a block: emphasis, code, links, images, line breaks (CommonMark 0.31, section 6), formulas.

Three departures lose no character: a reference is text, because its definition may come after it; HTML is text;
and what LaTeX takes for a formula stays as it was written.
"""

import re
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

from rich.text import Text

from raptchat.outside import safe

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token

# A dollar is money unless the formula touches both of its dollars and no digit follows (the rule of Pandoc's
# tex_math_dollars); and `$HOME` in code is no end of what began as money.
_FORMULA = (
    r"\$\$(?:\\.|[^\\$]|\$(?!\$))+\$\$"
    r"|\$(?![\s$])(?:\\.|[^\\$`])+(?<!\s)\$(?![\d$])"
    r"|\\\(.+?\\\)"
    r"|\\\[.+?\\\]"
)
_MATH = re.compile(_FORMULA, re.DOTALL)
_MARKUP = re.compile(r"[\\`*_~\[<&$\n]")

_SETTLES = 500
_HURRIES = 2_000
_LONGEST_FORMULA = 200
# Between words, or behind the punctuation of a script that has no spaces.
_GAP = re.compile(r"(?<!\s)\s+(?=\S)|[\u3001\u3002\uff01\uff0c\uff1a\uff1b\uff1f](?=\S)")
_ATOM = re.compile(
    rf"(?P<whole>\\[^(\[]|(?<!`)(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`)|{_FORMULA})"
    r"|(?P<target>\]\((?:\\.|[^\\()]|\([^()]*\))*\))"
    r"|(?P<endless>`+|\]\()"
    r"|(?P<formula>\$|\\[(\[])"
    r"|(?P<run>\*+|_+|~~+)"
    r"|(?P<bracket>[\[\]])"
    rf"|(?P<gap>{_GAP.pattern})",
    re.DOTALL,
)


def inline(source: str) -> Text:
    """*source*, the text of one block, as it looks; a newline in it is a hard break."""
    text = Text()
    if _MARKUP.search(source):
        _write(text, _parser().parseInline(source)[0].children or ())
    else:
        text.append(source)
    return text


def settled(source: str) -> int:
    """How many characters of *source* later ones cannot change any more; 0 for none yet.

    *source* is the beginning of a paragraph, or what followed the last such cut. The answer depends on what
    stands before the cut only, so that a reply is cut at the same places however it arrives. What is still open
    after 2,000 characters, such as emphasis or a link, is never closed.
    """
    for size in range(_SETTLES, min(len(source), _HURRIES + 1), _SETTLES):
        if cut := _last_gap(source[:size]):
            return cut
    if len(source) <= _HURRIES:
        return 0
    return max((gap.end() for gap in _GAP.finditer(source, 0, _HURRIES)), default=_HURRIES)


def _last_gap(source: str) -> int:
    """The end of the last gap between two words of *source* at which nothing is open; 0 if there is none."""
    runs: set[str] = set()
    brackets = busy = cut = 0
    for atom in _ATOM.finditer(source):
        match atom.lastgroup:
            case "endless":
                break
            case "formula":
                busy = atom.end() + _LONGEST_FORMULA
            case "target":
                brackets = max(0, brackets - 1)
            case "bracket":
                brackets = max(0, brackets + (1 if atom[0] == "[" else -1))
            case "run":
                _toggle(runs, source, atom)
            case "gap" if not runs and not brackets and atom.end() > busy:
                cut = atom.end()
    return cut


def _toggle(runs: set[str], source: str, run: re.Match[str]) -> None:
    before, after = source[run.start() - 1 : run.start()], source[run.end() : run.end() + 1]
    if before and not before.isspace() and run[0] in runs:
        runs.remove(run[0])
    elif after and not after.isspace() and not (run[0][0] == "_" and before.isalnum()):
        runs.add(run[0])


def _math(state: "StateInline", silent: bool) -> bool:  # noqa: FBT001 - markdown-it calls it so
    formula = _MATH.match(state.src, state.pos, state.posMax)
    if formula is None:
        return False
    if not silent:
        state.push("text", "", 0).content = formula[0]
    state.pos = formula.end()
    return True


@cache
def _parser() -> "MarkdownIt":
    # Plain words need none.
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable("strikethrough")
    parser.inline.ruler.before("escape", "math", _math)
    return parser


def _write(text: Text, tokens: "Iterable[Token]") -> None:
    begun: list[int] = []
    links: list[Token] = []
    for token in tokens:
        match token.type:
            case "softbreak":
                text.append(" ")
            case "hardbreak":
                text.append("\n")
            case "code_inline":
                text.append(_shown(token.content), "markdown.code")
            case "image":
                _write_image(text, token)
            case "link_open":
                links.append(token)
                begun.append(len(text))
            case "link_close":
                _write_target(text, begun.pop(), links.pop(), "href")
            case _ if token.nesting > 0:
                begun.append(len(text))
            case _ if token.nesting < 0:
                text.stylize(f"markdown.{token.tag}", begun.pop())
            case _:
                text.append(_shown(token.content))


def _write_image(text: Text, image: "Token") -> None:
    begin = len(text)
    _write(text, image.children or ())
    if len(text) == begin:
        text.append("image")
    _write_target(text, begin, image, "src")


def _write_target(text: Text, begin: int, token: "Token", attribute: str) -> None:
    """Show where the link that *text* has from *begin* on leads, unless that is what it says."""
    target = _shown(str(token.attrs[attribute]))
    if token.info == "auto" or text.plain[begin:] == target:
        text.stylize("markdown.link_url", begin)
    else:
        text.stylize("markdown.link", begin)
        text.append(" (").append(target, "markdown.link_url").append(")")
    if title := _shown(str(token.attrs.get("title") or "")):
        text.append(f" “{title}”")


def _shown(content: str) -> str:
    # Once more, after the parser: an entity (`&#x202e;`) stood for a character that nobody has seen yet.
    return safe(content).replace("\t", " ")
