"""What the models of the benchmark say: texts of one kind each, as long as is asked for."""

CHARACTERS_PER_TOKEN = 4

_PROSE = (
    "A cell is the *basic* unit of life, and **every** organism has `cells`, as [the atlas](https://example.org/a)"
    " says. It goes on for a while, as prose does, and then it ends."
)
# What a text of each kind begins with, and what it repeats.
KINDS = {
    "prose": ("", f"{_PROSE}\n\n"),
    "list": ("", "- an item of **some** words\n  - one in it, with `code`\n"),
    "code": ("```python\n", "    return self.cell(name, 42) + ['a', \"b\"]  # a comment\n"),
    "table": ("| part | size | what for |\n|---|--:|---|\n", "| mitochondrion | 1 µm | makes **energy** |\n"),
    "paragraph": ("", f"{_PROSE} "),
}


def text_of(kind: str, tokens: int) -> str:
    """A text of this kind and length."""
    head, unit = KINDS[kind]
    length = tokens * CHARACTERS_PER_TOKEN
    return (head + unit * (length // len(unit) + 1))[:length]


def tokens_of(text: str) -> list[str]:
    """The tokens of *text*."""
    return [text[at : at + CHARACTERS_PER_TOKEN] for at in range(0, len(text), CHARACTERS_PER_TOKEN)]
