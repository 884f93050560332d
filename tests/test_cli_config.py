"""`raptchat config`: what is set, where it comes from, and changing one line of a file."""

import json
import stat
import tomllib
from pathlib import Path

import pytest
from conftest import Run

NAMES = ["AI_GATEWAY_URL", "AI_DEFAULT_MODEL", "AI_REQUEST_TIMEOUT_MS", "AI_MAX_RETRIES", "history_messages"]


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


def test_a_folder_that_cannot_be_read_or_made_says_so(
    raptchat: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RAPTCHAT_HOME", str(tmp_path / "file" / "below"))
    assert "cannot be read: Not a directory" in raptchat("config set AI_MAX_RETRIES 1", exit_code=2).err

    monkeypatch.setenv("RAPTCHAT_HOME", str(tmp_path / "link"))
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    assert "cannot be written" in raptchat("config set AI_MAX_RETRIES 1", exit_code=74).err


def test_the_path_is_shown(raptchat: Run, home: Path) -> None:
    assert raptchat("config path").out == f"{home / 'config.toml'}\n"
    assert json.loads(raptchat("config path --json").out) == {"path": str(home / "config.toml")}
