"""Secrets and personal data are taken out of a text, by type, before anything is stored.

Nothing is kept from which they could be had back, not even a hash: few phone numbers are possible.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ...errors import NotAdmitted

_Check = Callable[[str], bool]
MAX_DEPTH = 64
"""Levels of nested data that are looked at."""
_SECRET = re.compile(
    r"(?i)(?:.*[^a-z0-9])?(?:[a-z0-9]*(?:password|passwd|passphrase|secret)"
    r"|(?:[a-z0-9]*[_ -])?(?:api|access|secret|private)[_ -]?key"
    r"|(?:access|auth|refresh|api|bearer)[_ -]?token|credential)s?"
)
"""Names of fields whose text is a secret, whatever it looks like."""


def _luhn(found: str) -> bool:
    digits = [int(c) for c in found if c.isdigit()]
    # Issuers' numbers begin so; file names and ids of as many digits mostly do not.
    issued = digits[0] in (3, 4, 5, 6) or 22 <= 10 * digits[0] + digits[1] <= 27
    if not issued or not 13 <= len(digits) <= 19 or len(set(digits)) == 1:
        return False
    doubled = [sum(divmod(2 * d, 10)) for d in digits[-2::-2]]
    return (sum(doubled) + sum(digits[-1::-2])) % 10 == 0


def _iban(found: str) -> bool:
    plain = found.replace(" ", "").upper()
    if not 15 <= len(plain) <= 34:
        return False
    return int("".join(str(int(c, 36)) for c in plain[4:] + plain[:4])) % 97 == 1


def _password(found: str) -> bool:
    """Whether what stands after a name like password, with what is between, is a value."""
    if any(c.isdigit() or c in "!@#$%^&*" for c in found):
        return True
    # "The password is written down" is prose, and `password: get(...)` a program.
    return ("=" in found or ":" in found) and not any(c in "([{" for c in found)


_TYPES: tuple[tuple[str, re.Pattern[str], _Check | None], ...] = (
    (
        "private key",
        re.compile(
            # Up to its end, but not beyond the next beginning, or as far as it looks like one.
            r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----"
            r"(?:(?:(?!-----BEGIN ).){0,20000}?-----END [A-Z ]{0,30}PRIVATE KEY-----"
            r"|[A-Za-z0-9+/=\s]{0,20000})",
            re.DOTALL,
        ),
        None,
    ),
    (
        "api key",
        re.compile(
            r"\b(?:(?:AKIA|ASIA)[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{30,255}"
            r"|github_pat_[A-Za-z0-9_]{30,255}|glpat-[A-Za-z0-9_-]{20,64}"
            r"|xox[abeprs]-[A-Za-z0-9-]{10,255}|sk-[A-Za-z0-9_-]{20,255}|AIza[0-9A-Za-z_-]{35}"
            r"|hf_[A-Za-z0-9]{30,64}|npm_[A-Za-z0-9]{36}|[sr]k_(?:live|test)_[A-Za-z0-9]{16,255})\b"
        ),
        None,
    ),
    (
        "token",
        re.compile(
            r"\beyJ[A-Za-z0-9_-]{8,4096}\.[A-Za-z0-9_-]{8,4096}\.[A-Za-z0-9_-]{8,4096}"
            r"|(?<=[Bb]earer )[A-Za-z0-9._~+/-]{16,4096}=*"
        ),
        None,
    ),
    ("password", re.compile(r"(?<=://)[^\s:/@\[\]]{0,128}:[^\s/@\[\]]{1,256}(?=@)"), None),
    (
        "password",
        re.compile(
            r"(?i)(?:(?<=password)|(?<=passwd)|(?<=passphrase)|(?<=secret)|(?<=api_key)|(?<=api-key)"
            r"|(?<=apikey)|(?<=access_key)|(?<=secret_key)|(?<=access_token)|(?<=auth_token))"
            r"[\"']?\s{0,3}(?:[:=]|\bis\b)\s{0,3}[\"']?(?!\[redacted)[^\s\"',;]{6,256}"
        ),
        _password,
    ),
    (
        "email",
        re.compile(r"\b[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}\b"),
        None,
    ),
    ("iban", re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"), _iban),
    ("card number", re.compile(r"(?<![\d.-])\d(?:[ -]?\d){12,18}(?![\d-])(?!\.\d)"), _luhn),
    ("social security number", re.compile(r"(?<![\d-])\d{3}-\d{2}-\d{4}(?![\d-])"), None),
    (
        "phone number",
        re.compile(
            r"(?<![\w+])\+\d{1,3}(?:[ .-]?\(?\d{2,4}\)?){2,5}(?!\w)|\(\d{3}\) \d{3}-\d{4}\b"
        ),
        lambda found: sum(c.isdigit() for c in found) >= 9,
    ),
)
TYPES: tuple[str, ...] = tuple(dict.fromkeys(name for name, _, _ in _TYPES))
"""What is taken out."""


def redact(text: str) -> str:
    """The text with secrets and personal data replaced by their type; again changes nothing."""
    for name, pattern, check in _TYPES:

        def replaced(match: re.Match[str], name: str = name, check: _Check | None = check) -> str:
            if check is not None and not check(match[0]):
                return match[0]
            return f": [redacted {name}]" if _assigned(match[0], name) else f"[redacted {name}]"

        text = pattern.sub(replaced, text)
    return text


def _assigned(found: str, name: str) -> bool:
    return name == "password" and found.lstrip("\"' ")[:1] in ("", ":", "=", "i")


def redact_json(value: Any) -> Any:
    """Plain JSON with every text redacted, names of fields too.

    Raises:
        NotAdmitted: It is nested deeper than `MAX_DEPTH`.
    """
    if too_deep(value):
        reason = f"its data is nested deeper than {MAX_DEPTH} levels."
        raise NotAdmitted(f"This is not admitted (schema): {reason}", rule="schema", reason=reason)
    return _redacted(value, secret=False)


def _redacted(value: Any, *, secret: bool) -> Any:
    if isinstance(value, str):
        return "[redacted password]" if secret and value else redact(value)
    if isinstance(value, Mapping):
        return _redacted_fields(value)
    if isinstance(value, list | tuple):
        return [_redacted(one, secret=secret) for one in value]
    return value


def _redacted_fields(value: Mapping[Any, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    alike: dict[str, int] = {}
    for key, one in value.items():
        name = shown = redact(str(key))
        while shown in fields:
            alike[name] = alike.get(name, 1) + 1
            shown = f"{name} {alike[name]}"
        fields[shown] = _redacted(one, secret=_SECRET.fullmatch(str(key)) is not None)
    return fields


def too_deep(value: Any) -> bool:
    """Whether plain JSON is nested deeper than `MAX_DEPTH`, so that it is not to be walked."""
    level = [value] if isinstance(value, Mapping | list | tuple) else []
    for _ in range(MAX_DEPTH):
        level = [
            one
            for some in level
            for one in (some.values() if isinstance(some, Mapping) else some)
            if isinstance(one, Mapping | list | tuple)
        ]
        if not level:
            return False
    return True
