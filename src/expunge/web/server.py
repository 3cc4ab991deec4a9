"""Serving the application until somebody stops it. The access log is our own: it holds patterns of paths, no paths."""

from __future__ import annotations

import logging
import sys
from typing import Any

from fastapi import FastAPI

from expunge.web.context import context_of
from expunge.web.webhook_sender import WebhookThread

MAX_CONNECTIONS = 400


def run_server(app: FastAPI) -> None:
    """Serve until SIGINT or SIGTERM; webhooks go out meanwhile."""
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
        uvicorn.run(
            app,
            host=settings.host,
            port=settings.port,
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
