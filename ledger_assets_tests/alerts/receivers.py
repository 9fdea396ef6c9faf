"""Real receivers on this machine: an SMTP server and a webhook, each in a thread, each on a free port."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.smtp import SMTP


@dataclass
class Mailbox:
    """What an SMTP server was given."""

    port: int = 0
    mails: list[Message] = field(default_factory=list)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: ARG002, N802 - aiosmtpd's
        self.mails.append(message_from_bytes(envelope.content))
        return "250 OK"

    @property
    def url(self) -> str:
        return f"mailto://127.0.0.1:{self.port}/?from=ledger@example.org&to=finance@example.org&mode=insecure"

    def parts(self, number: int = -1) -> dict[str, str]:
        """The parts of a mail by their type."""
        return {
            part.get_content_type(): part.get_payload(decode=True).decode()  # type: ignore[union-attr]
            for part in self.mails[number].walk()
            if not part.is_multipart()
        }


@contextmanager
def mail_server() -> Iterator[Mailbox]:
    box, loop = Mailbox(), asyncio.new_event_loop()
    server = loop.run_until_complete(loop.create_server(lambda: SMTP(box), host="127.0.0.1", port=0))
    box.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield box
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@dataclass
class Webhook:
    """What was posted to a webhook, and how it answers: the first answers in turn, then 200."""

    answers: list[int] = field(default_factory=list)
    posts: list[dict[str, Any]] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.port}/alerts"

    @property
    def titles(self) -> list[str]:
        return [post["title"] for post in self.posts]


@contextmanager
def webhook(answers: Sequence[int] = ()) -> Iterator[Webhook]:
    hook = Webhook(list(answers))
    lock = threading.Lock()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                answer = hook.answers.pop(0) if hook.answers else 200
                if answer == 200:
                    hook.posts.append(content)
            self.send_response(answer)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing on stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    hook.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield hook
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def dead_port() -> int:
    """A port at which nobody listens, and which nobody else is given in the meantime: it is taken, and refuses."""
    return int(_taken().getsockname()[1])


@cache
def _taken() -> socket.socket:
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    return taken
