"""A line of bash that is not finished yet: its words, and a text put at its end so that bash reads it back.

Nothing is expanded: `$(...)` and `$HOME` are letters here (Bash Reference Manual, 3.1.2 Quoting).
"""

import re
from dataclasses import dataclass, field

_SPLITTING = " \t\n<>'\""
_SPECIAL = re.compile(r"([^\w@%+,./:=-])")
_SPECIAL_IN_DOUBLE_QUOTES = re.compile(r'([$"`\\])')


@dataclass(slots=True)
class Line:
    """What *text* says up to its end.

    *words* are the finished ones without their quotes and without redirections, *word* is the one that is being
    typed, *quote* the quotation mark that is open in it, if one is. *redirects* says that it names the file of a
    redirection (3.6).
    """

    text: str
    words: list[str] = field(init=False, default_factory=list)
    word: str = field(init=False, default="")
    quote: str = field(init=False, default="")
    redirects: bool = field(init=False, default=False)
    _begun: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        escaped = False
        for character in self.text:
            if escaped:
                escaped = False
                self._add_escaped(character)
            elif character == "\\" and self.quote != "'":
                escaped = True
            elif character == self.quote:
                self.quote = ""
            elif self.quote or character not in _SPLITTING:
                self.word += character
                self._begun = True
            elif character in "'\"":
                self.quote, self._begun = character, True
            else:
                self._end_word(redirects=character in "<>")

    def _add_escaped(self, character: str) -> None:
        if character == "\n":  # the line goes on as if there were nothing
            return
        kept = "\\" if self.quote == '"' and character not in '$"`\\' else ""
        self.word += kept + character
        self._begun = True

    def _end_word(self, *, redirects: bool) -> None:
        # `2>` names a descriptor, which is no word.
        descriptor = redirects and self.word.isdecimal()
        if self._begun and not self.redirects and not descriptor:
            self.words.append(self.word)
        self.redirects = redirects or (self.redirects and not self._begun)
        self.word, self._begun = "", False


def replacement(line: str, replaced: str, value: str) -> str | None:
    """What bash must put in the place of *replaced*, the end of *line*, so that the last word becomes *value*.

    `None` where it cannot: the part of the word that stays says something else.
    """
    if not line.endswith(replaced):
        return None
    before = Line(line.removesuffix(replaced))
    if not value.startswith(before.word):
        return None
    return _quoted(value.removeprefix(before.word), before.quote)


def _quoted(text: str, quote: str) -> str:
    if quote == "'":
        return text.replace("'", "'\\''")
    if quote == '"':
        # In double quotes a backslash keeps `!` from being a reference to the history, and stays there itself.
        return _SPECIAL_IN_DOUBLE_QUOTES.sub(r"\\\1", text).replace("!", "\"'!'\"")
    return _SPECIAL.sub(r"\\\1", text)
