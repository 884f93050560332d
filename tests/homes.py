"""A home that work is done in: what is put into it before, and how it is looked through afterwards."""

import io
import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import keyring_entries

from raptchat import (
    ChatService,
    CredentialService,
    DecryptionFailedError,
    Factory,
    RaptchatError,
    UsageError,
    attachments,
)
from raptchat.config import Settings
from raptchat.demo import DEMO_KEY

OLD, NEW, OTHER = "biology", "botany", "chemistry"
KEY, NEW_KEY = DEMO_KEY, DEMO_KEY + "-new"
# The newest first; what is in use is in front.
KEYS = {OLD: [KEY, DEMO_KEY + "-retired", DEMO_KEY + "-older"], OTHER: [DEMO_KEY + "-chemistry"]}
RENAMED = {OTHER: KEYS[OTHER], NEW: KEYS[OLD]}
QUESTION = "one two three four"

# A request that was not sent, and of which nobody was told, is waited for no longer than that.
BRIEF = {"AI_REQUEST_TIMEOUT_MS": "3000", "AI_MAX_RETRIES": "0"}

Keys = Mapping[str, list[str]]


class RefusedError(RaptchatError):
    """A command ended with an error, and said so."""


@dataclass(frozen=True, slots=True)
class Home:
    """The folder that a work is done in, and what its environment says."""

    folder: Path

    @property
    def store(self) -> Path:
        """The store's file."""
        return self.folder / "raptchat.db"

    def factory(self, **environ: Path) -> Factory:
        """What a new process opens."""
        changes = {name: str(value) for name, value in environ.items()}
        settings = {**os.environ, **BRIEF, "RAPTCHAT_HOME": str(self.folder), **changes}
        return Factory(Settings.load(settings), keep=self._keep)

    def with_key_file(self) -> Factory:
        """What a new process opens where the environment names the key file."""
        return self.factory(RAPTCHAT_MASTER_KEY_FILE=self.folder / "master.key")

    def _keep(self, text: str) -> None:
        paper = self.folder / f"paper-{len(self.papers)}"
        try:
            paper.touch(mode=0o600)
            paper.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"it was not written down: {error.strerror}") from None

    @property
    def papers(self) -> list[Path]:
        """The recovery keys that were shown, each written down, the last first."""
        return sorted(self.folder.glob("paper-*"), reverse=True)

    def run(self, *words: str) -> None:
        """Run a command in this process; `RefusedError` when it ends with an error."""
        from raptchat.cli import app

        before = dict(os.environ)
        os.environ.update(BRIEF, RAPTCHAT_HOME=str(self.folder))
        said = io.StringIO()
        try:
            with redirect_stdout(said), redirect_stderr(said):
                app(args=list(words), prog_name="raptchat")
        except SystemExit as ended:
            if ended.code == RaptchatError.exit_code:
                raise AssertionError(said.getvalue()) from None
            if ended.code:
                raise RefusedError(said.getvalue()) from None
        finally:
            os.environ.clear()
            os.environ.update(before)

    def names(self) -> set[str]:
        """The files that are there."""
        return {path.name for path in self.folder.iterdir()}

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """What a statement finds, read without raptchat."""
        with closing(sqlite3.connect(self.store)) as db:
            return db.execute(sql).fetchall()


def populate(home: Home) -> None:
    """Two groups with keys, a conversation with an attachment, usage, a binding and events."""
    with home.factory() as factory:
        service, store = CredentialService(factory), factory.store
        for name, keys in KEYS.items():
            with store.write():
                group = store.groups.add(name)
            for key in reversed(keys):
                service.create(group.id, key, replace=True)
        group = store.groups.all()[0]
        session = ChatService(factory).create_session(group.id)
        with store.write():
            store.groups.bind(home.folder, group.id)
            asked = store.sessions.add_message(session.id, "user", QUESTION)
            text = attachments.from_bytes(QUESTION.encode(), "notes.txt", most_bytes=1000)
            store.attachments.add(asked, [text])
            store.sessions.add_message(session.id, "assistant", QUESTION)


def with_a_key_file(home: Home) -> None:
    with home.factory() as factory:
        factory.vault.init("file", path=home.folder / "master.key")
    populate(home)


def keys(factory: Factory) -> Keys:
    """Every key of every group, the newest first."""
    service = CredentialService(factory)
    return {
        group.name: [service.open_key(one).reveal() for one in service.list_for_group(group.id)][::-1]
        for group in factory.store.groups.all()
    }


def sound(home: Home) -> Keys:
    """See that a new process finds nothing wrong: every slot opens every row; the keys that there are."""
    with home.factory() as factory:
        found = keys(factory)
        if found:
            report = CredentialService(factory).check_seals()
            problems = [*(one.problem for one in report.slots), *(one.problem for one in report.rows)]
            assert not any(problems), problems
        assert factory.store.checks.problems() == []
    if home.query("SELECT 1 FROM vault_slots WHERE kind = 'recovery' AND state = 'active'"):
        assert any(_opened_with(home, paper) == found for paper in home.papers)
    return found


def _opened_with(home: Home, paper: Path) -> Keys | None:
    with home.factory(RAPTCHAT_MASTER_KEY_FILE=paper) as factory:
        try:
            return keys(factory)
        except (DecryptionFailedError, UsageError):
            return None  # of a change that did not come about


def clean(home: Home, *files: str) -> None:
    """See that nothing is left over: no half slot, no entry in the keyring, no file but the usual and *files*."""
    [(store_id,)] = home.query("SELECT id FROM store")
    slots = home.query("SELECT id, kind, state FROM vault_slots")
    assert {state for _, _, state in slots} <= {"active"}, slots
    known = ("raptchat.db", "raptchat.db.vault-lock", "master.key", "paper-*", *files)
    strange = {name for name in home.names() if not any(fnmatchcase(name, pattern) for pattern in known)}
    assert not strange, strange
    if keyring_entries.reachable():
        expected = {f"raptchat:{store_id}:{slot_id}" for slot_id, kind, _ in slots if kind == "keyring"}
        entries = {name for name in keyring_entries.found() if store_id in name}
        assert entries == expected, entries ^ expected
