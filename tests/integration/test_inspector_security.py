"""What the inspector refuses, and what it never gives away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from triforium.errors import InvalidInput
from triforium.graph import Outcome, SetStatus, Status
from triforium.graph.sqlite import open_sqlite
from triforium.inspector.access import Grant, Hosts, Tokens, read_token_file, read_tokens
from triforium.inspector.bundle import embedded
from triforium.inspector.export import collect, export_page
from triforium.inspector.server import Settings, create_app
from triforium.memory import Memory

TOKEN = "a-token-that-is-long-enough"
OTHER = "another-token-of-the-sibling"
READER = "one-that-may-only-read-a-team"
HOST = "127.0.0.1:7430"
NASTY = (
    "</script><script>alert(1)</script><img src=x onerror=alert(2)>\x00\x07\x1b[31m"
    "\u202eevil\u202c\u2028\u2029\u200b'\"`${x}{{y}}&lt;"
)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Asks an ASGI application, with full control over the raw request."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def ask(
        self,
        path: str,
        query: str = "",
        *,
        method: str = "GET",
        token: str = TOKEN,
        body: bytes = b"",
        **headers: str,
    ) -> Answer:
        named = {"host": HOST, **{k.replace("_", "-"): v for k, v in headers.items()}}
        if token:
            named.setdefault("authorization", f"Bearer {token}")
        sent: list[dict[str, Any]] = []
        received = asyncio.Event()

        async def receive() -> dict[str, Any]:
            if received.is_set():
                await asyncio.Event().wait()
            received.set()
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode("utf-8", "surrogatepass"),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(k.encode(), v.encode("latin-1")) for k, v in named.items()],
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 7430),
        }
        await self._app(scope, receive, send)
        return Answer(
            sent[0]["status"],
            {k.decode().lower(): v.decode("latin-1") for k, v in sent[0]["headers"]},
            b"".join(one.get("body", b"") for one in sent[1:]),
        )


@pytest.fixture
async def memory(tmp_path: Path) -> AsyncIterator[Memory]:
    """Two teams under one organisation, each with one trial, and what is said to break things."""
    store = await open_sqlite(f"sqlite:///{tmp_path}/memory.db")
    memory = Memory(store, scope="acme/red", embedder=None)
    for scope, text in (
        ("acme", "a rule of the house"),
        ("acme/red", f"red secret {NASTY}"),
        ("acme/blue", "blue secret"),
    ):
        team = memory.scoped(scope)
        trial = await team.begin(text, run=f"run of {scope}")
        recalled = await team.recall(text, trial=trial, role="solver")
        long = "x" * 1_000_000 if scope == "acme/red" else "done"
        await team.observe(trial, long[:999_000], action=NASTY, role="solver", agent="one")
        await team.commit(trial, Outcome.success(judge="environment"))
        assert recalled.receipt
    yield memory
    await store.close()


@pytest.fixture
def client(memory: Memory) -> Client:
    tokens = {
        TOKEN: Grant("", True),
        OTHER: Grant("acme/blue", True),
        READER: Grant("acme/red", False),
    }
    return Client(create_app(memory.store, Settings(tokens=tokens)))


async def trial_of(memory: Memory, scope: str) -> str:
    return memory.scoped(scope).trial_id(f"run of {scope}", 0)


async def test_a_request_needs_a_token(client: Client) -> None:
    for token in ("", "wrong", TOKEN + "x", TOKEN[:-1]):
        for path in ("/api/meta", "/api/graph", "/api/events", "/api/openapi.json", "/api/x"):
            answer = await client.ask(path, token=token)
            assert answer.status == 401
            assert "triforium inspect" in answer.json["error"]["message"]
            assert answer.headers["www-authenticate"] == "Bearer"
    assert (await client.ask("/api/meta", token="", authorization="Basic x")).status == 401
    assert (await client.ask("/api/meta")).status == 200


async def test_a_token_in_the_address_is_no_token(client: Client) -> None:
    """A query ends up in logs and histories; only a header or the cookie counts."""
    assert (await client.ask("/api/meta", f"token={TOKEN}", token="")).status == 401


async def test_the_cookie_is_strict_and_hidden_from_scripts(client: Client) -> None:
    kind = {"content_type": "application/json"}
    answer = await client.ask("/api/session", method="POST", body=b"{}", **kind)
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    name = cookie.partition(";")[0]
    assert name.startswith("triforium-7430=")
    assert (await client.ask("/api/meta", token="", cookie=name)).status == 200
    assert (await client.ask("/api/meta", token="", cookie="triforium-7430=no")).status == 401


async def test_another_host_is_refused(client: Client) -> None:
    """DNS rebinding: the name of an attacker that resolves to this machine."""
    for host in ("evil.example", "evil.example:7430", "localhost.evil.example", "10.0.0.1", "",
                 "127.0.0.1.evil.example:7430", "user@127.0.0.1", "127.0.0.1/x"):  # fmt: skip
        answer = await client.ask("/api/meta", host=host)
        assert answer.status == 421, host
        assert (await client.ask("/", host=host)).status == 421
    for host in ("localhost:7430", "127.0.0.1", "[::1]:7430", "LOCALHOST:7430"):
        assert (await client.ask("/api/meta", host=host)).status == 200, host


def test_the_names_of_a_server_that_others_reach() -> None:
    hosts = Hosts(local=False, names=frozenset({"memory.example"}))
    assert hosts.allows("memory.example:7430")
    assert hosts.allows("10.0.0.1:7430")
    assert not hosts.allows("evil.example")


async def test_another_origin_is_refused(client: Client) -> None:
    for origin in ("http://evil.example", "null", f"http://{HOST}.evil.example", "http://[",
                   "http://127.0.0.1:9999", "http://localhost:7430"):  # fmt: skip
        assert (await client.ask("/api/meta", origin=origin)).status == 403, origin
    assert (await client.ask("/api/meta", origin=f"http://{HOST}")).status == 200
    for site in ("cross-site", "same-site"):
        assert (await client.ask("/api/meta", sec_fetch_site=site)).status == 403
    assert (await client.ask("/api/meta", sec_fetch_site="same-origin")).status == 200


async def test_every_answer_has_the_policy(client: Client) -> None:
    for path in ("/", "/api/meta", "/static/js/main.js", "/nothing"):
        headers = (await client.ask(path)).headers
        policy = headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in headers
        assert "server" not in headers


async def test_no_file_outside_is_served(client: Client) -> None:
    for path in ("/static/../server.py", "/static/..%2fserver.py", "/static/%2e%2e/server.py",
                 "/static/js/../../server.py", "/static//etc/passwd", "/static/....//server.py",
                 "/static/..\\server.py", "/../../etc/passwd", "/static/\x00",
                 "/static/js"):  # fmt: skip
        answer = await client.ask(path)
        assert answer.status in (400, 404), path
        assert b"import" not in answer.body
        assert b"root:" not in answer.body


async def test_what_is_too_long_is_refused(client: Client) -> None:
    assert (await client.ask("/api/search", "q=" + "x" * 5000)).status == 414
    assert (await client.ask("/api/record/" + "x" * 3000)).status == 414
    assert (await client.ask("/api/search", "q=" + "x" * 401)).status == 422
    many = "&".join("id=x" for _ in range(65))
    assert (await client.ask("/api/neighbours", many)).status == 422
    assert (await client.ask("/api/graph", "limit=20001")).status == 422
    assert (await client.ask("/api/graph", f"at={10**16}")).status == 422
    assert (await client.ask("/api/graph", "at=1&time=2020-01-01T00:00:00Z")).status == 400
    assert (await client.ask("/api/graph", "time=0001-01-01T00:00:00%2B14:00")).status == 422
    assert (await client.ask("/api/graph", "time=2020-01-01T00:00:00")).status == 422
    kind = {"content_type": "application/json"}
    body = json.dumps({"reason": "x" * 20_000}).encode()
    told = {**kind, "content_length": str(len(body))}
    path = "/api/guard/x/release"
    assert (await client.ask(path, method="POST", body=body, **told)).status == 413
    lying = await client.ask(path, method="POST", body=body, **kind)
    assert lying.status in (400, 413, 422)


async def test_methods_and_media_types(client: Client) -> None:
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        assert (await client.ask("/api/meta", method=method)).status == 405
    form = {"content_type": "application/x-www-form-urlencoded"}
    answer = await client.ask("/api/guard/x/release", method="POST", body=b"reason=x", **form)
    assert answer.status == 415


async def test_texts_come_as_they_are(client: Client, memory: Memory) -> None:
    """JSON carries every character; nothing of a text is markup anywhere."""
    id_ = await trial_of(memory, "acme/red")
    answer = await client.ask(f"/api/trial/{id_}", "scope=acme/red")
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.json["record"]["text"] == f"red secret {NASTY}"
    step = answer.json["steps"][0]
    assert step["action"] == NASTY
    assert len(step["said"]) == 4000
    whole = await client.ask(f"/api/record/{step['record']['id']}", "scope=acme/red")
    assert whole.json["record"]["text"] == NASTY + "\n" + "x" * 999_000
    graph = await client.ask("/api/graph", "scope=acme/red")
    assert len(graph.body) < 50_000


async def test_an_exported_page_holds_texts_as_data(memory: Memory, tmp_path: Path) -> None:
    data = await collect(memory.store, "acme/red")
    shown = embedded(data)
    assert "<" not in shown
    assert "\u2028" not in shown
    assert json.loads(shown) == json.loads(data)
    page = tmp_path / "page.html"
    await export_page(memory.store, page, scope="acme/red")
    text = page.read_text(encoding="utf-8")
    assert text.count("</script>") == 2
    assert "alert(1)</" not in text
    assert "blue secret" not in text
    assert TOKEN not in text
    assert "http-equiv" in text.partition("<style>")[0]


async def test_a_scope_sees_nothing_of_another(client: Client, memory: Memory) -> None:
    """Not by name, not by id, not in lists, counts, journal, receipts or a dry run."""
    red = await trial_of(memory, "acme/red")
    receipts = await memory.store.receipts("acme/red", newest=True)
    red_receipt = next(one.id for one in receipts if one.scope == "acme/red")
    journal = await memory.store.journal("", after=0)
    entry = next(one for one in journal if one.changeset.scope == "acme/red")
    nothing = "0" * 32
    for path, absent in (
        (f"/api/record/{red}", f"/api/record/{nothing}"),
        (f"/api/record/{red}/versions", f"/api/record/{nothing}/versions"),
        (f"/api/trial/{red}", f"/api/trial/{nothing}"),
        (f"/api/recall/{red_receipt}", f"/api/recall/{nothing}"),
        (f"/api/guard/{red}", f"/api/guard/{nothing}"),
        (f"/api/revert/{entry.changeset.id}", f"/api/revert/{nothing}"),
        (f"/api/journal/{entry.position}", "/api/journal/99999"),
    ):
        found = await client.ask(path, token=OTHER)
        missing = await client.ask(absent, token=OTHER)
        assert found.status == missing.status == 404, path
    for path in ("/api/meta", "/api/statistics", "/api/graph", "/api/recalls", "/api/trials",
                 "/api/agents", "/api/guard", "/api/journal", "/api/timeline", "/api/learning",
                 "/api/difference?start=0", "/api/search?q=secret", f"/api/search?q={red}",
                 f"/api/recalls?record={red}", f"/api/journal?record={red}"):  # fmt: skip
        path, _, query = path.partition("?")
        answer = await client.ask(path, query, token=OTHER)
        assert answer.status == 200, path
        assert b"acme/red" not in answer.body, path
        assert b"red secret" not in answer.body, path
        assert red.encode() not in answer.body.replace(f'"query":"{red}"'.encode(), b""), path
        for scope in () if path == "/api/meta" else ("acme/red", "acme/nobody", "other"):
            refused = await client.ask(path, f"{query}&scope={scope}", token=OTHER)
            assert refused.status == 404, (path, scope)
    assert (await client.ask("/api/graph", "scope=acme", token=OTHER)).status == 200
    assert (await client.ask("/api/neighbours", f"id={red}", token=OTHER)).status == 404


async def test_decisions_need_the_right(client: Client, memory: Memory) -> None:
    red = await trial_of(memory, "acme/red")
    record = (await (await memory.view()).get([red]))[red]
    await memory.write(
        [SetStatus(red, record.revision, Status.QUARANTINED, "odd one out")], reason="guard"
    )
    kind = {"content_type": "application/json"}
    path = f"/api/guard/{red}/release"

    async def decide(token: str, query: str = "scope=acme/red") -> Answer:
        return await client.ask(path, query, method="POST", token=token, body=b"{}", **kind)

    assert (await decide(READER)).status == 403
    assert (await decide(OTHER)).status == 404
    assert (await decide(OTHER, "")).status == 404
    inbox = (await client.ask("/api/guard", "scope=acme/red")).json["records"]
    assert [(one["record"]["id"], one["reason"]) for one in inbox] == [(red, "odd one out")]
    done = await decide(TOKEN)
    assert done.json["status"] == "active"
    assert (await decide(TOKEN)).status == 400


async def test_a_child_may_not_decide_for_its_parent(memory: Memory) -> None:
    """What an outer scope holds is seen from inside, and changed only from there."""
    parent = await trial_of(memory, "acme")
    outer = memory.scoped("acme")
    record = (await (await outer.view()).get([parent]))[parent]
    await outer.write([SetStatus(parent, record.revision, Status.QUARANTINED, "x")], reason="guard")
    tokens = {TOKEN: Grant("acme/red", True)}
    client = Client(create_app(memory.store, Settings(tokens=tokens)))
    kind = {"content_type": "application/json"}
    answer = await client.ask(f"/api/guard/{parent}/release", method="POST", body=b"{}", **kind)
    assert answer.status == 403
    assert "acme" in answer.json["error"]["message"]


def test_a_token_is_long_enough() -> None:
    with pytest.raises(InvalidInput, match="16 characters"):
        Tokens({"short": Grant()})
    with pytest.raises(InvalidInput, match="16 characters"):
        Tokens({})


def test_a_token_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text(f"# people\n{TOKEN}\n\n{OTHER} acme/blue\n")
    path.chmod(0o644)
    with pytest.raises(InvalidInput, match="chmod 600"):
        read_token_file(path)
    path.chmod(0o600)
    assert read_token_file(path) == {TOKEN: Grant(""), OTHER: Grant("acme/blue")}
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_token_file(tmp_path / "none")


def test_a_malformed_token_line_is_not_repeated() -> None:
    with pytest.raises(InvalidInput, match="Line 1") as caught:
        read_tokens("very-secret-token acme more")
    assert "secret" not in str(caught.value)
    with pytest.raises(InvalidInput, match="does not see"):
        read_tokens(f"{TOKEN} other", scope="acme")
    assert read_tokens(TOKEN, scope="acme", edits=True) == {TOKEN: Grant("acme", True)}
