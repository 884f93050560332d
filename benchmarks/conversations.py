"""One more message in a conversation that has some already, of which raptchat sends the last."""

import json
from collections.abc import Iterator
from pathlib import Path

from measuring import Bench, Program, Row, Run
from peers import GROUP, PROMPT, SHORT, done

SECTION = "conversations"

LENGTHS = (10, 100, 1_000)

_MAKER = Path(__file__).with_name("workers") / "make_conversations.py"


def measure(bench: Bench) -> Iterator[Row]:
    """A message to conversations of 10, 100 and 1,000 messages, each run to a conversation of its own."""
    maker = Program("python", bench.python.command, bench.raptchat.environ)
    lengths = map(str, LENGTHS)
    made: dict[str, list[str]] = json.loads(done(maker(str(_MAKER), GROUP, str(bench.runs), *lengths)))
    runs: dict[str, list[Run]] = {length: [] for length in made}
    for turn in range(bench.runs):
        for length, sessions in made.items():
            runs[length].append(
                bench.run(bench.raptchat("chat", "--session", sessions[turn], "-m", SHORT, PROMPT))
            )
    for length, its in runs.items():
        yield Row.of(SECTION, f"{length} messages", bench.raptchat.name, its)
