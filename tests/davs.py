"""A WebDAV server (WsgiDAV) on loopback that shows a folder, to ``ann`` with the password ``secret``."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from tests.wsgi import serving_app

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.wsgi import Served


@contextlib.contextmanager
def dav(root: Path) -> Iterator[Served]:
    """Yield the server."""
    from wsgidav.wsgidav_app import WsgiDAVApp

    users = {"ann": {"password": "secret"}}
    config = {
        "provider_mapping": {"/files": str(root)},
        "simple_dc": {"user_mapping": {"*": users}},
        "http_authenticator": {"accept_digest": False, "default_to_digest": False},
        "lock_storage": None,
        "verbose": 0,
        "logging": {"enable": False},
    }
    with serving_app(WsgiDAVApp(config)) as served:
        yield served
