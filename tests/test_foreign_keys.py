"""Keys in the files of other chat clients: what is found, and how it is taken out again."""

import json
import os
import signal
import stat
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import dying
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raptchat import foreign_keys
from raptchat.errors import UsageError
from raptchat.foreign_keys import FoundKey, KeyFile, aichat, llm
from raptchat.foreign_keys.entries import Entry, Source
from raptchat.foreign_keys.removing import remove
from raptchat.secret import Secret

ROUTED = "sk-or-v1-0123456789abcdefA"
PLAIN = "sk-proj-0123456789abcdefB"

AICHAT = f"""\
# my settings
model: openrouter:demo/echo
clients:
  - type: openai-compatible
    name: openrouter
    api_base: https://openrouter.ai/api/v1
    api_key: {ROUTED} # of the school
  - type: openai
    api_key: "{PLAIN}"
  - {{ type: openai-compatible, name: mistral, api_key: '{PLAIN}M', x: 1 }}
  - type: openai-compatible
    name: ours
    api_base: http://127.0.0.1:4000/v1
    api_key: {PLAIN}O
  - type: openai-compatible
    name: nowhere
    api_key: {PLAIN}N
  - type: claude
    name: openai
    api_base: https://api.anthropic.com/v1
    api_key: {PLAIN}C
  - type: gemini
    api_key: null
  - type: ollama
"""


def kept(tmp_path: Path, client: str, name: str, text: str | bytes, mode: int = 0o600) -> Path:
    """A file of *client*, in the home *tmp_path*."""
    folders = {"llm": "io.datasette.llm"}
    path = tmp_path / ".config" / folders.get(client, client) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(mode)
    return path


def home(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / ".config")}


def found(tmp_path: Path, client: str, environ: Mapping[str, str] | None = None) -> list[FoundKey]:
    files = foreign_keys.key_files(client, environ or home(tmp_path))
    return [key for file in files for key in file.keys]


def the_file(tmp_path: Path, client: str) -> KeyFile:
    [file] = foreign_keys.key_files(client, home(tmp_path))
    return file


def shown(keys: list[FoundKey]) -> list[tuple[str, str, str | None, str | None]]:
    return [(key.entry, key.key.reveal(), key.provider, key.base_url) for key in keys]


def test_keys_of_llm_are_told_apart_by_name_and_form(tmp_path: Path) -> None:
    keys = {
        "// Note": "secret",
        "openrouter": "abc-router",
        "openai": PLAIN,
        "mine": ROUTED,
        "claude": PLAIN,
        "n": 1,
    }
    kept(tmp_path, "llm", "keys.json", json.dumps(keys))

    assert shown(found(tmp_path, "llm")) == [
        ("openrouter", "abc-router", "openrouter", None),
        ("openai", PLAIN, "openai-compatible", "https://api.openai.com/v1"),
        ("mine", ROUTED, "openrouter", None),
        ("claude", PLAIN, None, None),
    ]


def test_keys_of_aichat_go_where_its_clients_go(tmp_path: Path) -> None:
    kept(tmp_path, "aichat", "config.yaml", AICHAT)
    kept(tmp_path, "aichat", ".env", f"# mine\nOPENROUTER_API_KEY={ROUTED}\nOURS_API_KEY={PLAIN}\n")
    keys = found(tmp_path, "aichat")

    assert shown(keys) == [
        ("openrouter", ROUTED, "openrouter", "https://openrouter.ai/api/v1"),
        ("openai", PLAIN, "openai-compatible", "https://api.openai.com/v1"),
        ("mistral", f"{PLAIN}M", "openai-compatible", "https://api.mistral.ai/v1"),
        ("ours", f"{PLAIN}O", "openai-compatible", "http://127.0.0.1:4000/v1"),
        ("nowhere", f"{PLAIN}N", None, None),
        ("openai", f"{PLAIN}C", None, None),
        ("OPENROUTER_API_KEY", ROUTED, "openrouter", None),
        ("OURS_API_KEY", PLAIN, None, None),
    ]
    assert [bool(key.problem) for key in keys] == [key.provider is None for key in keys]


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("API_BASE_URL=default", "https://api.openai.com/v1"),
        ("API_BASE_URL=http://localhost:11434/v1/", "http://localhost:11434/v1"),
        ("USE_LITELLM=false", "https://api.openai.com/v1"),
        ("API_BASE_URL=http://tutor.example/v1", None),
        ("API_BASE_URL=https://me:pw@tutor.example/v1", None),
    ],
)
def test_the_key_of_shell_gpt_is_for_the_address_beside_it(tmp_path: Path, line: str, place: str | None) -> None:
    kept(tmp_path, "shell_gpt", ".sgptrc", f"DEFAULT_MODEL=gpt\nOPENAI_API_KEY={PLAIN}\n{line}\n")
    [key] = found(tmp_path, "shell_gpt")

    assert (key.base_url, key.problem is None) == (place, place is not None)
    assert "pw" not in (key.problem or "")


def test_a_router_s_address_makes_a_key_the_router_s(tmp_path: Path) -> None:
    text = f"export OPENAI_API_KEY='{PLAIN}'\nOPENAI_API_BASE_URL=https://openrouter.ai/api/v1 # all\n"
    kept(tmp_path, "fabric", ".env", text)

    [key] = found(tmp_path, "fabric")
    assert (key.provider, key.base_url) == ("openrouter", "https://openrouter.ai/api/v1")


def test_of_the_environment_only_keys_of_services_that_answer_are_found() -> None:
    environ = {
        "OPENROUTER_API_KEY": ROUTED,
        "OPENAI_API_KEY": PLAIN,
        "OPENAI_BASE_URL": "http://127.0.0.1:4000",
        "ANTHROPIC_API_KEY": PLAIN,
        "TEAM_KEY": ROUTED + "2",
        "PAYMENTS_API_KEY": "sk_live_0123456789",
        "XAI_API_KEY": "",
        "ROUTED": ROUTED,
    }
    assert shown(foreign_keys.keys_of_environment(environ)) == [
        ("OPENROUTER_API_KEY", ROUTED, "openrouter", None),
        ("OPENAI_API_KEY", PLAIN, "openai-compatible", "http://127.0.0.1:4000"),
        ("ANTHROPIC_API_KEY", PLAIN, None, None),
        ("TEAM_KEY", ROUTED + "2", "openrouter", None),
    ]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("", "is empty"),
        ("two words", "holds white space"),
        ("sk-\u00e9t\u00e9", "holds a character that is not ASCII"),
        ("k" * 513, "is longer than 512 characters"),
        ("sk-or-v1-xxxxxxxx", "is no key but a place for one"),
        ("$OPENAI_API_KEY", "is no key but a place for one"),
        ("a\x1b[2J", "holds a control character"),
    ],
)
def test_what_can_be_no_key_says_why(tmp_path: Path, value: str, problem: str) -> None:
    kept(tmp_path, "llm", "keys.json", json.dumps({"openrouter": value}))

    [key] = found(tmp_path, "llm")
    assert (key.problem, key.provider) == (problem, None)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is no JSON object of names and keys"),
        (b"[]", "is no JSON object of names and keys"),
        (b'{"a": "b"', "is no JSON object of names and keys"),
        (b'{"a": "b",}', "is no JSON object of names and keys"),
        (b'{"a" "b"}', "is no JSON object of names and keys"),
        (b'{1: "b"}', "is no JSON object of names and keys"),
        (b'{"a": "b"} x', "is no JSON object of names and keys"),
        (b'{"a":' * 9_000, "is no JSON object of names and keys"),
        (b'{"a": "\xff"}', "is no text in UTF-8"),
        (b'{"a": "' + b"b" * 200_000 + b'"}', "is larger than any file with keys"),
    ],
)
def test_a_file_of_another_form_says_what_is_wrong(tmp_path: Path, content: bytes, problem: str) -> None:
    kept(tmp_path, "llm", "keys.json", content)

    file = the_file(tmp_path, "llm")
    assert (file.problem, file.keys) == (problem, ())


@pytest.mark.parametrize(
    "text",
    ["[" * 1_000, "a: [", "clients: *none", "a: b: c", "\x07"],
)
def test_settings_that_are_no_yaml_say_so(tmp_path: Path, text: str) -> None:
    kept(tmp_path, "aichat", "config.yaml", text)
    assert the_file(tmp_path, "aichat").problem == "is no YAML"


@pytest.mark.parametrize(
    "text",
    ["", "a word", "- a list", "clients: 1", "clients: [1, [2], {a: b}, {api_key: [x]}]", "clients: {a: b}"],
)
def test_settings_without_clients_hold_no_key(tmp_path: Path, text: str) -> None:
    kept(tmp_path, "aichat", "config.yaml", text)
    assert (the_file(tmp_path, "aichat").problem, found(tmp_path, "aichat")) == (None, [])


def test_what_is_no_file_or_cannot_be_opened_is_said(tmp_path: Path) -> None:
    path = kept(tmp_path, "llm", "keys.json", "{}")
    path.unlink()
    assert foreign_keys.key_files("llm", home(tmp_path)) == []
    os.mkfifo(path)
    assert the_file(tmp_path, "llm").problem == "is no file"
    path.unlink()
    path.mkdir()
    assert the_file(tmp_path, "llm").problem == "is no file"
    path.rmdir()
    path.symlink_to(path)
    assert (the_file(tmp_path, "llm").problem or "").startswith("cannot be read: ")
    [file] = foreign_keys.key_files("llm", {"LLM_USER_PATH": "a\0b"})
    assert file.problem == "cannot be read: its path is none"


def test_a_file_is_never_printed(tmp_path: Path) -> None:
    kept(tmp_path, "llm", "keys.json", json.dumps({"openrouter": ROUTED}), 0o644)
    file = the_file(tmp_path, "llm")

    assert file.others_read
    assert ROUTED not in f"{file} {file!r} {file.keys}"


@pytest.mark.parametrize("removed", range(3))
@pytest.mark.parametrize("indent", [None, 2])
def test_one_key_goes_and_all_else_stays_byte_for_byte(tmp_path: Path, removed: int, indent: int | None) -> None:
    keys = {"openrouter": ROUTED, "openai": PLAIN, "m\u00fcller \U0001f600": ROUTED + "3"}
    whole = json.dumps(keys, indent=indent, ensure_ascii=False) + "\n"
    path = kept(tmp_path, "llm", "keys.json", whole, 0o640)
    file = the_file(tmp_path, "llm")
    remove(file, [file.keys[removed]])

    left = {name: key for at, (name, key) in enumerate(keys.items()) if at != removed}
    assert path.read_text() == json.dumps(left, indent=indent, ensure_ascii=False) + "\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(path.parent.iterdir()) == [path]


@settings(max_examples=40, deadline=None, database=None)
@given(
    st.lists(st.tuples(st.text(), st.text() | st.integers() | st.lists(st.text())), min_size=1),
    st.sampled_from([None, 0, 3]),
    st.booleans(),
)
def test_whatever_the_names_are_only_the_keys_go(
    tmp_path_factory: pytest.TempPathFactory,
    members: list[tuple[str, object]],
    indent: int | None,
    ascii_only: bool,  # noqa: FBT001
) -> None:
    folder = tmp_path_factory.mktemp("llm")
    text = json.dumps(dict(members), indent=indent, ensure_ascii=ascii_only)
    path = kept(folder, "llm", "keys.json", text.encode(errors="surrogatepass"))
    file = the_file(folder, "llm")
    remove(file, file.keys)

    left = {n: v for n, v in dict(members).items() if not isinstance(v, str) or n.startswith("//")}
    assert list(json.loads(path.read_text()).items()) == list(left.items())


def test_each_key_of_the_settings_becomes_null_where_it_stands(tmp_path: Path) -> None:
    path = kept(tmp_path, "aichat", "config.yaml", "\ufeff" + AICHAT.replace("\n", "\r\n"))
    file = the_file(tmp_path, "aichat")
    remove(file, file.keys)

    expected = AICHAT
    for value in (ROUTED, f'"{PLAIN}"', f"'{PLAIN}M'", f"{PLAIN}O", f"{PLAIN}N", f"{PLAIN}C"):
        expected = expected.replace(f"api_key: {value}", "api_key: null", 1)
    assert path.read_bytes().decode() == "\ufeff" + expected.replace("\n", "\r\n")


def test_a_line_goes_with_its_comment_and_no_other_does(tmp_path: Path) -> None:
    before, after = "# OPENAI_API_KEY=old\r\nA='1'\n\n", "B = 2\n  # end"
    text = f'{before} export OPENROUTER_API_KEY = "{ROUTED}" # mine\r\n{after}'
    path = kept(tmp_path, "fabric", ".env", text)
    file = the_file(tmp_path, "fabric")
    remove(file, file.keys)

    assert path.read_bytes().decode() == before + after


def test_a_key_that_is_set_twice_goes_twice(tmp_path: Path) -> None:
    path = kept(tmp_path, "fabric", ".env", f"OPENAI_API_KEY={PLAIN}\nA=1\nOPENAI_API_KEY={PLAIN}")
    file = the_file(tmp_path, "fabric")
    remove(file, file.keys)

    assert path.read_text() == "A=1\n"


def test_a_linked_dotfile_stays_a_link(tmp_path: Path) -> None:
    path = kept(tmp_path, "shell_gpt", ".sgptrc", "")
    path.unlink()
    dotfiles = tmp_path / "dotfiles"
    dotfiles.mkdir()
    (dotfiles / "sgptrc").write_text(f"OPENAI_API_KEY={PLAIN}\nA=1\n")
    path.symlink_to("../../dotfiles/sgptrc")
    file = the_file(tmp_path, "shell_gpt")
    remove(file, file.keys)

    assert path.is_symlink()
    assert (dotfiles / "sgptrc").read_text() == "A=1\n"
    assert [each.name for each in dotfiles.iterdir()] == ["sgptrc"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_owner_stays_the_owner(tmp_path: Path) -> None:
    path = kept(tmp_path, "shell_gpt", ".sgptrc", f"OPENAI_API_KEY={PLAIN}\n", 0o640)
    os.chown(path, 65534, 65533)
    file = the_file(tmp_path, "shell_gpt")
    remove(file, file.keys)

    status = path.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (65534, 65533, 0o640)
    assert path.read_text() == ""


def test_extended_attributes_stay_where_there_are_some(tmp_path: Path) -> None:
    path = kept(tmp_path, "shell_gpt", ".sgptrc", f"OPENAI_API_KEY={PLAIN}\n")
    try:
        os.setxattr(path, "user.note", b"kept")
    except OSError:
        pytest.skip("a file system without extended attributes")
    file = the_file(tmp_path, "shell_gpt")
    remove(file, file.keys)

    assert os.getxattr(path, "user.note") == b"kept"


@pytest.mark.parametrize("same_time", [False, True])
def test_a_file_that_was_changed_meanwhile_is_left_alone(tmp_path: Path, same_time: bool) -> None:  # noqa: FBT001
    path = kept(tmp_path, "shell_gpt", ".sgptrc", f"OPENAI_API_KEY={PLAIN}\n")
    file, status = the_file(tmp_path, "shell_gpt"), path.stat()
    changed = f"OPENAI_API_KEY={PLAIN}\nNEW=1\n"
    path.write_text(changed)
    if same_time:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    with pytest.raises(UsageError, match="changed meanwhile") as raised:
        remove(file, file.keys)
    assert str(path) in str(raised.value)
    assert path.read_text() == changed
    assert list(path.parent.iterdir()) == [path]


def test_killed_at_every_other_line_it_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    whole = f"OPENAI_API_KEY={PLAIN}\nGROQ_API_KEY={PLAIN}G\n"
    path = kept(tmp_path, "shell_gpt", ".sgptrc", whole)
    ways = set()

    def die_at(line: int, file: KeyFile) -> None:
        dying.trace([0], line)
        remove(file, file.keys[:1])

    line, ended = 0, -signal.SIGKILL
    while ended == -signal.SIGKILL:
        line += 2
        path.write_text(whole)
        ended = dying.end(partial(die_at, line, the_file(tmp_path, "shell_gpt"))).code
        ways.add(path.read_text())
        # What it left goes with the next removal.
        file = the_file(tmp_path, "shell_gpt")
        remove(file, file.keys)
        assert [each.name for each in path.parent.iterdir()] == [".sgptrc"]

    assert ended == dying.DONE
    assert ways == {whole, f"GROQ_API_KEY={PLAIN}G\n"}


def test_a_file_that_is_gone_is_said(tmp_path: Path) -> None:
    path = kept(tmp_path, "shell_gpt", ".sgptrc", f"OPENAI_API_KEY={PLAIN}\n")
    file = the_file(tmp_path, "shell_gpt")
    path.unlink()

    with pytest.raises(UsageError, match="No such file"):
        remove(file, file.keys)


def test_a_file_with_a_second_name_is_not_rewritten_under_one_of_them(tmp_path: Path) -> None:
    path = kept(tmp_path, "shell_gpt", ".sgptrc", f"OPENAI_API_KEY={PLAIN}\n")
    (tmp_path / "other").hardlink_to(path)
    file = the_file(tmp_path, "shell_gpt")

    with pytest.raises(UsageError, match="hard link"):
        remove(file, file.keys)
    assert path.samefile(tmp_path / "other")


@pytest.mark.parametrize(
    "text",
    [
        f"clients:\n- type: openai\n  api_key: &key {PLAIN}\n- type: openai\n  api_key: *key\n",
        f"clients:\n- type: openai\n  api_key: |\n    {PLAIN}\n  x: 1\n",
        f"key: &key {PLAIN}\nclients:\n- type: openai\n  name: &n {PLAIN}x\n  api_key: *n\n",
    ],
)
def test_a_form_that_an_edit_would_break_is_left_alone(tmp_path: Path, text: str) -> None:
    path = kept(tmp_path, "aichat", "config.yaml", text)
    file = the_file(tmp_path, "aichat")
    assert file.keys

    with pytest.raises(UsageError, match="edited safely"):
        remove(file, file.keys)
    assert path.read_text() == text


@pytest.mark.parametrize("span", [(0, 1), (2, 9), None])
def test_an_edit_that_would_not_do_what_it_should_is_not_made(
    tmp_path: Path, span: tuple[int, int] | None
) -> None:
    def reader(text: str) -> list[Entry]:
        return [Entry("one", "openai", Secret(text), span=span), Entry("two", "openai", Secret("fixed"))]

    path = kept(tmp_path, "llm", "keys.json", PLAIN)
    file = foreign_keys.read_file(Source(path, reader))
    assert file is not None

    with pytest.raises(UsageError, match="edited safely"):
        remove(file, file.keys[:1])
    assert path.read_text() == PLAIN


def test_a_key_of_a_proxy_without_its_address_is_of_no_use(tmp_path: Path) -> None:
    kept(tmp_path, "fabric", ".env", "LITELLM_API_KEY=sk-1234\n")
    [key] = found(tmp_path, "fabric")
    assert key.problem == "no base URL stands beside it"


def test_the_folders_are_those_that_the_variables_name(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "AICHAT_CONFIG_DIR": "/a", "AICHAT_ENV_FILE": "/e", "LLM_USER_PATH": "/l"}
    assert [str(each.path) for each in aichat.sources(environ)] == ["/a/config.yaml", "/e"]
    assert [str(each.path) for each in llm.sources(environ)] == ["/l/keys.json"]
