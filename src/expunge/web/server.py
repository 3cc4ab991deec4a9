"""Serving the application until somebody stops it. The access log is our own: it holds patterns of paths, no paths."""

from __future__ import annotations

import logging
import socket
import sys
from typing import Any

from fastapi import FastAPI

from expunge.errors import InputError
from expunge.web.context import context_of
from expunge.web.settings import WebSettings
from expunge.web.webhook_sender import WebhookThread

MAX_CONNECTIONS = 400


def listen(settings: WebSettings) -> socket.socket:
    """The socket of the desk; `InputError` if another program listens there, or the address is none of this machine."""
    host = settings.host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        at = socket.create_server((host, settings.port), family=family)
        at.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else a body waits 40 ms for the receipt of its head
        return at
    except OSError as error:
        what = f"cannot listen at {settings.host}:{settings.port}: {error.strerror}"
        raise InputError("--port", what, "stop the other program, or choose another --port") from error


def run_server(app: FastAPI, at: socket.socket) -> None:
    """Serve at a socket until SIGINT or SIGTERM; webhooks go out meanwhile."""
    import uvicorn

    context = context_of({"type": "http", "app": app})
    settings = context.settings
    set_up_log()
    sender = WebhookThread(context.desk)
    sender.start()
    options: dict[str, Any] = {}
    if settings.tls_cert is not None and settings.tls_key is not None:
        options = {"ssl_certfile": str(settings.tls_cert), "ssl_keyfile": str(settings.tls_key)}
    try:
        config = uvicorn.Config(
            app,
            log_config=None,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=MAX_CONNECTIONS,
            ws="none",
            timeout_graceful_shutdown=10,
            **options,
        )
        uvicorn.Server(config).run(sockets=[at])
    finally:
        sender.stop()


def set_up_log() -> None:
    """One line a visit on standard error: number of the visit, method, pattern of the path, status, time."""
    logger = logging.getLogger("expunge.web")
    if not logger.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logger.addHandler(handler)
        logger.propagate = False
    logger.setLevel(logging.INFO)
