"""One training writes in a workdir; the next is refused with its process and host, unless that one is no more."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from bginv_jax.errors import InputError
from bginv_jax.training import ownership
from bginv_jax.training.ownership import OWNER, STALE, own


def _owner(workdir):
    return json.loads((workdir / OWNER).read_text())


def _write(workdir, *, age=0.0, **changes):
    path = workdir / OWNER
    path.write_text(json.dumps(ownership._this_process() | changes))
    then = time.time() - age
    os.utime(path, (then, then))


def _is_free(workdir):
    with own(workdir):
        return _owner(workdir) == ownership._this_process()


def test_the_owner_says_which_process_it_is_and_leaves_nothing(tmp_path):
    with own(tmp_path) as owner:
        owner.check()
        assert _owner(tmp_path)["process"] == os.getpid()
        with pytest.raises(InputError, match=rf"--workdir is '{tmp_path}', .* process {os.getpid()} on host \S+; exp"):
            own(tmp_path).__enter__()
        owner.check()
    assert list(tmp_path.iterdir()) == []
    assert _is_free(tmp_path)


def test_a_workdir_that_came_to_nothing_is_taken_away_and_another_stays(tmp_path):
    with own(tmp_path / "new" / "run"):
        pass
    assert list(tmp_path.iterdir()) == []
    with own(tmp_path / "new" / "run"):
        (tmp_path / "new" / "run" / "metrics.jsonl").touch()
    assert [path.name for path in (tmp_path / "new" / "run").iterdir()] == ["metrics.jsonl"]


_OTHER = """
import sys, time
from bginv_jax.training.ownership import own
with own(sys.argv[1]):
    print("owns", flush=True)
    time.sleep(60)
"""


def test_another_process_is_in_the_way_until_it_is_killed(tmp_path):
    other = subprocess.Popen([sys.executable, "-c", _OTHER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "owns\n"
        with pytest.raises(InputError, match=f"process {other.pid} on host"):
            own(tmp_path).__enter__()
        other.kill()
        time.sleep(0.2)  # and is a zombie, for nobody has waited for it
        assert _is_free(tmp_path)
    finally:
        other.kill()
        other.wait()
        other.stdout.close()


@pytest.mark.parametrize(
    "changes",
    [
        {"process": 2**22 + 1},  # more than Linux counts
        {"process": 1},  # which began at another time
        {"began": -1.0},
        {"boot": "another"},
        {"host": "elsewhere", "age": STALE + 5},
        {"namespace": "pid:[1]", "age": STALE + 5},
    ],
)
def test_an_owner_that_is_no_more_keeps_nobody_out(tmp_path, changes):
    _write(tmp_path, **changes)
    assert _is_free(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("changes", [{"host": "elsewhere"}, {"namespace": "pid:[1]"}, {"age": 10 * STALE}])
def test_an_owner_that_may_be_alive_is_in_the_way(tmp_path, changes):
    """On another host what counts is when it last touched its file; on this one, whether it runs."""
    _write(tmp_path, **changes)
    with pytest.raises(InputError, match=f"process {os.getpid()} on host {changes.get('host', '')}"):
        own(tmp_path).__enter__()
    assert (tmp_path / OWNER).exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"process": "1"}', '{"process": -1}', "[" * 5000, "\0" * 50])
def test_a_file_that_names_nobody_counts_for_as_long_as_one_of_another_host(tmp_path, text):
    path = tmp_path / OWNER
    path.write_text(text)
    with pytest.raises(InputError, match="one that does not say which; .* takes 120 seconds if it was killed"):
        own(tmp_path).__enter__()
    os.utime(path, (1, 1))
    assert _is_free(tmp_path)


def test_a_clock_that_is_wrong_here_does_not_matter(tmp_path, monkeypatch):
    _write(tmp_path, host="elsewhere")
    monkeypatch.setattr(time, "time", lambda: 2e9)
    with pytest.raises(InputError, match="on host elsewhere"):
        own(tmp_path).__enter__()


_LATER = """
import sys, psutil
from bginv_jax.training.ownership import own
if psutil.LINUX:  # whose clock was set while the other trained: all that it derives from the clock is later, too
    from psutil import _pslinux
    before = _pslinux.boot_time
    _pslinux.boot_time = lambda: before() + float(sys.argv[2])
with own(sys.argv[1]):
    pass
"""


@pytest.mark.parametrize("seconds", [-3e8, 300, 3e8])
def test_a_clock_that_was_set_while_it_trains_does_not_matter(tmp_path, seconds):
    with own(tmp_path) as owner:
        command = [sys.executable, "-c", _LATER, str(tmp_path), str(seconds)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert f"where another training writes: process {os.getpid()} on host" in result.stderr
        owner.check()


def test_the_owner_beats_and_notices_a_workdir_that_is_gone_or_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(ownership, "BEAT", 0.01)
    path = tmp_path / OWNER
    with own(tmp_path) as owner:
        os.utime(path, (1, 1))
        until = time.monotonic() + 10
        while path.stat().st_mtime == 1 and time.monotonic() < until:
            time.sleep(0.01)
        assert path.stat().st_mtime > 1
        _write(tmp_path, host="elsewhere", process=7)
        with pytest.raises(InputError, match="taken by process 7 on host elsewhere; this training ends"):
            owner.check()
        path.unlink()
        with pytest.raises(FileNotFoundError, match="it is gone, and perhaps the workdir with it"):
            owner.check()
        _write(tmp_path, host="elsewhere", process=7)
    assert _owner(tmp_path)["process"] == 7  # whose it is


def test_of_many_that_find_a_dead_owner_one_takes_the_workdir(tmp_path):
    """Ten threads at once, each with a number of its own; one of them gets it."""
    _write(tmp_path, process=2**22 + 1)
    dead = _owner(tmp_path)
    this = [ownership._this_process() | {"began": time.time() + 1000 + i, "host": "elsewhere"} for i in range(10)]
    start, taken = threading.Barrier(10), []

    def take(mine):
        start.wait()
        try:
            ownership._take(tmp_path / OWNER, mine, tmp_path)
            taken.append(mine)
        except InputError:
            pass

    threads = [threading.Thread(target=take, args=(mine,)) for mine in this]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 1
    assert _owner(tmp_path) == taken[0] != dead


def test_a_new_workdir_in_the_folders_of_a_workdir_is_refused(tmp_path, monkeypatch):
    run, folders = tmp_path / "run", ("checkpoints", "backgrounds")
    (run / "checkpoints" / "8" / "meta").mkdir(parents=True)
    (run / "backgrounds").mkdir()
    monkeypatch.chdir(run / "checkpoints")
    for given, part in ((".", "checkpoints"), ("8/deep", "checkpoints"), (f"{run}/backgrounds/", "backgrounds")):
        with pytest.raises(
            InputError, match=f"^--workdir is '{given}', in {part} of the workdir '{run}'; expected that"
        ):
            ownership.refuse_inside(given, folders=folders)
    begun = tmp_path / "begun" / "checkpoints"  # which has no checkpoint yet
    begun.mkdir(parents=True)
    ownership.refuse_inside(begun, folders=folders)
    (tmp_path / "begun" / "metrics.jsonl").touch()
    with pytest.raises(InputError, match="in checkpoints of the workdir"):
        ownership.refuse_inside(begun, folders=folders)


def test_a_workdir_may_have_any_name(tmp_path):
    (tmp_path / "checkpoints" / "2024" / "run" / "checkpoints" / "8" / "meta").mkdir(parents=True)
    for name in ("checkpoints", "checkpoints/2024", "checkpoints/2024/run", "checkpoints/2024/other"):
        ownership.refuse_inside(tmp_path / name, folders=("checkpoints",))
    nested = tmp_path / "checkpoints" / "2024" / "run" / "checkpoints"  # as earlier versions let it happen
    (nested / "checkpoints").mkdir()
    ownership.refuse_inside(nested, folders=("checkpoints",))


def test_a_link_to_nowhere_is_named(tmp_path):
    (tmp_path / OWNER).symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match=f"{OWNER} is there and cannot be read"):
        own(tmp_path).__enter__()
