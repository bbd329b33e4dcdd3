"""Types a text and TAB into psql on a pseudo-terminal and prints what the terminal shows.

usage: psql_tab.py PORT TEXT
"""
import os
import pty
import select
import sys
import time

port, typed = sys.argv[1:3]
pid, terminal = pty.fork()
if pid == 0:
    os.environ.update(TERM="xterm", LC_ALL="C.UTF-8", INPUTRC="/dev/null", PSQL_HISTORY="/dev/null", PSQL_PAGER="cat")
    os.execvp("psql", ["psql", "-X", "-h", "127.0.0.1", "-p", port, "-U", "tester", "-d", "tidegate"])


def read(seconds, until=None):
    """What comes within some seconds, or until a text is in it."""
    shown, end = b"", time.monotonic() + seconds
    while time.monotonic() < end and not (until and until in shown):
        ready, _, _ = select.select([terminal], [], [], 0.1)
        if ready:
            try:
                shown += os.read(terminal, 65536)
            except OSError:
                break
    return shown


read(15, b"=> ")
os.write(terminal, typed.encode())
read(1)
os.write(terminal, b"\t")
shown = read(4)
# The terminal shows only what was added to the word: put both together.
sys.stdout.write(typed + shown.decode(errors="replace"))
os.write(terminal, b"\x15\\q\n")
read(2)
os.close(terminal)
os.waitpid(pid, 0)
