"""Hash the plain passwords of users, so that they get no further than the description.

The hash is the same each time, because equal descriptions give equal images. So its salt comes from
the names of the image and of the user. It must not come from the password: everybody can read the
salt, and could try passwords against it quickly.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import cache

from kiwinb.description.model import User

_ROUNDS = 5000
_LETTERS = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def hashed(user: User, image: str) -> User:
    """Return a user with a hash in place of a plain password.

    Args:
        user: The user.
        image: Name of the image.
    """
    if user.pwdformat != "plain" or user.password is None:
        return user
    return replace(
        user, password=hash_password(user.password, image, user.name), pwdformat="encrypted"
    )


@cache
def hash_password(password: str, image: str, user: str) -> str:
    """Hash a password as :func:`sha512_crypt` does, with the salt of this user of this image."""
    salt = hashlib.sha256(f"kiwinb\0{image}\0{user}".encode()).hexdigest()[:16]
    return sha512_crypt(password, salt)


def sha512_crypt(password: str, salt: str) -> str:
    """Hash a password as crypt(5) describes for ``$6$``.

    Args:
        password: The password.
        salt: Up to 16 characters of ``[./0-9A-Za-z]``.
    """
    key, grain = password.encode(), salt.encode()
    size = len(key)
    other = _sha512(key + grain + key)
    first = key + grain + _repeated(other, size)
    bits = size
    while bits:
        first += other if bits & 1 else key
        bits >>= 1
    state = _sha512(first)
    p = _repeated(_sha512(key * size), size)
    s = _repeated(_sha512(grain * (16 + state[0])), len(grain))
    for number in range(_ROUNDS):
        odd = number & 1
        text = p if odd else state
        text += s if number % 3 else b""
        text += p if number % 7 else b""
        state = _sha512(text + (state if odd else p))
    return f"$6${salt}${_encoded(state)}"


def _sha512(data: bytes) -> bytes:
    return hashlib.sha512(data).digest()


def _repeated(data: bytes, size: int) -> bytes:
    return (data * (size // len(data) + 1))[:size]


def _encoded(state: bytes) -> str:
    """Write 64 bytes in the order and with the letters of crypt."""
    a, b, c = 0, 21, 42
    text = ""
    for _group in range(21):
        text += _letters(state[a] << 16 | state[b] << 8 | state[c], 4)
        a, b, c = b + 1, c + 1, a + 1
    return text + _letters(state[63], 2)


def _letters(value: int, count: int) -> str:
    return "".join(_LETTERS[value >> 6 * place & 63] for place in range(count))
