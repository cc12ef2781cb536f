"""How a command ends: in one line for the user and the system, with a traceback for everything else."""

import errno
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bginv_jax import command_line
from bginv_jax.errors import InputError
from bginv_jax.training.stopping import StoppedError
from tests.conftest import call_door

ROOT = Path(__file__).parents[1]
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (InputError("config.x is 1;\n  allowed: 2"), 2, "error: config.x is 1; allowed: 2"),
        (OSError(errno.ENOSPC, "No space left on device", "/a/b"), 1, "error: /a/b: No space left on device"),
        (PermissionError(errno.EACCES, "Permission denied", Path("/a")), 1, "error: /a: Permission denied"),
        (OSError(errno.EROFS, "Read-only file system"), 1, "error: Read-only file system"),
        (OSError("image file is truncated"), 1, "error: image file is truncated"),
        (OSError(), 1, "error: OSError"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 141, ""),
        (KeyboardInterrupt(), 130, "interrupted"),
        (StoppedError(signal.SIGTERM, "stopped by SIGTERM: x"), 143, "stopped by SIGTERM: x"),
    ],
)
def test_a_command_ends_in_one_line(capsys, error, status, line):
    with pytest.raises(SystemExit) as caught, command_line._ends_well(resumes=False):
        raise error
    assert caught.value.code == status
    assert capsys.readouterr().err.strip() == line


@pytest.mark.parametrize("error", [ValueError("unexpected JAX type"), TypeError("x"), RuntimeError("y"), KeyError("z")])
def test_all_else_keeps_its_traceback(error):
    with pytest.raises(type(error)) as caught, command_line._ends_well(resumes=False):
        raise error
    assert caught.value is error


def test_only_what_continues_says_so(capsys):
    with pytest.raises(SystemExit), command_line._ends_well(resumes=True):
        raise KeyboardInterrupt
    assert capsys.readouterr().err == (
        "interrupted; the same command continues from the newest checkpoint, or begins again where there is none\n"
    )
    commands = [*(ROOT / "bginv_jax").glob("*.py"), *(ROOT / "experiments").glob("*.py")]
    code = {path.stem: path.read_text(encoding="utf-8") for path in commands if path.stem != "command_line"}
    resuming = {name for name, text in code.items() if "resumes=True" in text}
    assert resuming == {"train", "table1", "ablation_table", "ingredients_table"}
    assert resuming == {
        name for name, text in code.items() if re.search(r"^    +(train\.)?train\(", text, re.MULTILINE)
    }


@pytest.mark.parametrize("value", ["", " ", "\t\n"])
def test_a_blank_path_is_refused(value):
    with pytest.raises(InputError, match="^--html is .*; expected a path"):
        command_line._PathParser("html").parse(value)


def test_a_path_may_begin_at_home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    parser = command_line._PathParser("output")
    assert parser.parse("~/höhe") == "/home/somebody/höhe"
    assert parser.parse("a b/~") == "a b/~"
    with pytest.raises(InputError, match="--output is '~nobody-such/x'; expected ~ or the ~NAME of a user"):
        parser.parse("~nobody-such/x")


def test_every_flag_that_takes_a_path_is_defined_as_one():
    for path in [*(ROOT / "bginv_jax").glob("*.py"), *(ROOT / "experiments").glob("*.py")]:
        text = path.read_text(encoding="utf-8")
        strings = re.findall(r'DEFINE_(?:multi_)?string\(\s*"(\w+)"', text)
        assert set(strings) <= {"coordinator", "recipe", "source", "test"}, path


def _start(*words, stdout=subprocess.PIPE, **environment):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "", **environment}
    command = [sys.executable, *words]
    return subprocess.run(
        command, stdout=stdout, stderr=subprocess.PIPE, cwd=ROOT, env=environment, encoding="utf-8", errors="replace"
    )


PROGRAM = """
from absl import flags
from bginv_jax import command_line
def main():
    print("99.0±0.1", flags.FLAGS.output, *flags.FLAGS.workdir or ())
    if flags.FLAGS.lines: print("line\\n" * flags.FLAGS.lines)
command_line.define_path("output", "here", "Somewhere.")
command_line.define_path("workdir", None, "Somewhere else.", several=True)
flags.DEFINE_integer("lines", 0, "How many.")
command_line.run(main, required=[])
"""


@pytest.fixture
def program(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    return str(tmp_path / "program.py")


def test_a_locale_without_the_letters_is_no_reason_to_crash(program):
    result = _start(program, "--output=é", "--workdir=a", "--workdir=b", **ASCII)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "99.0\\xb10.1 \\udcc3\\udca9 a b\n"


@pytest.mark.parametrize("lines", [0, 100_000])
def test_a_reader_that_leaves_ends_it_quietly(program, lines):
    read, write = os.pipe()
    os.close(read)
    result = _start(program, f"--lines={lines}", stdout=write)
    os.close(write)
    assert (result.returncode, result.stderr) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
@pytest.mark.parametrize(
    ("flag", "unbuffered"), [("--lines=0", ""), ("--lines=100000", ""), ("--lines=0", "1"), ("--help", "1")]
)
def test_a_full_disk_below_what_is_printed_is_one_line(program, flag, unbuffered):
    with open("/dev/full", "wb") as full:
        result = _start(program, flag, stdout=full, PYTHONUNBUFFERED=unbuffered)
    assert result.returncode == 1
    assert result.stderr == f"error: standard output: {os.strerror(errno.ENOSPC)}\n"


SLOW = """
import signal, sys, time
from pathlib import Path
from absl import flags
from bginv_jax import command_line, files
def main():
    with files.replacing(flags.FLAGS.output) as whole:
        whole.write_text("half")
        print("ready", flush=True)
        time.sleep(60)
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # as in a terminal, also where nohup started the tests
command_line.define_path("output", None, "Somewhere.")
command_line.run(main, required=["output"])
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_leaves_nothing_half_written(tmp_path, name):
    (tmp_path / "slow.py").write_text(SLOW, encoding="utf-8")
    (tmp_path / "out").mkdir()
    command = [sys.executable, str(tmp_path / "slow.py"), f"--output={tmp_path}/out/file"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        assert os.listdir(tmp_path / "out")
        number = getattr(signal, name)
        process.send_signal(number)
        assert process.wait(30) == 128 + number
    assert os.listdir(tmp_path / "out") == []


DEAF = """
import gc, os, signal, time
from bginv_jax import command_line
def main():
    def collected(phase, info):
        gc.callbacks.remove(collected)
        os.kill(os.getpid(), NUMBER)
        time.sleep(0)  # here the handler raises, and Python drops it
    gc.callbacks.append(collected)
    gc.collect()
    time.sleep(60)
signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a terminal
command_line.run(main, required=[])
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_heard_in_a_callback_of_the_garbage_collector(tmp_path, number):
    (tmp_path / "deaf.py").write_text(DEAF.replace("NUMBER", str(int(number))), encoding="utf-8")
    result = _start(tmp_path / "deaf.py")
    assert result.returncode == 128 + number
    assert result.stderr.strip() == ("interrupted" if number == signal.SIGINT else "")


TRAINING = """
import gc, os, signal, time
from pathlib import Path
from bginv_jax import command_line
from bginv_jax.training.stopping import Stop
def main():
    def collected(phase, info):
        gc.callbacks.remove(collected)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0)
    with Stop(Path("none"), listens=True):
        gc.callbacks.append(collected)
        gc.collect()
        time.sleep(60)
command_line.run(main, required=[], resumes=True)
"""


def test_a_training_ends_by_the_signal_that_it_heard_in_such_a_callback(tmp_path):
    (tmp_path / "training.py").write_text(TRAINING, encoding="utf-8")
    result = _start(tmp_path / "training.py")
    assert result.returncode == 128 + signal.SIGTERM
    assert result.stderr.startswith("stopped by SIGTERM: there is no checkpoint yet")


def test_without_a_standard_error_no_complaint_stands_among_the_lines(program):
    command = '"$1" "$2" --nothing=3 2>&-'
    result = subprocess.run(
        ["sh", "-c", command, "sh", sys.executable, program],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert (result.returncode, result.stdout) == (2, b"")


CONFIG = "--config=experiments/mnist_5k_vanilla.py"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("bginv_jax.train", CONFIG, "--workdir="), "--workdir is ''; expected a path"),
        (("bginv_jax.predict", "--workdir=w", "--output=-", "a.png"), "--output is '-'; expected a path"),
        (("bginv_jax.train", CONFIG), "--workdir is not given; expected --workdir=VALUE"),
        (("bginv_jax.export", "--workdir=w"), "--output is not given; expected --output=VALUE"),
        (("bginv_jax.train", CONFIG, "--workdir=setup.cfg"), "--workdir is 'setup.cfg', a file; expected a folder"),
        (("bginv_jax.train", "--config=tests", "--workdir=w"), "'tests' is a folder; expected a Python file"),
        (("bginv_jax.benchmark", "--config.foo=1"), "config.foo is unknown"),
        (("bginv_jax.benchmark", "--phases="), "--phases is empty; allowed: vanilla, "),
        (
            ("bginv_jax.evaluate", "--workdir=w", "--output=w", "--html=tests"),
            "--html is 'tests', a folder; expected a file",
        ),
        (("bginv_jax.figures", "--workdir=setup.cfg"), "workdir setup.cfg holds no checkpoint; expected a folder"),
        (("bginv_jax.gpu_study", "--output=setup.cfg"), "--output is 'setup.cfg', a file; expected a folder"),
        (("experiments.table1", "--share=nan"), "flag --share=nan: expected a finite number"),
        (("bginv_jax.benchmark", "--seconds=inf"), "flag --seconds=inf: expected a finite number"),
        (("bginv_jax.attack", "--workdir=w", f"--seed={2**40}"), f"flag --seed={2**40}: {2**40} is not "),
        (("bginv_jax.unseen", "--workdir=w", f"--seed={2**31}"), f"flag --seed={2**31}: {2**31} is not "),
        (
            ("experiments.table1", "--recipe=mnist_5k", "--share=0.0008", "--output=w"),
            "mnist_5k_attention.py with --share=0.0008: config.steps is 1; allowed: at least one for each of the 2",
        ),
        (("experiments.table1", "--output=setup.cfg/x"), "--output is 'setup.cfg/x', which cannot be written"),
    ],
)
def test_the_doors_look_before_they_work(words, message):
    result = call_door(*words)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1, result.stderr


def test_a_command_of_one_process_says_who_takes_several():
    result = call_door("bginv_jax.evaluate", "--distributed", "--workdir=none")
    assert result.returncode == 2
    assert (
        result.stderr == "error: --distributed is a flag of bginv_jax.train alone; this command runs in one process\n"
    )
