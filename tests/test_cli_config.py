"""`raptchat config`: what is set, where it comes from, and changing one line of a file."""

import json
import stat
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import Run

from raptchat.cli import config_file
from raptchat.config import find_setting

NAMES = [
    "AI_GATEWAY_URL",
    "AI_DEFAULT_MODEL",
    "AI_REQUEST_TIMEOUT_MS",
    "AI_MAX_RETRIES",
    "history_messages",
    "editing_mode",
    "max_attachment_mb",
]


def test_the_list_says_where_each_comes_from(raptchat: Run, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    raptchat("config set AI_MAX_RETRIES 3")
    monkeypatch.setenv("AI_REQUEST_TIMEOUT_MS", "5000")
    listed = {one["name"]: (one["value"], one["source"]) for one in json.loads(raptchat("config --json").out)}

    assert list(listed) == NAMES
    assert listed["AI_MAX_RETRIES"] == (3, str(home / "config.toml"))
    assert listed["AI_REQUEST_TIMEOUT_MS"] == (5000, "environment")
    assert listed["AI_GATEWAY_URL"] == ("https://openrouter.ai/api/v1", "default")
    assert "AI_MAX_RETRIES\t3\t" in raptchat("config list").out


def test_the_environment_wins_over_the_file_and_that_is_said(
    raptchat: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    raptchat("config set AI_MAX_RETRIES 3")
    monkeypatch.setenv("AI_MAX_RETRIES", "5")

    assert raptchat("config get AI_MAX_RETRIES").out == "5\n"
    assert "the variable AI_MAX_RETRIES is set, and wins" in raptchat("config set AI_MAX_RETRIES 4").err


@pytest.mark.parametrize("name", ["AI_MAX_RETRIES", "ai_max_retries", "max-retries", "max_retries"])
def test_a_setting_has_several_spellings(raptchat: Run, name: str) -> None:
    raptchat(f"config set {name} 1")

    assert json.loads(raptchat(f"config get {name} --json").out)["value"] == 1


def test_everything_else_in_the_file_stays(raptchat: Run, home: Path) -> None:
    home.mkdir()
    file = home / "config.toml"
    file.write_text("# mine\nmax_retries = 1   # few\nunknown = true\n\n[table]\nAI_MAX_RETRIES = 9\n")
    raptchat("config set AI_MAX_RETRIES 2")
    raptchat("config set AI_DEFAULT_MODEL demo/echo")

    assert file.read_text() == (
        '# mine\nmax_retries = 2\nunknown = true\n\nAI_DEFAULT_MODEL = "demo/echo"\n[table]\nAI_MAX_RETRIES = 9\n'
    )
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "`unknown` in" in raptchat("config list").err
    assert list(home.iterdir()) == [file]


def test_a_link_stays_a_link_and_a_line_keeps_its_end(raptchat: Run, home: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept" / "raptchat.toml"
    kept.parent.mkdir()
    home.mkdir()
    (home / "config.toml").symlink_to(kept)
    raptchat("config set max_retries 1")
    kept.write_bytes(b"# mine\r\nmax_retries = 1\r\n[aliases]\r\nfast = 'demo/echo'\r\n")
    raptchat("config set alias.deep demo/thinking")

    assert (home / "config.toml").readlink() == kept
    assert kept.read_bytes() == (
        b"# mine\r\nmax_retries = 1\r\n[aliases]\r\nfast = 'demo/echo'\r\ndeep = \"demo/thinking\"\n"
    )
    assert list(home.iterdir()) == [home / "config.toml"]


def test_commands_at_the_same_time_lose_nothing_of_each_other(raptchat: Run, home: Path) -> None:
    names = [f"alias.a{number}" for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: config_file.change(home / "config.toml", find_setting(name), "a/b"), names))

    listed = [line.partition("\t")[0] for line in raptchat("config list").out.splitlines()]
    assert sorted(listed[-40:]) == sorted(names)


@pytest.mark.parametrize("model", ['a"b', "a\\b", "a'b", "生物/\U0001f9ec", "a#b"])
def test_a_value_with_quotes_is_written_as_it_is(raptchat: Run, home: Path, model: str) -> None:
    raptchat(["config", "set", "AI_DEFAULT_MODEL", model])

    assert tomllib.loads((home / "config.toml").read_text())["AI_DEFAULT_MODEL"] == model
    assert raptchat("config get AI_DEFAULT_MODEL").out == f"{model}\n"


@pytest.mark.parametrize("text", ['AI_DEFAULT_MODEL = """\\\n  demo/echo"""\n', '"AI_DEFAULT_MODEL" = "x"\n'])
def test_a_file_that_cannot_be_changed_line_by_line_stays(raptchat: Run, home: Path, text: str) -> None:
    home.mkdir()
    (home / "config.toml").write_text(text)
    said = raptchat("config set AI_DEFAULT_MODEL demo/reply", exit_code=2)

    assert "cannot be changed here" in said.err
    assert (home / "config.toml").read_text() == text


def test_an_invalid_value_is_not_written(raptchat: Run, home: Path) -> None:
    said = raptchat("config set AI_MAX_RETRIES 6", exit_code=2)

    assert "(from the command line)" in said.err
    assert not (home / "config.toml").exists()
    assert "settings: AI_GATEWAY_URL" in raptchat("config set colour blue", exit_code=2).err


def test_a_bad_file_can_be_set_right(raptchat: Run, home: Path) -> None:
    home.mkdir()
    (home / "config.toml").write_text('AI_MAX_RETRIES = "many"\n')
    assert "raptchat config set AI_MAX_RETRIES 2" in raptchat("config list", exit_code=2).err
    raptchat("config set AI_MAX_RETRIES 2")

    assert raptchat("config get AI_MAX_RETRIES").out == "2\n"


def test_an_alias_is_set_shown_and_taken_out_again(raptchat: Run, home: Path) -> None:
    raptchat("config set alias.fast demo/echo")
    raptchat("config set Alias.Deep demo/thinking")

    assert (home / "config.toml").read_text() == '[aliases]\nfast = "demo/echo"\ndeep = "demo/thinking"\n'
    assert raptchat("config get alias.FAST").out == "demo/echo\n"
    assert json.loads(raptchat("config set alias.fast demo/echo --json").out)["name"] == "alias.fast"
    assert raptchat("config list").out.endswith(
        f"alias.fast\tdemo/echo\t{home / 'config.toml'}\nalias.deep\tdemo/thinking\t{home / 'config.toml'}\n"
    )
    listed = json.loads(raptchat("config --json").out)
    assert listed[-1] == {"name": "alias.deep", "value": "demo/thinking", "source": str(home / "config.toml")}

    raptchat("config set alias.fast demo/slow")
    assert "alias.deep is no longer set in" in raptchat("config unset alias.deep").err
    assert (home / "config.toml").read_text() == '[aliases]\nfast = "demo/slow"\n'
    assert "alias.deep is not set in" in raptchat("config unset alias.deep").err
    said = raptchat("config get alias.deep", exit_code=2).err
    assert "there is no `alias.deep`" in said
    assert "hint: aliases: fast" in said


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", '[aliases]\nfast = "demo/echo"\n'),
        ("# mine", '# mine\n[aliases]\nfast = "demo/echo"\n'),
        ("[aliases]", '[aliases]\nfast = "demo/echo"\n'),
        ('[aliases] # mine\nFast = "a" # b\n', '[aliases] # mine\nFast = "demo/echo"\n'),
        (
            'x = 1\n[ aliases ]\na = "b"\n\n[y]\nfast = 2\n',
            'x = 1\n[ aliases ]\na = "b"\n\nfast = "demo/echo"\n[y]\nfast = 2\n',
        ),
        ('fast = "top"\n', 'fast = "top"\n[aliases]\nfast = "demo/echo"\n'),
    ],
)
def test_an_alias_is_one_line_of_its_table(raptchat: Run, home: Path, before: str, after: str) -> None:
    home.mkdir()
    (home / "config.toml").write_text(before)
    raptchat("config set alias.fast demo/echo")

    assert (home / "config.toml").read_text() == after


@pytest.mark.parametrize(
    "text",
    [
        'aliases.fast = "a"\n',
        'aliases = {fast = "a"}\n',
        '[aliases]\nfast = """\na"""\n',
        '[aliases]\n"fast" = "a"\n',
        'x = """\n[aliases]\nfast = 1\n"""\n',
    ],
)
def test_aliases_that_cannot_be_changed_line_by_line_stay(raptchat: Run, home: Path, text: str) -> None:
    home.mkdir()
    (home / "config.toml").write_text(text)

    assert "cannot be changed here" in raptchat("config set alias.fast demo/echo", exit_code=2).err
    assert (home / "config.toml").read_text() == text


@pytest.mark.parametrize(
    "name", ["alias.", "alias.a b", "alias.a/b", "alias.a.b", "alias.-a", f"alias.{'x' * 65}"]
)
def test_what_could_be_a_models_name_is_no_alias(raptchat: Run, home: Path, name: str) -> None:
    said = raptchat(["config", "set", name, "demo/echo"], exit_code=2).err

    assert "cannot be an alias" in said
    assert "letters, digits" in said
    assert not (home / "config.toml").exists()


def test_an_alias_stands_for_a_model_and_never_for_itself(raptchat: Run, home: Path) -> None:
    assert "must be a model's name" in raptchat(["config", "set", "alias.a", "two words"], exit_code=2).err
    assert "`alias.a` leads back to itself" in raptchat("config set alias.a A", exit_code=2).err
    raptchat("config set alias.a b")
    raptchat("config set alias.b c")
    said = raptchat("config set alias.c a", exit_code=2).err
    assert "leads back to itself (from the command line)" in said
    assert (home / "config.toml").read_text() == '[aliases]\na = "b"\nb = "c"\n'


def test_aliases_in_a_circle_can_be_set_right(raptchat: Run, home: Path) -> None:
    home.mkdir()
    (home / "config.toml").write_text('[aliases]\na = "b"\nb = "A"\n')
    assert "raptchat config set alias.a ~anthropic" in raptchat("config list", exit_code=2).err
    raptchat("config set AI_MAX_RETRIES 1")
    raptchat("config unset alias.a")

    assert raptchat("config get alias.b").out == "A\n"


def test_a_setting_that_is_taken_out_is_what_it_was_by_default(
    raptchat: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.mkdir()
    (home / "config.toml").write_text("# mine\nmax-retries = 5\nx = 1")
    assert json.loads(raptchat("config unset AI_MAX_RETRIES --json").out) == {
        "name": "AI_MAX_RETRIES",
        "wasSet": True,
        "source": str(home / "config.toml"),
    }

    assert (home / "config.toml").read_text() == "# mine\nx = 1"
    assert raptchat("config get AI_MAX_RETRIES").out == "2\n"
    monkeypatch.setenv("AI_MAX_RETRIES", "4")
    assert "AI_MAX_RETRIES is set, and wins" in raptchat("config unset AI_MAX_RETRIES").err


def test_a_folder_that_cannot_be_read_or_made_says_so(
    raptchat: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RAPTCHAT_HOME", str(tmp_path / "file" / "below"))
    assert "cannot be read: Not a directory" in raptchat("config get AI_MAX_RETRIES", exit_code=2).err
    assert "cannot be written: Not a directory" in raptchat("config set AI_MAX_RETRIES 1", exit_code=74).err

    monkeypatch.setenv("RAPTCHAT_HOME", str(tmp_path / "link"))
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    assert "cannot be written" in raptchat("config set AI_MAX_RETRIES 1", exit_code=74).err


def test_the_path_is_shown(raptchat: Run, home: Path) -> None:
    assert raptchat("config path").out == f"{home / 'config.toml'}\n"
    assert json.loads(raptchat("config path --json").out) == {"path": str(home / "config.toml")}
