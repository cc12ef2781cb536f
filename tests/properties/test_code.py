"""The package runs nothing that data say: no pickle, no eval, no shell, and arrays are never read as objects."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(path for folder in ("bginv_jax", "experiments", "examples") for path in (ROOT / folder).rglob("*.py"))
# What runs what it is given, wherever it comes from.
MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "marshal", "shelve", "yaml", "joblib", "code", "pty"}
CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "subprocess.getoutput", "pandas.read_pickle"}
STARTS = {"run", "call", "check_call", "check_output", "Popen"}  # of subprocess


def _name(node):
    """a.b.c of an expression, or ''."""
    if isinstance(node, ast.Attribute):
        return f"{_name(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _faults(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [name.name for name in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from (f"imports {module}" for module in modules if module.split(".")[0] in MODULES)
        elif isinstance(node, ast.Call):
            called, last = _name(node.func), _name(node.func).rpartition(".")[2]
            given = {word.arg: word.value for word in node.keywords}
            if called in CALLS or (last.startswith(("spawn", "exec")) and called.startswith("os.")):
                yield f"calls {called}"
            if last in STARTS and called.startswith("subprocess.") and "shell" in given:
                yield f"gives {called} a shell"
            if last in STARTS and called.startswith("subprocess.") and isinstance(node.args[0], ast.JoinedStr):
                yield f"gives {called} a line"
            literal = given.get("allow_pickle")
            if called in ("np.load", "numpy.load") and not (
                isinstance(literal, ast.Constant) and literal.value is False
            ):
                yield f"calls {called} without allow_pickle=False"
            if "allow_pickle" in given and not (isinstance(literal, ast.Constant) and literal.value is False):
                yield f"allows pickles in {called}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_code_runs_what_data_say(path):
    assert list(_faults(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "code",
    [
        *(
            "import pickle",
            "from pickle import loads",
            "import yaml",
            "eval(x)",
            "exec(x)",
            "os.system(x)",
            "os.popen(x)",
        ),
        *(
            "subprocess.run(x, shell=True)",
            "subprocess.Popen(f'ls {x}')",
            "np.load(x)",
            "np.load(x, allow_pickle=True)",
        ),
        *("numpy.lib.format.read_array(x, allow_pickle=y)", "os.execv(x, y)", "__import__(x)", "import joblib"),
    ],
)
def test_what_would_run_them_is_seen(code):
    assert list(_faults(ast.parse(code)))


def test_what_runs_nothing_is_not():
    assert not list(
        _faults(ast.parse("import pickletools\nnp.load(x, allow_pickle=False)\nsubprocess.run(['git', x])"))
    )
