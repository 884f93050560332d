"""A conversation at the terminal: question and answer until Ctrl-D."""

from raptchat.cli.chat.ask import Ask, introduce
from raptchat.cli.chat.conversation.commands import is_command, obey
from raptchat.cli.chat.conversation.lines import Lines, PlainLines, message
from raptchat.cli.chat.conversation.talk import Talk
from raptchat.cli.invocation import Invocation
from raptchat.errors import RaptchatError, VaultUnavailableError
from raptchat.outside import safe_line
from raptchat.render.errors import error as show_error
from raptchat.render.group_color import color_of
from raptchat.render.terminal_modes import modes_restored
from raptchat.render.transcript import about_file


def converse(ask: Ask, run: Invocation) -> None:
    """Ask for questions and show the answers, until Ctrl-D or `/exit`."""
    introduce(ask, run)
    # A passphrase is asked for now, not after the first question.
    run.factory.vault.data_key()
    if not ask.quiet:
        run.terminal.say("/help lists the commands; Ctrl-D leaves")
    talk = Talk(ask, run)
    if talk.pending and not ask.quiet:
        run.terminal.say(*(about_file(one) for one in talk.pending))
    # Whatever happens to the line editor, the shell gets back what it handed over.
    with modes_restored(run.terminal.out):
        loop(talk, _lines(talk))


def loop(talk: Talk, lines: Lines) -> None:
    """Take one line of *lines* after the other; no error of ours ends it."""
    say = talk.run.terminal.say
    while True:
        draft, talk.draft = talk.draft, ""
        try:
            line = lines.read(draft)
            line.encode()  # bytes that are no text come as surrogates
            # What is typed meanwhile waits for the next prompt, and is not drawn into what is shown.
            with modes_restored(talk.run.terminal.out, echo=False):
                _take(talk, line)
        except EOFError:
            return
        except KeyboardInterrupt:
            say("Ctrl-D or /exit leaves")
        except UnicodeError:
            say("that was not UTF-8 text")


def _take(talk: Talk, line: str) -> None:
    try:
        if is_command(line):
            obey(talk, line)
        elif text := message(line):
            talk.question(text)
            talk.run.terminal.write("\n")  # a reply ends where the prompt would look like its last line
    except KeyboardInterrupt:
        talk.run.terminal.say("stopped")
    except RaptchatError as error:
        show_error(talk.run.terminal, error)
        if isinstance(error, VaultUnavailableError):
            talk.run.factory.vault.patience.renew()


def _lines(talk: Talk) -> Lines:
    run, group = talk.run, talk.ask.group

    def prompt() -> str:
        return f"{safe_line(talk.ask.group.name)}> "

    if not run.terminal.repaints:
        return PlainLines(run.terminal, prompt)
    from raptchat.cli.chat.conversation.completion import CommandCompleter
    from raptchat.cli.chat.conversation.history import HistoryFile
    from raptchat.cli.chat.conversation.prompt import LineEditor, keyboard, screen

    settings = run.factory.settings
    return LineEditor(
        prompt,
        color=color_of(group.id),
        colors=run.terminal.out_colors,
        vi=settings.editing_mode == "vi",
        # What is private is written nowhere: its history ends with the conversation.
        history=None if talk.ask.private else HistoryFile(settings.paths.history_file(group.id)),
        completer=CommandCompleter(talk),
        aside=lambda: talk.aside,
        keyboard=keyboard(),
        screen=screen(run.terminal),
    )
