"""The benchmark of Markdown counts what it says: cursor moves, growth, and the bytes of each way to draw."""

import os
import sys
from pathlib import Path

import markdown
import pytest
from measuring import Bench, Program
from texts import CHARACTERS_PER_TOKEN


@pytest.mark.parametrize(
    ("output", "above"),
    [
        (b"one\ntwo\n", 0),
        (b"a tail\nof three\nrows\x1b[2A", 0),
        (b"a tail\nof two\x1b[1Adone\na tail\nof two\x1b[1A", 0),
        (b"a tail\nof two\x1b[1A\n\nback to what is finished\x1b[3A", 1),
        (b"\n\n\x1b[1A\x1b[1A\x1b[1A", 2),
        (b"\n\n\x1b[A\x1b[F\x1b[2;5H\x1bM", 3),
    ],
)
def test_a_move_above_where_the_cursor_rested_is_counted(output: bytes, above: int) -> None:
    assert markdown.rises_above(output) == above


@pytest.mark.parametrize(
    ("costs", "growth", "power"), [((2, 32), 16, 1.0), ((1, 256), 16, 2.0), ((3, 3), 16, 0.0)]
)
def test_the_exponent_is_that_of_the_growth(costs: tuple[float, float], growth: float, power: float) -> None:
    assert markdown.exponent(*costs, growth) == pytest.approx(power)


@pytest.mark.process
def test_each_way_to_draw_is_measured_beside_the_others(tmp_path: Path) -> None:
    python = Program("python", (sys.executable,), dict(os.environ))
    bench = Bench(python, python, python, python, None, None, None, "http://127.0.0.1:1", tmp_path, quick=True)

    ours, once = markdown.drawn(bench, "table", tokens=400)
    all_of_it, more = markdown.live(bench, "table", (50, 100))

    assert [row.program for row in (ours, once, all_of_it, more)] == ["raptchat", "rich", "rich.live", "rich.live"]
    assert ours.name == once.name == "table, 400 tokens, drawing"
    assert ours.extra["times_rich"] == pytest.approx(ours.cpu_ms / once.cpu_ms)
    # The text is there, and what is drawn over and over is more than all of it.
    characters = 100 * CHARACTERS_PER_TOKEN
    assert 1 < ours.extra["bytes_per_character"] < 8 < more.extra["bytes_per_character"]
    assert (tmp_path / "table-100.md").stat().st_size >= characters
