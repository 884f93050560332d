"""`-x`: the first fenced block of a reply, as CommonMark sees fences."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raptchat.render.extract import first_block


@pytest.mark.parametrize(
    ("markdown", "block"),
    [
        ("```\nx\n```", "x\n"),
        ("Here:\n\n```python\nprint(1)\n\nprint(2)\n```\nand\n```\nno\n```\n", "print(1)\n\nprint(2)\n"),
        ("~~~ sh -x\n```\n~~~\n", "```\n"),
        ("````md\n```\ninner\n```\n````", "```\ninner\n```\n"),
        ("```\nnever closed\n  kept", "never closed\n  kept"),
        ("   ```\n   a\n     b\n   ```", "a\n  b\n"),
        ("1. do this:\n\n   ```sh\n   ls\n     -l\n   ```\n", "ls\n  -l\n"),
        ("> - quoted\n>   ```\n>   x\n>   ```\n", "x\n"),
        ("> ```\n> x\nafter the quote", "x\n"),
        ("```\r\na\r\nb\r\n```", "a\nb\n"),
        ("```\n```", ""),
        ("a ``` b ``` c\n\n~~~\nx\n~~~", "x\n"),
        ("<pre>\n```\nno\n```\n</pre>\n\n```\nyes\n```", "yes\n"),
        ("    ```\n    an indented block\n    ```\n\n```\nyes\n```", "yes\n"),
    ],
)
def test_the_first_block_is_what_is_inside_its_fence(markdown: str, block: str) -> None:
    assert first_block(markdown) == block


@pytest.mark.parametrize(
    "markdown", ["", "no code", "`x`", "a ```x``` b", "    indented\n", "    ```\n    x\n    ```", "``\nx\n``"]
)
def test_a_text_without_a_fence_has_no_block(markdown: str) -> None:
    assert first_block(markdown) is None


@given(st.text(alphabet="ab `~\n\t#-", max_size=60))
def test_a_text_is_what_comes_out_of_a_longer_fence(text: str) -> None:
    assert first_block(f"{'`' * 61}\n{text}\n{'`' * 61}\n") == f"{text}\n"
