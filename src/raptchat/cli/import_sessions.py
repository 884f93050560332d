"""The conversations of `import-keys llm --sessions`."""

import os
from typing import TYPE_CHECKING, NamedTuple

from raptchat import naming
from raptchat.cli.invocation import Invocation
from raptchat.cli.vault_export import counted
from raptchat.errors import UsageError
from raptchat.render import Terminal
from raptchat.render.passing_line import PassingLine

if TYPE_CHECKING:
    from raptchat.foreign_sessions.llm_log import LlmLog
    from raptchat.foreign_sessions.taking_over import Taken


class Result(NamedTuple):
    """How many conversations were *found*, and what became of them in *group*; nothing yet for a dry run.

    Their *attachments* and *tool_calls* stay where they are.
    """

    found: int
    attachments: int
    tool_calls: int
    group: str | None = None
    taken: "Taken | None" = None

    def document(self) -> dict[str, object]:
        """What `--json` writes of it."""
        return {
            "found": self.found,
            "attachments": self.attachments,
            "toolCalls": self.tool_calls,
            "group": self.group,
            **(self.taken._asdict() if self.taken else {}),
        }

    def say(self, terminal: Terminal) -> None:
        """Write it for a person."""
        terminal.say(f"the log holds {counted(self.found, 'conversation')}")
        lost = {"attachment": self.attachments, "tool call": self.tool_calls}
        if names := [counted(number, noun) for noun, number in lost.items() if number]:
            terminal.say(f"{' and '.join(names)} of it cannot be taken over")
        if self.taken is None:
            return
        one = self.taken
        terminal.say(f"group `{self.group}`: {one.new} new, {one.continued} continued, {one.unchanged} unchanged")
        if one.diverged:
            terminal.say(f"left alone, since they went on here otherwise than there: {one.diverged}")
        if one.elsewhere:
            terminal.say(f"left alone, since they belong to another group: {one.elsewhere}")
        if one.unreadable:
            terminal.say(f"left out, since they are empty or cannot be read: {one.unreadable}")


def open_log() -> "LlmLog":
    """The log of `llm`; `UsageError` says where it was looked for, or what is wrong with it."""
    from raptchat.foreign_keys import llm
    from raptchat.foreign_sessions.llm_log import LlmLog

    path = llm.folder(os.environ) / "logs.db"
    if not path.is_file():  # SQLite waits for ever for a pipe
        raise UsageError(f"there is no log of llm: `{path}`", hint="llm logs path")
    return LlmLog(path)


def take_over(run: Invocation, log: "LlmLog", word: str | None) -> Result:
    """Make the conversations sessions of the group that *word* names; of `None` only count them."""
    from raptchat.foreign_sessions.taking_over import take_over as take

    result = Result(len(log.ids()), *log.attachments_and_tool_calls())
    if word is None:
        return result
    store = run.factory.store
    group = naming.spelled_out(store, word)
    if group is None:
        group = store.groups.add(naming.new_name(store, word))
    line = PassingLine(run.terminal)
    try:
        taken = take(
            store, log, group, progress=lambda done, total: line.show(f"conversations: {done} of {total}")
        )
    finally:
        line.show("")
    return result._replace(group=group.name, taken=taken)
