"""The benchmark measures what it says: its figures are not tested, but that they are those of the right thing."""

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import at_once
import chart
import goals
import keyring_daemon
import oneshot
import peers
import pytest
import run as benchmark
import streaming
from gateway import Gateway, events
from measuring import Bench, Output, Program, ProgramError, Row, run
from report import BEGIN, END, Results, replaced
from texts import KINDS, text_of

from raptchat.media_types import media_type_of
from raptchat.providers.openrouter import OpenRouterClient
from raptchat.records import ContentChunk, DoneChunk

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
MIB = 2**20
OUTPUTS: tuple[Output, ...] = get_args(Output)


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with Gateway() as running:
        yield running


def python(code: str, *words: str, name: str = "python") -> Program:
    """Python without what a venv adds, which runs *code*."""
    return Program(name, (sys.executable, "-I", "-S", "-c", code, *words), dict(os.environ))


def a_bench(scratch: Path, **changes: Any) -> Bench:
    """A bench that has no program but Python."""
    bench = Bench(
        raptchat=python("pass", name="raptchat"),
        python=python("pass"),
        http_client=python("pass", name="http.client"),
        httpx=python("pass", name="httpx"),
        curl=None,
        llm=None,
        sgpt=None,
        gateway="http://127.0.0.1:1",
        scratch=scratch,
    )
    return replace(bench, **changes)


def a_row(section: str, name: str, program: str = "raptchat", extra: Mapping[str, float] | None = None) -> Row:
    return Row(section, name, program, 100.0, 90.0, 30.0, extra or {})


def every_row() -> list[Row]:
    """What all sections together find, as far as a goal reads it."""
    rows = [
        a_row(section, name, program, {"exit_ms": 3.0})
        for section, name in (
            ("startup", "--version"),
            ("startup", "--help"),
            ("oneshot", "file vault"),
            ("oneshot", "Secret Service"),
            ("large_store", "1,000,000 messages: search, a common word"),
        )
        for program in ("python -c pass", "raptchat", "httpx", "llm", "shell-gpt")
    ]
    rows += [
        a_row("streaming", "100000 tokens", program, {"us_per_token": 9.0, "memory_per_byte": 2.0})
        for program in ("raptchat", "raptchat --private", "httpx", "llm")
    ]
    markdown = {"exponent": 1.0, "times_rich": 0.9, "bytes_per_character": 2.0, "above_the_tail": 0.0}
    at_once = {"failed": 0.0, "worst_ms": 900.0}
    return [
        *rows,
        a_row("markdown", "list, 2,000 tokens", extra=markdown),
        a_row("large_store", "100,000 groups: look up a key", extra={"lookup_ms": 0.4}),
        a_row("at_once", "50 processes x 20 touches", extra=at_once),
        a_row("at_once", "50 processes x 20 chats", extra=at_once),
        a_row("at_once", "16 first starts, 16 at once", extra=at_once),
    ]


# One process, measured from outside.


def test_memory_and_processor_time_of_a_process_are_seen(tmp_path: Path) -> None:
    burn = "import time\nwhile time.process_time() < 0.2: pass"
    small = run(python("pass"), to="pipe", scratch=tmp_path, timeout=30)
    large = run(python(f"held = bytearray(50 * {MIB})"), to="pipe", scratch=tmp_path, timeout=30)
    busy = run(python(burn), to="pipe", scratch=tmp_path, timeout=30)
    assert 48 <= large.rss_mib - small.rss_mib < 55  # small may be less than the floor
    assert small.cpu_ms < 200 <= busy.cpu_ms <= busy.wall_ms


def test_what_the_harness_holds_is_not_counted_as_the_program_s(tmp_path: Path) -> None:
    held = bytearray(150 * MIB)
    measured = run(Program("true", ("/bin/sh", "-c", ":"), {}), to="pipe", scratch=tmp_path, timeout=30)
    assert measured.rss_mib < 20 < len(held) / MIB


def test_output_is_seen_through_a_pipe_in_a_file_and_at_a_terminal(tmp_path: Path) -> None:
    code = (
        "import os, sys; print(sys.stdout.isatty(), *(os.get_terminal_size() if sys.stdout.isatty() else ()));"
        " sys.stdout.isatty() and print(os.ttyname(0) == os.ttyname(2), open('/dev/tty').isatty())"
    )
    said = {to: run(python(code), to=to, scratch=tmp_path, timeout=30) for to in OUTPUTS}
    assert said["pipe"].output == said["file"].output == b"False\n"
    assert said["pty"].output == b"True 120 40\r\nTrue True\r\n"
    assert (
        0 < said["pipe"].first_byte_ms < said["pipe"].first_byte_ms + said["pipe"].exit_ms <= said["pipe"].wall_ms
    )
    assert said["file"].first_byte_ms == said["file"].exit_ms == 0


@pytest.mark.parametrize("to", OUTPUTS)
def test_a_program_that_fails_is_an_error_with_what_it_said(to: Output, tmp_path: Path) -> None:
    program = python("import sys; sys.exit('no such luck')")
    with pytest.raises(ProgramError, match="ended with 1: no such luck"):
        run(program, to=to, scratch=tmp_path, timeout=30)


def test_a_program_that_a_signal_ends_or_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match=f"ended with -{signal.SIGKILL}"):
        run(python("import os; os.kill(os.getpid(), 9)"), to="pipe", scratch=tmp_path, timeout=30)
    with pytest.raises(ProgramError, match="`ghost` cannot be started"):
        run(Program("ghost", (str(tmp_path / "ghost"),)), to="pipe", scratch=tmp_path, timeout=30)


@pytest.mark.parametrize("to", ["pipe", "pty"])
def test_a_program_that_does_not_end_is_ended_under_nohup_too(to: Output, tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    os.mkfifo(alive)
    reader = os.open(alive, os.O_RDONLY | os.O_NONBLOCK)
    code = f"import os, time; os.write(os.open({str(alive)!r}, os.O_WRONLY), b'here'); time.sleep(600)"
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with pytest.raises(ProgramError, match="took more than 2 seconds"):
            run(python(code), to=to, scratch=tmp_path, timeout=2)
        os.set_blocking(reader, True)
        assert os.read(reader, 9) == b"here"
        assert os.read(reader, 9) == b""  # nobody has it open any more
    finally:
        signal.signal(signal.SIGHUP, before)
        os.close(reader)


def test_programs_run_in_turn_and_what_is_missing_is_left_out(tmp_path: Path) -> None:
    turns = tmp_path / "turns"
    mark = "import sys; open(sys.argv[1], 'a').write(sys.argv[2])"
    a, b = (python(mark, str(turns), name, name=name) for name in "ab")
    rows = list(a_bench(tmp_path, runs=3).compare("section", "name", [a, None, b]))
    assert turns.read_text() == "ababab"
    assert [(row.program, row.runs) for row in rows] == [("a", 3), ("b", 3)]
    assert all(row.wall_ms >= row.cpu_ms > 0 and row.rss_mib > 1 for row in rows)


def test_what_has_used_up_its_time_runs_no_more_and_reports_what_it_has(tmp_path: Path) -> None:
    rows = list(a_bench(tmp_path, seconds=0.0001).compare("section", "name", [python("pass"), python("pass")]))
    assert [row.runs for row in rows] == [1, 1]


# The gateway.


@pytest.mark.parametrize("kind", KINDS)
def test_a_reply_of_the_gateway_is_the_text_that_its_model_names(kind: str, gateway: Gateway) -> None:
    for model in (f"bench/{kind}-50", f"bench/{kind}-50@5000", f"bench/{kind}-50x16"):
        with OpenRouterClient(api_key="sk-or-v1-any", base_url=gateway.url, default_model=model) as client:
            chunks = list(client.stream_chat([{"role": "user", "content": "?"}]))
        pieces = [chunk.text for chunk in chunks if isinstance(chunk, ContentChunk)]
        done = chunks[-1]
        assert isinstance(done, DoneChunk)
        assert "".join(pieces) == done.content == text_of(kind, 50)
        assert (done.usage.output_tokens, done.finish_reason) == (50, "stop")
        assert done.usage.cost is not None


def test_the_gateway_answers_in_one_piece_lists_models_and_refuses_others(gateway: Gateway) -> None:
    connection = http.client.HTTPConnection(urlsplit(gateway.url).netloc, timeout=10)

    def ask(method: str, path: str, form: object = None) -> tuple[int, dict[str, object]]:
        connection.request(method, path, json.dumps(form) if form else None)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())

    try:
        status, whole = ask("POST", "/api/v1/chat/completions", {"model": "bench/prose-9", "messages": []})
        assert status == 200
        assert whole["choices"][0]["message"]["content"] == text_of("prose", 9)  # type: ignore[index]
        assert ask("POST", "/api/v1/chat/completions", {"model": "bench/verse-9", "messages": []})[0] == 404
        assert len(ask("GET", "/api/v1/models")[1]["data"]) == len(KINDS)  # type: ignore[arg-type]
    finally:
        connection.close()


def test_an_event_is_an_http_chunk_unless_the_model_says_how_many_are() -> None:
    single, packed = (events(f"bench/prose-50{packed}")[0] for packed in ("", "x16"))
    assert [(len(chunks), chunks[0].count(b"data: ")) for chunks in (single, packed)] == [(50, 1), (4, 16)]


@pytest.mark.parametrize("script", ["bare_http_client.py", "bare_httpx.py"])
def test_the_limits_pass_a_reply_on(script: str, gateway: Gateway) -> None:
    words = [sys.executable, str(peers.LIMITS / script), gateway.url, "sk-or-v1-any", "bench/table-30", "hello"]
    ended = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
    assert ended.stdout == text_of("table", 30)


# What is made of the figures.


def test_every_goal_finds_its_figure_in_the_rows() -> None:
    found = goals.reached(every_row())
    unmeasured = [one.goal for one in found if one.raptchat is None]
    assert [goal for goal in unmeasured if not goal.held_by] == []
    assert [goal for goal in unmeasured if not (BENCHMARKS.parent / goal.held_by).exists()] == []
    assert len(found) == len(goals.GOALS)


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    assert {one.is_met for one in goals.reached([])} == {None}


def test_a_smaller_store_meets_no_goal_of_the_large_one() -> None:
    def smaller(row: Row) -> Row:
        return replace(
            row, name=row.name.replace("1,000,000 messages", "100,000").replace("100,000 g", "10,000 g")
        )

    found = goals.reached(map(smaller, every_row()))
    assert {one.goal.what for one in found if one.raptchat is None and not one.goal.held_by} == {
        "a key among 100,000 groups, open to close",
        "search of 1,000,000 messages, a common word / `llm logs -q`",
        "the worst of the searches / `llm logs -q`",
    }


def test_storing_is_compared_without_what_it_takes_to_start() -> None:
    stored = a_row("streaming", "100000 tokens", extra={"us_per_token": 11.0})
    private = a_row("streaming", "100000 tokens", "raptchat --private", {"us_per_token": 10.0})
    [storing] = [one for one in goals.reached([stored, private]) if "storing" in one.goal.what]
    assert storing.raptchat == pytest.approx(0.1)


def test_a_goal_is_met_up_to_its_limit_and_missed_above() -> None:
    def shown(wall_ms: float) -> str:
        ours = replace(a_row("startup", "--version"), wall_ms=wall_ms)
        return Results({}, [ours, a_row("startup", "--version", "python -c pass")]).markdown().splitlines()[4]

    assert "1.60 | met" in shown(160.0)
    assert "1.61 | **missed**" in shown(161.0)


def test_results_take_the_place_of_the_last_ones() -> None:
    text = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert replaced(text, "new") == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    assert replaced(replaced(text, "new"), "new") == replaced(text, "new")
    with pytest.raises(ValueError, match="has no"):
        replaced("nothing to write between", "new")


def test_the_chart_is_well_formed_and_within_its_width() -> None:
    slow = replace(a_row("oneshot", "file vault", "llm"), wall_ms=60_000.0)
    drawn = ET.fromstring(chart.svg([*every_row(), slow]))  # noqa: S314 - it is our own
    bars = drawn.findall("{*}rect")
    assert len([bar for bar in bars if bar.get("class") == "ours"]) == len(chart.PANELS)
    page, *bars = bars
    assert {page.attrib[size] for size in ("width", "height")} == {
        drawn.attrib[size] for size in ("width", "height")
    }
    assert len(bars) == len(chart.PANELS) * len(chart.NAMES) + 1
    assert all(float(bar.attrib["x"]) + float(bar.attrib["width"]) <= float(drawn.attrib["width"]) for bar in bars)
    assert all(float(text.attrib["y"]) <= float(drawn.attrib["height"]) for text in drawn.findall("{*}text"))


def test_the_image_is_one_that_raptchat_attaches(tmp_path: Path) -> None:
    oneshot.write_image(tmp_path / "image.png")
    content = (tmp_path / "image.png").read_bytes()
    assert media_type_of(content) == "image/png"
    assert len(content) > 200_000


def test_a_token_s_cost_and_memory_are_those_beyond_a_shorter_reply(tmp_path: Path) -> None:
    rows = {row.name: row for row in streaming.measure(a_bench(tmp_path, runs=1)) if row.program == "raptchat"}
    short, middle, long = (rows[f"{tokens} tokens"] for tokens in (2_000, 20_000, 100_000))
    assert long.extra["us_per_token"] == pytest.approx((long.cpu_ms - middle.cpu_ms) * 1000 / 80_000)
    assert long.extra["memory_per_byte"] == pytest.approx((long.rss_mib - short.rss_mib) * MIB / (98_000 * 4))
    assert not short.extra


def test_processes_that_fail_together_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    programs = [python("pass"), python("raise SystemExit('database is locked')"), python("raise SystemExit(3)")]
    row = at_once.together("starts", programs, 3)
    assert (row.name, row.extra["failed"]) == ("3 starts, 3 at once", 2)
    assert row.wall_ms >= row.extra["worst_ms"] > 0 < row.cpu_ms
    assert "database is locked" in capsys.readouterr().err


# The command.


def test_a_section_that_fails_is_named_and_the_others_are_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fails = a_bench(tmp_path, runs=1, httpx=python("raise SystemExit(3)", name="httpx"))
    # What makes the conversations says nothing here, which is no JSON.
    rows, failures = benchmark.measured(fails, ["oneshot", "conversations", "startup"])
    assert failures == ["oneshot", "conversations"]
    assert {row.section for row in rows} == {"startup"}
    assert "oneshot: ProgramError" in capsys.readouterr().err


def test_a_peer_that_cannot_be_installed_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert benchmark.installable(lambda: peers.llm(tmp_path / "file", tmp_path, "http://127.0.0.1:1")) is None
    assert capsys.readouterr().err.startswith("left out: ")


def run_benchmark(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(BENCHMARKS / "run.py"), "--no-peers", "--runs", "1", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)


@pytest.mark.process
def test_one_command_measures_prints_and_writes(tmp_path: Path) -> None:
    page, data, drawing = tmp_path / "README.md", tmp_path / "results.json", tmp_path / "chart.svg"
    page.write_text(f"{BEGIN}\n{END}\n")
    words = ["--quick", "--only", "startup", "--only", "oneshot", "--python", sys.executable]
    ended = run_benchmark(*words, "--json", str(data), "--svg", str(drawing), "--markdown", str(page))
    assert ended.returncode == 0, ended.stderr
    found = json.loads(data.read_text())
    ours = {row["name"]: row for row in found["rows"] if row["program"] == "raptchat"}
    assert {*ours} >= {"--version", "--help", "credentials list", "file vault", "with an image"}
    assert ("Secret Service" in ours) == keyring_daemon.is_installed()
    assert all(row["wall_ms"] > 1 and row["rss_mib"] > 5 for row in ours.values())
    assert [one["what"] for one in found["goals"]] == [goal.what for goal in goals.GOALS]
    assert ET.fromstring(drawing.read_text()).findall("{*}rect")  # noqa: S314 - it is our own
    assert goals.GOALS[0].what in page.read_text()
    assert page.read_text().split(BEGIN)[1].split(END)[0].strip() in ended.stdout


@pytest.mark.process
def test_whoever_ends_it_gets_what_was_measured_and_nothing_is_left(tmp_path: Path) -> None:
    words = ["--no-peers", "--python", sys.executable, "--only", "startup", "--only", "oneshot"]
    with subprocess.Popen(
        [sys.executable, str(BENCHMARKS / "run.py"), "--quick", "--runs", "1", *words],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr
        for line in process.stderr:
            if line.startswith("oneshot: "):
                break
        process.terminate()
        # Whatever was left running would hold the pipes open.
        out, errors = process.communicate(timeout=60)
    assert (process.returncode, errors.splitlines()[-1]) == (1, "error: not measured: oneshot")
    assert "### startup" in out
    assert "### oneshot" in out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.process
def test_chats_of_processes_at_one_store_are_timed_and_their_failures_counted(
    tmp_path: Path, gateway: Gateway
) -> None:
    ours = peers.raptchat(Path(sys.executable), tmp_path / "raptchat", gateway.url)
    bench = a_bench(tmp_path, raptchat=ours, python=Program("python", (sys.executable,)))
    for row in (at_once.chats(bench, 2, 3), at_once.touches(bench, 2, 3)):
        assert row.name in {"2 processes x 3 chats", "2 processes x 3 touches"}
        assert (row.wall_ms >= row.extra["worst_ms"] > 0, row.extra["failed"]) == (True, 0)
    elsewhere = replace(bench, raptchat=ours.with_environ(RAPTCHAT_HOME=str(tmp_path / "nothing")))
    assert at_once.chats(elsewhere, 2, 3).extra["failed"] == 2


@pytest.mark.process
@pytest.mark.parametrize(("page", "complaint"), [("# Results\n", "has no"), (None, "No such file")])
def test_a_page_that_cannot_take_the_results_is_refused_before_anything_runs(
    page: str | None, complaint: str, tmp_path: Path
) -> None:
    if page:
        (tmp_path / "page.md").write_text(page)
    ended = run_benchmark("--python", sys.executable, "--markdown", str(tmp_path / "page.md"))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert complaint in ended.stderr


@pytest.mark.process
def test_a_python_without_raptchat_is_refused(tmp_path: Path) -> None:
    ended = run_benchmark("--only", "startup", "--python", str(tmp_path / "python"))
    assert ended.returncode == 1
    assert "raptchat is not installed there" in ended.stderr
