"""What Tab offers in a conversation: commands, and what stands behind some of them."""

from collections.abc import Iterable, Iterator
from contextlib import suppress

from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document

from raptchat.cli.chat.conversation.commands import COMMANDS, models_of
from raptchat.cli.chat.conversation.talk import Talk
from raptchat.errors import RaptchatError
from raptchat.outside import is_utf8, safe_line

_MOST_SESSIONS = 50


class CommandCompleter(Completer):
    """Completes a line that begins with `/`; nothing of it asks the network."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._files = PathCompleter(expanduser=True)

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """What could stand at the cursor."""
        line = document.text_before_cursor
        word, space, text = line.partition(" ")
        if not line.startswith("/") or "\n" in line:
            return
        if not space:
            for name, command in COMMANDS.items():
                if name.startswith(word):
                    yield Completion(name, -len(word), display_meta=command.meaning)
        elif word in {"/attach", "/save"}:
            with suppress(ValueError):  # what was pasted holds a NUL, and is no path
                for found in self._files.get_completions(Document(text), complete_event):
                    # A name with a line end or an escape sequence in it is typed by whoever wants it.
                    if is_utf8(found.text) and found.text == safe_line(found.text):
                        yield found
        else:
            # A store that is busy, or a list that cannot be read, completes nothing.
            with suppress(RaptchatError):
                for name, meaning in self._named(word):
                    if name.startswith(text) and name == safe_line(name):
                        yield Completion(name, -len(text), display_meta=safe_line(meaning))

    def _named(self, word: str) -> Iterator[tuple[str, str]]:
        """What can stand behind a command, each with what there is to say about it."""
        talk = self._talk
        if word == "/model":
            yield from talk.run.factory.settings.aliases.items()
            for model in models_of(talk).cached(talk.ask.group.id):
                yield model.id, model.name
        elif word == "/resume":
            for one in talk.run.factory.store.sessions.listed(talk.ask.group.id, limit=_MOST_SESSIONS):
                yield one.session.id[:8], one.session.title or ""
        elif word == "/detach":
            for attachment in talk.pending:
                yield attachment.name, attachment.media_type
