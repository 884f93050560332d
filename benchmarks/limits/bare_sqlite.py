"""The newest twenty messages that hold a word, asked of raptchat's own store without raptchat: STORE WORD."""

import sqlite3
import sys

store, word = sys.argv[1:]
rows = sqlite3.connect(f"file:{store}?mode=ro", uri=True).execute(
    "SELECT seq, role, highlight(messages_fts, 0, '[', ']') FROM messages_fts"
    " JOIN messages ON messages.id = messages_fts.rowid WHERE messages_fts MATCH ?"
    " ORDER BY messages_fts.rowid DESC LIMIT 20",
    (word,),
)
for row in rows:
    print(*row, sep="\t")  # noqa: T201
