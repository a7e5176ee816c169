from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.attempt.context.files import ContextResult, gather


@pytest.fixture
def root(tmp_path: Path) -> Path:
    directory = tmp_path / "root"
    directory.mkdir()
    return directory


def gathered(
    root: Path, *paths: str, budget: int = 5000, words: tuple[str, ...] = ()
) -> ContextResult:
    return gather(paths, words, roots=[root], budget_tokens=budget)


def refusal(root: Path, path: str) -> str:
    result = gathered(root, path)
    assert result.used == ()
    assert [refused.path for refused in result.refused] == [path]
    return result.refused[0].reason


class TestWhatIsRead:
    def test_a_relative_path_is_read_from_its_root(self, root: Path) -> None:
        (root / "src").mkdir()
        (root / "src" / "a.py").write_text("x = 1\n")

        result = gathered(root, "src/a.py")

        assert "### src/a.py\n```\nx = 1\n" in result.text
        assert result.used[0].whole
        assert result.refused == ()
        assert result.tokens > 0

    def test_an_absolute_path_inside_a_root_is_read(self, root: Path) -> None:
        (root / "a.txt").write_text("hello")

        assert "hello" in gathered(root, str(root / "a.txt")).text

    def test_a_root_that_is_itself_a_link_is_trusted(self, root: Path, tmp_path: Path) -> None:
        (root / "a.txt").write_text("hello")
        (tmp_path / "link").symlink_to(root)

        result = gather(["a.txt"], [], roots=[tmp_path / "link"], budget_tokens=100)
        absolute = gather([str(root / "a.txt")], [], roots=[tmp_path / "link"], budget_tokens=100)

        assert "hello" in result.text
        assert "hello" in absolute.text

    def test_the_second_root_is_tried_where_the_first_lacks_the_file(
        self, root: Path, tmp_path: Path
    ) -> None:
        other = tmp_path / "other"
        other.mkdir()
        (other / "b.txt").write_text("from the other")

        assert "from the other" in gather(["b.txt"], [], roots=[root, other], budget_tokens=99).text

    def test_files_keep_the_order_in_which_they_were_named(self, root: Path) -> None:
        (root / "long.txt").write_text("long " * 50)
        (root / "short.txt").write_text("short")

        result = gathered(root, "long.txt", "short.txt", "long.txt")

        assert [file.path for file in result.used] == ["long.txt", "short.txt"]

    def test_a_fence_inside_a_file_cannot_close_its_frame(self, root: Path) -> None:
        (root / "a.md").write_text("```\ncode\n```\n")

        assert "````\n```\ncode" in gathered(root, "a.md").text

    def test_no_paths_give_an_empty_context(self, root: Path) -> None:
        assert gathered(root) == ContextResult()


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("path", "reason"),
        [
            ("missing.txt", "does not exist"),
            ("../secret.txt", 'holds ".."'),
            ("a/../../secret.txt", 'holds ".."'),
            ("/etc/passwd", "is outside the allowed directories"),
            ("/dev/zero", "is outside the allowed directories"),
            (".", "is outside the allowed directories"),
            ("", "is no path"),
            ("a\x00b", "is no path"),
            ("x" * 300, "has a name that is too long"),
            ("~/.ssh/id_rsa", "does not exist"),
            ("file:///etc/passwd", "does not exist"),
        ],
    )
    def test_a_path_that_leads_nowhere_good(self, root: Path, path: str, reason: str) -> None:
        assert reason in refusal(root, path)

    def test_a_sibling_whose_name_begins_like_the_root(self, root: Path, tmp_path: Path) -> None:
        (tmp_path / "root-secret").mkdir()
        (tmp_path / "root-secret" / "a").write_text("secret")

        assert "outside" in refusal(root, str(tmp_path / "root-secret" / "a"))

    def test_a_link_to_a_file(self, root: Path, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("secret")
        (root / "link").symlink_to(tmp_path / "secret")

        assert refusal(root, "link") == "is a symbolic link; links are not followed"

    def test_a_link_to_a_directory_on_the_way(self, root: Path, tmp_path: Path) -> None:
        (root / "out").symlink_to(tmp_path)
        (tmp_path / "secret").write_text("secret")

        assert 'goes through the symbolic link "out"' in refusal(root, "out/secret")

    def test_a_directory(self, root: Path) -> None:
        (root / "d").mkdir()

        assert refusal(root, "d") == "is a directory; name a file"

    def test_a_path_through_a_file(self, root: Path) -> None:
        (root / "f").write_text("x")

        assert "cannot be read" in refusal(root, "f/inner")

    def test_a_fifo_without_waiting_for_its_writer(self, root: Path) -> None:
        os.mkfifo(root / "pipe")

        assert refusal(root, "pipe") == "is a FIFO, not a regular file"

    def test_a_socket(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(root)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind("s")

            assert refusal(root, "s") == "is a socket, not a regular file"

    def test_a_file_that_is_too_large(self, root: Path) -> None:
        with (root / "huge").open("wb") as huge:
            huge.truncate(6 * 1024 * 1024)

        assert "has 6291456 bytes; at most 5000000 are read" in refusal(root, "huge")

    @pytest.mark.parametrize(
        "content",
        [
            b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" * 9,
            b"\x7fELF\x02\x01" + bytes(64),
            bytes(range(32)) * 9,
        ],
    )
    def test_a_binary_file(self, root: Path, content: bytes) -> None:
        (root / "b").write_bytes(content)

        assert "is a binary file" in refusal(root, "b")

    def test_an_empty_file(self, root: Path) -> None:
        (root / "e").write_text(" \n")

        assert refusal(root, "e") == "is empty"

    def test_everything_where_no_root_is_open(self) -> None:
        result = gather(["a"], [], roots=[], budget_tokens=100)

        assert "set KOS_FILE_ROOTS" in result.refused[0].reason

    def test_one_refusal_leaves_the_other_files(self, root: Path) -> None:
        (root / "a.txt").write_text("hello")

        result = gathered(root, "missing", "a.txt")

        assert "hello" in result.text
        assert [str(r) for r in result.refused] == [f"missing: does not exist in {root}"]

    def test_files_beyond_the_bound_by_name(self, root: Path) -> None:
        for number in range(55):
            (root / f"{number}").write_text("x")

        result = gathered(root, *(str(number) for number in range(55)), budget=100_000)

        assert len(result.used) == 50
        assert {r.path for r in result.refused} == {"50", "51", "52", "53", "54"}


def test_a_file_swapped_for_a_link_while_it_is_read_never_leaks(root: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("SECRET")
    target = root / "a.txt"
    stop = threading.Event()

    def swap_in(make: Callable[[Path], object]) -> None:
        new = root / "new"
        make(new)
        new.rename(target)

    def swap() -> None:
        while not stop.is_set():
            swap_in(lambda new: new.write_text("harmless"))
            swap_in(lambda new: new.symlink_to(secret))

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        texts = [gathered(root, "a.txt").text for _ in range(400)]
    finally:
        stop.set()
        swapper.join(timeout=10)

    assert not any("SECRET" in text for text in texts)


class TestEncodings:
    RUSSIAN = (
        "Очередь задач хранится в базе данных, а не в памяти процесса.\n"
        "Рабочий процесс берёт задачу в аренду и продлевает её каждые пятнадцать секунд.\n"
    )

    @pytest.mark.parametrize(
        "encoding",
        ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1251", "koi8-r"],
    )
    def test_russian_is_read_in_the_usual_encodings(self, root: Path, encoding: str) -> None:
        (root / "a.txt").write_bytes(self.RUSSIAN.encode(encoding))

        assert self.RUSSIAN in gathered(root, "a.txt").text

    @pytest.mark.parametrize("encoding", ["cp1251", "koi8-r"])
    def test_one_russian_comment_in_a_long_english_file_is_read(
        self, root: Path, encoding: str
    ) -> None:
        source = "value = compute(value)\n" * 400 + "# проверка состояния очереди задач\n"
        (root / "a.py").write_bytes(source.encode(encoding))

        result = gathered(root, "a.py", words=("проверка",), budget=400)

        assert "проверка состояния очереди задач" in result.text

    def test_accents_of_a_western_code_page_are_not_taken_for_russian(self, root: Path) -> None:
        text = "The café déjà vu was naïve, señor. Voilà: une leçon d'été à Genève.\n" * 5
        (root / "a.txt").write_bytes(text.encode("cp1252"))

        assert text in gathered(root, "a.txt").text

    def test_a_damaged_byte_does_not_lose_the_rest(self, root: Path) -> None:
        (root / "a.txt").write_bytes(self.RUSSIAN.encode() + b"\xff")

        assert self.RUSSIAN in gathered(root, "a.txt").text

    def test_windows_line_ends_become_plain(self, root: Path) -> None:
        (root / "a.txt").write_bytes(b"one\r\ntwo\rthree")

        assert "one\ntwo\nthree" in gathered(root, "a.txt").text


def test_all_files_together_are_bounded_and_a_smaller_one_still_fits(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.attempt.context.files.MAX_TOTAL_BYTES", 100)
    for name, size in (("a", 60), ("b", 60), ("c", 40), ("d", 1)):
        (root / name).write_text("x" * size)

    result = gathered(root, "a", "b", "c", "d")

    assert [file.path for file in result.used] == ["a", "c"]
    assert [file.path for file in result.refused] == ["b", "d"]
