from __future__ import annotations

from pathlib import Path

from console.operations.files import allowed_file


def test_a_file_inside_a_root_is_made_absolute(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text("x")

    path, problem = allowed_file("code/a.py", base=tmp_path, roots=[tmp_path])

    assert problem is None
    assert path == tmp_path / "code" / "a.py"


def test_a_link_that_leads_outside_is_refused(tmp_path: Path) -> None:
    root, secret = tmp_path / "root", tmp_path / "secret.txt"
    root.mkdir()
    secret.write_text("s")
    (root / "link.txt").symlink_to(secret)

    for name in ("link.txt", "../secret.txt", str(secret)):
        path, problem = allowed_file(name, base=root, roots=[root])
        assert path is None
        assert problem is not None
        assert "outside KOS_FILE_ROOTS" in problem


def test_what_is_outside_is_not_said_to_exist_or_not(tmp_path: Path) -> None:
    _, there = allowed_file("/etc/passwd", base=tmp_path, roots=[tmp_path])
    _, not_there = allowed_file("/etc/no-such-file", base=tmp_path, roots=[tmp_path])

    assert there is not None
    assert not_there is not None
    assert there.replace("passwd", "no-such-file") == not_there


def test_missing_files_and_directories_are_told_apart(tmp_path: Path) -> None:
    _, missing = allowed_file("no.py", base=tmp_path, roots=[tmp_path])
    _, directory = allowed_file(".", base=tmp_path, roots=[tmp_path])
    _, unusable = allowed_file("a\x00b", base=tmp_path, roots=[tmp_path])

    assert missing is not None
    assert missing.endswith("does not exist")
    assert directory is not None
    assert "is a directory" in directory
    assert unusable is not None
    assert "not a usable path" in unusable


def test_without_roots_the_message_says_which_setting_opens_them(tmp_path: Path) -> None:
    _, problem = allowed_file("a.py", base=tmp_path, roots=[])

    assert problem is not None
    assert "set KOS_FILE_ROOTS" in problem
