"""Escaping of received text for terminals and logs."""


def escape_unprintable(text: str) -> str:
    r"""Return text with every unprintable character replaced by its escape code.

    Terminals execute escape sequences, and direction marks reverse the text after them.
    """
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()
