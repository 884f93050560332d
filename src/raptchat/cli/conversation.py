"""A conversation at the terminal: question and answer until Ctrl-D."""

import difflib
import os
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from raptchat.cli.ask import Ask, introduce, open_session, send, show_reply, usage_line
from raptchat.cli.invocation import Invocation
from raptchat.config import check_model
from raptchat.errors import RaptchatError, UsageError
from raptchat.outside import safe_line
from raptchat.records import DoneChunk, Message, Session
from raptchat.render.errors import error as show_error
from raptchat.render.formats import tokens, usd

if TYPE_CHECKING:
    from raptchat.chat import ChatService

COMMANDS = {
    "/help": "this list",
    "/model [MODEL]": "show or change the model",
    "/system [TEXT]": "show or change the system prompt",
    "/new": "begin a new session",
    "/usage": "what this session took",
    "/exit": "leave, as Ctrl-D does",
}
_LONGEST_HISTORY = 1000


def converse(ask: Ask, run: Invocation) -> None:
    """Ask for questions and show the answers, until Ctrl-D or `/exit`."""
    from raptchat.chat import ChatService

    introduce(ask, run)
    # A passphrase is asked for now, not after the first question.
    run.factory.vault.data_key()
    if not ask.quiet:
        run.terminal.say("/help lists the commands; Ctrl-D leaves")
    history = None if ask.private else run.factory.settings.paths.history_file(ask.group.id)
    with _LineEditing(history):
        _Conversation(ask, run, ChatService(run.factory)).run()


class _Conversation:
    def __init__(self, ask: Ask, run: Invocation, service: "ChatService") -> None:
        self._ask = ask
        self._run = run
        self._say = run.terminal.say
        self._service = service
        self._session: Session | None = None
        self._private: list[Message] = []
        self._spent: list[DoneChunk] = []
        if ask.resume or ask.session:
            self._session = open_session(ask, run, service)

    def run(self) -> None:
        prompt = f"{safe_line(self._ask.group.name)}> "
        while True:
            try:
                line = input(prompt).strip()
                line.encode()  # in the C locale Python hands over what is no text as surrogates
            except EOFError:
                self._say("")
                return
            except KeyboardInterrupt:
                self._say("", "Ctrl-D or /exit leaves")
                continue
            except UnicodeError:
                self._say("that was not UTF-8 text")
                continue
            if line.partition(" ")[0] in {"/exit", "/quit"}:
                return
            if line:
                self._take(line)

    def _take(self, line: str) -> None:
        try:
            if line.startswith("/"):
                self._command(line)
            else:
                self._question(line)
        except KeyboardInterrupt:
            self._say("", "stopped; what had arrived is kept")
        except RaptchatError as error:
            show_error(self._run.terminal, error)

    def _question(self, text: str) -> None:
        ask = replace(self._ask, prompt=text, resume=False, session=None)
        if self._session is None:
            self._session = open_session(ask, self._run, self._service)
        messages = [*self._private, Message("user", text)]
        if self._session is not None:
            # A message of a session brings its own history.
            messages = messages[-1:]
        with closing(send(ask, self._service, self._session, messages)) as chunks:
            done = show_reply(ask, self._run, chunks, self._session)
        if self._session is None and isinstance(done, DoneChunk):
            self._private = [*messages, Message("assistant", done.content)]
            self._spent.append(done)

    def _command(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        match word, rest.strip():
            case "/help", _:
                for name, meaning in COMMANDS.items():
                    self._say(f"{name:<16} {meaning}")
            case "/model", "":
                self._say(self._service.model_for(self._ask.group, self._session, self._ask.model))
            case "/model", model:
                self._ask = replace(self._ask, model=check_model(model))
                self._keep(model=model)
                self._say(f"from now on {model}")
            case "/system", "":
                own = self._session.system_prompt if self._session else self._ask.system
                self._say(own or self._ask.group.system_prompt or "no system prompt")
            case "/system", text:
                self._ask = replace(self._ask, system=text)
                self._keep(system_prompt=text)
                self._say("the system prompt is changed")
            case "/new", _:
                self._session, self._private = None, []
                self._say("a new session begins with the next question")
            case "/usage", _:
                self._usage()
            case _:
                known = [name.partition(" ")[0] for name in COMMANDS]
                close = difflib.get_close_matches(word, known, n=1)
                hint = f"did you mean {close[0]}?" if close else "/help"
                raise UsageError(f"there is no command `{safe_line(word)}`", hint=hint)

    def _keep(self, **values: str) -> None:
        if self._session is not None:
            store = self._run.factory.store
            with store.write():
                store.sessions.set(self._session.id, **values)
            self._session = store.sessions.get(self._session.id)

    def _usage(self) -> None:
        for done in self._spent:  # in private: the ledger does not know what belongs together
            self._say(usage_line(done))
        session_id = self._session.id if self._session else None
        rows = self._run.factory.store.ledger.report([], session_id=session_id) if session_id else []
        if not (rows or self._spent):
            self._say("nothing was used yet")
        for row in rows:
            unknown = f" and {row.unknown_costs} of unknown cost" if row.unknown_costs else ""
            sums = f"{tokens(row.input_tokens)} tokens in, {tokens(row.output_tokens)} out"
            self._say(f"{row.requests} requests, {sums}, {usd(row.cost)}{unknown}")


class _LineEditing:
    """readline with a history of its own for each group, in a file that only its owner can read.

    Without a *path* the history ends with the conversation: what is private is written nowhere.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def __enter__(self) -> None:
        try:
            import readline
        except ImportError:  # a Python built without it edits no lines
            return
        readline.clear_history()
        if self._path is None:
            return
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
            readline.read_history_file(self._path)

    def __exit__(self, *_: object) -> None:
        if self._path is None:
            return
        with suppress(ImportError, OSError):
            import readline

            # What is gone went with its group, which another process removed meanwhile.
            self._path.stat()
            readline.set_history_length(_LONGEST_HISTORY)
            readline.write_history_file(self._path)
            self._path.chmod(0o600)
