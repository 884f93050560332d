"""There is one way for a text to a terminal: a scan of the sources for every other."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import raptchat

PACKAGE = Path(raptchat.__file__).parent

# Where text may leave the process: through Terminal, drawn by drawing.py, and through the prompts of the command
# line, which write their own words and wait for an answer.
ALLOWED = {
    # The version, a word of our own; and both are flushed at the end.
    "__main__.py": {"os.write", "sys.stdout", "sys.stderr"},
    "render/__init__.py": {"sys.stdout", "sys.stderr"},
    "render/drawing.py": {"rich.console.Console"},
    # The line editor draws what is typed; what it shows beside that is made safe.
    "cli/chat/conversation/prompt.py": {
        "prompt_toolkit.PromptSession",
        "prompt_toolkit.output.vt100.Vt100_Output",
    },
    # The person's own programs, at the person's own terminal: what they show was made safe, or is a draft.
    "render/pager.py": {"subprocess.Popen"},
    "cli/chat/conversation/editor.py": {"subprocess.run"},
    "cli/exec.py": {"os.execve"},
    # A password manager may ask there, and says itself why it gives no key.
    "credentials/key_command.py": {"subprocess.Popen", "/dev/tty"},
    # The person's browser, without a terminal: `test_a_browser_of_text_does_not_get_the_terminal`.
    "login/__init__.py": {"subprocess.run"},
    "cli/invocation.py": {"getpass.getpass", "input", "/dev/tty"},
    # Without a terminal that moves its cursor.
    "cli/chat/conversation/lines.py": {"input"},
}
_WRITERS = re.compile(
    r"print|input|breakpoint|help|exit|quit"
    r"|sys\.(__)?(stdout|stderr)(__)?|sys\.(displayhook|excepthook|unraisablehook)"
    r"|pprint\.(pprint|pp)|traceback\.print_.*|faulthandler\..*|warnings\.(warn|warn_explicit|showwarning)"
    r"|logging\.(?!getLogger$|WARNING$|getLogger\(.*\)\.setLevel$).*"
    r"|(typer|click)\.(secho|echo|echo_via_pager|prompt|confirm|pause|clear|progressbar|edit|launch|get_text_stream)"
    r"|rich\.(print|print_json|inspect|get_console|reconfigure|pretty\.(pprint|install)|(traceback|logging|live)\..*"
    r"|(progress|status|prompt|pager)\..*|console\.Console)"
    r"|prompt_toolkit\.(prompt|print_formatted_text|PromptSession|(shortcuts|output|application|patch_stdout)\..*)"
    r"|getpass\.getpass|(curses|readline|pty|syslog|pdb|webbrowser)\..*|code\.interact"
    r"|os\.(write|writev|sendfile|system|popen|exec.*|spawn.*|posix_spawn.*|ctermid|ttyname)"
    r"|subprocess\.(run|call|check_call|Popen|getoutput)|fcntl\.ioctl|io\.(FileIO|open_code)"
)
# They are of these modules and write nothing.
_HARMLESS = re.compile(r"prompt_toolkit\..*(get_app|ColorDepth|CompleteStyle)(\..*)?")
_DEVICES = re.compile(r"/dev/(tty|stdout|stderr|fd|console|pts).*|/proc/self/fd.*|CONOUT\$")


def names_of_writers(source: str) -> set[str]:
    """What in *source* writes to a terminal or asks there, by its whole name, and the devices that it names."""
    tree = ast.parse(source)
    homes, own = dict(_imports(tree)), _own_names(tree)
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            first, _, rest = ast.unparse(node).partition(".")
            found.add(f"{homes.get(first, first)}.{rest}")
        elif isinstance(node, ast.Call):
            # Called, or handed to what calls it.
            called = [at.id for at in [node.func, *node.args] if isinstance(at, ast.Name)]
            found |= {homes.get(name, name) for name in called if name not in own}
            found |= set(_hidden(node))
        elif isinstance(node, ast.Name):
            found |= (
                {homes[node.id]} & {f"sys.{name}" for name in ("stdout", "stderr")} if node.id in homes else set()
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _DEVICES.fullmatch(node.value):
            found.add(f"!{node.value}")
    writers = {name for name in found if _WRITERS.fullmatch(name) and not _HARMLESS.fullmatch(name)}
    return writers | {name.removeprefix("!") for name in found if name.startswith("!")}


def _hidden(call: ast.Call) -> Iterator[str]:
    """A stream by its number, or a module whose names are looked up by their text."""
    name, first = ast.unparse(call.func), call.args[0] if call.args else None
    if name in {"open", "io.open", "os.fdopen"} and isinstance(first, ast.Constant) and first.value in {1, 2}:
        yield f"!{ast.unparse(call)}"
    looked_up = first is not None and ast.unparse(first).strip("'") in {"sys", "os", "builtins"}
    if looked_up and name in {"getattr", "vars", "import_module", "__import__"}:
        yield f"!{ast.unparse(call)}"


def _imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.asname, alias.name) for alias in node.names if alias.asname)
        elif isinstance(node, ast.ImportFrom):
            yield from ((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)


def _own_names(tree: ast.Module) -> set[str]:
    nodes = list(ast.walk(tree))
    own = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    own |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    return own | {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import sys\nsys.stdout.write('')", {"sys.stdout"}),
        ("from sys import stderr as e\ne.write('')", {"sys.stderr"}),
        ("import sys as s\ns.__stdout__.buffer.write(b'')", {"sys.__stdout__"}),
        ("import sys\ngetattr(sys, 'std' + 'out')", {"getattr(sys, 'std' + 'out')"}),
        ("print(1)", {"print"}),
        ("map(print, x)", {"print"}),
        ("x = input('?')", {"input"}),
        ("import os\nos.write(1, b'')", {"os.write"}),
        ("from os import writev\nwritev(2, [b''])", {"os.writev"}),
        ("open(1, 'w').write('')", {"open(1, 'w')"}),
        ("open('/dev/tty', 'w')", {"/dev/tty"}),
        ("from pathlib import Path\nPath('/dev/stdout').write_text('')", {"/dev/stdout"}),
        ("import typer\ntyper.echo(''), typer.secho('')", {"typer.echo", "typer.secho"}),
        ("from click import echo\necho('')", {"click.echo"}),
        ("from rich.console import Console\nConsole().print('')", {"rich.console.Console"}),
        ("import rich\nrich.print('')", {"rich.print"}),
        ("from rich.live import Live\nLive()", {"rich.live.Live"}),
        ("import logging\nlogging.warning('')", {"logging.warning"}),
        ("from logging import StreamHandler\nStreamHandler()", {"logging.StreamHandler"}),
        ("import logging\nlogging.getLogger('a').error('')", {"logging.getLogger('a').error"}),
        ("import logging\nlogging.getLogger('a').setLevel(logging.WARNING)", set()),
        ("import warnings\nwarnings.warn(text)", {"warnings.warn"}),
        ("import traceback\ntraceback.print_exc()", {"traceback.print_exc"}),
        ("import subprocess\nsubprocess.run(['cat'])", {"subprocess.run"}),
        ("from prompt_toolkit import print_formatted_text as p\np('')", {"prompt_toolkit.print_formatted_text"}),
        (
            "from prompt_toolkit.output import create_output\ncreate_output()",
            {"prompt_toolkit.output.create_output"},
        ),
        ("from pprint import pprint\npprint(1)", {"pprint.pprint"}),
        ("import fcntl\nfcntl.ioctl(0, 0x5412, b'x')", {"fcntl.ioctl"}),
        ("def print(x): pass\nprint(1)", set()),
        ("class A:\n    print = 1\nhelp = 'x'", set()),
    ],
)
def test_the_scan_finds_every_way_to_write(source: str, names: set[str]) -> None:
    assert names_of_writers(source) == names


def sources() -> dict[str, str]:
    """Each file of the program and its text."""
    return {
        file.relative_to(PACKAGE).as_posix(): file.read_text(encoding="utf-8") for file in PACKAGE.rglob("*.py")
    }


def check(found: dict[str, set[str]], allowed: dict[str, set[str]]) -> None:
    """Nothing but what is allowed was found, and an exception that nobody needs any more is gone."""
    too_much = {file: names - allowed.get(file, set()) for file, names in found.items()}
    assert {file: names for file, names in too_much.items() if names} == {}
    unneeded = {file: names - found.get(file, set()) for file, names in allowed.items()}
    assert {file: names for file, names in unneeded.items() if names} == {}


def test_nothing_writes_to_a_terminal_but_render_and_the_prompts() -> None:
    check({file: names_of_writers(text) for file, text in sources().items()}, ALLOWED)


# What `Terminal` writes as it is outside of render/: the program's own words, or what was checked before.
RAW = {
    "cli/__init__.py": {"__version__", "ctx.get_help()"},
    "cli/command.py": {"ctx.get_help()"},
    # Each candidate is one that can be typed, each description is a safe line.
    "cli/completing/answer.py": {"answered(app, shell, sys.argv[1:], os.environ, encoding=terminal.out.encoding)"},
    "cli/completion.py": {"SCRIPTS[shell]"},
    "cli/demo.py": {"gateway.url", "DEMO_KEY", "DEMO_MANAGEMENT_KEY", "name", "model.does"},
    "cli/recovery.py": {"text"},  # a recovery key
    "cli/session_export.py": {"text"},  # Markdown that was cleaned for a pipe, or JSON, which escapes
    "cli/usage/sums.py": {"title"},
}
_CLEANED = {"safe", "safe_line", "for_pipe"}


def raw_writes(source: str) -> set[str]:
    """What *source* hands to a terminal as it is: no constant, and not cleaned at that place."""
    return {
        name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"write", "write_error"}
        and ast.unparse(node.func.value).endswith("terminal")
        for name in _unclean(node.args[0])
    }


def _unclean(value: ast.expr) -> Iterator[str]:
    parts: list[ast.expr] = []
    match value:
        case ast.Constant():
            return
        case ast.Call() if ast.unparse(value.func) in _CLEANED:
            return
        case ast.JoinedStr():
            parts = value.values
        case ast.FormattedValue():
            parts = [value.value]
        case ast.BinOp():
            parts = [value.left, value.right]
        case ast.IfExp():
            parts = [value.body, value.orelse]
        case _:
            yield ast.unparse(value)
    for part in parts:
        yield from _unclean(part)


def test_whoever_writes_a_text_as_it_is_has_a_reason() -> None:
    source = "t.terminal.write(f'{safe_line(a)}: {b}')\nterminal.write('x' + safe(y))\nfile.write(z)"
    assert raw_writes(source) == {"b"}

    check({file: raw_writes(text) for file, text in sources().items() if not file.startswith("render/")}, RAW)
