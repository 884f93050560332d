"""What is said in a conversation, line by line: real store, real gateway, only the keyboard is not there."""

import io
import os
import re
import resource
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, NoReturn

import pytest
from conftest import Run, rows
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from secret_service import SecretService

from raptchat.cli.chat.ask import Ask
from raptchat.cli.chat.conversation import loop
from raptchat.cli.chat.conversation.commands import COMMANDS
from raptchat.cli.chat.conversation.completion import CommandCompleter
from raptchat.cli.chat.conversation.talk import Talk
from raptchat.cli.invocation import Invocation
from raptchat.demo import DEMO_KEY, DemoGateway
from raptchat.models import Models
from raptchat.records import Budget, Policy
from raptchat.render import Terminal
from raptchat.store.groups import budget_columns, policy_columns

Step = str | BaseException | type[BaseException]


class Keyboard:
    """Types what it was given; *drafts* are the texts that each line began with."""

    def __init__(self, *steps: Step) -> None:
        self._steps = list(steps)
        self.drafts: list[str] = []

    def read(self, draft: str) -> str:
        self.drafts.append(draft)
        if not self._steps:
            raise EOFError
        step = self._steps.pop(0)
        if isinstance(step, str):
            return step
        raise step


class Desk:
    """One conversation of the group `biology`."""

    def __init__(self, *, group: str = "biology", private: bool = False, model: str | None = "demo/echo") -> None:
        self.run = Invocation(terminal=Terminal.recorded(is_tty=True, width=200))
        found = self.run.factory.store.groups.named(group)
        assert found is not None
        self.group = found
        self.talk = Talk(Ask(prompt="", group=found, reason="--group", model=model, private=private), self.run)
        self.drafts: list[str] = []

    def says(self, *steps: Step) -> str:
        """What is written while these lines are typed."""
        out, err = self.run.terminal.out, self.run.terminal.err
        assert isinstance(out, io.StringIO)
        assert isinstance(err, io.StringIO)
        keyboard = Keyboard(*steps)
        begin = len(out.getvalue()), len(err.getvalue())
        loop(self.talk, keyboard)
        self.drafts = keyboard.drafts
        return out.getvalue()[begin[0] :] + err.getvalue()[begin[1] :]


Begin = Callable[..., Desk]


@pytest.fixture
def desk(biology: Run) -> Iterator[Begin]:
    """Begins conversations, and lets go of their stores at the end."""
    begun: list[Desk] = []

    def begin(**wanted: Any) -> Desk:
        begun.append(Desk(**wanted))
        return begun[-1]

    yield begin
    for one in begun:
        one.run.close()


def test_a_keyring_that_was_given_up_is_asked_again_with_the_next_question(
    secret_service: SecretService, raptchat: Run, gateway: DemoGateway, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret_service.apply(monkeypatch)
    monkeypatch.setenv("RAPTCHAT_HOME", str(home))
    monkeypatch.setenv("AI_GATEWAY_URL", gateway.url)
    raptchat("group add-key biology --stdin", stdin=DEMO_KEY)
    desk = Desk()
    desk.run.factory.vault.patience.left = 0

    said = desk.says("first", "second")

    assert said.count("did not answer within") == 1
    assert "second" in said.splitlines()
    desk.run.close()


def contents(gateway: DemoGateway) -> list[str]:
    """What the messages of the last request said."""
    return [message["content"] for message in gateway.requests[-1].body["messages"]]


def test_help_lists_every_command(desk: Begin) -> None:
    said = desk().says("/help")

    assert all(re.search(rf"^{name} ", said, re.MULTILINE) for name in COMMANDS)
    assert "Ctrl-X Ctrl-E" in said


WRONG = [
    ("/modle x", "there is no command `/modle`", "did you mean /model?"),
    ("/etc/passwd", "there is no command `/etc/passwd`", "a space in front makes it a question"),
    ("/", "there is no command `/`", "/help"),
    ("/\x1b[2J", "there is no command `/␛[2J`", "/help"),
    ("/undo 3", "`/undo` takes nothing after it", "/undo"),
    ("/exit now", "`/exit` takes nothing after it", "/exit"),
    ("/save", "`/save` needs more: FILE", "/help"),
    ("/attach ~\0x", "there is no home folder for `~␀x`", "name the whole path"),
    ("/resume", "`/resume` needs more: ID", "/help"),
    ("/model two words", "without white space", ""),
    ("/copy", "there is no reply yet", "ask something first"),
    ("/undo", "nothing was asked yet", "ask something first"),
    ("/retry", "nothing was asked yet", "ask something first"),
    ("/save x.md", "nothing was said yet", "ask something first"),
    ("/detach", "nothing is attached", "/attach FILE"),
    ("/attach -", "standard input is where this conversation is typed", "/attach FILE"),
    ("/attach missing.txt", "missing.txt", ""),
    ("/resume ffffffff", "there is no session `ffffffff`", "hint: /sessions"),
]


@pytest.mark.parametrize("kept", ["stored", "private"])
def test_a_wrong_command_says_what_is_wrong_and_the_conversation_goes_on(
    desk: Begin, gateway: DemoGateway, kept: str
) -> None:
    began = desk(private=kept == "private")
    for line, message, hint in WRONG:
        said = began.says(line, "/system")
        if kept == "private" and line.startswith("/resume "):
            assert "a private conversation does not go on with a stored one" in said
        else:
            assert message in said, line
            assert hint in said, line
        assert "\x1b[2J" not in said
        assert said.endswith("no system prompt\n"), line

    assert gateway.requests == []


@pytest.mark.parametrize("word", ["/exit", "/quit", " /exit\n/exit", "/exit\n"])
def test_only_the_command_leaves(desk: Begin, gateway: DemoGateway, word: str) -> None:
    began = desk()
    began.says(word, "asked")

    is_command = word.startswith("/")
    assert len(gateway.requests) == (0 if is_command else 2)


def test_a_pasted_text_that_begins_with_a_command_is_a_question(desk: Begin, gateway: DemoGateway) -> None:
    desk().says("/exit\nand more", '"""\n/exit\n"""', " /etc/passwd is what?")

    assert contents(gateway)[::2] == ["/exit\nand more", "/exit", "/etc/passwd is what?"]


def test_nothing_but_white_space_asks_nothing(desk: Begin, gateway: DemoGateway) -> None:
    desk().says("", "  \n\t", '""""""')

    assert gateway.requests == []


def test_ctrl_c_and_bytes_that_are_no_text_do_not_end_it(desk: Begin, gateway: DemoGateway) -> None:
    said = desk().says(
        KeyboardInterrupt, "a\udce9", "/system b\udce9", UnicodeDecodeError("utf-8", b"", 0, 1, ""), "hello"
    )

    assert "Ctrl-D or /exit leaves\n" + 3 * "that was not UTF-8 text\n" in said
    assert contents(gateway) == ["hello"]


def test_the_model_and_the_system_prompt_stay_with_the_session(
    desk: Begin, home: Path, gateway: DemoGateway
) -> None:
    began = desk()

    assert "demo/echo" in began.says("/model")
    assert "from now on demo/reply" in began.says("/model demo/reply")
    assert "is changed" in began.says("/system Be\nbrief.")
    began.says("hello")
    assert contents(gateway) == ["Be\nbrief.", "hello"]
    began.says("/model demo/echo", "/system Be long.", "again")
    assert contents(gateway)[0] == "Be long."
    assert began.says("/system", "/model") == "Be long.\ndemo/echo\n"
    began.says("/new", "elsewhere")
    assert rows(home, "SELECT model, system_prompt FROM sessions ORDER BY rowid") == [
        ("demo/echo", "Be long."),
        ("demo/echo", "Be long."),
    ]


def test_a_model_may_be_an_alias_and_one_that_is_unknown_is_told_what_is_near(biology: Run, desk: Begin) -> None:
    biology("config set alias.fast demo/reply")
    began = desk()
    assert "from now on demo/reply" in began.says("/model fast")
    assert "near it" not in began.says("/model demo/rply")
    Models(began.run.factory).fetch(began.group)

    said = began.says("/model demo/thinkin")
    assert "from now on demo/thinkin\n" in said
    assert re.search(r"does not have it; near it: .*demo/thinking", said)


def test_undo_removes_the_last_exchange_and_gives_the_words_back(
    desk: Begin, gateway: DemoGateway, home: Path
) -> None:
    began = desk()
    began.says("first", "second\nline", "/undo", "/undo")

    assert began.drafts[3:] == ["second\nline", "first"]
    assert rows(home, "SELECT count(*) FROM messages") == [(0,)]
    began.says("third")
    assert contents(gateway) == ["third"]
    assert b"second" not in (home / "raptchat.db").read_bytes()


def test_undo_gives_the_attachments_back_too(desk: Begin, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("the notes")
    began = desk()
    began.says("/attach notes.txt", "what is this?", "/undo")

    [attachment] = began.talk.pending
    assert (attachment.name, attachment.content) == ("notes.txt", b"the notes")


@pytest.mark.parametrize("kept", ["stored", "private"])
def test_retry_replaces_the_last_reply(desk: Begin, gateway: DemoGateway, home: Path, kept: str) -> None:
    began = desk(private=kept == "private")
    began.says("first", "second", "/model demo/reply", "/retry")

    assert len(contents(gateway)) == 3
    assert contents(gateway)[0] == "first"
    assert contents(gateway)[-1] == "second"
    began.says("/model demo/echo", "third")
    said = contents(gateway)
    assert [said[0], said[2], said[4]] == ["first", "second", "third"]
    assert "A reply from the demo gateway" in said[3]
    assert len(said) == 5


@pytest.mark.parametrize("kept", ["stored", "private"])
def test_a_retry_that_fails_leaves_the_reply_that_was_there(desk: Begin, gateway: DemoGateway, kept: str) -> None:
    began = desk(private=kept == "private")
    assert "refused the key" in began.says("first", "/model demo/status-401", "/retry")
    began.says("/model demo/echo", "second")

    assert len(contents(gateway)) == 3


@pytest.mark.parametrize("kept", ["stored", "private"])
@pytest.mark.parametrize("fault", ["demo/status-401", "demo/cut"])
def test_a_retry_after_one_that_failed_replaces_all_of_them(
    desk: Begin, gateway: DemoGateway, kept: str, fault: str
) -> None:
    began = desk(private=kept == "private")
    began.says("zero", "first", f"/model {fault}", "/retry", "/retry", "/model demo/echo", "/retry")
    assert contents(gateway)[::2] == ["zero", "first"]
    began.says("second")

    assert contents(gateway)[::2] == ["zero", "first", "second"]
    began.says("/undo", "/undo")
    assert began.drafts[1:] == ["second", "first"]
    assert [one.content for one in began.talk.messages() if one.role == "user"] == ["zero"]


def test_a_retry_after_one_that_failed_leaves_what_another_terminal_asked_meanwhile(
    biology: Run, desk: Begin, gateway: DemoGateway
) -> None:
    began = desk()
    began.says("first", "/model demo/cut", "/retry")
    biology("chat -c -m demo/echo second")
    began.says("/model demo/echo", "/retry")

    assert contents(gateway)[-1] == "second"
    said = [(one.role, one.content, one.state) for one in began.talk.messages()]
    assert said[:2] == [("user", "first", "complete"), ("assistant", "first", "complete")]
    assert said[-2:] == [("user", "second", "complete"), ("assistant", "second", "complete")]
    assert [content for role, content, _ in said if role == "user"] == ["first", "first", "second"]
    biology("chat -c -m demo/echo third")
    began.says("/model demo/cut", "/retry")
    other = desk()
    other.says(f"/resume {began.talk.session.id if began.talk.session else ''}", "/undo", "/undo", "/undo")
    began.says("/model demo/echo", "/retry")
    assert [one.content for one in began.talk.messages()][::2] == ["first", "first"]


@pytest.mark.parametrize("kept", ["stored", "private"])
def test_a_question_that_failed_is_asked_again_with_what_was_attached(
    desk: Begin, gateway: DemoGateway, tmp_path: Path, kept: str
) -> None:
    (tmp_path / "notes.txt").write_text("the notes")
    began = desk(private=kept == "private", model="demo/status-401")
    began.says("/attach notes.txt", "what is this?")
    assert began.talk.pending == ()
    began.says("/model demo/echo", "/retry")

    assert len(contents(gateway)) == 1
    assert "the notes" in str(contents(gateway))


@pytest.mark.parametrize("kept", ["stored", "private"])
def test_a_question_that_failed_does_not_go_with_the_next_one(
    desk: Begin, gateway: DemoGateway, kept: str
) -> None:
    began = desk(private=kept == "private", model="demo/status-401")
    began.says("lost", "/model demo/echo", "found", "again")

    assert contents(gateway)[::2] == ["found", "again"]


@pytest.mark.parametrize("kept", ["stored", "private"])
def test_the_part_of_a_reply_that_was_cut_is_remembered(desk: Begin, gateway: DemoGateway, kept: str) -> None:
    began = desk(private=kept == "private", model="demo/cut")
    began.says("first", "/model demo/echo", "second")

    assert contents(gateway)[0] == "first"
    assert len(contents(gateway)) == 3
    assert contents(gateway)[1]


def test_attachments_go_with_the_next_message_and_can_be_left_out(
    desk: Begin, gateway: DemoGateway, tmp_path: Path
) -> None:
    for name in ("one.txt", "two words.txt", "three.txt"):
        (tmp_path / name).write_text(f"content of {name}")
    began = desk()

    assert began.says("/attach") == "nothing is attached\n"
    listed = began.says("/attach one.txt", "/attach two words.txt", f"/attach {tmp_path}/three.txt")
    assert listed.endswith(
        "one.txt (text/plain, 18 bytes)\ntwo words.txt (text/plain, 24 bytes)\nthree.txt (text/plain, 20 bytes)\n"
    )
    refused = began.says("/detach", "/detach four.txt")
    assert "attached are one.txt, two words.txt, three.txt" in refused
    assert "`four.txt` is not attached" in refused
    began.says("/detach two words.txt", "what is this?")
    sent = str(contents(gateway))
    assert "content of one.txt" in sent
    assert "content of three.txt" in sent
    assert "two words" not in sent
    assert began.says("/attach") == "nothing is attached\n"
    began.says("/attach one.txt", "/attach three.txt", "/detach all")
    assert began.talk.pending == ()
    began.says("/attach one.txt", "/detach")
    assert began.talk.pending == ()


def test_an_attachment_that_the_model_does_not_take_stays_for_another_model(
    desk: Begin, gateway: DemoGateway, tmp_path: Path
) -> None:
    (tmp_path / "cell.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(20))
    began = desk()
    models = Models(began.run.factory).fetch(began.group)
    without = next(one.id for one in models if one.input_modalities and "image" not in one.input_modalities)
    began.says("/attach cell.png")

    assert "takes no image files: `cell.png`" in began.says(f"/model {without}", "what is this?")
    assert [one.name for one in began.talk.pending] == ["cell.png"]
    assert not [request for request in gateway.requests if request.body and "messages" in request.body]


def test_the_usage_of_a_session_and_of_the_month(desk: Begin) -> None:
    began = desk()
    assert began.says("/usage") == "nothing was used yet\n"
    assert began.talk.spent_this_month() == ""
    said = began.says("one", "two", "/usage")

    assert re.search(r"2 requests, \d+ tokens in, \d+ out, \$0\.\d{6}\n", said)
    assert re.search(r"group biology: \$0\.\d{6} this month\n$", said)
    assert re.fullmatch(r"\$0\.\d{6} this month", began.talk.spent_this_month())


def test_what_is_left_of_a_budget_is_shown_beside_what_is_spent(desk: Begin) -> None:
    began = desk(model="demo/cent")
    began.run.factory.store.groups.set(began.group.id, **budget_columns(Budget(Decimal("0.05"), "day", 90)))
    began.says("one")

    assert began.talk.spent_this_month() == "$0.030000 this month, $0.020000 left today"
    said = began.says("/usage", "two")
    assert "$0.030000 this month, $0.020000 left today" in said
    assert "the budget of group `biology` is $0.05 a day" in said
    assert len(began.talk.messages()) == 2


def test_a_question_that_the_budget_refuses_begins_no_session(desk: Begin) -> None:
    began = desk(model="demo/cent")
    began.run.factory.store.groups.set(began.group.id, **budget_columns(Budget(Decimal("0.01"), "day", 90)))

    assert "could cost $0.03" in began.says("one")
    assert began.talk.session is None
    assert began.run.factory.store.sessions.listed() == []
    began.run.factory.store.groups.set(began.group.id, **budget_columns(None))
    began.says("two")
    assert [one.content for one in began.talk.messages()] == ["two", "two"]


def test_a_model_outside_the_rules_is_not_taken(desk: Begin) -> None:
    began = desk(model="demo/echo")
    began.run.factory.store.groups.set(began.group.id, **policy_columns(Policy(models=("demo/*",))))

    assert "allows no model but `demo/*`: `openai/gpt-5`" in began.says("/model openai/gpt-5")
    assert began.talk.model == "demo/echo"
    assert "from now on demo/json" in began.says("/model demo/json")


def test_a_rule_that_comes_meanwhile_holds_for_the_next_question(desk: Begin) -> None:
    began = desk(model="demo/echo")
    began.says("one")
    began.run.factory.store.groups.set(began.group.id, **policy_columns(Policy(no_history=True)))

    assert "`no-history`" in began.says("two")
    assert len(began.talk.messages()) == 2
    assert began.talk.session is not None
    assert "`no-history`" in began.says(f"/resume {began.talk.session.id}")


def test_what_is_not_known_is_not_nothing(desk: Begin) -> None:
    began = desk(model="demo/cut")
    began.says("one")
    assert began.talk.spent_this_month() == ""
    began.says("/model demo/echo", "two")

    assert re.fullmatch(r"at least \$0\.\d{6} this month", began.talk.spent_this_month())
    assert "of unknown cost" in began.says("/usage")


def test_a_private_conversation_says_what_it_took_and_is_forgotten(desk: Begin, home: Path) -> None:
    began = desk(private=True)
    said = began.says("the secret word", "two", "/usage")

    assert len(re.findall(r"\d+ tokens in, \d+ out, \$0\.\d+, demo/echo", said)) == 2
    assert rows(home, "SELECT count(*) FROM messages") == [(0,)]
    assert b"secret word" not in b"".join(file.read_bytes() for file in home.rglob("*") if file.is_file())
    began.says("/new")
    assert began.talk.messages() == []


def test_undo_in_private(desk: Begin, gateway: DemoGateway) -> None:
    began = desk(private=True)
    began.says("first", "second", "/undo", "third")

    assert began.drafts[3] == "second"
    assert contents(gateway)[::2] == ["first", "third"]


def test_other_sessions_of_the_group_are_listed_and_gone_on_with(
    biology: Run, desk: Begin, gateway: DemoGateway, home: Path
) -> None:
    biology(["chat", "-m", "demo/reply", "-s", "Be brief.", "the older question"])
    biology("group add-key history --stdin --allow-shared", stdin="sk-or-v1-demo-key-of-history")
    biology("chat -g history elsewhere")
    ((older,), (foreign,)) = rows(home, "SELECT id FROM sessions ORDER BY rowid")
    began = desk()
    assert foreign[:8] not in began.says("/sessions")
    began.says("newer")
    listed = began.says("/sessions")
    assert re.search(rf"{older[:8]}\s+the older question\s+2\s", listed)

    said = began.says(f"/resume {older[:8]}", "go on")
    assert f"session {older[:8]} · the older question · 2 messages · demo/reply" in said
    assert gateway.requests[-1].body["model"] == "demo/reply"
    assert contents(gateway)[:2] == ["Be brief.", "the older question"]
    began.says("/new", "by the flags")
    assert gateway.requests[-1].body["model"] == "demo/echo"
    began.says(f"/resume {older[:8]}", "/model demo/json", "/new", "by what was asked for last")
    assert gateway.requests[-1].body["model"] == "demo/json"
    began.says(f"/resume {older[:8]}")
    refused = began.says(f"/resume {foreign[:8]}")
    assert "belongs to group `history`, not to `biology`" in refused
    assert began.talk.session is not None
    assert began.talk.session.id == older


def test_a_group_without_sessions_says_so(desk: Begin) -> None:
    assert "there is no session yet" in desk().says("/sessions")


@pytest.mark.parametrize("kept", ["stored", "private"])
def test_a_conversation_is_saved_as_markdown(
    desk: Begin, tmp_path: Path, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    began = desk(private=kept == "private")
    said = began.says("hello \x1b[31m there", "/save ~/my talk.md")

    page = (tmp_path / "my talk.md").read_text()
    assert f"saved as {tmp_path}/my talk.md" in said
    assert "hello" in page
    assert "- group: biology" in page
    assert "\x1b" not in page


@pytest.mark.parametrize(
    ("answer", "overwritten"), [("y\n", True), ("Yes\n", True), ("n\n", False), ("\n", False), ("", False)]
)
def test_a_file_that_is_there_is_overwritten_only_when_agreed(
    desk: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, *, overwritten: bool
) -> None:
    (tmp_path / "talk.md").write_text("precious")
    began = desk()
    began.says("hello")
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
    said = began.says("/save talk.md")

    assert "overwrite `talk.md`? [y/N] " in said
    assert ((tmp_path / "talk.md").read_text() == "precious") != overwritten
    assert ("nothing was changed" in said) != overwritten


class Impatient(io.StringIO):
    """Where Ctrl-C is typed instead of an answer."""

    def readline(self, *_: object) -> NoReturn:
        raise KeyboardInterrupt


def test_ctrl_c_at_a_question_is_no_and_not_the_end(
    desk: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "talk.md").write_text("precious")
    began = desk()
    began.says("hello")
    monkeypatch.setattr(sys, "stdin", Impatient())

    assert began.says("/save talk.md", "/model").endswith("? [y/N] \nnothing was changed\ndemo/echo\n")
    assert (tmp_path / "talk.md").read_text() == "precious"


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("no/such/folder.md", "No such file or directory"),
        ("a\0b", "it is no name of a file"),
        (".", "Is a directory"),
        ("x" * 300, "File name too long"),
    ],
)
def test_a_file_that_cannot_be_written_is_an_error(desk: Begin, file: str, reason: str) -> None:
    said = desk().says("hello", f"/save {file}", "/system")

    assert "cannot be written: " in said
    assert reason in said
    assert said.endswith("no system prompt\n")


def test_a_full_disk_and_a_home_of_nobody_are_errors(desk: Begin) -> None:
    said = desk().says("hello", "/save ~nobody-of-this-name/x.md", "/save /dev/full", "/save /dev/null")

    assert "`~nobody-of-this-name/x.md`: there is no such home" in said
    assert "`/dev/full` cannot be written: No space left on device" in said
    assert "saved as /dev/null" in said
    assert all(Path(device).is_char_device() for device in ("/dev/full", "/dev/null"))


def test_what_is_saved_over_is_replaced_whole_or_not_at_all(
    desk: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "talk.md").write_text("precious")
    (tmp_path / "link.md").symlink_to("talk.md")
    began = desk()
    began.says("hello")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\ny\n"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, limits[1]))
    try:
        assert "`talk.md` cannot be written: File too large" in began.says("/save talk.md")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "talk.md").read_text() == "precious"

    began.says("/save link.md")
    assert (tmp_path / "link.md").is_symlink()
    assert "hello" in (tmp_path / "talk.md").read_text()
    assert {path.name for path in tmp_path.glob("*.md*")} == {"talk.md", "link.md"}


def test_a_question_that_nobody_sees_is_not_asked(desk: Begin, tmp_path: Path) -> None:
    (tmp_path / "talk.md").write_text("precious")
    began = desk()
    began.run.terminal = replace(began.run.terminal, err_is_tty=False)

    assert "`talk.md` is there already" in began.says("hello", "/save talk.md")
    assert (tmp_path / "talk.md").read_text() == "precious"


def test_the_last_reply_is_copied(desk: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TMUX", "STY"):
        monkeypatch.delenv(name, raising=False)
    said = desk().says("hello", "/copy")

    assert re.search(r"\x1b]52;c;[A-Za-z0-9+/]+=*\x07", said)
    assert re.search(r"\d+ characters handed to the terminal's clipboard", said)


def test_the_editor_gives_the_next_line_and_a_failing_one_loses_nothing(
    desk: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISUAL", 'sh -c \'printf "of the editor\\n" >> "$0"\'')
    began = desk()
    began.says("/edit", "/edit some\ntext ")
    assert began.drafts == ["", "of the editor", "some\ntextof the editor"]
    monkeypatch.setenv("VISUAL", "false")

    assert "the editor `false` failed (1); the text is as it was" in began.says("/edit long\ntext")
    assert began.drafts == ["", "long\ntext"]


@pytest.mark.parametrize("kept", ["stored", "private"])
def test_a_group_that_is_removed_meanwhile_is_said_to_be(
    biology: Run, desk: Begin, gateway: DemoGateway, tmp_path: Path, kept: str
) -> None:
    (tmp_path / "notes.txt").write_text("the notes")
    began = desk(private=kept == "private")
    began.says("hello", "/attach notes.txt")
    biology("group remove biology --yes")

    for line in ("again", "/retry", *([] if kept == "private" else ["/undo", "/system x", "/save x.md"])):
        assert "the group `biology` was removed meanwhile" in began.says(line), line
    assert [one.name for one in began.talk.pending] == ["notes.txt"]
    assert began.talk.system is None
    assert len(gateway.requests) == 1


@pytest.mark.parametrize("kept", ["stored", "private"])
def test_a_group_that_is_renamed_meanwhile_pays_under_its_new_name(
    biology: Run, desk: Begin, gateway: DemoGateway, kept: str
) -> None:
    began = desk(private=kept == "private", model=None)
    began.says("hello")
    biology("group rename biology cells")
    biology("group set cells --model demo/echo")
    biology("group add-key biology --stdin", stdin="sk-or-v1-demo-key-of-others")

    assert "the group `biology` is called `cells` now\n" in began.says("again")
    assert {one.api_key for one in gateway.requests} == {DEMO_KEY}
    assert gateway.requests[-1].body["model"] == "demo/echo"
    assert began.talk.ask.group.name == "cells"
    assert "is called" not in began.says("and again")


def test_a_session_that_is_removed_meanwhile_is_said_to_be(biology: Run, desk: Begin, home: Path) -> None:
    began = desk()
    began.says("hello")
    [(session_id,)] = rows(home, "SELECT id FROM sessions")
    biology(f"sessions remove {session_id} --yes")

    assert "the session was removed meanwhile\nhint: /new begins another one" in began.says("again")
    assert "hint" not in began.says("/new", "again")


def test_what_was_attached_stays_when_the_question_was_not_sent(
    biology: Run, desk: Begin, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("the notes")
    began = desk()
    began.says("hello", "/attach notes.txt")
    [(credential_id,)] = rows(home, "SELECT id FROM ai_credentials")
    biology(f"credentials deactivate {credential_id}")

    assert "not configured" in began.says("what is this?")
    assert [one.name for one in began.talk.pending] == ["notes.txt"]


def test_the_ledger_is_looked_at_once_for_each_question(desk: Begin, home: Path) -> None:
    began = desk()
    assert began.talk.aside == ""
    began.says("hello")
    first = began.talk.aside
    with closing(sqlite3.connect(home / "raptchat.db")) as db:
        db.execute("UPDATE ai_usage_days SET cost_nano_usd = 1000000000")
        db.commit()

    assert re.fullmatch(r"\$0\.\d{6} this month", first)
    assert began.talk.aside == first
    began.says("/help")
    assert began.talk.aside == first
    began.says("again")
    assert began.talk.aside.startswith("$1.0")


def test_a_store_that_breaks_meanwhile_is_an_error_and_not_the_end(desk: Begin, home: Path) -> None:
    began = desk()
    began.says("hello")
    began.run.close()

    said = began.says("again", "/system", "/help")
    assert "raptchat: " in said
    assert said.endswith("makes `/...` a question\n")
    assert began.talk.spent_this_month() == ""


def completions(began: Desk, line: str) -> list[str]:
    """The texts that Tab offers at the end of *line*."""
    found = CommandCompleter(began.talk).get_completions(Document(line), CompleteEvent())
    return [one.text for one in found]


def test_tab_completes_commands_and_what_stands_behind_them(
    biology: Run, desk: Begin, tmp_path: Path, home: Path
) -> None:
    biology("config set alias.fast demo/reply")
    biology(["chat", "a title\x1b[2J"])
    for name in ("notes.txt", "no\x1b[2J.txt", "other.md"):
        (tmp_path / name).write_text("x")
    os.mkdir(tmp_path / "novels")  # noqa: PTH102
    began = desk()
    [(session_id,)] = rows(home, "SELECT id FROM sessions")

    assert completions(began, "/") == list(COMMANDS)
    assert completions(began, "/re") == ["/retry", "/resume"]
    assert completions(began, "/model ") == ["fast"]
    Models(began.run.factory).fetch(began.group)
    assert "fast" in completions(began, "/model ")
    assert completions(began, "/model demo/thi") == ["demo/thinking"]
    assert completions(began, "/attach no") == ["tes.txt", "vels"]
    assert completions(began, "/save oth") == ["er.md"]
    assert completions(began, f"/resume {session_id[:3]}") == [session_id[:8]]
    began.says("/attach notes.txt")
    assert completions(began, "/detach n") == ["notes.txt"]
    for line in ("hello /", " /", "/help ", "/model demo/thi\n", "/new x", "/attach ~\0x", "/save no\0"):
        assert completions(began, line) == []
    [shown] = CommandCompleter(began.talk).get_completions(Document(f"/resume {session_id[:8]}"), CompleteEvent())
    assert "\x1b" not in shown.display_meta_text


def test_tab_asks_nothing_of_a_store_that_is_gone(desk: Begin) -> None:
    began = desk()
    began.run.close()

    assert completions(began, "/resume ") == []
