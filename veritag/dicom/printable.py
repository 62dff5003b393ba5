"""Foreign text as it can be shown, whoever reads it."""


def escape_unprintable(text: str) -> str:
    r"""Return text with every character that is not printed written as a code.

    A terminal obeys escape sequences and turns text around at direction marks.
    """
    return "".join(c if c.isprintable() else _code(c) for c in text)


def _code(character: str) -> str:
    return character.encode("unicode_escape").decode()
