"""The first fenced code block of a Markdown text, for `-x`."""


def first_block(markdown: str) -> str | None:
    """What is inside the first fence of *markdown*, without the fence; `None` when it has none.

    Fences are those of CommonMark (https://spec.commonmark.org/0.31.2/#fenced-code-blocks), also in lists and
    quotes; one that is not closed ends with what holds it.
    """
    if "```" not in markdown and "~~~" not in markdown:
        return None
    from markdown_it import MarkdownIt

    # Which words are emphasised, and where links lead, is of no interest.
    tokens = MarkdownIt("commonmark").disable("inline").parse(markdown)
    return next((token.content for token in tokens if token.type == "fence"), None)
