"""Which files the arguments of a command mean."""

import errno
import os
from pathlib import Path

import pytest

from bginv_jax.errors import InputError
from bginv_jax.evaluation.listing import Listed, list_files
from bginv_jax.images.reading import read_picture


@pytest.fixture
def folder(tmp_path):
    """Pictures in two folders, hidden things, and a file that is none."""
    for name in ("b.png", "a.JPG", "notes.txt", ".hidden.png", "in ner/日本.png", "in ner/c[1].png", ".git/d.png"):
        path = tmp_path / "all" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path / "all"


def _names(listed, folder):
    assert not any(one.error for one in listed)
    return [os.path.relpath(one.name, folder) for one in listed]


def test_a_folder_is_searched_and_hidden_files_are_passed_over(folder):
    expected = ["a.JPG", "b.png", "in ner/c[1].png", "in ner/日本.png"]
    assert _names(list_files([str(folder)]), folder) == expected
    assert _names(list_files([f"{folder}/", str(folder / "b.png")]), folder) == expected  # each once


def test_links_that_lead_back_are_followed_once(folder):
    (folder / "in ner" / "back").symlink_to(folder)
    (folder / "again").symlink_to(folder / "in ner")
    assert len(list_files([str(folder)])) == 4
    (folder / "in ner" / "twice").symlink_to(folder)
    assert _names(list_files([f"{folder}/**/*.png"]), folder) == ["again/c[1].png", "again/日本.png", "b.png"]
    assert len(list_files([f"{folder}/**/*"])) == 5
    assert len(list_files([f"{folder}/**/**/*.png"])) == 3


def test_a_file_that_is_spelled_in_several_ways_is_listed_once(folder, monkeypatch):
    monkeypatch.chdir(folder)
    listed = list_files([".", "*.png", "./**/*.png", "in ner/../b.png", f"{folder}/b.png", "**/b.png"])
    assert [one.name for one in listed] == ["a.JPG", "b.png", "in ner/c[1].png", "in ner/日本.png"]


def test_stars_are_of_folders_that_are_not_hidden(folder):
    assert _names(list_files([f"{folder}/**"]), folder) == _names(list_files([f"{folder}/*"]), folder)
    for pattern in ("**/", "*/../**/"):  # folders alone, which are searched
        assert _names(list_files([f"{folder}/{pattern}"]), folder) == _names(list_files([str(folder)]), folder)
    assert _names(list_files([f"{folder}/**/*/"]), folder) == ["in ner/c[1].png", "in ner/日本.png"]
    assert list_files([f"{folder}/**/b.png/"])[0].error.endswith("no file matches this pattern")
    assert _names(list_files([f"{folder.parent}/a*/**/日*"]), folder) == ["in ner/日本.png"]
    assert _names(list_files([f"{folder}/**/in ner/*"]), folder) == ["in ner/c[1].png", "in ner/日本.png"]
    assert list_files([f"{folder}/b.png/**/*"])[0].error.endswith("no file matches this pattern")


def test_a_folder_that_a_pattern_cannot_look_into_says_so(folder, monkeypatch):
    real = Path.iterdir

    def iterdir(path):  # as where only others may; root may
        if path.name == "in ner":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    listed = list_files([f"{folder}/**/*.png"])
    assert [one.error for one in listed] == ["", f"{folder}/in ner: Permission denied"]


def test_a_file_that_is_named_needs_no_suffix_and_need_not_be_there(folder, tmp_path):
    assert _names(list_files([f"{folder}/notes.txt", f"{folder}/.hidden.png"]), folder) == ["notes.txt", ".hidden.png"]
    assert list_files([f"{tmp_path}/missing.png"]) == [Listed(f"{tmp_path}/missing.png")]  # reading it complains


def test_patterns_are_matched_unless_a_file_has_that_name(folder, monkeypatch):
    assert _names(list_files([f"{folder}/**/*.png"]), folder) == ["b.png", "in ner/c[1].png", "in ner/日本.png"]
    assert _names(list_files([f"{folder}/in ner/c[1].png"]), folder) == ["in ner/c[1].png"]
    assert _names(list_files([f"{folder}/*"]), folder) == [
        "a.JPG",
        "b.png",
        "in ner/c[1].png",
        "in ner/日本.png",
        "notes.txt",
    ]
    monkeypatch.setenv("HOME", str(folder))
    assert _names(list_files(["~/?.png"]), folder) == ["b.png"]


def test_what_gives_nothing_says_so_and_does_not_stop_the_rest(folder, tmp_path):
    (tmp_path / "empty" / "inner").mkdir(parents=True)
    listed = list_files([f"{folder}/*.gif", str(tmp_path / "empty"), f"{folder}/b.png"])
    assert [one.error for one in listed] == [
        f"{folder}/*.gif: no file matches this pattern",
        f"{tmp_path}/empty: no picture in this folder or below; hidden files do not count",
        "",
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_read_says_so(folder):
    (folder / "in ner").chmod(0)
    listed = list_files([str(folder)])
    (folder / "in ner").chmod(0o755)
    assert [one.error for one in listed] == ["", "", f"{folder}/in ner: Permission denied"]


def test_a_folder_that_is_written_is_not_searched(folder):
    assert _names(list_files([str(folder)], without=[folder / "in ner"]), folder) == ["a.JPG", "b.png"]


def test_what_the_command_writes_is_matched_by_no_pattern(folder):
    written = [folder / "in ner", folder / "notes.txt"]  # overlays, and a file of lines
    assert _names(list_files([f"{folder}/**/*.png"], without=written), folder) == ["b.png"]
    assert _names(list_files([f"{folder}/*"], without=written), folder) == ["a.JPG", "b.png"]
    (folder.parent / "link").symlink_to(folder / "in ner")
    assert _names(list_files([f"{folder}/**/*"], without=[folder.parent / "link"]), folder)[:2] == ["a.JPG", "b.png"]
    assert len(list_files([f"{folder}/b.png", f"{folder}/in ner/c[1].png"], without=[folder])) == 2  # they are named


@pytest.mark.parametrize("argument", ["in ner", "in ner/", "in ner/*.png", "notes.*", "notes.txt"])
def test_nothing_is_read_where_the_command_writes_alone(folder, argument):
    with pytest.raises(InputError, match="^an argument is '.*', where this command writes; expected another place"):
        list_files([f"{folder}/b.png", f"{folder}/{argument}"], without=[folder / "in ner", folder / "notes.txt"])


@pytest.mark.parametrize("name", ["a" * 300 + ".png", "closed/b.png"])
def test_a_path_that_the_system_refuses_stops_no_other(folder, name, monkeypatch):
    real = Path.stat

    def stat(path, **options):  # as for a folder that only others may enter; root may
        if "closed" in path.parts:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, **options)

    monkeypatch.setattr(Path, "stat", stat)
    assert len(list_files([f"{folder}/b.png", f"{folder}/{name}", f"{folder}/a.JPG"])) == 3
    (folder / "closed").symlink_to("elsewhere")
    assert _names(list_files([str(folder)]), folder)[:2] == ["a.JPG", "b.png"]
    with pytest.raises(InputError, match="Permission denied|File name too long"):
        read_picture(f"{folder}/{name}")


@pytest.mark.parametrize("argument", ["", " ", "-"])
def test_blank_arguments_and_standard_input_are_refused(argument):
    with pytest.raises(InputError, match="^an argument is .*; expected picture files, folders of them, or quoted"):
        list_files([argument])
