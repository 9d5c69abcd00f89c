"""A server's Slack bot in a process of its own, for tests that kill it.

    python -m tests.slack_replica DATABASE_URL FOLDER LEASE_S

It answers each question with one message, once the file FOLDER/go is there; FOLDER/begun-ID says that it began.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from app.settings import AppSettings
from app.slack import store_inbox
from app.slack.running import Pace
from tests import slacks

if TYPE_CHECKING:
    from app.slack.bot import Bot
    from app.slack.records import Job


def main(database_url: str, folder: str, lease_s: str) -> None:
    """Run until killed."""
    here = Path(folder)

    def answer(bot: Bot, job: Job) -> None:
        (here / f"begun-{job.id}").touch()
        while not (here / "go").exists():
            time.sleep(0.02)
        with bot.parts.catalog.transaction() as session:
            if not store_inbox.renew(session, job, float(lease_s)):
                return  # it is another process's now
        text = f"answer to {job.incoming.text}"
        bot.slack.call("chat.postMessage", channel=job.incoming.channel_id, thread_ts=job.incoming.ts, text=text)

    settings = AppSettings.load(data_dir=here, database_url=database_url)
    pace = Pace(lease=float(lease_s), silent=5, ping=1, look=0.5, periodic=30)
    slacks.running(slacks.fake_parts(settings), answer, lambda *_: None, pace).start()
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
