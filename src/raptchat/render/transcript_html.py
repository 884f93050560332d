"""A session as one web page that needs nothing else and runs nothing.

What was said is Markdown; HTML in it is text. Pictures from elsewhere stay links, since a page that loads one
tells its server who reads it. The Content-Security-Policy (CSP Level 3) says so once more to the browser.
"""

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

from raptchat.outside import safe, safe_line
from raptchat.records import Attachment, Message, Session
from raptchat.render.transcript import about_file, heading

# Those that every browser draws; SVG is not among them: it is a document with scripts and links of its own.
_DRAWN = {"image/png", "image/jpeg", "image/gif", "image/webp"}

_STYLE = """
body { max-width: 46rem; margin: 2rem auto; padding: 0 1rem; font: 16px/1.5 system-ui, sans-serif; }
body { color: #1a1a1a; background: #fff; }
header { border-bottom: 1px solid #ccc; }
section { margin: 1.5rem 0; padding-left: 1rem; border-left: 3px solid #ccc; overflow-wrap: anywhere; }
section.user { border-color: #36c; }
h2.turn { font-size: .85rem; font-weight: normal; color: #555; }
pre { padding: .75rem; overflow-x: auto; background: #f4f4f4; }
pre, code { font: .9em/1.4 ui-monospace, monospace; }
table { border-collapse: collapse; }
th, td { padding: .2rem .6rem; border: 1px solid #ccc; }
img { max-width: 100%; }
details { color: #555; white-space: pre-wrap; }
"""


class _Renderer(RendererHTML):
    """Tokens as HTML, images as links, and nothing that the page's own policy would refuse."""

    def image(self, tokens: Sequence[Any], idx: int, options: Any, env: Any) -> str:
        """Write an image as a link to it."""
        token = tokens[idx]
        text = self.renderInlineAsText(token.children, options, env) or "image"
        return f'<a href="{escape(str(token.attrs["src"]))}">{escape(text)}</a>'

    @staticmethod
    def renderAttrs(token: Token) -> str:  # noqa: N802 - the library's name
        """Write a token's attributes, without the styles of aligned cells."""
        return "".join(
            f' {escape(name)}="{escape(str(value))}"' for name, value in token.attrItems() if name != "style"
        )


_PARSER = MarkdownIt("commonmark", {"html": False, "maxNesting": 100}, renderer_cls=_Renderer).enable(
    ["strikethrough", "table"]
)


def as_html(session: Session, group_name: str, messages: Sequence[Message]) -> str:
    """The session as a page, with the pictures among the attachments whose content is there."""
    title = _text(session.title or f"Session {session.id}")
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    about = [f"group {group_name}", f"session {session.id}", *([session.model] if session.model else [])]
    system = f"<section>{_turn('system')}{_body(session.system_prompt or '')}</section>\n"
    return (
        "<!doctype html>\n"
        '<html lang="">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n'
        '<meta name="referrer" content="no-referrer">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<header><h1>{title}</h1><p>{_text(' · '.join(about))}</p></header>\n"
        f"{system if session.system_prompt else ''}{''.join(map(_message, messages))}</body>\n</html>\n"
    )


def _message(message: Message) -> str:
    thought = f"<details><summary>Reasoning</summary>{escape(safe(message.reasoning or ''))}</details>\n"
    files = "".join(map(_file, message.attachments))
    return (
        f'<section class="{message.role}">{_turn(heading(message))}'
        f"{thought if message.reasoning else ''}{_body(message.content)}{files}</section>\n"
    )


def _turn(text: str) -> str:
    return f'<h2 class="turn">{_text(text)}</h2>\n'


def _body(markdown: str) -> str:
    return f'<div dir="auto">{safe(_PARSER.render(safe(markdown)))}</div>\n'


def _file(attachment: Attachment) -> str:
    name = _text(about_file(attachment))
    if attachment.media_type not in _DRAWN or attachment.content is None:
        return f"<p>Attachment: {name}</p>\n"
    source = f"data:{attachment.media_type};base64,{base64.b64encode(attachment.content).decode()}"
    return f'<figure><img src="{source}" alt="{name}"><figcaption>{name}</figcaption></figure>\n'


def _text(line: str) -> str:
    return escape(safe_line(line))
