"""`drover serve`: the service."""

import signal
import threading
from types import FrameType

import click

from bot.cli.shared import err
from bot.errors import SettingsError
from bot.log import configure
from bot.settings import load_settings


@click.command("serve")
def command() -> int:
    """Run the service: listeners, hooks, sweep, dashboard. Ends in order on SIGTERM and Ctrl-C."""
    from bot.app import App
    from bot.web.running import RunningWeb

    settings = load_settings()
    if not settings.ranchers:
        raise SettingsError(["DROVER_RANCHER_URL: is not set (example: https://rancher.example)"])
    configure(settings.log_format)
    stop = threading.Event()

    def ended(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, ended)
    signal.signal(signal.SIGINT, ended)
    app = App(settings)
    with RunningWeb(app.web_parts(), settings.listen_host, settings.listen_port) as web:
        app.start()
        err.print(f"Drover listens on {web.url}", markup=False)
        stop.wait()
        app.stop()
    return 0
