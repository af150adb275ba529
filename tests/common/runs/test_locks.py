import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from common.errors import UserError
from common.runs import locks

ROOT = Path(__file__).parents[3]
HOLDER = """
import sys
from pathlib import Path
from common.runs import locks
with locks.hold(Path(sys.argv[1]), "run"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "lock")],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_the_second_is_refused_and_told_who_holds_it(tmp_path, holder):
    named = rf"run is in use by process {holder.pid} on {re.escape(socket.gethostname())};"
    with pytest.raises(UserError, match=named) as caught, locks.hold(tmp_path / "lock", "run"):
        pass
    assert caught.value.exit_code == 1
    assert holder.poll() is None


def test_a_killed_holders_lock_is_taken_over(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    said = []
    with locks.hold(tmp_path / "lock", "run", said.append):
        assert (tmp_path / "lock").read_text() == f"process {os.getpid()} on {socket.gethostname()}"
    assert said == [f"run: the lock of process {holder.pid} on {socket.gethostname()} is stale, that process is gone"]


def test_a_lock_may_be_held_again_after_its_block(tmp_path):
    said = []
    for _ in range(2):
        with pytest.raises(KeyError), locks.hold(tmp_path / "lock", "run", said.append):
            raise KeyError
    assert said == []


def test_waiting_ends_with_the_holder(tmp_path, holder):
    waiter = "import sys, pathlib; from common.runs import locks\nwith locks.wait(pathlib.Path(sys.argv[1])): pass"
    waiting = subprocess.Popen([sys.executable, "-c", waiter, str(tmp_path / "lock")], cwd=ROOT)
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(1)
    holder.kill()
    assert waiting.wait(300) == 0
