"""Changes of bytes and of length fields."""

from random import Random

# Values at which lengths, ids and flags tend to go wrong.
EDGES = (0, 1, 2, 3, 4, 6, 7, 8, 127, 128, 255, 256, 0x7FFF, 0xFFFE, 0xFFFF)
WIDE_EDGES = (*EDGES, 0x10000, 0x20000, 1 << 20, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)

# What a careless program would take for a path, a format, a tag, a terminal command.
HOSTILE_NAMES = (
    b"a/../../b",
    b"../../../../tmp/x",
    b"/etc/passwd",
    b"..\\..\\x",
    b"1.2.3\x00.4",
    b"1.2\n3",
    b"1.2\r\n{}",
    b"\x1b[2J\x1b[31m",
    b"\x9b31m",
    "\u202e3.2.1".encode(),
    "\u2028".encode(),
    b"%s%n%x",
    b"{0.__class__}",
    b"${jndi:ldap:x}",
    b"<script>",
    b"'; DROP --",
    b"=1+1",
    b"@SUM(A1)",
    b"+1",
    b"-1",
    b"",
    b" ",
    b".",
    b"..",
    b"\xff\xfe",
    b"1" * 64,
    b"1" * 65,
    b"A" * 1000,
)


def changed(rng: Random, data: bytes) -> bytes:
    """Return the bytes with one to four random changes."""
    copy = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        rng.choice(_CHANGES)(rng, copy)
    return bytes(copy)


def edge_near(rng: Random, length: int, width: int) -> int:
    """Return a false length, `width` bytes wide."""
    near = (length - 1, length + 1, length + 2, length * 2, length // 2)
    value: int = rng.choice((*near, *(EDGES if width == 2 else WIDE_EDGES)))
    return value % (1 << 8 * width)


def _at(rng: Random, data: bytearray) -> int:
    return rng.randrange(len(data)) if data else 0


def _flip(rng: Random, data: bytearray) -> None:
    if data:
        data[_at(rng, data)] ^= 1 << rng.randrange(8)


def _set(rng: Random, data: bytearray) -> None:
    if data:
        data[_at(rng, data)] = rng.choice((0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0x20, 0x2F))


def _insert(rng: Random, data: bytearray) -> None:
    start = _at(rng, data)
    data[start:start] = rng.randbytes(rng.choice((1, 2, 4, 9, 64)))


def _remove(rng: Random, data: bytearray) -> None:
    start = _at(rng, data)
    del data[start : start + rng.choice((1, 2, 4, 8, 40))]


def _repeat(rng: Random, data: bytearray) -> None:
    start = _at(rng, data)
    data[start:start] = data[start : start + rng.choice((1, 4, 8, 80))]


def _cut(rng: Random, data: bytearray) -> None:
    del data[_at(rng, data) :]


def _number(rng: Random, data: bytearray) -> None:
    width, order = rng.choice((2, 4)), rng.choice(("big", "little"))
    value = rng.choice(EDGES if width == 2 else WIDE_EDGES)
    start = _at(rng, data)
    data[start : start + width] = value.to_bytes(width, order)  # type: ignore[arg-type]


def _name(rng: Random, data: bytearray) -> None:
    start, name = _at(rng, data), rng.choice(HOSTILE_NAMES)
    data[start : start + len(name)] = name


_CHANGES = (_flip, _flip, _set, _insert, _remove, _repeat, _cut, _number, _name)
