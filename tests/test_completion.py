"""What a Tab offers, in real shells; that it changes nothing, runs nothing, and never breaks the line."""

import json
import os
import shlex
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import typer
from conftest import Run, environment, rows
from processes import AtTerminal
from programs import installed

from raptchat.cli import app, group
from raptchat.cli.completing import candidates
from raptchat.cli.completing.answer import answered
from raptchat.cli.completing.shell_words import Line, replacement
from raptchat.cli.completion import SCRIPTS, Shell
from raptchat.errors import StoreError
from raptchat.store.peek import peek

TOP = typer.main.get_group(app)

# What a shell could take for something else: expansions, quotes, word breaks, globs, references to its history.
NAMES = [
    "bio chem",
    "biology",
    "it's",
    'q"d',
    "a:b:c",
    "x=y",
    "$(touch pwned)",
    "`touch pwned`",
    "$HOME",
    "back\\slash",
    "star*",
    "bang!x",
    "semi;touch pwned",
    "~root",
    "naïve",
    "{a,b}",
    "生物",
    "#hash",
    "&amp",
    "<in>",
    "[abc]",
    "per%cent",
]


@pytest.fixture
def named(raptchat: Run) -> Run:
    """The app, with groups whose names are everything that a name may be."""
    for name in NAMES:
        raptchat(["group", "create", name])
    return raptchat


def offered(line: str) -> list[str]:
    """What is offered at the end of *line*."""
    words = shlex.split(line) if not line.endswith(" ") else [*shlex.split(line), ""]
    try:
        kind, *found = answered(TOP, "fish", words[1:-1], {"_RAPTCHAT_WORD": words[-1]}).splitlines()
    except StoreError:  # of which the shell hears nothing
        return []
    return [kind] if kind == "files" else [each.partition("\t")[0] for each in found]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("raptchat gr", ["group"]),
        ("raptchat c", ["chat", "credentials", "config", "completion"]),
        ("raptchat --ver", ["--version"]),
        ("raptchat group add", ["add-key"]),
        ("raptchat group --store elsewhere sh", ["show"]),
        ("raptchat group add-key biology --key", ["--key-file", "--key-command"]),
        ("raptchat group provision art --reset w", ["weekly"]),
        ("raptchat usage --by ", ["group", "model", "day", "session", "credential"]),
        ("raptchat usage --by=d", ["--by=day"]),
        ("raptchat usage --by model,d", ["model,day"]),
        ("raptchat chat --effort hi", ["high"]),
        ("raptchat chat --effort=hi", ["--effort=high"]),
        ("raptchat chat --reasoning ", ["show", "hide", "fold"]),
        ("raptchat chat -a ", ["files"]),
        ("raptchat chat --at ", ["files"]),
        ("raptchat chat --at file image/p", ["image/png"]),
        ("raptchat chat --schema ", ["files"]),
        ("raptchat chat -o temp", ["temperature"]),
        ("raptchat chat -o temperature ", []),
        ("raptchat --store ", ["files"]),
        ("raptchat group add-key x --key-file=", ["files"]),
        ("raptchat group add-key x --provider ", ["openrouter", "openai-compatible"]),
        ("raptchat vault init --file ", ["files"]),
        ("raptchat vault add f", ["file"]),
        ("raptchat config get AI_G", ["AI_GATEWAY_URL"]),
        ("raptchat config set editing_mode ", ["emacs", "vi"]),
        ("raptchat config set history_messages ", ["20"]),
        ("raptchat sessions fork 1234 --at ", []),
        ("raptchat sessions export 1234 --format ", ["md", "json", "html"]),
        ("raptchat sessions export 1234 --output ", ["files"]),
        ("raptchat config set nonesuch ", []),
        ("raptchat completion ", ["bash", "zsh", "fish", "powershell"]),
        ("raptchat chat hello ", []),
        ("raptchat nonesuch ", []),
        ("raptchat --version ", []),
    ],
)
def test_what_is_offered(line: str, expected: list[str]) -> None:
    found = offered(line)

    assert found == expected if expected else not set(found) - set(TOP.commands)


def test_a_bare_noun_offers_its_commands_and_the_flags_of_its_first() -> None:
    assert offered("raptchat group ") == [*typer.main.get_group(group.app).commands]
    assert set(offered("raptchat sessions --")) >= {"--json", "--store", "--help"}
    assert offered("raptchat sessions --group ") == []


def test_variables_are_offered_for_a_key_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_OF_BIOLOGY", "x")

    assert offered("raptchat group add-key biology --from-env KEY_OF_") == ["KEY_OF_BIOLOGY"]


def test_programs_are_offered_to_be_run_with_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "program-of-mine").touch()
    monkeypatch.setenv("PATH", f"{tmp_path}:{tmp_path / 'missing'}")

    assert offered("raptchat exec -g biology -- prog") == ["program-of-mine"]
    assert offered("raptchat exec -g biology -- program-of-mine prog") == []
    assert offered("raptchat exec -g biology -- ") == []


def test_groups_are_offered_by_name_in_every_place(named: Run) -> None:
    for line in ("chat -g bio", "chat --group bio", "group show bio", "usage bio", "credentials list bio"):
        assert offered(f"raptchat {line}") == ["bio chem", "biology"]
    assert offered("raptchat whoami --group=bio") == ["--group=bio chem", "--group=biology"]


def test_a_command_that_has_others_under_it_offers_them_and_groups(raptchat: Run) -> None:
    for name in ("reconcile", "recent"):
        raptchat(["group", "create", name])

    assert offered("raptchat usage rec") == ["reconcile", "recent"]
    assert offered("raptchat usage --all rec") == ["recent", "reconcile"]
    assert offered("raptchat usage -g rec") == ["recent", "reconcile"]
    assert offered("raptchat usage reconcile rece") == ["recent"]
    assert set(offered("raptchat usage --")) >= {"--by", "--month", "--json", "--store"}


def test_names_are_offered_without_regard_to_case(raptchat: Run) -> None:
    for name in ("Biology", "ÉCOLE"):
        raptchat(["group", "create", name])

    assert offered("raptchat chat -g bio") == ["Biology"]
    assert offered("raptchat whoami --group=éc") == ["--group=ÉCOLE"]


def test_a_name_like_a_flag_is_offered_behind_two_dashes_only(raptchat: Run) -> None:
    raptchat(["group", "create", "--", "-x"])

    assert offered("raptchat group show ") == []
    assert offered("raptchat group show -- -") == ["-x"]


def test_sessions_are_offered_with_their_titles_those_of_the_group_only(biology: Run, home: Path) -> None:
    biology("chat -g biology hello there")
    biology("group create history")
    [(session,)] = rows(home, "SELECT id FROM sessions")

    shown = answered(TOP, "zsh", ["sessions", "show"], {"_RAPTCHAT_WORD": session[:3]})
    assert shown == f"values\n{session}\thello there\n"
    assert offered("raptchat sessions show ") == [session]
    assert offered("raptchat chat -g biology --session ") == [session]
    assert offered("raptchat chat -g history --session ") == []
    assert offered(f"raptchat chat -g history --session {session[:3]}") == []
    assert offered(f"raptchat chat -g biology --session {session[:3].upper()}") == [session]


def test_any_session_can_be_shown_whichever_group_would_pay(biology: Run, home: Path) -> None:
    biology("chat -g biology hello there")
    biology("group create history")
    biology("group bind history")
    [(session,)] = rows(home, "SELECT id FROM sessions")

    assert offered("raptchat sessions show ") == [session]
    assert offered("raptchat chat --session ") == []


def test_credentials_are_offered_with_group_and_hint(biology: Run, home: Path) -> None:
    [(credential, hint)] = rows(home, "SELECT id, key_hint FROM ai_credentials")

    shown = answered(TOP, "fish", ["credentials", "show"], {})
    assert shown == f"values\n{credential}\tbiology {hint}\n"
    assert offered(f"raptchat credentials delete {credential[:2]}") == [credential]


def test_models_come_from_what_is_remembered_and_aliases_from_the_settings(biology: Run, home: Path) -> None:
    biology("models --refresh -g biology")
    biology("group create history")
    (home / "config.toml").write_text('[aliases]\nfast = "demo/echo"\n', encoding="utf-8")

    assert "demo/echo" in offered("raptchat chat -g biology -m demo/e")
    assert offered("raptchat chat -g history -m demo/e") == []
    # No group is chosen: those of all.
    assert "demo/echo" in offered("raptchat chat --fallback demo/e")
    assert offered("raptchat chat -m fas") == ["fast"]
    assert offered("raptchat config unset al") == ["alias.fast"]
    assert "demo/echo" in offered("raptchat config set ai_default_model demo/e")


def test_the_folder_says_whose_models_are_offered(biology: Run) -> None:
    biology("models --refresh -g biology")
    biology("group create history")
    biology("group bind history")

    assert offered("raptchat chat -m demo/e") == []


def snapshot(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    return {
        str(path): (path.stat().st_mode, path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


EVERY_SOURCE = [
    "raptchat chat -g ",
    "raptchat chat --session ",
    "raptchat chat -m ",
    "raptchat credentials show ",
    "raptchat config set AI_DEFAULT_MODEL ",
]


@pytest.mark.parametrize("line", EVERY_SOURCE)
def test_a_tab_makes_nothing_where_there_is_nothing(line: str, home: Path) -> None:
    assert offered_quietly(line) == []
    assert not home.exists()


@pytest.mark.parametrize("line", EVERY_SOURCE)
def test_a_tab_changes_nothing_where_there_is_something(line: str, biology: Run, home: Path) -> None:
    before = snapshot(home)
    offered_quietly(line)

    assert snapshot(home) == before


def offered_quietly(line: str) -> list[str]:
    """What a process of its own offers; it must say nothing else, and end well."""
    words = shlex.split(line)
    command = [sys.executable, "-m", "raptchat", *words[1:]]
    env = environment(_RAPTCHAT_COMPLETE="fish", _RAPTCHAT_WORD="")
    ended = subprocess.run(command, capture_output=True, text=True, env=env, timeout=20, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.splitlines()[1:]


def damaged(home: Path) -> None:
    (home / "raptchat.db").write_bytes(b"SQLite format 3\0" + bytes(4096))


def replaced_by_a_pipe(home: Path) -> None:
    (home / "raptchat.db").unlink()
    os.mkfifo(home / "raptchat.db")


def unreadable_settings(home: Path) -> None:
    (home / "config.toml").write_text("[[[", encoding="utf-8")


@pytest.mark.parametrize("trouble", [damaged, replaced_by_a_pipe, unreadable_settings])
def test_whatever_is_wrong_offers_nothing_and_says_nothing(biology: Run, home: Path, trouble: object) -> None:
    assert callable(trouble)
    trouble(home)

    assert offered_quietly("raptchat chat -m ") == []


def test_a_store_that_somebody_writes_offers_nothing_and_is_not_waited_for(biology: Run, home: Path) -> None:
    with closing(sqlite3.connect(home / "raptchat.db", isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE")

        assert offered_quietly("raptchat chat -g ") == []
    assert offered_quietly("raptchat chat -g ") == ["biology\t"]


def test_what_a_killed_writer_left_is_neither_mended_nor_removed(biology: Run, home: Path) -> None:
    script = (
        "import os, sqlite3, sys; db = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "db.execute('PRAGMA cache_size=1'); db.execute('BEGIN IMMEDIATE');"
        "db.execute('CREATE TABLE x (y)'); db.execute('INSERT INTO x VALUES (zeroblob(1000000))'); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", script, str(home / "raptchat.db")], check=True)
    before = snapshot(home)
    assert str(home / "raptchat.db-journal") in before

    assert offered_quietly("raptchat chat -g ") == []
    assert snapshot(home) == before


def test_a_look_that_takes_too_long_is_given_up(biology: Run, home: Path) -> None:
    store = peek(home / "raptchat.db")
    ended = threading.Event()

    def count_for_ever() -> None:
        endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
        with pytest.raises(Exception, match="interrupted"):
            store._connection.execute(endless)
        ended.set()

    thread = threading.Thread(target=count_for_ever)
    thread.start()
    thread.join(20)
    store.close()
    assert ended.is_set()


def test_a_look_cannot_write(biology: Run, home: Path) -> None:
    store = peek(home / "raptchat.db")
    with pytest.raises(Exception, match="read-only"):
        store.groups.add("history")
    store.close()


def test_what_no_terminal_may_see_is_not_offered(biology: Run, home: Path) -> None:
    biology("chat hello")
    with closing(sqlite3.connect(home / "raptchat.db")) as db, db:
        db.execute("UPDATE groups SET name = 'bio' || char(10) || 'rm', name_key = 'bio' || char(10) || 'rm'")
        db.execute(
            "UPDATE sessions SET title = 'a' || char(9, 10, 27) || '[2J' || char(8238) || printf('%300s', 'b')"
        )

    assert offered("raptchat chat -g ") == []
    [_, line] = answered(TOP, "zsh", ["sessions", "show"], {}).splitlines()
    assert line.partition("\t")[2] == "a ␛[2J\ufffd b"


def test_what_the_encoding_lacks_is_not_offered(named: Run) -> None:
    found = answered(TOP, "fish", ["chat", "-g"], {}, encoding="latin-1")

    assert "naïve" in found
    assert "生物" not in found


@pytest.mark.parametrize(
    ("text", "words", "word", "quote"),
    [
        ("a b", ["a"], "b", ""),
        ("a b ", ["a", "b"], "", ""),
        ("a 'b c", ["a"], "b c", "'"),
        ("a 'b c' ", ["a", "b c"], "", ""),
        ('a "b\\"c\\d', ["a"], 'b"c\\d', '"'),
        ("a '' b", ["a", ""], "b", ""),
        ("a\\ b c\\", ["a b"], "c", ""),
        ("a $(b c", ["a", "$(b"], "c", ""),
        ("a\tb\\\nc", ["a"], "bc", ""),
        ("'it'\\''s", [], "it's", "'"),
        ("a \\\n b", ["a"], "b", ""),
        ("a 2>x b", ["a"], "b", ""),
        ("a >>x <'y z' b>x ", ["a", "b"], "", ""),
        ("a '>' \\< b", ["a", ">", "<"], "b", ""),
    ],
)
def test_an_unfinished_line_of_bash_is_read(text: str, words: list[str], word: str, quote: str) -> None:
    line = Line(text)

    assert (line.words, line.word, line.quote) == (words, word, quote)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("opening", ["", "'", '"'])
def test_bash_reads_back_the_name_that_was_put_into_its_line(name: str, opening: str, tmp_path: Path) -> None:
    line = f"raptchat group show {opening}"
    put = replacement(line, "", name)
    script = f'raptchat() {{ printf %s "$3"; }}; {line}{put}{opening}'
    read = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=tmp_path, check=True)

    assert (read.stdout, read.stderr) == (name, "")
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("end", [">", "> ", ">> f", "2>f", "< 'f g", "&>f", ">f > "])
def test_bash_completes_the_file_of_a_redirection_itself(end: str) -> None:
    assert Line(f"raptchat group show {end}").redirects
    line = {"_RAPTCHAT_LINE": f"raptchat group show {end}", "_RAPTCHAT_WORD": ""}
    assert answered(TOP, "bash", [], line) == "files\n"


def test_what_stays_in_the_line_must_be_how_the_name_begins() -> None:
    assert replacement("raptchat chat -g a:", "", "a:b") == "b"
    assert replacement("raptchat chat -g A:", "", "a:b") is None
    assert replacement("raptchat chat -g x", "y", "xy") is None


def test_bash_gets_descriptions_only_where_it_lists(biology: Run, home: Path) -> None:
    biology("chat -g biology one")
    biology("chat -g biology '$(touch pwned)'")
    line = {"_RAPTCHAT_LINE": "raptchat sessions show ", "_RAPTCHAT_COLUMNS": "80"}

    listed = answered(TOP, "bash", [], {**line, "_RAPTCHAT_KEY": str(ord("?"))})
    assert "  ($(touch pwned))" in listed
    for key in (9, ord("!"), ord("@"), ord("%")):
        found = answered(TOP, "bash", [], {**line, "_RAPTCHAT_KEY": str(key)})
        assert sorted(found.splitlines()[1:]) == sorted(each for (each,) in rows(home, "SELECT id FROM sessions"))


@contextmanager
def bash(folder: Path) -> Iterator["Typist"]:
    """An interactive bash with the completions, whose `raptchat` is the one that is tested."""
    program = folder / "bin" / "raptchat"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m raptchat "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    start = folder / "bashrc"
    start.write_text(
        f"{SCRIPTS[Shell.BASH]}\nPS1='> '\nbind 'set enable-bracketed-paste off'\nbind 'set bell-style none'\n",
        encoding="utf-8",
    )
    env = environment(
        PATH=f"{program.parent}:{os.environ['PATH']}", INPUTRC=os.devnull, HISTFILE="", LC_ALL="C.UTF-8"
    )
    with AtTerminal(
        *("--noprofile", "--rcfile", str(start), "-i"),
        env={**env, "TERM": "dumb"},
        columns=200,
        program=[installed("bash", "bash")],
    ) as terminal:
        terminal.until("> ")
        yield Typist(terminal)
        terminal.keys("\x15exit\r")
        terminal.ends(0)


class Typist:
    """Types into a shell, and has it print the words that it makes of its line."""

    def __init__(self, terminal: AtTerminal) -> None:
        self._terminal = terminal

    def words(self, line: str) -> list[str]:
        """The words of *line*, typed with its tabs."""
        # Ctrl-A and Ctrl-E: the finished line becomes the words of `printf`.
        self._terminal.keys(f"{line}\x01printf '<%s>' \x05 ; echo .do''ne.\r")
        said = self._terminal.until(".done.\r\n")
        self._terminal.until("> ")
        printed = said.rpartition("\r\n<")[2].rpartition(">.done.")[0]
        return printed.split("><")


def test_a_real_bash_completes_every_name_and_runs_none(named: Run, tmp_path: Path) -> None:
    with bash(tmp_path) as typist:
        for name, typed in {
            "bio chem": "bio\\ ",
            "it's": "it",
            'q"d': "q",
            "a:b:c": "a:b",
            "x=y": "x",
            "$(touch pwned)": "\\$\\(",
            "`touch pwned`": "\\`",
            "$HOME": "'$H",
            "back\\slash": "bac",
            "star*": '"st',
            "bang!x": '"ban',
            "semi;touch pwned": "sem",
            "naïve": "na",
            "生物": "生",
        }.items():
            assert typist.words(f"raptchat group show {typed}\t")[3] == name
        assert typist.words("raptchat whoami --group=x\t")[2] == "--group=x=y"
        assert typist.words("raptchat whoami --group=\tx=\t")[2] == "--group=x=y"
        assert typist.words("raptchat --store bash\t")[2] == "bashrc"
        assert typist.words("raptchat --store=bash\t")[1] == "--store=bashrc"
        assert typist.words("raptchat cred\t")[1] == "credentials"
        assert typist.words("raptchat group show nonesuch\t")[3] == "nonesuch"
        assert typist.words("raptchat group show BIOL\t")[3] == "biology"
        assert typist.words("raptchat group show 2>/dev/null BIOL\t")[3] == "biology"
        assert typist.words("raptchat hello <bashr\t") == ["raptchat", "hello"]
    assert not (tmp_path / "pwned").exists()


def test_a_tab_never_runs_the_program_that_was_typed(named: Run, tmp_path: Path) -> None:
    theirs = tmp_path / "raptchat"
    theirs.write_text("#!/bin/sh\ntouch pwned\n", encoding="utf-8")
    theirs.chmod(0o755)
    with bash(tmp_path) as typist:
        assert typist.words("./raptchat cred\t")[1] == "credentials"
    assert not (tmp_path / "pwned").exists()


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the PATH with the `raptchat` that is tested."""
    program = tmp_path / "bin" / "raptchat"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m raptchat "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return program.parent


def test_a_real_fish_completes_every_name_and_runs_none(
    named: Run, on_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fish = installed("fish", "fish")
    script = tmp_path / "raptchat.fish"
    script.write_text(SCRIPTS[Shell.FISH], encoding="utf-8")

    monkeypatch.setenv("HOME", str(tmp_path))

    def completed(line: str) -> list[str]:
        typed = line.replace("\\", "\\\\").replace("'", "\\'")
        command = f"source {script}; complete -C '{typed}'"
        ended = subprocess.run([fish, "--no-config", "-c", command], capture_output=True, text=True, check=True)
        assert ended.stderr == ""
        return [each.partition("\t")[0] for each in ended.stdout.splitlines()]

    assert set(NAMES) <= set(completed("raptchat group show "))
    assert completed("raptchat group show 'bio c") == ["bio chem"]
    assert completed("raptchat group show '$(") == ["$(touch pwned)"]
    assert completed("raptchat whoami --group=bi") == ["--group=bio chem", "--group=biology"]
    assert completed("raptchat group show BIOL") == ["biology"]
    assert completed("raptchat --store=raptchat.f") == ["--store=raptchat.fish"]
    (tmp_path / "a file").touch()
    for typed in ('"a f', "'a f", "a\\ f", "a"):
        assert completed(f"raptchat chat -a {typed}") == ["a file"]
    assert completed("raptchat chat -a ~/raptchat.f") == ["~/raptchat.fish"]
    assert completed("raptchat chat -a (touch pwned)/") == []
    assert completed("raptchat cred") == ["credentials"]
    assert not (tmp_path / "pwned").exists()


def test_a_real_zsh_completes_every_name_and_runs_none(named: Run, on_path: Path, tmp_path: Path) -> None:
    (tmp_path / "_raptchat").write_text(SCRIPTS[Shell.ZSH], encoding="utf-8")
    setup = "unsetopt zle_bracketed_paste beep; autoload -Uz compinit; compinit -u -D; . ./_raptchat; PS1='> '"
    env = environment(TERM="dumb", LC_ALL="C.UTF-8")
    with AtTerminal("-f", "-i", env=env, columns=200, program=[installed("zsh", "zsh")]) as shell:
        shell.keys(f"{setup}; echo read''y\r")
        shell.until("ready\r\n")
        typist = Typist(shell)
        for name, typed in {
            "bio chem": "bio\\ ",
            "it's": "it",
            "a:b:c": "a:",
            "$(touch pwned)": "\\$\\(",
            "`touch pwned`": "\\`",
            "back\\slash": "bac",
            "star*": '"st',
            "semi;touch pwned": "sem",
            "生物": "生",
            "biology": "BIOL",
        }.items():
            assert typist.words(f"raptchat group show {typed}\t")[3] == name
        shell.keys("exit\r")
        shell.ends(0)
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("shell", list(Shell))
def test_the_script_of_each_shell_is_printed(raptchat: Run, shell: Shell) -> None:
    assert raptchat(f"completion {shell}").out == SCRIPTS[shell]


def test_a_script_has_no_json_form_and_no_other_shell_has_one(raptchat: Run) -> None:
    assert "no JSON form" in json.loads(raptchat("completion bash --json", exit_code=2).err)["error"]
    assert raptchat("completion tcsh", exit_code=2).out == ""


def test_every_option_that_takes_a_value_is_completed_or_free_text() -> None:
    free = {
        "prompt", "system", "temperature", "max_tokens", "top_p", "timeout", "port", "since", "until", "before",
        "text", "description", "title", "label", "base_url", "seq", "limit", "group create name",
        "group rename name", "sessions fork at", "recipient", "max_cost", "models", "dollars", "warn", "most",
        "expires", "month", "map_", "key_command",
    }  # fmt: skip
    for path, command in _leaves(TOP, ()):
        for parameter in command.params:
            names = {str(parameter.name), f"{' '.join(path)} {parameter.name}"}
            completed = names & (candidates._SOURCES.keys() | candidates._FILES)
            by_type = type(parameter.type).__name__ in {"TyperChoice", "TyperPath"}
            if not getattr(parameter, "is_flag", False) and not getattr(parameter, "hidden", False):
                assert completed or by_type or names & free, (path, parameter.name)


def _leaves(command: object, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], typer.core.TyperCommand]]:
    for name, below in getattr(command, "commands", {}).items():
        yield from _leaves(below, (*path, name))
    if isinstance(command, typer.core.TyperCommand):
        yield path, command
