"""Starting the server: what must hold before the first request."""

import logging

from dhash import __version__, logs
from dhash.database import connect
from dhash.listener import Address, Listener
from dhash.schema import check_schema
from dhash.settings import Settings
from dhash.supervisor import Supervisor


def serve(settings: Settings, address: Address, workers: int) -> int:
    """Serve until SIGTERM; the exit code. ConfigError before anything is served.

    One worker is this very process; more are its children.
    """
    logs.configure(settings)
    engine = connect(settings.database_url, pooled=False)
    revision = check_schema(engine)
    engine.dispose()
    listener = Listener(address)
    logs.emit(
        logging.INFO,
        "starting",
        f"dhash {__version__} listens on {address}",
        release=settings.release,
        schema=revision,
        workers=workers,
    )
    if workers > 1:
        code = Supervisor(settings, listener, workers).run()
        listener.close()
    else:
        # Not above: the supervisor says where counts are kept before anything reads that.
        from dhash.worker import leave, run_worker  # noqa: PLC0415

        code = 1
        try:
            run_worker(settings, listener.socket)
            code = 0
        except Exception:
            logging.getLogger("dhash").exception("The server failed.")
        finally:
            listener.close()
            logs.emit(logging.INFO, "stopped", "dhash has stopped", exit_code=code)
            leave(code)
    return code
