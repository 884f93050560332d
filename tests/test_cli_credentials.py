"""`raptchat credentials`: list, show, activate, deactivate, delete; the key in none of it."""

import json
import re
from pathlib import Path

import pytest
from conftest import Run, rows

from raptchat.demo import DEMO_KEY, DemoGateway

SECOND_KEY = "sk-or-v1-demo-number-two"
FIELDS = {
    "id", "groupId", "group", "provider", "keyHint", "label", "baseUrl", "endpoint", "isActive", "createdAt",
    "updatedAt", "lastUsedAt", "createdBy", "kind",
}  # fmt: skip


@pytest.fixture
def ids(biology: Run, home: Path) -> list[str]:
    """The ids of biology's two credentials; the second is in use."""
    biology("group add-key biology --stdin --replace", stdin=SECOND_KEY)
    return [one for (one,) in rows(home, "SELECT id FROM ai_credentials ORDER BY created_at")]


def test_the_list_is_masked_and_has_the_last_use(biology: Run, home: Path) -> None:
    biology("chat hello")
    said = biology("credentials list")
    [cells] = [line.split("\t") for line in said.out.splitlines()]
    assert cells[1:6] == ["biology", "openrouter", f"{DEMO_KEY[:8]}...{DEMO_KEY[-4:]}", "-", "active"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", cells[7])
    [(credential_id,)] = rows(home, "SELECT id FROM ai_credentials")
    assert cells[0] == credential_id

    [document] = json.loads(biology("credentials --json").out)
    assert set(document) == FIELDS
    assert document["lastUsedAt"].endswith("Z")
    assert DEMO_KEY not in said.out


def test_a_key_that_was_never_used_says_so(biology: Run) -> None:
    assert biology("credentials list").out.endswith("\tnever\n")
    assert json.loads(biology("credentials list --json").out)[0]["lastUsedAt"] is None


def test_a_list_of_one_group(biology: Run) -> None:
    biology("group add-key history --stdin", stdin=SECOND_KEY)
    biology("group create geography")

    assert [one["group"] for one in json.loads(biology("credentials list HISTORY --json").out)] == ["history"]
    assert json.loads(biology("credentials list geography --json").out) == []
    assert biology("credentials list geography").err == "there is no key yet: raptchat group add-key geography\n"
    assert biology("credentials -g history").out == biology("credentials list history").out
    assert "named twice" in biology("credentials list history -g history", exit_code=2).err
    assert "there is no group" in biology("credentials list nobody", exit_code=3).err


def test_listing_needs_no_master_key(biology: Run, tmp_path: Path) -> None:
    (tmp_path / "master.key").unlink()

    assert "biology" in biology("credentials list").out
    biology("chat hello", exit_code=78)


def test_show_by_the_beginning_of_the_id(biology: Run, ids: list[str]) -> None:
    shown = json.loads(biology(f"credentials show {ids[0][:9].upper()} --json").out)
    assert (shown["id"], shown["isActive"]) == (ids[0], False)

    lines = dict(line.split("\t") for line in biology(f"credentials show {ids[1]}").out.splitlines())
    assert (lines["id"], lines["state"], lines["last used"]) == (ids[1], "active", "never")


def test_activate_retires_the_other(biology: Run, gateway: DemoGateway, ids: list[str], home: Path) -> None:
    assert json.loads(biology(f"credentials activate {ids[0]} --json").out)["isActive"] is True
    biology("chat hello")

    assert gateway.requests[-1].api_key == DEMO_KEY
    assert rows(home, "SELECT is_active FROM ai_credentials ORDER BY created_at") == [(1,), (0,)]
    actions = rows(home, "SELECT action, command FROM events ORDER BY id DESC LIMIT 2")
    assert actions == [
        ("credential.activate", "credentials activate"),
        ("credential.deactivate", "credentials activate"),
    ]


def test_deactivate_leaves_the_group_without_a_key(biology: Run, gateway: DemoGateway, ids: list[str]) -> None:
    assert "inactive" in biology(f"credentials deactivate {ids[1]}").out
    biology("chat hello", exit_code=4)
    assert gateway.requests == []
    assert len(json.loads(biology("credentials list --json").out)) == 2


def test_delete_asks_and_takes_the_row_out_of_the_file(biology: Run, ids: list[str], home: Path) -> None:
    [(sealed,)] = rows(home, "SELECT encrypted_key FROM ai_credentials WHERE id = ?", ids[1])
    assert "needs --yes" in biology(f"credentials delete {ids[1]}", exit_code=2).err
    said = biology(f"credentials delete {ids[1]} --yes")

    assert "deleted the key sk-or-v1..." in said.err
    assert rows(home, "SELECT id FROM ai_credentials") == [(ids[0],)]
    assert sealed not in (home / "raptchat.db").read_bytes()
    assert json.loads(biology(f"credentials delete {ids[0]} -y --json").out)["id"] == ids[0]
    biology(f"credentials delete {ids[0]} -y", exit_code=3)


def test_a_key_of_several_groups_is_said_to_be_one(biology: Run, home: Path) -> None:
    assert biology("credentials list").err == ""
    biology("group add-key history --stdin --allow-shared", stdin=DEMO_KEY)
    biology("group add-key geography --stdin --allow-shared", stdin=DEMO_KEY)
    biology("group add-key music --stdin", stdin=SECOND_KEY)
    hint = f"{DEMO_KEY[:8]}...{DEMO_KEY[-4:]}"

    assert biology("credentials list").err.splitlines() == [
        f"the key {hint} of group `biology` is also that of `geography`, `history`",
        f"the key {hint} of group `geography` is also that of `biology`, `history`",
        f"the key {hint} of group `history` is also that of `biology`, `geography`",
    ]
    assert len(biology("credentials list history").err.splitlines()) == 1
    shared = {one["group"]: one.get("sharedWith") for one in json.loads(biology("credentials --json").out)}
    assert shared == {
        "biology": ["geography", "history"],
        "geography": ["biology", "history"],
        "history": ["biology", "geography"],
        "music": None,
    }
    [one] = json.loads(biology("credentials list history --json").out)
    assert one["sharedWith"] == ["biology", "geography"]
    assert "shared with\tbiology, geography" in biology(f"credentials show {one['id']}").out
