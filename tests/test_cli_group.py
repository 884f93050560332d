"""`raptchat group`: make, show, rename, bind, remove, and give a key."""

import json
import re
from pathlib import Path

import pytest
from conftest import Run, rows

from raptchat.config import Settings
from raptchat.demo import DEMO_KEY, DemoGateway

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def test_a_group_is_made_with_its_settings(raptchat: Run) -> None:
    said = raptchat("group create Biology --model demo/echo --system 'Be brief.' --description 'Course 101'")
    assert said.out == ""
    assert "raptchat group add-key Biology" in said.err

    shown = json.loads(raptchat("group show BIOLOGY --json").out)
    assert set(shown) == {
        "id", "name", "description", "model", "system", "provider", "keyHint", "lastUsedAt", "createdAt",
        "updatedAt", "policy", "budget", "suspendedAt",
    }  # fmt: skip
    assert (shown["name"], shown["model"], shown["system"]) == ("Biology", "demo/echo", "Be brief.")
    assert shown["provider"] is None
    assert TIME.fullmatch(shown["createdAt"])
    assert raptchat("group show biology").out.startswith("name\tBiology\n")


def test_the_bare_noun_lists(raptchat: Run) -> None:
    assert "there is no group yet" in raptchat("group").err
    assert json.loads(raptchat("group --json").out) == []
    raptchat("group create biology")
    raptchat("group create Art")

    assert raptchat("group").out == raptchat("group list").out
    assert [one["name"] for one in json.loads(raptchat("group --json").out)] == ["Art", "biology"]


@pytest.mark.parametrize("words", ["--store {} group list", "group --store {} list", "group list --store {}"])
def test_the_store_is_named_before_between_or_after_the_words(
    raptchat: Run, home: Path, tmp_path: Path, words: str
) -> None:
    raptchat(f"group create elsewhere --store {tmp_path}/folder/other.db")

    assert raptchat(words.format(tmp_path / "folder" / "other.db")).out.startswith("elsewhere\t")
    assert not (home / "raptchat.db").exists()


@pytest.mark.parametrize("words", ["--store '' group list", "group --store '' list", "group list --store ''"])
def test_a_store_without_a_name_is_refused(raptchat: Run, home: Path, words: str) -> None:
    assert "`--store` names no file" in raptchat(words, exit_code=2).err
    assert not home.exists()


def test_json_is_asked_for_between_or_after_the_words(biology: Run) -> None:
    shown = biology("group show biology --json").out
    assert json.loads(shown)["name"] == "biology"
    assert biology("group --json show biology").out == shown
    assert json.loads(biology("credentials --json").out) == json.loads(biology("credentials list --json").out)
    assert json.loads(biology("group --json show nobody", exit_code=3).err)["code"] == "GROUP_NOT_FOUND"


def test_a_list_shows_the_key_and_its_last_use(biology: Run) -> None:
    biology("group create history")
    before = [line.split("\t") for line in biology("group list").out.splitlines()]
    hint = f"{DEMO_KEY[:8]}...{DEMO_KEY[-4:]}"
    assert before == [["biology", hint, "never", "-", "-"], ["history", *"----"]]
    assert f"key\t{hint}\nlast used\tnever\n" in biology("group show biology").out

    biology("chat -g biology hello")
    assert re.match(r"biology\t\S+\t\d{4}-\d\d-\d\d \d\d:\d\d\t", biology("group list").out)
    listed = json.loads(biology("group list --json").out)
    assert [one["keyHint"] for one in listed] == [hint, None]
    assert TIME.fullmatch(listed[0]["lastUsedAt"])
    assert json.loads(biology("group show biology --json").out) == listed[0]


def test_settings_are_changed_and_taken_away(raptchat: Run) -> None:
    raptchat("group create biology --model demo/echo --description x")
    raptchat("group set biology --model '' --system 'Be brief.' --provider openrouter")
    shown = json.loads(raptchat("group show biology --json").out)

    assert (shown["model"], shown["system"]) == (None, "Be brief.")
    assert (shown["description"], shown["provider"]) == ("x", "openrouter")
    assert "providers: openrouter" in raptchat("group set biology --provider nonesuch", exit_code=2).err
    assert "white space" in raptchat("group set biology --model 'a b'", exit_code=2).err


def test_a_renamed_group_keeps_its_key_and_its_bill(biology: Run, home: Path) -> None:
    biology("chat hello")
    biology("group rename biology 'Cell biology'")
    biology("chat -g 'cell BIOLOGY' hello")

    assert [one["group"] for one in json.loads(biology("usage --json").out)] == ["Cell biology"]
    assert "there is no group" in biology("chat -g biology hello", exit_code=3).err
    biology("group rename 'cell biology' 'CELL biology'")
    biology("group create other")
    assert "already" in biology("group rename other 'cell BIOLOGY'", exit_code=6).err


def test_binding_is_kept_in_the_store_and_not_in_the_folder(
    biology: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "course"
    folder.mkdir()
    monkeypatch.chdir(folder)
    biology("group bind biology")
    assert list(folder.iterdir()) == []
    assert json.loads(biology("whoami --json").out)["reason"] == f"the folder {folder}"

    assert json.loads(biology("group unbind --json").out) == {"unbound": str(folder)}
    assert "is not tied" in biology("group unbind", exit_code=2).err
    assert json.loads(biology("whoami --json").out)["reason"] == "the only group"


def test_binding_again_moves_the_folder(biology: Run) -> None:
    biology("group create history")
    biology("group bind biology")
    biology("group bind history")

    assert json.loads(biology("whoami --json").out)["group"] == "history"
    assert "is tied to no group any more" in biology("group unbind").err


def test_a_folder_of_a_removed_group_is_paid_by_nobody(biology: Run, gateway: DemoGateway, tmp_path: Path) -> None:
    biology("group create history")
    biology("group bind history")
    biology("group remove history --yes")

    said = biology("chat hello", exit_code=3)
    assert f"the folder {tmp_path} is tied to a group that was removed" in said.err
    assert "raptchat group unbind" in said.err
    assert gateway.requests == []
    biology("group unbind")
    biology("chat hello")


def test_a_linked_folder_is_the_folder_behind_it(
    biology: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (tmp_path / "link").symlink_to(real)
    monkeypatch.chdir(tmp_path / "link")
    biology("group bind biology")

    assert json.loads(biology("whoami --json").out)["reason"] == f"the folder {real}"


def test_a_removed_group_leaves_its_bill_alone(biology: Run, home: Path) -> None:
    biology("chat 'the secret word'")
    assert "needs --yes" in biology("group remove biology", exit_code=2).err
    assert json.loads(biology("group remove biology --yes --json").out)["name"] == "biology"

    for table in ("groups", "ai_credentials", "sessions", "messages", "bindings"):
        assert rows(home, f"SELECT count(*) FROM {table}") == [(0,)]  # noqa: S608
    assert [one["group"] for one in json.loads(biology("usage --json").out)] == ["biology"]
    assert rows(home, "SELECT action, command, group_name FROM events ORDER BY id DESC LIMIT 1") == [
        ("group.remove", "group remove", "biology")
    ]
    assert b"secret word" not in (home / "raptchat.db").read_bytes()


def test_a_removed_group_takes_all_of_its_words_along(biology: Run, home: Path) -> None:
    # As in test_search.py: without writing the file anew, scraps of such a session would stay in its pages.
    biology("chat -m demo/echo " + " ".join(f"secretword{number}" for number in range(2_000)))
    biology("models --refresh -g biology")
    group_id = json.loads(biology("group show biology --json").out)["id"]
    paths = Settings.load().paths
    paths.history_file(group_id).parent.mkdir()
    paths.history_file(group_id).write_text("secretword")
    left = {paths.history_file(group_id), paths.models_file(group_id)}
    assert all(file.exists() for file in left)

    assert biology("group remove biology --yes").err == "removed group `biology`\n"

    assert not any(file.exists() for file in left)
    assert b"secretword" not in (home / "raptchat.db").read_bytes()
    assert rows(home, "PRAGMA freelist_count") == [(0,)]


def test_a_file_of_a_removed_group_that_cannot_go_is_named(biology: Run) -> None:
    group_id = json.loads(biology("group show biology --json").out)["id"]
    history = Settings.load().paths.history_file(group_id)
    history.mkdir(parents=True)

    said = biology("group remove biology --yes")

    assert said.err.splitlines() == [f"`{history}` is left behind: Is a directory", "removed group `biology`"]


def test_add_key_makes_the_group_and_shows_a_hint_only(biology: Run, home: Path) -> None:
    said = biology("group add-key History --stdin --label lab --json", stdin="sk-or-v1-demo-of-history")
    made = json.loads(said.out)

    assert (made["group"], made["label"], made["isActive"]) == ("History", "lab", True)
    assert made["keyHint"] == "sk-or-v1"[:8] + "...tory"
    assert (made["lastUsedAt"], made["baseUrl"]) == (None, None)
    assert "demo-of-history" not in said.out + said.err
    assert rows(home, "SELECT command FROM events ORDER BY id DESC LIMIT 1") == [("group add-key",)]


def test_the_hint_of_a_short_key_shows_nothing_of_it(biology: Run) -> None:
    biology("group add-key history --stdin", stdin="k" * 20)

    [_, history] = json.loads(biology("credentials --json").out)
    assert history["keyHint"] == "***"


def test_a_prefix_adds_no_key_and_makes_no_group(biology: Run, home: Path) -> None:
    [(group_id,)] = rows(home, "SELECT id FROM groups")
    biology(f"group add-key {group_id} --stdin --replace", stdin="sk-or-v1-demo-number-two")
    for prefix in (group_id[:4], group_id[:8].upper()):
        said = biology(f"group add-key {prefix} --stdin", stdin="sk-or-v1-demo-number-three", exit_code=2)
        assert f"`{prefix}` is the beginning of the id of group `biology`" in said.err
        assert "hint: raptchat group add-key biology\n" in said.err

    assert rows(home, "SELECT name FROM groups") == [("biology",)]
    assert rows(home, "SELECT count(*) FROM ai_credentials") == [(2,)]


def test_a_second_key_needs_replace(biology: Run, gateway: DemoGateway, home: Path) -> None:
    said = biology("group add-key biology --stdin", stdin="sk-or-v1-demo-number-two", exit_code=6)
    assert "raptchat group add-key biology --replace" in said.err

    biology("group add-key biology --stdin --replace", stdin="sk-or-v1-demo-number-two")
    biology("chat hello")
    assert gateway.requests[-1].api_key == "sk-or-v1-demo-number-two"
    assert rows(home, "SELECT is_active FROM ai_credentials ORDER BY created_at") == [(0,), (1,)]


def test_a_key_comes_from_a_variable_or_a_file(
    biology: Run, gateway: DemoGateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("COURSE_KEY", "sk-or-v1-demo-of-history")
    biology("group add-key history --from-env COURSE_KEY")
    biology("chat -g history hello")
    assert gateway.requests[-1].api_key == "sk-or-v1-demo-of-history"

    file = tmp_path / "key"
    file.write_text("sk-or-v1-demo-of-geography\r\n")
    file.chmod(0o600)
    biology(["group", "add-key", "geography", "--key-file", str(file)])
    biology("chat -g geography hello")
    assert gateway.requests[-1].api_key == "sk-or-v1-demo-of-geography"


def test_without_a_terminal_the_ways_are_named(biology: Run) -> None:
    said = biology("group add-key history", stdin=DEMO_KEY, exit_code=2)

    assert "there is no terminal to ask at" in said.err
    assert "--stdin" in said.err


def test_a_key_for_another_place_goes_there(
    biology: Run, gateway: DemoGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    biology(
        ["group", "add-key", "history", "--stdin", "--base-url", gateway.url], stdin="sk-or-v1-demo-of-history"
    )
    monkeypatch.setenv("AI_GATEWAY_URL", "http://127.0.0.1:9/api/v1")
    biology("chat -g history hello")
    assert gateway.requests[-1].api_key == "sk-or-v1-demo-of-history"

    said = biology("chat -g biology hello", exit_code=78)
    assert "raptchat group add-key biology --replace" in said.err


def test_a_flags_value_may_be_called_like_a_command(biology: Run) -> None:
    biology("group create list")

    assert biology("sessions -g list").exit_code == 0
    assert "--limit" in biology("sessions --limit 3 --help").out
