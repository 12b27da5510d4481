# SPDX-License-Identifier: Apache-2.0
"""Help and completions: from the one table of commands."""

import os
import pty
import re
import shutil
import subprocess
import time

import pytest

from conftest import TREE, clean_environment, program


class Nobody:
    def __init__(self, folder):
        self.control_socket = folder / "none.sock"


@pytest.fixture
def nobody(tmp_path):
    return Nobody(tmp_path)


def commands(iicpctl, node):
    return [line.split("\t")[0] for line in iicpctl(node, "complete", "--", "").stdout.splitlines()]


def words(result):
    assert result.returncode == 0 and result.stderr == ""
    return [line.split("\t")[0] for line in result.stdout.splitlines()]


def test_OX_25_help_fits_one_screen_and_ends_with_three_examples(nobody, iicpctl):
    lines = iicpctl(nobody, "--help").stdout.splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 80
    assert all(line.startswith("  iicpctl ") for line in lines[-3:])
    text = "\n".join(lines)
    for name in commands(iicpctl, nobody):
        assert re.search(rf"(^| ){name}( |$)", text, re.M), name


def test_OX_25_each_command_explains_itself_and_is_in_the_manual(nobody, iicpctl):
    manual = (TREE / "docs/iicpctl.8").read_text()
    everything = iicpctl(nobody, "help").stdout
    for name in commands(iicpctl, nobody):
        told = iicpctl(nobody, name, "--help")
        assert told.returncode == 0 and told.stdout.startswith(f"  {name}") and told.stdout in everything
        assert re.search(rf"^\.(It )?(Cm|Ic) .*\b{name}\b", manual, re.M), name


def test_OX_25_completion_follows_the_table(nobody, iicpctl):
    assert words(iicpctl(nobody, "complete", "--", "stat")) == ["status"]
    assert "--json" in words(iicpctl(nobody, "complete", "--", "--j"))
    assert words(iicpctl(nobody, "complete", "--", "check", "--r")) == ["--ready"]
    assert words(iicpctl(nobody, "complete", "--", "drain", "")) == ["--wait"]
    assert "limits.max_concurrent" in words(iicpctl(nobody, "complete", "--", "config", "limits."))
    assert words(iicpctl(nobody, "complete", "--", "log", "w")) == ["warn"]
    assert "status" in words(iicpctl(nobody, "complete", "--", "--json", "schema", "s"))
    assert words(iicpctl(nobody, "complete", "--", "wait", "regi")) == ["registered"]
    assert words(iicpctl(nobody, "complete", "--", "nonsense", "x")) == []


def test_OX_25_values_come_from_the_daemon_and_it_is_silent_when_down(node_factory, iicpctl):
    node = node_factory()
    assert words(iicpctl(node, "complete", "--", "backends", "")) == ["test"]
    node.stop()
    assert words(iicpctl(node, "complete", "--", "backends", "")) == []


def test_OX_25_a_daemon_that_hangs_is_not_waited_for(node_factory, iicpctl):
    node = node_factory()
    os.kill(node.pid, 19)  # SIGSTOP
    try:
        began = time.monotonic()
        assert words(iicpctl(node, "complete", "--", "backends", "")) == []
        assert time.monotonic() - began < 20
    finally:
        os.kill(node.pid, 18)


def test_OX_25_bash_completes(nobody, tmp_path):
    folder = os.path.dirname(program("iicpctl"))
    script = (f"source {TREE}/completions/iicpctl.bash; COMP_WORDS=(iicpctl dr); COMP_CWORD=1; _iicpctl; "
              "printf '%s\\n' \"${COMPREPLY[@]}\"")
    out = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60,
                         env=clean_environment({"PATH": f"{folder}:{os.environ['PATH']}"}))
    assert out.stdout.split() == ["drain"], out.stderr


@pytest.mark.parametrize("shell,argv", [("zsh", ["zsh", "-n"]), ("fish", ["fish", "--no-execute"])])
def test_OX_25_other_shells_can_read_theirs(shell, argv):
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    name = {"zsh": "_iicpctl", "fish": "iicpctl.fish"}[shell]
    subprocess.run([*argv, str(TREE / "completions" / name)], check=True, timeout=60)


# ---- forms of output ----

# what needs no argument and changes nothing
LOOKS = ["status", "tasks", "backends", "models", "directory", "routes", "netcheck", "config", "events", "schema", "metrics",
         "log", "version", "peers", "relays"]


def on_terminal(argv, env):
    """Exit code and bytes of a command on a pseudo terminal."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execvpe(argv[0], argv, env)
    out = b""
    while True:
        try:
            piece = os.read(fd, 65536)
        except OSError:
            break
        if not piece:
            break
        out += piece
    os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), out


def test_OX_2_OX_4_text_json_pipe_and_terminal_agree(node_factory, iicpctl):
    node = node_factory()
    env = clean_environment({"TERM": "xterm", "PATH": os.environ["PATH"]})
    for name in LOOKS:
        plain, document = iicpctl(node, name), iicpctl(node, name, "--json")
        code, _ = on_terminal([program("iicpctl"), "-s", str(node.control_socket), name], env)
        assert plain.returncode == document.returncode == code, name
        for text in (plain.stdout, plain.stderr, document.stdout):
            assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text), name


@pytest.mark.parametrize("extra,coloured", [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True),
                                            ({"TERM": "dumb"}, False), ({"TERM": "dumb", "CLICOLOR_FORCE": "1"}, True),
                                            ({"NO_COLOR": "1", "CLICOLOR_FORCE": "1"}, False)])
def test_OX_4_when_there_is_colour(node_factory, extra, coloured):
    node = node_factory()
    env = clean_environment({"TERM": "xterm", "PATH": os.environ["PATH"], **extra})
    _, out = on_terminal([program("iicpctl"), "-s", str(node.control_socket), "status"], env)
    assert (b"\x1b[" in out) == coloured


def test_OX_4_marks_of_a_plain_locale(node_factory, iicpctl):
    node = node_factory()
    assert iicpctl(node, "status", env={"LC_ALL": "C"}).stdout[0] in "*-"
    assert iicpctl(node, "status", env={"LC_ALL": "C.UTF-8"}).stdout[0] in "●○"
