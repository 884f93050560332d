"""How a reply in Markdown looks: nothing of it is lost, and nothing of it acts on the terminal."""

import io
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.markdown import Markdown
from screen import Window, plain, shown

from raptchat.render.drawing import drawn
from raptchat.render.markdown import MarkdownWriter


def drawn_by(terminal: Window, *parts: str) -> str:
    """What is written when *parts* come in one moment."""
    writer = MarkdownWriter(terminal, clock=lambda: 0.0)
    for part in parts:
        writer.text(part)
    writer.end()
    assert isinstance(terminal.out, io.StringIO)
    return terminal.out.getvalue()


def page(text: str, *, width: int = 80) -> str:
    """What is written of *text*, with its colours."""
    return drawn_by(replace(Window.recorded(is_tty=True, width=width), repaints=False), text)


def look(text: str, *, width: int = 80) -> list[str]:
    """What a person sees of *text*."""
    return shown(page(text, width=width), width=width)


def test_plain_markdown_looks_as_rich_draws_it() -> None:
    text = "One *two*.\n\n## Three\n\n- four\n- five\n\nSix\n\n1. seven\n"

    theirs = drawn(Markdown(text), width=80, colors=None, stream=io.StringIO())

    assert look(text) == shown(theirs)


def test_headings_have_styles_and_the_first_stands_in_the_middle() -> None:
    lines = page("# One #\n## Two\n### Three ###\nFour\n====\n#\n", width=40).splitlines()

    assert [plain(line) for line in lines] == [" " * 18 + "One", "", "Two", "", "Three", "", " " * 18 + "Four"]
    assert all(re.search(rf"\x1b\[[0-9;]*m{word}", page("## Two\n")) for word in ["Two"])
    assert len({line.replace(plain(line).strip(), "") for line in lines if line}) == 3


def test_a_long_heading_is_folded_and_a_long_paragraph_is_none() -> None:
    heading = " ".join(f"word{n}" for n in range(40))

    assert page(f"## {heading}\n", width=40).count("\x1b[") == 2 * len(look(f"## {heading}\n", width=40))
    assert look(f"{heading * 3}\n---\n", width=40)[-1] == "-" * 40


def test_blocks_at_the_margin_stand_apart_and_those_inside_stand_as_in_the_text() -> None:
    assert look("a\n- b\n- c\n\n  d\n\n\n- e\n  - f\n\n  - g\n# h\n***\n> i\n> # j\n>\n> k\n> ***\n") == [
        "a",
        "",
        " • b",
        " • c",
        "",
        "   d",
        "",
        " • e",
        "    • f",
        "",
        "    • g",
        "",
        " " * 39 + "h",
        "",
        "-" * 80,
        "",
        "▌ i",
        "▌" + " " * 39 + "j",
        "▌",
        "▌ k",
        "▌ " + "-" * 78,
    ]


def test_lists_keep_their_numbers_and_an_empty_item_its_sign() -> None:
    assert look("9. nine\n9. ten\n9)  other\n\nbetween\n\n99. a\n1. b\n\n-\n-\n  text\n- - deep\n  -\n") == [
        " 9 nine",
        "10 ten",
        "",
        " 9 other",
        "",
        "between",
        "",
        "99 a",
        "100 b",
        "",
        " •",
        " • text",
        " •  • deep",
        "    •",
    ]


def test_code_stands_in_lists_and_quotes() -> None:
    assert look("- a\n\n  ```\n  x\n    y\n\n  z\n  ```\n> ~~~\n> b\n\nc\n\n    d\n\n\n     e\nf") == [
        " • a",
        "",
        "     x",
        "       y",
        "",
        "     z",
        "",
        "▌   b",
        "",
        "c",
        "",
        "  d",
        "",
        "",
        "   e",
        "",
        "f",
    ]


def test_a_fence_ends_at_its_own_kind_and_length_only() -> None:
    text = "````\n```\n~~~~\n    ````\n`````\nafter\n\n```a`b\n\n  ~~~x y\n   in\n ~~~  \nend\n"

    assert look(text) == ["  ```", "  ~~~~", "      ````", "", "after", "", "```a`b", "", "   in", "", "end"]


def test_a_table_is_as_wide_as_it_must_be() -> None:
    rows = "| 核 | 1 |\n| *mitochondrion* | 20 \n| a \\| b | `c\\|d` | extra |\n| lone |\nend\n"

    assert look(f"| part | n |\n|:--|--:|\n{rows}\nx") == [
        " part                     n",
        " ──────────────────────────",
        " 核                       1",
        " mitochondrion           20",
        " a | b          c|d | extra",
        " lone",
        " end",
        "",
        "x",
    ]


def test_centred_and_empty_cells() -> None:
    assert look("|a|middle|\n|:-:|:-:|\n||x|\n|long|\n") == [
        "  a    middle",
        " ────────────",
        "         x",
        " long",
    ]


def test_a_table_may_follow_text_without_a_gap() -> None:
    long = " ".join(f"word{n}" for n in range(100))

    assert look("text\na | b\n--|--\nc\n") == ["text", "", " a  b", " ────", " c"]
    assert look("- text\n  a | b\n  --|--\n") == [" • text", "    a  b", "    ────"]
    assert look(f"{long}\na | b\n--|--\n", width=900)[2:] == [" a  b", " ────"]
    assert "─" not in "".join(look(f"{long} a | b\n--|--\n"))


def test_a_table_wider_than_the_page_shares_it_out() -> None:
    lines = look(f"| id | text | other |\n|---|---|---|\n| 1 | {'many words ' * 9} | {'more ' * 9} |\n", width=40)

    assert lines[0].split() == ["id", "text", "other"]
    assert max(map(len, lines)) <= 40
    assert " ".join(lines).split().count("words") == 9
    assert " ".join(lines).split().count("more") == 9


def test_a_long_word_in_a_table_goes_on_in_the_next_line() -> None:
    text = plain(page(f"| a | b |\n|---|---|\n| {'x' * 100} | y |\n", width=40))

    assert text.count("x") == 100
    assert "…" not in text


def test_a_table_with_more_columns_than_fit_keeps_every_cell() -> None:
    names = [f"c{n:02}" for n in range(30)]
    rule = "|".join(["--"] * 30)
    text = f"{'|'.join(names)}\n{rule}\n{'|'.join(name.upper() for name in names)}\n"

    seen = plain(page(text, width=40))

    assert [name for name in names if name not in seen or name.upper() not in seen] == []


def test_rows_below_the_measured_ones_are_folded_into_the_same_columns() -> None:
    rows = [f"| {n} | short |\n" for n in range(98)]
    text = "| n | text |\n|---|---|\n" + "".join(rows) + f"| 100 | {'longer words ' * 5}|\n"

    lines = look(text)

    assert lines[-10].split() == ["100", "longer"]
    assert [line.split() for line in lines[-9:]] == [["words"], ["longer"]] * 4 + [["words"]]
    assert {len(line) - len(line[9:].lstrip()) for line in lines[2:] if line[9:]} == {9}


def test_a_row_without_end_is_several() -> None:
    assert "".join(look(f"|a|b|\n|-|-|\n| {'x ' * 5_000}|\n", width=200)).count("x") == 5_000


def test_what_looks_like_a_table_and_is_none() -> None:
    text = "a | b\n--|\n\n| a |\n- | -\n\na | b\n--|--|--\n\na\n-|-\n\na | b\n--||--\n"

    assert "─" not in "".join(look(text))


def test_links_show_their_url_and_pictures_and_titles_are_not_lost() -> None:
    text = '[a](http://x "t") ![b *c*](d.png "e") ![](f.png) <https://g.org> [r][1] [![i](j)](k)\n\n[1]: /u "v"\n'

    assert look(text, width=200) == [
        "a (http://x) “t” b c (d.png) “e” image (f.png) https://g.org [r][1] i (j) (k)",
        "",
        '[1]: /u "v"',
    ]


def test_a_link_that_says_where_it_leads_says_it_once() -> None:
    assert look("[https://g.org/a](https://g.org/a) <me@example.org>") == ["https://g.org/a me@example.org"]


def test_formulas_stay_as_they_were_written() -> None:
    text = (
        r"With $x_1 * y_1$, $$a_b *c* d_e$$, \(a_1 \* b_1\) and \[ \frac{a_1}{b} \]; not *this*, "
        r"$5 *or* $10, nor \$1 *or* \( or $ *x* $; $2.50 for `$a` *b* `c$`."
    )

    assert look(text, width=200) == [
        r"With $x_1 * y_1$, $$a_b *c* d_e$$, \(a_1 \* b_1\) and \[ \frac{a_1}{b} \]; not this, "
        r"$5 or $10, nor $1 or ( or $ x $; $2.50 for $a b c$."
    ]


def test_formulas_on_lines_of_their_own_keep_their_lines() -> None:
    text = "So:\n$$\n- x_1 &= *y* \\\\\n# = 2\n$$\nand\n\\[\n> z\n\\] .\n- in an item\n  $$\n  a * b\n\n  _end_\n"

    assert look(text) == [
        "So:",
        "",
        "$$",
        "- x_1 &= *y* \\\\",
        "# = 2",
        "$$",
        "",
        "and",
        "",
        "\\[",
        "> z",
        "\\] .",
        "",
        " • in an item",
        "   $$",
        "   a * b",
        "",
        "   end",
    ]


def test_html_is_text_and_an_unmatched_tag_breaks_nothing() -> None:
    assert look("a <kbd>b</kbd></kbd>\n\n<script>x</script>\n\n<div>\n<!-- c -->\n") == [
        "a <kbd>b</kbd></kbd>",
        "",
        "<script>x</script>",
        "",
        "<div> <!-- c -->",
    ]


def test_line_breaks_are_those_of_the_text() -> None:
    assert look("a  \nb\\\nc\nd&#10;e&#9;f") == ["a", "b", "c d", "e f"]


def test_tabs_are_four_cells_wide() -> None:
    assert look("-\ta\n\n\tb\n\n>\t\tc\n") == [" • a", "", "   b", "", "▌     c"]


@pytest.mark.parametrize("sequence", ["👩‍🔬", "🇩🇪", "❤️", "e\u0301", "👨‍👩‍👧‍👦", "ไทย", "עברית", "مرحبا", "क्षि"])
def test_what_is_one_sign_of_several_characters_stays_together(sequence: str) -> None:
    text = f"{f'x{sequence} ' * 60}\n\n- {sequence}\n\n| {sequence} | {sequence * 3} |\n|---|---|\n"

    assert plain(page(text, width=40)).count(sequence) == 60 + 1 + 4


def test_an_entity_does_not_bring_back_what_was_cleaned_away() -> None:
    text = page('&#x202e;&#x2028; [a](b "&#x202e;") `&#27;` &amp; &lt;\n\n```&#x202e;\n&#x202e;\n```\n')

    assert "\u202e" not in text
    assert "\u2028" not in text
    assert "& <" in text


@settings(max_examples=150, deadline=None, database=None)
@given(text=st.text(st.sampled_from("ab1.)-*+_`~#>|$[]()!<&;\\ \n\t\x1b\u202e核"), max_size=60))
def test_any_text_is_drawn_and_no_letter_of_it_is_lost(text: str) -> None:
    # A backtick's line may carry the name of a language, which is markup.
    if "```" not in text and "~~~" not in text:
        assert sorted(re.findall("[ab核]", plain(page(text, width=40)))) == sorted(re.findall("[ab核]", text))


@pytest.mark.parametrize("width", [20, 40, 80])
@pytest.mark.parametrize(
    "nested",
    ["> " * 60 + "deep", "".join("  " * n + f"- level{n}\n" for n in range(40)), "1. " * 40 + "deep"],
)
def test_nothing_is_lost_however_deeply_it_is_nested(nested: str, width: int) -> None:
    letters = re.sub(r"\s", "", plain(page(nested, width=width)))

    assert [word for word in re.findall(r"[a-z]+\d*", nested) if word not in letters] == []


def test_a_long_paragraph_is_cut_where_nothing_is_open() -> None:
    words = " ".join(f"word{n}" for n in range(100))
    text = f"{words} **strong {words}** [link {words}](https://x.org) `code {words}` $a_1 {words[:80]} b_1$ end"

    seen = " ".join(look(text, width=200))

    assert not re.search(r"\*|`|\]\(|\[", seen)
    assert "(https://x.org)" in seen
    assert "$a_1 " in seen


def test_what_is_never_closed_is_text_in_the_end() -> None:
    words = " ".join(f"word{n}" for n in range(600))

    assert " ".join(look(f"**{words} `{words}", width=200)) == f"**{words} `{words}"
    assert "".join(look("核。" * 3_000, width=80)) == "核。" * 3_000


@pytest.mark.parametrize(
    ("beginning", "first"),
    [("## ", ""), ("> ", "▌ "), ("- ", " • "), ("```\n", "  "), ("$$\n", "$$"), (" " * 600, "    "), ("", "")],
)
def test_a_line_of_many_thousand_characters_is_what_its_beginning_says(beginning: str, first: str) -> None:
    words = " ".join(f"word{n}" for n in range(1_000))

    lines = look(beginning + words, width=200)

    assert lines[0].startswith(first)
    assert "".join(re.findall(r"\w", "".join(lines))) == words.replace(" ", "")


def test_without_colours_nothing_is_styled() -> None:
    terminal = replace(Window.recorded(is_tty=True), out_colors=None, repaints=False)
    text = drawn_by(terminal, "# One\n\n**two** `three`\n\n```python\ndef f(): pass\n```\n- four\n> five\n")

    assert "\x1b" not in text
    assert text.split() == ["One", "two", "three", "def", "f():", "pass", "•", "four", "▌", "five"]


class Ascii(io.StringIO):
    """A stream of a locale that knows no other characters."""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "ascii"


def test_signs_are_ascii_where_there_is_nothing_else() -> None:
    terminal = replace(Window.recorded(), out=Ascii())

    assert drawn_by(terminal, "- a\n> b\n\n|c|d|\n|-|-|\n").isascii()


def test_into_a_pipe_what_is_finished_goes_out_without_any_escape_sequence() -> None:
    terminal = Window.recorded()
    assert isinstance(terminal.out, io.StringIO)
    seen = []
    now = 0.0
    writer = MarkdownWriter(terminal, clock=lambda: now)
    for part in ["# One\n", "\nTwo **b", "old**\n", "\nThr", "ee"]:
        now += 1
        writer.text(part)
        seen.append(terminal.out.getvalue().split())
    writer.end()

    # A line below it could still make a heading of `Two`; one below the first heading changes nothing.
    assert seen == [[], ["One"], ["One"], ["One", "Two", "bold"], ["One", "Two", "bold"]]
    assert terminal.out.getvalue().split() == ["One", "Two", "bold", "Three"]
    assert "\x1b" not in terminal.out.getvalue()


def test_an_empty_reply_writes_nothing() -> None:
    assert page("") == page("\n \n\n") == ""
