"""Settings and paths: where they come from, and what is refused."""

import os
import pwd
from pathlib import Path

import pytest

from raptchat.config import (
    DEFAULT_GATEWAY_URL,
    DEFAULT_MODEL,
    SETTINGS,
    Paths,
    Settings,
    check_model,
    find_setting,
)
from raptchat.errors import UsageError


def load(home: Path, **environ: str) -> Settings:
    return Settings.load({"RAPTCHAT_HOME": str(home), **environ})


def test_without_anything_said_the_defaults_hold(home: Path) -> None:
    settings = load(home)

    assert settings.gateway_url == DEFAULT_GATEWAY_URL == "https://openrouter.ai/api/v1"
    assert settings.default_model == DEFAULT_MODEL == "~anthropic/claude-haiku-latest"
    assert (settings.timeout_seconds, settings.max_retries, settings.history_messages) == (120.0, 2, 20)
    assert (settings.group, settings.master_key_file, settings.passphrase_file) == (None, None, None)
    assert settings.ignored_key_variables == ()
    assert {value.source for value in settings.values.values()} == {"default"}


def test_the_environment_wins_over_the_file(home: Path) -> None:
    home.mkdir()
    (home / "config.toml").write_text('AI_MAX_RETRIES = 3\ndefault_model = "a/b"\nhistory_messages = 4\n')

    settings = load(home, AI_MAX_RETRIES="5", AI_REQUEST_TIMEOUT_MS="1500", HISTORY_MESSAGES="9")

    assert (settings.max_retries, settings.values["AI_MAX_RETRIES"].source) == (5, "environment")
    assert settings.timeout_seconds == 1.5
    assert (settings.default_model, settings.values["AI_DEFAULT_MODEL"].source) == (
        "a/b",
        str(home / "config.toml"),
    )
    assert settings.history_messages == 4


def test_an_empty_variable_says_nothing(home: Path) -> None:
    settings = load(home, AI_MAX_RETRIES="", RAPTCHAT_GROUP="", RAPTCHAT_MASTER_KEY_FILE="")

    assert settings.max_retries == 2
    assert (settings.group, settings.master_key_file) == (None, None)


def test_groups_and_key_files_come_from_the_environment(home: Path, tmp_path: Path) -> None:
    settings = load(
        home, RAPTCHAT_GROUP="biology", RAPTCHAT_MASTER_KEY_FILE="a.key", RAPTCHAT_PASSPHRASE_FILE="/b"
    )

    assert settings.group == "biology"
    assert settings.master_key_file == tmp_path / "a.key"
    assert settings.passphrase_file == Path("/b")


def test_api_keys_of_the_environment_are_named_and_never_read(home: Path) -> None:
    settings = load(home, OPENROUTER_API_KEY="sk-or-v1-sentinel", OPENAI_API_KEY="sk-sentinel")

    assert settings.ignored_key_variables == ("OPENROUTER_API_KEY", "OPENAI_API_KEY")
    assert "sentinel" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AI_MAX_RETRIES", "ten"),
        ("AI_MAX_RETRIES", "6"),
        ("AI_MAX_RETRIES", "-1"),
        ("AI_MAX_RETRIES", "\u0663"),
        ("AI_MAX_RETRIES", " 1"),
        ("AI_REQUEST_TIMEOUT_MS", "0"),
        ("AI_REQUEST_TIMEOUT_MS", "1e3"),
        ("AI_REQUEST_TIMEOUT_MS", "9" * 5000),
        ("AI_DEFAULT_MODEL", "two words"),
        ("AI_DEFAULT_MODEL", "x" * 201),
        ("AI_GATEWAY_URL", "http://gateway.example/v1"),
        ("AI_GATEWAY_URL", "gateway.example"),
    ],
)
def test_an_invalid_value_is_named_with_its_place(home: Path, name: str, value: str) -> None:
    with pytest.raises(UsageError) as refused:
        load(home, **{name: value})
    assert f"`{name}`" in str(refused.value)
    assert "(from environment)" in str(refused.value)
    assert refused.value.hint.startswith(f"unset {name}, or set it to such as ")

    home.mkdir()
    (home / "config.toml").write_text(f"{name} = '{value}'\n")
    with pytest.raises(UsageError) as refused:
        load(home)
    assert f"(from {home / 'config.toml'})" in str(refused.value)
    assert refused.value.hint.startswith(f"raptchat config set {name} ")


@pytest.mark.parametrize("password", ["hunter2", "hunter2/x", "x/hunter2", "hunter2@x", "x@hunter2", "hunter2?#["])
def test_a_password_in_a_url_does_not_come_back(home: Path, password: str) -> None:
    with pytest.raises(UsageError) as refused:
        load(home, AI_GATEWAY_URL=f"https://me:{password}@gateway.example/v1")

    assert "`AI_GATEWAY_URL`" in str(refused.value)
    assert "gateway.example/v1" in str(refused.value)
    assert "hunter2" not in str(refused.value) + refused.value.hint


@pytest.mark.parametrize("content", [b"not = [toml", b"\xff\xfe", b"AI_MAX_RETRIES ="])
def test_a_file_that_is_no_toml_is_an_error(home: Path, content: bytes) -> None:
    home.mkdir()
    (home / "config.toml").write_bytes(content)

    with pytest.raises(UsageError, match=r"config\.toml` cannot be read"):
        load(home)


@pytest.mark.parametrize(
    "content",
    ["x = " + "[" * 5000, "x = " + "[" * 5000 + "]" * 5000, "x = " + "{a=" * 5000],
    ids=["open", "list", "table"],
)
def test_a_file_that_is_nested_too_deep_is_an_error(home: Path, content: str) -> None:
    home.mkdir()
    (home / "config.toml").write_text(content)

    with pytest.raises(UsageError, match=r"config\.toml` cannot be read"):
        load(home)


def test_a_pipe_in_the_place_of_the_settings_is_an_error_and_not_waited_for(home: Path) -> None:
    home.mkdir()
    os.mkfifo(home / "config.toml")

    with pytest.raises(UsageError, match=r"config\.toml` is a pipe"):
        load(home)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("AI_MAX_RETRIES", "ai_max_retries"),
        ("max_retries", "AI_MAX_RETRIES"),
        ("max-retries", "max_retries"),
        ("history_messages", "History-Messages"),
        ("tiemout", "TIEMOUT"),
    ],
)
def test_one_setting_in_two_spellings_is_an_error_that_names_both(home: Path, one: str, other: str) -> None:
    home.mkdir()
    (home / "config.toml").write_text(f"{one} = 3\n{other} = 3\n")

    with pytest.raises(UsageError, match=f"sets `{one}` and `{other}`, which are the same") as refused:
        load(home)
    assert refused.value.hint == "keep one of them"


def test_an_alias_stands_for_a_model_also_through_another_alias(home: Path) -> None:
    home.mkdir()
    (home / "config.toml").write_text('[aliases]\nfast = "haiku"\nHaiku = "demo/echo"\nid = "demo/Fast"\n')
    settings = load(home)

    assert settings.aliases == {"fast": "haiku", "haiku": "demo/echo", "id": "demo/Fast"}
    assert [
        settings.model_named(name) for name in ("fast", "FAST", "Haiku", "id", "fast:free", "demo/fast", "")
    ] == [
        "demo/echo",
        "demo/echo",
        "demo/echo",
        "demo/Fast",
        "fast:free",
        "demo/fast",
        "",
    ]
    assert load(home.parent / "elsewhere").model_named("fast") == "fast"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("aliases = 3", "`aliases` in .* is no table"),
        ("[[aliases]]", "`aliases` in .* is no table"),
        ('[aliases]\na = "b c"', "`alias.a` must be a model's name"),
        ("[aliases]\na.b = 'x y'", "`alias.a` must be a model's name"),
        ("[aliases]\na = ''", "`alias.a` must be a model's name"),
        ('[aliases]\na = "a"', "`alias.a` leads back to itself"),
        ('[aliases]\nx = "a"\na = "B"\nb = "a"', "`alias.x` leads back to itself"),
        ('[aliases]\na = "x"\nA = "x"', "sets `alias.a` and `alias.A`, which are the same"),
        ('"alias.a" = "x"\n[aliases]\nA = "x"', "sets `alias.a` and `alias.A`, which are the same"),
    ],
)
def test_an_alias_that_cannot_be_right_is_an_error(home: Path, content: str, said: str) -> None:
    home.mkdir()
    (home / "config.toml").write_text(content)

    with pytest.raises(UsageError, match=said):
        load(home)


def test_a_name_that_no_alias_can_have_is_ignored(home: Path) -> None:
    home.mkdir()
    (home / "config.toml").write_text('[aliases]\n"a/b" = "x"\n"\\u001b" = "x"\n')

    assert load(home).aliases == {}


def test_the_editing_mode_and_the_size_of_attachments_are_settings(home: Path) -> None:
    assert (load(home).editing_mode, load(home).max_attachment_bytes) == ("emacs", 20 * 1024 * 1024)
    home.mkdir()
    (home / "config.toml").write_text('editing_mode = "VI"\nmax_attachment_mb = 1\n')
    assert (load(home).editing_mode, load(home).max_attachment_bytes) == ("vi", 1024 * 1024)
    (home / "config.toml").write_text('editing_mode = "ed"\n')
    with pytest.raises(UsageError, match="`editing_mode` must be emacs or vi: `ed`"):
        load(home)


def test_each_group_has_its_own_files(home: Path) -> None:
    paths = load(home).paths

    assert paths.models_file("g1") == home / "models" / "g1.json"
    assert paths.history_file("g1") == home / "history" / "g1"


def test_settings_that_cannot_be_read_are_an_error(home: Path) -> None:
    (home / "config.toml").mkdir(parents=True)

    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        load(home)


@pytest.mark.parametrize("name", ["AI_MAX_RETRIES", "ai_max_retries", "max-retries", "MAX_RETRIES"])
def test_a_setting_is_found_in_any_spelling(name: str) -> None:
    assert find_setting(name) is SETTINGS[3]


def test_an_unknown_setting_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="there is no setting `tiemout`") as refused:
        find_setting("tiemout")
    assert all(setting.name in refused.value.hint for setting in SETTINGS)


def test_a_model_is_one_word() -> None:
    assert check_model("~anthropic/claude-haiku-latest") == "~anthropic/claude-haiku-latest"
    with pytest.raises(UsageError, match="must be a model's name"):
        check_model("a\x1b[2J b")


def test_a_home_holds_everything_and_a_named_store_wins(home: Path, tmp_path: Path) -> None:
    paths = Paths.find({"RAPTCHAT_HOME": str(home)})
    assert (paths.store, paths.config_file, paths.state_folder) == (
        home / "raptchat.db",
        home / "config.toml",
        home,
    )
    assert Paths.find({"RAPTCHAT_HOME": str(home)}, store=Path("x.db")).store == tmp_path / "x.db"


def test_without_a_home_the_platforms_folders_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATA", "CONFIG", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name))

    paths = Paths.find({})

    assert paths.store.name == "raptchat.db"
    assert paths.config_file.name == "config.toml"
    assert paths.store.parent.name == "raptchat"


def test_a_user_of_a_container_who_has_no_home_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def nobody(_: int) -> pwd.struct_passwd:
        raise KeyError

    for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)

    with pytest.raises(UsageError, match="no home folder") as caught:
        Settings.load({})
    assert "RAPTCHAT_HOME" in caught.value.hint
    assert Settings.load({"RAPTCHAT_HOME": str(tmp_path)}).paths.store == tmp_path / "raptchat.db"


@pytest.mark.parametrize("name", ["RAPTCHAT_HOME", "RAPTCHAT_MASTER_KEY_FILE"])
def test_a_path_from_a_working_folder_that_is_gone_is_an_error_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()

    assert Settings.load({"RAPTCHAT_HOME": str(tmp_path)}).paths.store == tmp_path / "raptchat.db"
    with pytest.raises(UsageError, match="`x` cannot be found: the working folder is gone"):
        Settings.load({"RAPTCHAT_HOME": str(tmp_path), name: "x"})
    with pytest.raises(UsageError, match=r"`x\.db` cannot be found"):
        Settings.load({"RAPTCHAT_HOME": str(tmp_path)}, store=Path("x.db"))
