"""A host in a network of its own, for benchmarks with real guests."""
import contextlib
import os
import sys

from daemon import BUILD, ROOT

os.environ["VIRGA_BUILD"] = str(BUILD)
sys.path.insert(0, str(ROOT / "tests/functional"))
from harness import isolation             # noqa: E402
from harness.host import HostProcess      # noqa: E402


@contextlib.contextmanager
def own_host():
    """It goes with all that it started."""
    isolation.enter()
    host = HostProcess()
    try:
        host.start()
        yield host
    finally:
        with contextlib.suppress(Exception):
            host.stop()
        isolation.end_processes()
        host.remove()
