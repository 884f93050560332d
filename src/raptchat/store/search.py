"""The index that finds messages by their words (SQLite FTS5, an external content table).

Whoever writes messages keeps it true, in the same transaction: what is to change is left out before, and taken in
again after.
"""

import json
import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from raptchat.records import FoundMessage
from raptchat.store.connection import Connection, Parameters
from raptchat.store.rows import record

# Noncharacters (Unicode 15, section 23.7): no text for interchange holds them.
_OPEN, _CLOSE = "\ufdd0", "\ufdd1"
_MARKED = re.compile(f"{_OPEN}(.*?){_CLOSE}")
# Characters; and how many different substrings are marked at most.
_BEFORE, _LONGEST_EXCERPT, _MOST_MARKED = 60, 200, 20

_TERM = re.compile(r'"([^"]*)"?(\*?)|([^\s"]+)')
# Thai, Lao, Burmese, Khmer, Chinese, Japanese, Korean: no space ends a word there, or endings grow onto it, so
# that the tokeniser takes a clause for one word (Unicode 15, Blocks.txt).
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3040-\u9fff\uac00-\ud7ff\uf900-\ufaff\uff66-\uffdc"
    "\U00020000-\U0003ffff]"
)

_FOUND = (
    "sessions.id AS session_id, sessions.group_id, sessions.title, seq, role, messages.created_at,"
    " groups.name AS group_name"
)
_OWNED = "JOIN sessions ON sessions.id = messages.session_id JOIN groups ON groups.id = sessions.group_id"
# One condition however many there are: SQLite bounds the depth of an expression.
_HOLDS_ALL = (
    "NOT EXISTS (SELECT 1 FROM json_each(:substrings) WHERE instr(lower(messages.content), lower(value)) = 0)"
)


@dataclass(frozen=True, slots=True)
class Query:
    """What is searched for: *match* in the words of FTS5, and *substrings* that must be there as they stand."""

    match: str
    substrings: tuple[str, ...]

    @classmethod
    def read(cls, text: str) -> "Query":
        """The query that a person typed: words, `"phrases"` and beginnings of words*, all of which must be there.

        Nothing else has a meaning. What the tokeniser cannot tell apart, such as Chinese, or has no word for, such
        as emoji and `++`, is looked for as a substring, in any case of the letters A to Z.
        """
        words: list[str] = []
        substrings: list[str] = []
        for phrase, star, word in _TERM.findall(text.replace("\0", " ")):
            term = " ".join((phrase or word).split())
            if any(map(_is_of_a_word, term)):
                begins = bool(star) or term.endswith("*")
                term = term.rstrip("*") if not phrase else term
                if _UNSPACED.search(term):
                    substrings.append(term)
                else:
                    words.append(f'"{term}"' + (" *" if begins else ""))
            elif term:
                substrings.append(term)
        return cls(" ".join(dict.fromkeys(words)), tuple(dict.fromkeys(substrings)))

    def __bool__(self) -> bool:
        return bool(self.match or self.substrings)


class SearchIndex:
    """The words of all messages."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def find(self, query: Query, *, group_ids: Collection[str] | None, limit: int) -> list[FoundMessage]:
        """The messages that *query* finds in these groups (`None`: in all), the newest first."""
        # CROSS JOIN: the messages come from the index, or from the table, in the order wanted, and the search ends
        # at the limit; their sessions are looked up one by one.
        if query.match:
            source = "messages_fts CROSS JOIN messages ON messages.id = messages_fts.rowid"
            newest, text = "messages_fts.rowid", f"highlight(messages_fts, 0, '{_OPEN}', '{_CLOSE}')"
        else:
            source = "messages"
            newest, text = "messages.id", "CAST(messages.content AS TEXT)"
        where = [
            *(["messages_fts MATCH :match"] if query.match else []),
            *([_HOLDS_ALL] if query.substrings else []),
            *(["sessions.group_id IN (SELECT value FROM json_each(:groups))"] if group_ids is not None else []),
        ]
        rows = self._db.rows(
            f"SELECT {_FOUND}, {text} AS text FROM {source} CROSS {_OWNED} WHERE {' AND '.join(where)}"
            f" ORDER BY {newest} DESC LIMIT :limit",
            {
                "match": query.match,
                "substrings": json.dumps(query.substrings),
                "groups": json.dumps(list(group_ids or ())),
                "limit": limit,
            },
        )
        excerpts = [_excerpt(row.pop("text"), query.substrings) for row in rows]
        return [record(FoundMessage, {**row, "excerpt": one}) for row, one in zip(rows, excerpts, strict=True)]

    def take_in(self, where: str, parameters: Parameters) -> None:
        """Add the messages for which *where* (a condition on `messages`) holds."""
        self._db.execute(
            f"INSERT INTO messages_fts (rowid, content) SELECT id, content FROM messages WHERE {where}", parameters
        )

    def leave_out(self, where: str, parameters: Parameters) -> None:
        """Take the messages out again for which *where* holds, while they are as they were taken in."""
        self._db.execute(
            "INSERT INTO messages_fts (messages_fts, rowid, content)"
            f" SELECT 'delete', id, content FROM messages WHERE {where}",
            parameters,
        )

    def forget(self, where: str, parameters: Parameters) -> None:
        """As `leave_out`, and their words are gone from the file with the end of the transaction."""
        self.leave_out(where, parameters)
        # What is left out is only marked, until the index's parts are merged (FTS5, "The 'optimize' command").
        self._db.execute("INSERT INTO messages_fts (messages_fts) VALUES ('optimize')")


def _is_of_a_word(character: str) -> bool:
    # What the tokeniser `unicode61` takes for a part of a word: letters, numbers, private use.
    category = unicodedata.category(character)
    return category[0] in "LN" or category == "Co"


def _excerpt(text: str, substrings: Sequence[str]) -> tuple[str, ...]:
    """What is around the first hit of *text*, on one line: plain, hit, plain, hit ..."""
    pieces: list[str] = []
    for number, piece in enumerate(_MARKED.split(" ".join(text.split()))):
        if number % 2 or not substrings:
            pieces.append(piece)
        else:
            wanted = "|".join(map(re.escape, substrings[:_MOST_MARKED]))
            pieces += re.split(f"({wanted})", piece, flags=re.IGNORECASE)
    first = pieces[0]
    if len(first) > _BEFORE:
        pieces[0] = "…" + first[first.find(" ", len(first) - _BEFORE) + 1 or -_BEFORE :]
    room = _LONGEST_EXCERPT
    for number, piece in enumerate(pieces):
        if len(piece) > room:
            return (*pieces[:number], f"{piece[:room].rstrip()}…")
        room -= len(piece)
    return tuple(pieces)
