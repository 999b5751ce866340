"""The page as one file: modules wrapped one by one, style and script under the hash of a policy."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from ..errors import InvalidInput

STATIC = Path(__file__).parent / "static"
"""The folder of the page."""
_STYLE = re.compile(r'<link rel="stylesheet" href="/static/([^"]+)">\s*')
_SCRIPT = re.compile(r'<script type="module" src="/static/([^"]+)"></script>\s*')
_ICON = re.compile(r'<link rel="icon"[^>]*>\s*')
_IMPORT = re.compile(
    r"^import\s+(?:\{(?P<names>[^}]*)\}\s+from\s+|\*\s+as\s+(?P<all>[\w$]+)\s+from\s+)?"
    r'"(?P<path>\.[^"]+)";?[ \t]*$',
    re.MULTILINE,
)
_EXPORT = re.compile(
    r"^export\s+(?P<kind>async\s+function\*?|function\*?|class|const)\s+(?P<name>[\w$]+)",
    re.MULTILINE,
)
_NAMED = re.compile(r"export\s*\{(?P<names>[^}]*)\};?\s*$", re.MULTILINE)
_LEFT = re.compile(r"^(?:import|export)\b.*$", re.MULTILINE)


def inlined(static: Path, data: str) -> str:
    """The page with everything in it.

    Args:
        static: The folder of the page.
        data: JSON for the element `#data`.

    Raises:
        InvalidInput: A module is written in a form that cannot be wrapped.
    """
    page = (static / "index.html").read_text(encoding="utf-8")
    style = "\n".join(
        (static / name).read_text(encoding="utf-8").strip() for name in _STYLE.findall(page)
    )
    entry = _SCRIPT.search(page)
    if entry is None:
        raise InvalidInput("The page of the inspector names no script; reinstall triforium.")
    script = _safe(bundled(static, entry.group(1)))
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "worker-src blob:; img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    head = f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n<style>{style}</style>'
    # "<" cannot stand in the data, so that no text of a record ends the element it stands in.
    foot = (
        f'<script type="application/json" id="data">{embedded(data)}</script>\n'
        f'<script type="module">{script}</script>\n'
    )
    page = _ICON.sub("", _SCRIPT.sub("", _STYLE.sub("", page)))
    before, _, rest = page.partition("</head>")
    body, _, end = rest.partition("</body>")
    charset, mark, others = before.partition('<meta charset="utf-8">')
    # The policy comes first: it holds only for what follows it.
    return f"{charset}{mark}\n{head}{others}</head>{body}{foot}</body>{end}"


def embedded(data: str) -> str:
    """JSON as it may stand in an HTML element; the same JSON to a parser."""
    return data.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _safe(script: str) -> str:
    """A script that cannot end its element; the changes fall into strings and patterns."""
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def bundled(static: Path, entry: str) -> str:
    """The modules that an entry needs, each wrapped in a function, in the order of need."""
    done: dict[Path, str] = {}
    parts: list[str] = []
    _wrap((static / entry).resolve(), static.resolve(), done, parts, ())
    return "\n".join(parts)


def _wrap(
    path: Path, root: Path, done: dict[Path, str], parts: list[str], within: tuple[Path, ...]
) -> str:
    """Wrap a module and, before it, those it imports; returns the name that holds its exports."""
    if path in done:
        return done[path]
    if path in within or not path.is_relative_to(root):
        raise InvalidInput(f"The module {path.name} of the page is imported in a circle.")
    text = path.read_text(encoding="utf-8")

    def imported(found: re.Match[str]) -> str:
        holder = _wrap((path.parent / found["path"]).resolve(), root, done, parts, (*within, path))
        if found["all"]:
            return f"const {found['all']} = {holder};"
        if found["names"] is None:
            return ""
        return f"const {{{_renamed(found['names'])}}} = {holder};"

    text = _IMPORT.sub(imported, text)
    exports = [found["name"] for found in _EXPORT.finditer(text)]
    text = _EXPORT.sub(lambda found: f"{found['kind']} {found['name']}", text)
    pairs = [f"{name}" for name in exports]
    for found in _NAMED.finditer(text):
        pairs += [_exported(part) for part in found["names"].split(",") if part.strip()]
    text = _NAMED.sub("", text)
    if left := _LEFT.search(text):
        raise InvalidInput(
            f"{path.name} has a line that cannot be put into one page: {left.group()[:80]!r}."
        )
    name = f"$module{len(done)}"
    done[path] = name
    parts.append(
        f"const {name} = (() => {{\n{text.strip()}\nreturn {{{', '.join(pairs)}}};\n}})();"
    )
    return name


def _renamed(names: str) -> str:
    """`a as b` of an import as `a: b` of a pattern."""
    return ", ".join(
        re.sub(r"\s+as\s+", ": ", part.strip()) for part in names.split(",") if part.strip()
    )


def _exported(part: str) -> str:
    """`a as b` of an export as `b: a` of an object."""
    own, _, other = (piece.strip() for piece in part.strip().partition(" as "))
    return f"{other}: {own}" if other else own
