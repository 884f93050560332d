"""What a line that begins with `/` does in a conversation."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from raptchat.cli import output_file
from raptchat.cli.chat import attach
from raptchat.cli.chat.conversation import editor
from raptchat.cli.chat.conversation.talk import Talk
from raptchat.cli.chat.notes import usage_line
from raptchat.config import check_model
from raptchat.errors import UsageError
from raptchat.outside import for_pipe, safe_line
from raptchat.records import Session
from raptchat.render import clipboard, tables, transcript
from raptchat.render.formats import tokens, usd, when
from raptchat.render.terminal_modes import modes_restored

if TYPE_CHECKING:
    from raptchat.models import Models

_LISTED = 20
_KEYS = (
    'Alt-Enter or Ctrl-J begins a new line, and so does Enter between two lines of """',
    "Ctrl-R searches what was typed, Tab completes, Ctrl-X Ctrl-E opens the editor",
    "Ctrl-C stops a reply or clears the line, Ctrl-D leaves; a space in front makes `/...` a question",
)


@dataclass(frozen=True, slots=True)
class Command:
    """A command: what it takes (`FILE`, or `[MODEL]` where that may be left out), and what it does.

    The text of one that has *lines* may have several.
    """

    takes: str
    meaning: str
    run: Callable[[Talk, str], None]
    lines: bool = False


def is_command(line: str) -> bool:
    """Whether *line* is a command and no question: a pasted text that happens to begin with one is none."""
    command = COMMANDS.get(line.split(maxsplit=1)[0]) if line.startswith("/") else None
    return line.startswith("/") and ("\n" not in line.strip() or (command is not None and command.lines))


def obey(talk: Talk, line: str) -> None:
    """Do what the command in *line* says; `EOFError` for the one that leaves, `UsageError` for a wrong one."""
    word, *rest = line.split(maxsplit=1)
    text = rest[0].strip() if rest else ""
    command = COMMANDS.get("/exit" if word == "/quit" else word)
    if command is None:
        close = difflib.get_close_matches(word, COMMANDS, n=1)
        hint = f"did you mean {close[0]}?" if close else "/help; a space in front makes it a question"
        raise UsageError(f"there is no command `{safe_line(word)[:80]}`", hint=hint)
    if text and not command.takes:
        raise UsageError(f"`{word}` takes nothing after it", hint=word)
    if not text and command.takes and not command.takes.startswith("["):
        raise UsageError(f"`{word}` needs more: {command.takes}", hint="/help")
    command.run(talk, text)


def models_of(talk: Talk) -> "Models":
    """The models that are known without a question to the gateway."""
    from raptchat.models import Models

    return Models(talk.run.factory)


def _help(talk: Talk, text: str) -> None:
    del text
    for name, command in COMMANDS.items():
        talk.run.terminal.say(f"{f'{name} {command.takes}'.rstrip():<20} {command.meaning}")
    talk.run.terminal.say("", *_KEYS)


def _model(talk: Talk, text: str) -> None:
    say = talk.run.terminal.say
    if not text:
        return say(talk.model)
    model = check_model(talk.run.factory.settings.model_named(text))
    talk.check_rules(model)
    talk.use(model=model)
    say(f"from now on {model}")
    models, group_id = models_of(talk), talk.ask.group.id
    known = {one.id for one in models.cached(group_id)}
    if known and model not in known and (near := models.nearest(group_id, model)):
        say(f"the gateway's list does not have it; near it: {', '.join(near)}")
    return None


def _system(talk: Talk, text: str) -> None:
    if not text:
        return talk.run.terminal.say(*(talk.system or "no system prompt").splitlines())
    talk.use(system=text)
    return talk.run.terminal.say("the system prompt is changed")


def _attach(talk: Talk, text: str) -> None:
    if text == "-":
        raise UsageError("standard input is where this conversation is typed", hint="/attach FILE")
    if text:
        talk.pending += (attach.load(talk.run, text, quiet=talk.ask.quiet),)
    lines = [transcript.about_file(one) for one in talk.pending]
    talk.run.terminal.say(*lines or ["nothing is attached"])


def _detach(talk: Talk, text: str) -> None:
    names = [one.name for one in talk.pending]
    if not names:
        raise UsageError("nothing is attached", hint="/attach FILE")
    if not text and len(names) > 1:
        raise UsageError(f"attached are {', '.join(names)}", hint="/detach NAME, or /detach all")
    if text not in {"", "all", *names}:
        raise UsageError(f"`{text}` is not attached", hint=f"/detach {names[-1]}")
    talk.pending = tuple(one for one in talk.pending if text not in {"", "all", one.name})
    talk.run.terminal.say("the next message goes without it")


def _retry(talk: Talk, text: str) -> None:
    del text
    talk.ask_again()


def _edit(talk: Talk, text: str) -> None:
    # What cannot be edited now is not lost.
    talk.draft = text
    with modes_restored(talk.run.terminal.out, echo=True):
        talk.draft = editor.edit(text)


def _undo(talk: Talk, text: str) -> None:
    del text
    question = talk.take_back()
    talk.draft, talk.pending = question.content, question.attachments
    talk.run.terminal.say("the last question and its reply are removed")


def _save(talk: Talk, text: str) -> None:
    messages = talk.messages()
    if not messages:
        raise UsageError("nothing was said yet", hint="ask something first")
    group = talk.ask.group
    session = talk.session or Session(
        "private", group.id, "A private conversation", talk.model, talk.system, messages[0].created_at, ""
    )
    page = for_pipe(transcript.as_markdown(session, group.name, messages))
    try:
        file = Path(text).expanduser()
    except (RuntimeError, ValueError):  # no such user, or a NUL in its name
        raise UsageError(f"`{text}`: there is no such home", hint="/save FILE") from None
    written = output_file.write(file, page, agreed=lambda: _agreed(talk, text))
    talk.run.terminal.say(f"saved as {file}" if written else "nothing was changed")


def _agreed(talk: Talk, file: str) -> bool:
    terminal = talk.run.terminal
    if not terminal.err_is_tty:  # the question would not be seen
        raise UsageError(f"`{file}` is there already", hint="/save another file")
    with modes_restored(terminal.out, echo=True):
        try:
            return talk.run.agreed(f"overwrite `{file}`")
        except KeyboardInterrupt:
            return False


def _copy(talk: Talk, text: str) -> None:
    del text
    reply = talk.last_reply()
    clipboard.copy(talk.run.terminal, reply)
    talk.run.terminal.say(f"{len(reply):,} characters handed to the terminal's clipboard")


def _usage(talk: Talk, text: str) -> None:
    del text
    say = talk.run.terminal.say
    for done in talk.spent:  # in private: the ledger does not know what belongs together
        say(usage_line(done))
    ledger = talk.run.factory.store.ledger
    rows = ledger.report([], session_id=talk.session.id) if talk.session else []
    if not (rows or talk.spent):
        say("nothing was used yet")
    for row in rows:
        unknown = f" and {row.unknown_costs} of unknown cost" if row.unknown_costs else ""
        sums = f"{tokens(row.input_tokens)} tokens in, {tokens(row.output_tokens)} out"
        say(f"{row.requests} request{'s' * (row.requests != 1)}, {sums}, {usd(row.cost)}{unknown}")
    if month := talk.spent_this_month():
        say(f"group {talk.ask.group.name}: {month}")


def _sessions(talk: Talk, text: str) -> None:
    del text
    listed = talk.run.factory.store.sessions.listed(talk.ask.group.id, limit=_LISTED)
    rows = [
        [one.session.id[:8], one.session.title, str(one.messages), when(one.session.last_used_at)]
        for one in listed
    ]
    tables.table(
        talk.run.terminal,
        ["id", "title", "messages", "last used"],
        rows,
        numeric=("messages",),
        empty="there is no session yet",
    )


def _resume(talk: Talk, text: str) -> None:
    session = talk.go_on_with(text)
    count = len(talk.messages())
    talk.run.terminal.say(
        f"session {session.id[:8]} · {session.title or 'without a title'} · {count} messages · {talk.model}"
    )


def _new(talk: Talk, text: str) -> None:
    del text
    talk.begin_anew()
    talk.run.terminal.say("a new session begins with the next question")


def _exit(talk: Talk, text: str) -> None:
    del talk, text
    raise EOFError


COMMANDS = {
    "/help": Command("", "this list", _help),
    "/model": Command("[MODEL]", "show or change the model", _model),
    "/system": Command("[TEXT]", "show or change the system prompt", _system, lines=True),
    "/attach": Command("[FILE|URL]", "add a file to the next message, or list them", _attach),
    "/detach": Command("[NAME|all]", "leave a file out again", _detach),
    "/retry": Command("", "ask the last question again, for another reply", _retry),
    "/edit": Command("[TEXT]", "write the next message in $VISUAL or $EDITOR", _edit, lines=True),
    "/undo": Command("", "remove the last question and its reply", _undo),
    "/save": Command("FILE", "write the conversation to a file, as Markdown", _save),
    "/copy": Command("", "copy the last reply to the terminal's clipboard", _copy),
    "/usage": Command("", "what this session took", _usage),
    "/sessions": Command("", "the group's last sessions", _sessions),
    "/resume": Command("ID", "go on with another session of the group", _resume),
    "/new": Command("", "begin a new session", _new),
    "/exit": Command("", "leave, as Ctrl-D does", _exit),
}
