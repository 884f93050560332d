"""A session as Markdown: to be read, at a terminal or in a file."""

import re
from collections.abc import Sequence
from dataclasses import replace

from raptchat.outside import safe, safe_line
from raptchat.records import Attachment, Message, Session
from raptchat.render import Terminal
from raptchat.render.formats import size, when

# Without `[`, which does nothing alone: `\[` begins a formula.
_MARKUP = re.compile(r"([\\`*_\]<>&#|$])")
_MAY_STAY_OPEN = re.compile(r"```|~~~|^ {0,3}<", re.MULTILINE)
_HTML_ENDS = {
    "<!--": "-->",
    "<?": "?>",
    "<![cdata[": "]]>",
    "<script": "</script>",
    "<style": "</style>",
    "<pre": "</pre>",
    "<textarea": "</textarea>",
}


def as_markdown(session: Session, group_name: str, messages: Sequence[Message]) -> str:
    """The session under its title, each message under a heading of its own, attachments by name.

    What the messages say is as it was said, but that a block which was never closed is: it would swallow what
    follows. A session that is not stored has no `last_used_at`. The caller cleans the text for where it goes.
    """
    title = _as_text(session.title or f"Session {session.id}")
    about = [f"- group: {_as_text(group_name)}", f"- session: {_as_text(session.id)}"]
    if session.model:
        about.append(f"- model: {_as_text(session.model)}")
    if session.last_used_at:
        about.append(f"- last used: {_as_text(when(session.last_used_at))}")
    parts = [f"# {title}", "\n".join(about)]
    if session.system_prompt:
        parts += ["## system", _closed(session.system_prompt)]
    for message in messages:
        parts += [f"## {_as_text(heading(message))}", _closed(message.content)]
        if message.attachments:
            parts.append("\n".join(f"- attachment: {_as_text(about_file(one))}" for one in message.attachments))
    return "\n\n".join(parts) + "\n"


def show(terminal: Terminal, markdown: str) -> None:
    """Write *markdown*: drawn at a terminal, as it is into a pipe."""
    if not terminal.out_is_tty:
        terminal.write(safe(markdown))
        return
    from raptchat.render.markdown import MarkdownWriter

    # It is all there: nothing of it will have to be painted over.
    writer = MarkdownWriter(replace(terminal, repaints=False))
    writer.text(markdown)
    writer.end()


def heading(message: Message) -> str:
    """Which message this is, who wrote it when, how it ended if not well, how long it was thought about."""
    about = [when(message.created_at)]
    if message.model:
        about.append(message.model)
    if message.state != "complete":
        about.append(message.state)
    if message.reasoning:
        about.append(f"after {len(message.reasoning):,} characters of reasoning")
    return safe_line(f"{message.seq}. {message.role} ({', '.join(about)})")


def about_file(attachment: Attachment) -> str:
    """Name, type and size of an attachment, such as `cell.png (image/png, 12.3 kB)`."""
    return safe_line(f"{attachment.name} ({attachment.media_type}, {size(attachment.size)})")


def _as_text(line: str) -> str:
    """*line* such that Markdown finds nothing in it to act on."""
    escaped = _MARKUP.sub(r"\\\1", safe_line(line))
    # One alone, as in `~anthropic/...`, strikes nothing through.
    return escaped.replace("~", r"\~") if escaped.count("~") > 1 else escaped


def _closed(markdown: str) -> str:
    """*markdown* with its last block closed, if it is not: a reply may have been cut anywhere.

    That is a fence, or HTML of the kinds 1 to 5, which no empty line ends (CommonMark 0.31, "HTML blocks").
    """
    markdown = markdown.strip("\n")
    if not _MAY_STAY_OPEN.search(markdown):
        return markdown
    from markdown_it import MarkdownIt

    last = MarkdownIt("commonmark").disable("reference").parse(f"{markdown}\n\n# end")[-1]
    # In a list or a quotation it ends with that, at the next heading.
    if last.level or last.type not in {"fence", "html_block"}:
        return markdown
    if last.type == "fence":
        return f"{markdown}\n{last.markup}"
    opening = last.content.lstrip()
    ends = (end for begin, end in _HTML_ENDS.items() if opening[: len(begin)].lower() == begin)
    return f"{markdown}\n{next(ends, '>')}"
