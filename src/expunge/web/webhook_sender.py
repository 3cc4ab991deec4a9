"""The thread that sends status messages while the desk is served."""

from __future__ import annotations

import logging
import threading
import urllib.error
import urllib.request
from typing import Any

from expunge.desk.desk import Desk
from expunge.web.security import describe
from expunge.web.webhook_outbox import deliver_due, queue_statuses

LOG = logging.getLogger("expunge.web")
PAUSE, TIMEOUT = 5.0, 10.0  # seconds


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None  # a redirect is an answer that took nothing


def post(url: str, headers: dict[str, str], body: bytes) -> int:
    """Send a body, and return the status; no redirect is followed, and no proxy of the environment used.

    Raises:
        OSError: nobody answers.
    """
    opener = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url, body, headers, method="POST")
    try:
        with opener.open(request, timeout=TIMEOUT) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


class WebhookThread(threading.Thread):
    """Looks every few seconds for what is to be told."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(name="webhooks", daemon=True)
        self.desk, self._end = desk, threading.Event()

    def run(self) -> None:
        """Until `stop`; an error is logged by its type, and tried again."""
        while not self._end.wait(PAUSE):
            try:
                queue_statuses(self.desk)
                deliver_due(self.desk, post)
            except Exception as error:  # the pages go on whatever happens here
                LOG.error("webhooks: %s", describe(error))

    def stop(self) -> None:
        """End within a moment; what is not sent is sent after the next start."""
        self._end.set()
        self.join(timeout=TIMEOUT + 1)
