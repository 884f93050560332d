"""Messages found by their words (`word_index.py`), or by a substring where the index knows none.

At any size the index gives the newest hits at once. What has no index is looked for in the newest `CANDIDATES`
only, unless everything is asked for: a substring in their text, and the best of them (bm25).
"""

import json
import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from raptchat.records import FoundMessage
from raptchat.store.connection import Connection
from raptchat.store.rows import record

# What takes 50 ms to look through.
CANDIDATES = 50_000

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
_OF_GROUPS = "group_id IN (SELECT value FROM json_each(:groups))"
_MESSAGES_OF_GROUPS = (
    f"SELECT messages.id FROM sessions JOIN messages ON session_id = sessions.id WHERE {_OF_GROUPS}"
)
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


@dataclass(frozen=True, slots=True)
class Found:
    """The *messages* that were found; unless *is_all*, older ones that could be among them were left out."""

    messages: list[FoundMessage]
    is_all: bool


def find(
    db: Connection,
    query: Query,
    *,
    group_ids: Collection[str] | None = None,
    limit: int = -1,
    best: bool = False,
    everything: bool = False,
    candidates: int = CANDIDATES,
) -> Found:
    """The messages that *query* finds in these groups (`None`: in all), the newest first, or the *best*.

    What no index can tell is looked for among the newest *candidates*, or in *everything*. Where the query has no
    words, none is better than another.
    """
    search = _Search(db, query)
    best = best and bool(query.match)
    of_few = group_ids is not None and search.keep_to_groups(group_ids, candidates)
    has_index = not (best or query.substrings)
    is_all = has_index or of_few or everything or not search.keep_to_newest(candidates)
    return Found(search.best(limit) if best else search.newest(limit), is_all)


class _Search:
    """One search: from where its candidates come, and what is asked of them."""

    def __init__(self, db: Connection, query: Query) -> None:
        self._db = db
        self._query = query
        self._parameters: dict[str, object] = {"match": query.match, "substrings": json.dumps(query.substrings)}
        # CROSS JOIN: the candidates come in their order, the rest of each is looked up, and the limit ends it.
        if query.match:
            self._source, self._candidates = "messages_fts", "messages_fts MATCH :match"
            self._id = "messages_fts.rowid"
            self._joined = "messages_fts CROSS JOIN messages ON messages.id = messages_fts.rowid"
            self._text = f"highlight(messages_fts, 0, '{_OPEN}', '{_CLOSE}')"
        else:
            self._source, self._candidates = "messages", "true"
            self._id = "messages.id"
            self._joined, self._text = "messages", "CAST(messages.content AS TEXT)"
        self._where = [self._candidates]
        if query.substrings:
            self._where.append(_HOLDS_ALL)

    def keep_to_groups(self, group_ids: Collection[str], candidates: int) -> bool:
        """Look in these groups only; whether they have fewer messages than so many *candidates*."""
        self._parameters |= {"groups": json.dumps(list(group_ids)), "candidates": candidates}
        [row] = self._rows(f"SELECT count(*) AS messages FROM ({_MESSAGES_OF_GROUPS} LIMIT :candidates)")
        few = bool(row["messages"] < candidates)
        if few:
            # The plus: the index is gone through once, and not asked anew for each message of the group.
            plus = "+" if self._query.match else ""
            self._where.insert(1, f"{plus}{self._id} IN ({_MESSAGES_OF_GROUPS})")
        else:
            self._where.insert(1, f"sessions.{_OF_GROUPS}")
        return few

    def keep_to_newest(self, candidates: int) -> bool:
        """Look among the newest *candidates* only; whether there are more."""
        self._parameters |= {"candidates": candidates}
        older = self._rows(
            f"SELECT {self._id} AS id FROM {self._source} WHERE {self._candidates}"
            f" ORDER BY {self._id} DESC LIMIT 1 OFFSET :candidates"
        )
        if older:
            self._parameters["older"] = older[0]["id"]
            self._where.insert(1, f"{self._id} > :older")
        return bool(older)

    def best(self, limit: int) -> list[FoundMessage]:
        """What fits the words best (FTS5, "The bm25() function")."""
        # Which they are first: to mark the hits in a text takes longer than to rank it.
        ranked = self._rows(
            f"SELECT {self._id} AS id FROM {self._joined} CROSS {_OWNED} WHERE {' AND '.join(self._where)}"
            f" ORDER BY bm25(messages_fts), {self._id} DESC LIMIT :limit",
            limit=limit,
        )
        places = {row["id"]: place for place, row in enumerate(ranked)}
        self._parameters |= {"older": min(places, default=0) - 1, "best": json.dumps(list(places))}
        self._where = [
            self._candidates,
            f"{self._id} > :older",
            f"+{self._id} IN (SELECT value FROM json_each(:best))",
        ]
        return [self._found(row) for row in sorted(self._hits(limit), key=lambda row: places[row["id"]])]

    def newest(self, limit: int) -> list[FoundMessage]:
        """The newest of what is found."""
        return [self._found(row) for row in self._hits(limit)]

    def _hits(self, limit: int) -> list[dict[str, Any]]:
        return self._rows(
            f"SELECT {self._id} AS id, {_FOUND}, {self._text} AS text FROM {self._joined} CROSS {_OWNED}"
            f" WHERE {' AND '.join(self._where)} ORDER BY {self._id} DESC LIMIT :limit",
            limit=limit,
        )

    def _found(self, row: dict[str, Any]) -> FoundMessage:
        del row["id"]
        excerpt = _excerpt(row.pop("text"), self._query.substrings)
        return record(FoundMessage, {**row, "excerpt": excerpt})

    def _rows(self, sql: str, **more: object) -> list[dict[str, Any]]:
        return self._db.rows(sql, {**self._parameters, **more})


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
