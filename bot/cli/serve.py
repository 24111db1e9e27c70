"""`drover serve`: the service."""

import signal
import threading
from types import FrameType

import click

from bot.cli.shared import err
from bot.errors import SettingsError, StoreError
from bot.log import configure
from bot.settings import load_settings

# A command that mends one cluster by itself ends some time; whoever starts us tries again.
_ALONE_FOR = 60.0


@click.command("serve")
def command() -> int:
    """Run the service: listeners, hooks, sweep, dashboard. Ends in order on SIGTERM and Ctrl-C."""
    from bot.app import App
    from bot.cli.presence import presence
    from bot.cli.terminal import serve_terminal
    from bot.web.running import RunningWeb

    settings = load_settings()
    if not settings.ranchers:
        raise SettingsError(["DROVER_RANCHER_URL: is not set (example: https://rancher.example)"])
    configure(settings.log_format)
    settings.make_home()
    stop = threading.Event()

    def ended(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    with presence(settings, alone=False, patience=_ALONE_FOR) as here:
        if not here:
            raise StoreError(
                "a `drover remediate` works on this database by itself",
                cure="Wait until it has ended; `drover serve` takes up what it leaves.",
            )
        signal.signal(signal.SIGTERM, ended)
        signal.signal(signal.SIGINT, ended)
        app = App(settings)
        with RunningWeb(app.web_parts(), settings.listen_host, settings.listen_port) as web:
            app.start()
            terminal = threading.Thread(target=serve_terminal, args=(app, stop), name="terminal", daemon=True)
            terminal.start()
            err.print(f"Drover listens on {web.url}", markup=False)
            while not stop.wait(1.0) and not app.crew.dead:
                pass
            stop.set()
            terminal.join(timeout=10)
            app.stop()
    if app.crew.dead:
        # Not every supervisor asks /healthz: one that sees the process end starts it again.
        raise StoreError(
            f"{settings.executor_id} stood still so long that another worker took up its incidents",
            cure="Start it again: it begins afresh.",
        )
    return 0
