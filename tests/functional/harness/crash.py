"""The daemon killed by kill -9 in the middle of what it does."""

import itertools
import signal

from pyVmomi import vmodl

from harness.client import Client


def ended_by_a_kill(host, operation, client):
    """Whether the host died in the operation. What else makes the operation fail is an error."""
    try:
        operation(client)
        return False
    except (vmodl.MethodFault, vmodl.RuntimeFault, AssertionError):
        raise
    except Exception:    # whatever the client makes of a host that is gone
        assert host.process.wait(timeout=30) == -signal.SIGKILL
        return True


def crash_everywhere(host, operation, stride=1, then=lambda: None):
    """Does the operation again and again, killing the host before its 1st step, its 2nd, and so on
    until it survives: a step is whatever outlives the process, such as a rename or a message.

    Yields a client of the host, started again, before each time: make ready for the operation, and
    check how the time before ended. A `stride` leaves out steps: of operations of several hundred.
    `then` happens between a kill and the next start.
    """
    for step in itertools.count(1, stride):
        host.kill()
        then()
        host.start(crash_step=step)
        client = Client(host)
        yield client
        host.begin_to_count()
        if not ended_by_a_kill(host, operation, client):
            break
    assert step > 5, "nothing was killed"
    client = Client(host.restart())
    yield client
    client.logout()
