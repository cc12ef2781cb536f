"""What is written: tried before the work, UTF-8 in every locale, valid JSON, whole or not at all."""

import ast
import errno
import io
import json
import math
import os
from pathlib import Path

import pytest

from bginv_jax import files
from bginv_jax.errors import InputError
from bginv_jax.evaluation import attack, results, unseen
from bginv_jax.speed import scaling

ROOT = Path(__file__).parents[1]
CODE = sorted([*(ROOT / "bginv_jax").rglob("*.py"), *(ROOT / "experiments").glob("*.py")])


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def place(tmp_path):
    """A folder with a file, a folder, a link to nothing and a link to itself."""
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling").symlink_to("nothing")
    (tmp_path / "loop").symlink_to("loop")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("file", "a file; expected a folder"),
        ("dangling", "a file; expected a folder"),
        ("loop", "a file; expected a folder"),
        ("file/below", r"cannot be written \(.*file is no folder\)"),
        ("file/below/it", r"cannot be written \(.*file is no folder\)"),
        ("dangling/below", r"cannot be written \(.*dangling is no folder\)"),
        ("loop/below", r"cannot be written \(Too many levels of symbolic links\)"),
        ("x" * 300, r"cannot be written \(File name too long\)"),
    ],
)
def test_a_folder_that_cannot_be_written_is_known_beforehand(place, name, message):
    before = _names(place)
    with pytest.raises(InputError, match=rf"^--output is '.*{name}', .*{message}"):
        files.check_folder(place / name, field="--output")
    assert _names(place) == before


@pytest.mark.parametrize("path", ["/proc/new", "/dev/null/new"])
def test_a_place_where_nobody_may_write_is_known_beforehand(path):
    if not Path(path).parent.exists():
        pytest.skip("not this system")
    for check in (files.check_folder, files.check_file):
        with pytest.raises(InputError, match=f"^--output is '{path}', which cannot be written"):
            check(path, field="--output")


def test_a_folder_that_can_be_written_is_not_made(place, monkeypatch):
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.chdir(place)
    for name in ("folder", "new", "new/it", "new/../it", "höhe/±", "~/new", "."):
        assert files.check_folder(name, field="--output") == Path(name).expanduser()
    assert _names(place) == ["dangling", "file", "folder", "loop"]
    assert _names(place / "folder") == []


def test_what_stands_where_something_is_written_is_known_beforehand(place):
    with pytest.raises(InputError, match="--output is '.*', where folder is a folder; expected a file"):
        files.check_folder(place, field="--output", files=("new", "folder"))
    with pytest.raises(InputError, match="--workdir is '.*', where file is a file; expected a folder"):
        files.check_folder(place, field="--workdir", folders=("folder", "file"))
    with pytest.raises(InputError, match="--html is '.*folder', a folder; expected a file"):
        files.check_file(place / "folder", field="--html")
    with pytest.raises(InputError, match=r"--html is '.*file/page.html', which cannot be written \(.* is no folder\)"):
        files.check_file(place / "file" / "page.html", field="--html")
    for name in ("file", "new.html", "new/page.html"):
        assert files.check_file(place / name, field="--html") == place / name
    assert files.check_file(os.devnull, field="--html") == Path(os.devnull)


@pytest.mark.parametrize("html", ["page", "folder/../page", "page/below", "link"])
def test_outputs_that_would_be_written_over_each_other_are_refused(place, html):
    (place / "link").symlink_to("page")
    with pytest.raises(InputError, match="^--(html|output) is '.*', where --(html|output) is written, too; "):
        files.check_apart({"--output": place / "page", "--html": place / html}, folders={})
    for folder in ("page", "page/below"):
        with pytest.raises(
            InputError, match="^--output is '.*page', where --overlay is written, too; expected another"
        ):
            files.check_apart({"--output": place / "page"}, folders={"--overlay": place / folder})


def test_outputs_beside_each_other_are_not(place):
    outputs = {"--output": place / "page.csv", "--html": place / "page"}
    files.check_apart(outputs, folders={"--overlay": place / "page2"})
    files.check_apart(outputs, folders={"--overlay": place})  # in whose folder they may be
    null = Path(os.devnull)
    files.check_apart({"--output": null, "--html": null}, folders={})


@pytest.mark.parametrize("name", results.FILES)
def test_the_page_is_no_other_result(name, tmp_path):
    with pytest.raises(InputError, match=f"^html is '.*{name}', where {name} of the output is written, too"):
        results.write([], tmp_path, html=tmp_path / name)


@pytest.mark.parametrize(
    "write",
    [
        lambda output: results.write([], output),
        lambda output: results.write([], output.parent.parent / "fine", html=output),
        lambda output: attack.write([], output, count=1, halo=0, options=attack.DEFAULTS),
        lambda output: unseen.write([], output, families=(), count=1, photographs=None, seed=0, seeds=None),
        scaling.write,
    ],
)
def test_results_are_not_computed_for_nothing(place, write):
    with pytest.raises(InputError, match="^(output|html) is '.*file/below', which cannot be written"):
        write(place / "file" / "below")
    assert not (place / "fine").exists()


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "note.txt"
    files.write_text(path, "one\ntwo ±\n")
    assert path.read_bytes() == b"one\ntwo \xc2\xb1\n"

    def interrupt(whole):
        assert whole.suffix == ".txt"
        whole.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), files.replacing(path) as whole:
        interrupt(whole)
    assert path.read_bytes() == b"one\ntwo \xc2\xb1\n"
    link = tmp_path / "link"
    link.symlink_to(path)
    files.write_text(link, "three")
    assert (link.is_symlink(), path.read_text()) == (True, "three")
    assert _names(tmp_path) == ["link", "new"]
    assert _names(tmp_path / "new") == ["note.txt"]
    files.write_text(os.devnull, "nothing")
    assert not Path(os.devnull).is_file()


def test_the_systems_errors_name_the_file(place):
    with pytest.raises(OSError, match="file/below") as caught:
        files.write_text(place / "file" / "below", "text")
    assert caught.value.filename == str(place / "file" / "below")
    with pytest.raises(IsADirectoryError) as caught:
        files.write_text(place / "folder", "text")
    assert caught.value.filename == str(place / "folder")


def test_a_name_that_is_no_text_in_the_locale_is_written_as_its_bytes(tmp_path):
    files.write_text(tmp_path / "note", b"\xc3\xa9 \xe9".decode("ascii", "surrogateescape"))
    assert (tmp_path / "note").read_bytes() == b"\xc3\xa9 \\xe9"


def test_json_has_no_nan(tmp_path):
    records = [{"loss": math.nan, "all": [1.5, (math.inf, -math.inf)], "deep": {"x": math.nan}}, {"name": "ö", "n": 3}]
    files.write_json_lines(tmp_path / "lines", iter(records))

    def refuse(constant):
        raise AssertionError(constant)

    read = [json.loads(line, parse_constant=refuse) for line in (tmp_path / "lines").read_text().splitlines()]
    assert read == [{"loss": None, "all": [1.5, [None, None]], "deep": {"x": None}}, {"name": "ö", "n": 3}]
    assert files.read_json_lines(tmp_path / "lines", fields={"n": int}) == read[1:]


STRAY = [
    b'{"step": 8, "pha',
    b"no JSON",
    b"[1, 2]",
    b"7",
    b"null",
    b'"step"',
    b'{"note": "no step"}',
    b'{"step": "3"}',
    b'{"step": null}',
    b'{"step": true}',
    b'{"step": false}',
    b"\xff\xfe",
    b'{"step": 1, "name": "\xe9"}',
    b"\x00\x00",
    b"[" * 100_000,
]


@pytest.mark.parametrize("stray", STRAY, ids=lambda line: repr(line[:12]))
def test_a_stray_line_is_passed_over(tmp_path, caplog, stray):
    (tmp_path / "lines").write_bytes(b'{"step": 1}\r\n\n' + stray + b'\n{"step": 2, "x": NaN}\n' + stray)
    records = files.read_json_lines(tmp_path / "lines", fields={"step": int})
    assert [record["step"] for record in records] == [1, 2]
    assert caplog.messages == [f"{tmp_path / 'lines'}: no record of step, passed over: line 3, 5"]


def _without_encoding(tree):
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        given = {keyword.arg for keyword in node.keywords}
        modes = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        binary = any("b" in mode and len(mode) <= 3 for mode in modes)
        system = isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") in ("os", "gzip", "Image")
        if name in ("open", "read_text"):
            if "encoding" not in given and not system and not binary:
                yield node.lineno
        elif name == "write_text" and isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) != "files":
            yield node.lineno  # that of pathlib, which may leave half a file
        elif given & {"text", "universal_newlines"}:
            yield node.lineno  # of subprocess, which takes encoding


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_text_is_utf8_whatever_the_locale(path):
    assert list(_without_encoding(ast.parse(path.read_text(encoding="utf-8")))) == []


def test_the_search_for_encodings_finds_them():
    code = "open(x)\np.open('r')\np.read_text()\np.write_text('b')\nrun(c, text=True)\nopen(x, 'rb')\nos.open(x, 0)\n"
    assert list(_without_encoding(ast.parse(code))) == [1, 2, 3, 4, 5]


def test_a_line_is_added_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "lines.jsonl"
    files.append_json_line(path, {"step": 1})
    with monkeypatch.context() as full:
        full.setattr(files, "open", lambda name, *how, **options: _Nearly(name, *how, **options), raising=False)
        with pytest.raises(OSError, match=f"No space left on device: '{path}'"):
            files.append_json_line(path, {"step": 2})
    files.append_json_line(path, {"step": float("nan")})
    assert path.read_text() == '{"step": 1}\n{"step": null}\n'


class _Nearly(io.FileIO):
    """A file on a disk with room for three bytes more."""

    def __init__(self, name, mode, *, buffering):
        super().__init__(name, mode)
        self._room = 3

    def write(self, data):
        if not self._room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = super().write(data[: self._room])
        self._room -= written
        return written


@pytest.mark.parametrize("path", ["a\0b", "~no_such_user/x", "\ud800", "x\0"])
def test_what_is_no_path_is_refused(path):
    for check in (files.check_folder, files.check_file, files.check_path):
        with pytest.raises(InputError, match="^--output is .*, which is no path .*; expected another path$"):
            check(path, field="--output")


def test_lines_that_are_nested_too_deeply_are_no_records(tmp_path):
    nested = ("[" * depth + "1" + "]" * depth for depth in (5, 30, 400, 900, 100_000))
    lines = [f'{{"step": 1, "x": {value}}}' for value in nested]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    records = files.read_json_lines(tmp_path / "a.jsonl", fields={"step": int})
    assert records == [{"step": 1, "x": [[[[[1]]]]]}]
    files.write_json_lines(tmp_path / "a.jsonl", records)
