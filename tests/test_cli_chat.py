"""`raptchat chat`: which group pays, what is sent, and what comes out."""

import json
import re
from pathlib import Path

import pytest
from conftest import Run, rows

from raptchat.demo import DEMO_KEY, Answer, DemoGateway

HISTORY_KEY = "sk-or-v1-demo-key-of-history"


@pytest.fixture
def two(biology: Run) -> Run:
    """The app with two groups, each with a key of its own."""
    biology("group add-key history --stdin", stdin=HISTORY_KEY)
    return biology


def sent(gateway: DemoGateway) -> dict[str, object]:
    return gateway.requests[-1].body


# Which group: the first that is there decides, and a wrong one fails


def test_a_flag_wins_over_everything(
    two: Run, gateway: DemoGateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    two("group bind biology")
    monkeypatch.setenv("RAPTCHAT_GROUP", "biology")
    two("chat -g history hello")

    assert gateway.requests[-1].api_key == HISTORY_KEY
    assert json.loads(two("whoami -g history --json").out)["reason"] == "--group"


def test_the_variable_wins_over_the_folder(
    two: Run, gateway: DemoGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    two("group bind biology")
    monkeypatch.setenv("RAPTCHAT_GROUP", "history")
    two("chat hello")

    assert gateway.requests[-1].api_key == HISTORY_KEY
    assert json.loads(two("whoami --json").out)["reason"] == "RAPTCHAT_GROUP"


def test_the_nearest_bound_folder_decides(
    two: Run, gateway: DemoGateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    two("group bind biology")
    below = tmp_path / "course" / "notes"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    two("chat hello")
    assert gateway.requests[-1].api_key == DEMO_KEY

    monkeypatch.chdir(tmp_path / "course")
    two("group bind history")
    monkeypatch.chdir(below)
    two("chat hello")
    assert gateway.requests[-1].api_key == HISTORY_KEY
    assert json.loads(two("whoami --json").out)["reason"] == f"the folder {tmp_path / 'course'}"


def test_the_only_group_decides_last(biology: Run, gateway: DemoGateway) -> None:
    biology("chat hello")

    assert gateway.requests[-1].api_key == DEMO_KEY
    assert json.loads(biology("whoami --json").out)["reason"] == "the only group"


def test_a_wrong_group_fails_and_nothing_after_it_decides(
    biology: Run, gateway: DemoGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    biology("group bind biology")
    biology("chat -g nobody hello", exit_code=3)
    biology(["chat", "-g", "", "hello"], exit_code=3)
    monkeypatch.setenv("RAPTCHAT_GROUP", "nobody")
    biology("chat hello", exit_code=3)

    assert gateway.requests == []


def test_a_bound_group_without_a_key_fails_though_another_has_one(biology: Run, gateway: DemoGateway) -> None:
    biology("group create history")
    biology("group bind history")

    biology("chat hello", exit_code=4)
    assert gateway.requests == []


def test_exported_keys_are_never_used(biology: Run, gateway: DemoGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    biology("group create history")
    for name in ("OPENROUTER_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, DEMO_KEY)

    biology("chat -g history hello", exit_code=4)
    assert gateway.requests == []


def test_an_exact_name_wins_over_an_id(two: Run, gateway: DemoGateway, home: Path) -> None:
    [(group_id,)] = rows(home, "SELECT id FROM groups WHERE name = 'biology'")
    two(f"chat -g {group_id[:8]} hello")
    assert gateway.requests[-1].api_key == DEMO_KEY
    two(f"chat -g {group_id.upper()} hello")
    assert gateway.requests[-1].api_key == DEMO_KEY

    two(f"group rename history {group_id[:8]}")
    two(f"chat -g {group_id[:8]} hello")
    assert gateway.requests[-1].api_key == HISTORY_KEY


def test_names_compare_without_case_and_in_either_unicode_form(biology: Run, gateway: DemoGateway) -> None:
    biology(["group", "add-key", "É\u0301tude", "--stdin"], stdin=HISTORY_KEY)
    biology(["chat", "-g", " é\u0301TUDE ", "hello"])

    assert gateway.requests[-1].api_key == HISTORY_KEY


# The prompt


def test_what_is_piped_comes_first_then_the_prompt(biology: Run, gateway: DemoGateway) -> None:
    biology("chat Sum this up", stdin="some text\n\n")
    assert sent(gateway)["messages"] == [{"role": "user", "content": "some text\n\nSum this up"}]

    biology("chat", stdin="only this\n")
    assert sent(gateway)["messages"] == [{"role": "user", "content": "only this\n"}]

    biology("chat Sum this up", stdin="")
    assert sent(gateway)["messages"] == [{"role": "user", "content": "Sum this up"}]

    biology("chat --no-stdin Sum this up", stdin="some text")
    assert sent(gateway)["messages"] == [{"role": "user", "content": "Sum this up"}]


def test_a_prompt_may_look_like_a_flag(biology: Run, gateway: DemoGateway) -> None:
    biology("chat -- --json -g nobody")

    assert sent(gateway)["messages"] == [{"role": "user", "content": "--json -g nobody"}]


def test_every_option_of_a_request_is_sent(biology: Run, gateway: DemoGateway) -> None:
    biology(
        "chat -m demo/echo -s 'Be brief.' --temperature 0.5 --max-tokens 9 --top-p 0.25"
        " -o seed 7 -o stop '[\"x\"]' -o user somebody hello"
    )

    body = sent(gateway)
    assert body["model"] == "demo/echo"
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hello"},
    ]
    assert (body["temperature"], body["max_tokens"], body["top_p"]) == (0.5, 9, 0.25)
    assert (body["seed"], body["stop"], body["user"]) == (7, ["x"], "somebody")


def test_options_at_the_ends_of_their_ranges_are_sent(biology: Run, gateway: DemoGateway) -> None:
    for low, high in ((0, 0), (2, 1)):
        biology(f"chat --temperature {low} --top-p {high} --max-tokens 1 hello")
        assert (sent(gateway)["temperature"], sent(gateway)["top_p"]) == (low, high)


def test_the_model_is_the_flags_the_sessions_the_groups_the_settings(
    biology: Run, gateway: DemoGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    biology("chat hello")
    assert sent(gateway)["model"] == "~anthropic/claude-haiku-latest"
    monkeypatch.setenv("AI_DEFAULT_MODEL", "demo/environment")
    assert json.loads(biology("chat --dry-run hello").out)["request"]["model"] == "demo/environment"
    biology("group set biology --model some/group")
    biology("chat hello")
    assert sent(gateway)["model"] == "some/group"
    biology("chat -m some/flag hello")
    assert sent(gateway)["model"] == "some/flag"
    biology("chat -c again")
    assert sent(gateway)["model"] == "some/flag"
    biology("chat -c -m some/other again")
    assert sent(gateway)["model"] == "some/other"


# Sessions


def test_c_goes_on_with_the_last_session_of_the_group(two: Run, gateway: DemoGateway) -> None:
    two("chat -g biology -m demo/echo one")
    two("chat -g history -m demo/echo two")
    two("chat -g biology -c three")

    assert [message["content"] for message in sent(gateway)["messages"]] == ["one", "one", "three"]  # type: ignore[attr-defined]


def test_c_after_a_refused_first_message_goes_on_with_the_good_session(
    biology: Run, gateway: DemoGateway, home: Path
) -> None:
    biology("chat -m demo/echo one")
    biology("chat -m demo/status-401 refused", exit_code=77)
    biology("chat -c -m demo/echo two")

    assert [message["content"] for message in sent(gateway)["messages"]] == ["one", "one", "two"]  # type: ignore[attr-defined]
    assert rows(home, "SELECT count(*) FROM messages GROUP BY session_id ORDER BY 1") == [(1,), (4,)]


def test_a_session_is_named_by_the_beginning_of_its_id(two: Run, gateway: DemoGateway, home: Path) -> None:
    session = json.loads(two("chat -g biology -m demo/echo one --json").out)["session"]
    two(f"chat -g biology --session {session[:8].upper()} two")
    assert len(sent(gateway)["messages"]) == 3  # type: ignore[arg-type]

    for more in ("", "--dry-run "):
        said = two(f"chat -g history --session {session} {more}two", exit_code=6)
        assert said.out == ""
        assert "belongs to group `biology`, not to `history` (chosen by --group)" in said.err
        assert f"hint: raptchat chat --group biology --session {session[:8]}\n" in said.err
    assert len(gateway.requests) == 2
    assert rows(home, "SELECT count(*) FROM messages") == [(4,)]


def test_a_new_system_prompt_stays_with_the_session(biology: Run, gateway: DemoGateway) -> None:
    biology("group set biology --system 'You are the group.'")
    biology("chat one")
    biology("chat -c -s 'You are the flag.' two")
    assert sent(gateway)["messages"][0] == {"role": "system", "content": "You are the flag."}  # type: ignore[index]
    biology("chat -c three")
    assert sent(gateway)["messages"][0] == {"role": "system", "content": "You are the flag."}  # type: ignore[index]
    biology("chat four")
    assert sent(gateway)["messages"][0] == {"role": "system", "content": "You are the group."}  # type: ignore[index]


# What comes out


def test_into_a_pipe_goes_the_text_alone(biology: Run) -> None:
    said = biology(["chat", "-m", "demo/echo", "a **b**\x1b[31m\tc\rd\x07\x9b"])

    assert said.out == "a **b**[31m\tc\rd\n"
    assert said.err == ""


def test_raw_is_exactly_what_the_model_wrote(biology: Run) -> None:
    text = "a\x1b[31m\x9b\u202e b"

    assert biology(["chat", "-m", "demo/echo", "--raw", text]).out == text
    assert biology(["chat", "-m", "demo/echo", "--plain", text]).out == "a[31m\u202e b\n"


def test_markdown_is_laid_out_also_into_a_pipe(biology: Run) -> None:
    said = biology(["chat", "-m", "demo/echo", "--markdown", "a **b** `c`"])

    assert said.out == "a b c\n"


def test_no_stream_shows_the_same(biology: Run) -> None:
    assert biology("chat --no-stream hello").out == biology("chat hello").out


def test_json_is_one_document_at_the_end(biology: Run, home: Path) -> None:
    said = biology("chat -m demo/echo hello --json")
    document = json.loads(said.out)

    [(credential_id,)] = rows(home, "SELECT id FROM ai_credentials")
    [(session,)] = rows(home, "SELECT id FROM sessions")
    usage = document.pop("usage")
    assert document == {
        "group": "biology",
        "session": session,
        "model": "demo/echo",
        "content": "hello",
        "finishReason": "stop",
        "credentialId": credential_id,
    }
    assert usage["totalTokens"] == usage["inputTokens"] + usage["outputTokens"]
    assert re.fullmatch(r"0\.\d+", usage["cost"])
    assert said.err == ""


def test_jsonl_is_a_line_an_event(biology: Run) -> None:
    lines = [json.loads(line) for line in biology("chat -m demo/reasoning --jsonl hello").out.splitlines()]

    assert {line["type"] for line in lines} == {"reasoning", "content", "done"}
    assert "".join(line["text"] for line in lines if line["type"] == "content") == "It is 4."
    assert "".join(line["text"] for line in lines if line["type"] == "reasoning") == "Two and two."
    assert lines[-1]["type"] == "done"
    assert lines[-1]["usage"]["outputTokens"] > 0


def test_what_the_gateway_does_not_name_is_null_and_never_0(biology: Run, gateway: DemoGateway) -> None:
    chunk = {
        "id": "gen-1",
        "model": "m",
        "choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}],
    }
    body = f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode()
    gateway.answer(Answer(body=[body]))
    document = json.loads(biology("chat hello --json").out)

    assert set(document["usage"].values()) == {None}
    gateway.answer(Answer(body=[body]))
    assert "- tokens in, - out, cost unknown, m" in biology("chat -u hello").err
    assert biology("usage").out.split("\t")[:6] == ["biology", "2", "-", "-", "-", "-\n"]
    [row] = json.loads(biology("usage --json").out)
    assert (row["totalTokens"], row["cost"], row["unknownCosts"], row["unknownTokens"]) == (None, None, 2, 2)


def test_u_says_what_it_took(biology: Run) -> None:
    said = biology("chat -u -q -m demo/echo hello")

    assert said.out == "hello\n"
    assert re.fullmatch(r"\d+ tokens in, \d+ out, \$0\.\d{6}, demo/echo, first token after .+ m?s\n", said.err)


def test_a_reply_cut_by_its_length_limit_is_0_with_a_warning(biology: Run) -> None:
    said = biology("chat -m demo/length hello")

    assert said.out == "As long as\n"
    assert "cut at its length limit" in said.err
    assert json.loads(biology("chat -m demo/length hello --json").out)["finishReason"] == "length"


def test_a_reply_cut_by_a_filter_says_so(biology: Run, gateway: DemoGateway) -> None:
    choice = {"index": 0, "delta": {"content": "hi"}, "finish_reason": "content_filter"}
    body = f"data: {json.dumps({'id': 'gen-1', 'model': 'm', 'choices': [choice]})}\n\ndata: [DONE]\n\n"
    gateway.answer(Answer(body=[body.encode()]))
    said = biology("chat hello")

    assert said.out == "hi\n"
    assert "content filter" in said.err


@pytest.mark.parametrize("how", ["", "--json", "--jsonl", "--raw"])
def test_private_stores_the_usage_and_no_words(biology: Run, home: Path, how: str) -> None:
    said = biology(f"chat --private -m demo/echo 'the secret word' {how}")

    assert "the secret word" in said.out
    assert rows(home, "SELECT (SELECT count(*) FROM sessions), (SELECT count(*) FROM messages)") == [(0, 0)]
    assert rows(home, "SELECT count(*), count(cost_nano_usd), count(session_id) FROM ai_usage") == [(1, 1, 0)]
    assert rows(home, "SELECT count(*) FROM ai_credentials WHERE last_used_at NOTNULL") == [(1,)]
    assert not [file for file in home.rglob("*") if file.is_file() and b"secret word" in file.read_bytes()]


def test_a_dry_run_sends_and_stores_nothing(biology: Run, gateway: DemoGateway, home: Path) -> None:
    before = (home / "raptchat.db").read_bytes()
    said = biology("chat --dry-run -s 'Be brief.' --temperature 0.5 -o seed 7 hello")
    document = json.loads(said.out)

    assert gateway.requests == []
    assert (home / "raptchat.db").read_bytes() == before
    assert document["url"] == f"{gateway.url}/chat/completions"
    assert (document["group"], document["keyHint"]) == ("biology", f"{DEMO_KEY[:8]}...{DEMO_KEY[-4:]}")
    assert DEMO_KEY not in said.out

    biology("chat -s 'Be brief.' --temperature 0.5 -o seed 7 hello")
    real = dict(sent(gateway))
    real.pop("session_id")  # of a session that only a real run makes
    assert document["request"] == real


def test_a_dry_run_shows_the_request_that_goes_on_with_a_session(biology: Run, gateway: DemoGateway) -> None:
    session = json.loads(biology("chat -m demo/echo one --json").out)["session"]
    for which in ("-c", f"--session {session}"):
        request = json.loads(biology(f"chat {which} --max-tokens 9 --dry-run two").out)["request"]
        biology(f"chat {which} --max-tokens 9 two")
        assert request == sent(gateway)
        assert request["session_id"] == session


def test_a_dry_run_refuses_a_gateway_that_the_key_is_not_for(
    biology: Run, gateway: DemoGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AI_GATEWAY_URL", "https://gateway.example/v1")
    dry = biology("chat --dry-run hello", exit_code=78)

    assert dry.out == ""
    assert f"is for {gateway.url.removesuffix('/api/v1')}, and the gateway is now https://gateway.ex" in dry.err
    assert dry.err == biology("chat hello", exit_code=78).err


def test_a_dry_run_needs_a_key_too(biology: Run) -> None:
    biology("group create history")

    biology("chat -g history --dry-run hello", exit_code=4)
    biology("chat -g biology --dry-run ''", exit_code=2)


def test_a_dry_run_shows_the_sessions_history(biology: Run, home: Path) -> None:
    biology("chat -m demo/echo one")
    document = json.loads(biology("chat --dry-run -c two").out)

    assert [one["content"] for one in document["request"]["messages"]] == ["one", "one", "two"]
    assert rows(home, "SELECT count(*) FROM messages") == [(2,)]


@pytest.mark.parametrize("where", ["--store {} chat hello", "chat --store {} hello", "chat hello --store {}"])
def test_the_store_stands_before_or_after_the_command(
    biology: Run, gateway: DemoGateway, tmp_path: Path, home: Path, where: str
) -> None:
    store = tmp_path / "other folder" / "store.db"
    biology(["vault", "init", "--file", str(tmp_path / "other.key"), "--store", str(store)])
    biology(["--store", str(store), "group", "add-key", "geography", "--stdin"], stdin=HISTORY_KEY)
    biology(where.format(f"'{store}'"))

    assert gateway.requests[-1].api_key == HISTORY_KEY
    assert rows(home, "SELECT count(*) FROM messages") == [(0,)]


def test_the_last_messages_go_along(biology: Run, gateway: DemoGateway) -> None:
    biology("config set history_messages 2")
    for word in ("one", "two", "three"):
        biology(f"chat -m demo/echo {'-c' if word != 'one' else ''} {word}")

    assert [message["content"] for message in sent(gateway)["messages"]] == ["two", "two", "three"]  # type: ignore[attr-defined]
