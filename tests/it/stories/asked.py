"""A terminal on which a command asks for a secret, and what is seen on it.

Arguments: `paste`, `interrupt` or `terminate`, then the command; or `decline`, where the command asks for yes or no
and ctrl-C answers. Nothing is shown until the command has made the
terminal silent; so what is pasted the moment the question appears must be hidden already.
"""

import fcntl
import os
import pty
import signal
import sys
import termios
import time

SECRET = b"aml_secret_of_the_test"
PATIENCE = 20


def echoes(terminal):
    return bool(termios.tcgetattr(terminal)[3] & termios.ECHO)


def start(slave, command):
    child = os.fork()
    if child == 0:
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        for stream in range(3):
            os.dup2(slave, stream)
        os.execvp(command[0], command)
    return child


def main(what, command):
    signal.alarm(PATIENCE)
    terminal, slave = pty.openpty()
    seen = b""
    if what == "decline":
        child = start(slave, command)
        while b"[y/N]" not in seen:
            seen += os.read(terminal, 4096)
    else:
        # Who prints waits.
        termios.tcflow(slave, termios.TCOOFF)
        child = start(slave, command)
        while echoes(terminal):
            time.sleep(0.01)
    if what == "terminate":
        os.kill(child, signal.SIGTERM)
    else:
        os.write(terminal, SECRET + b"\n" if what == "paste" else b"\x03")
    termios.tcflow(slave, termios.TCOON)
    _, status = os.waitpid(child, 0)
    assert echoes(slave), "the terminal stays silent"
    os.close(slave)
    try:
        while some := os.read(terminal, 4096):
            seen += some
    except OSError:
        pass
    print(repr(seen))
    assert SECRET not in seen, "the secret was shown"
    code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
    sys.exit(code)


main(sys.argv[1], sys.argv[2:])
