"""An experiment file that is wrong is named with the line and the cause, in one line."""

import sys

import pytest

from bginv_jax import config_files
from bginv_jax.errors import InputError

START = "from bginv_jax.config import default_config\n"
GOOD = START + "def get_config():\n    return default_config()\n"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 1\nimport nothing_such", "line 2: ModuleNotFoundError: No module named 'nothing_such'"),
        ("x = 1 / 0", "line 1: ZeroDivisionError: division by zero"),
        ("import sys\nsys.exit(3)", "line 2: SystemExit: 3"),
        ("\n\ndef get_config(:\n    pass", "line 3: SyntaxError: invalid syntax"),
        ("def get_config():\n    raise ValueError('one\\ntwo')", "line 2: ValueError: one two"),
        ("def get_config():\n    raise KeyError('x')", "line 2: KeyError: 'x'"),
        ("def get_config():\n    assert False", "line 2: AssertionError"),
        ("def get_config():\n    return deep()\ndef deep():\n    return [][1]", "line 4: IndexError: list index"),
        ("def get_config():\n    open('/nowhere/x')", "line 2: FileNotFoundError: .*/nowhere/x"),
        (
            START + "def get_config():\n    default_config().stepz = 3",
            'line 3: .*\'Key "stepz" does not exist .*"steps"',
        ),
        (START + "def get_config():\n    default_config().steps = 'x'", "line 3: TypeError: .*'steps'"),
        ("x = 1", r"no get_config\(\)"),
        ("get_config = 1", r"no get_config\(\)"),
        ("x = 1\ndef get_config():\n    pass", r"line 2: get_config\(\) returns None; expected default_config\(\)"),
        ("def get_config():\n    return {'a': 1}", r"line 1: get_config\(\) returns a dict; expected"),
        (
            "from ml_collections import ConfigDict\ndef get_config():\n    return ConfigDict({'steps': 3})",
            r"line 2: config.method is missing; expected default_config\(\)",
        ),
        ("def get_config(name):\n    pass", r"line 1: get_config\(\): missing .*'name'; expected --config=.*:VARIANT"),
    ],
)
def test_a_wrong_file_is_named_with_its_line(tmp_path, code, message):
    path = tmp_path / "experiment.py"
    path.write_text(code)
    with pytest.raises(InputError, match=rf"^--config cannot be read: {path}(, |: there is ){message}") as caught:
        config_files.load(str(path))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_bytes_that_are_no_source_are_refused(tmp_path):
    for content in (b'x = "\xff"\n', b"x = 1\0\n"):
        (tmp_path / "experiment.py").write_bytes(content)
        with pytest.raises(InputError, match=r"--config cannot be read: .*experiment.py.*: SyntaxError"):
            config_files.load(str(tmp_path / "experiment.py"))


@pytest.mark.parametrize("name", ["", " ", "nothing.py", "nothing.py:variant"])
def test_a_missing_file_is_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=f"there is no file '{name.partition(':')[0]}'; expected a Python file"):
        config_files.load(name)


def test_a_folder_and_a_variant_too_many_are_refused(tmp_path):
    with pytest.raises(InputError, match="is a folder; expected a Python file"):
        config_files.load(str(tmp_path))
    (tmp_path / "experiment.py").write_text(GOOD)
    with pytest.raises(InputError, match=r"line 2: get_config\(\): too many .*; expected .*py, without a variant"):
        config_files.load(f"{tmp_path}/experiment.py:small")


def test_a_file_imports_its_siblings_from_anywhere(tmp_path, monkeypatch):
    folder = tmp_path / "höhe"
    folder.mkdir()
    (folder / "sibling_of_experiment.py").write_text("STEPS = {'small': 7}\ndef fail():\n    raise OSError('gone')\n")
    code = "from sibling_of_experiment import STEPS\n" + START
    code += (
        "def get_config(name):\n    import sibling_of_experiment\n    if name == 'none': sibling_of_experiment.fail()\n"
    )
    code += "    config = default_config()\n    config.steps = STEPS[name]\n    return config\n"
    (folder / "experiment.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    config = config_files.load("höhe/experiment.py:small")
    assert (config.steps, config.is_locked) == (7, True)
    assert sys.path == before
    with pytest.raises(InputError, match=r"line 5: OSError: gone \(sibling_of_experiment.py, line 3\)$"):
        config_files.load("höhe/experiment.py:none")


def test_a_frozen_config_is_thawed_for_the_flags(tmp_path):
    code = START + "from ml_collections import FrozenConfigDict\n"
    (tmp_path / "experiment.py").write_text(code + "def get_config():\n    return FrozenConfigDict(default_config())\n")
    config = config_files.load(str(tmp_path / "experiment.py"))
    config.steps = 5
    assert config.is_locked
