"""Local storage: whole files or none, a marker that is written last and believed only when it fits, clear refusals."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hybrid_core import storage
from hybrid_core.errors import RequestError
from hybrid_core.storage import MARKER, check_writable, mark_complete, upload_directory, verify_complete

modest = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """A sealed directory: one file beside the marker, one below, one empty."""
    directory = tmp_path / "sealed"
    (directory / "deep" / "er").mkdir(parents=True)
    (directory / "weights").write_bytes(bytes(range(256)) * 40)
    (directory / "deep" / "er" / "x.npy").write_bytes(b"rows")
    (directory / "empty").touch()
    mark_complete(directory, kind="test", step=7)
    return directory


def content(directory: Path) -> dict[str, bytes]:
    return {str(f.relative_to(directory)): f.read_bytes() for f in directory.rglob("*") if f.is_file()}


def refusal(directory: Path) -> str:
    with pytest.raises(RequestError) as error:
        verify_complete(directory)
    return str(error.value)


# --- addresses


@pytest.mark.parametrize(
    ("uri", "scheme"),
    [("gs://bucket/x", "gs"), ("http://host/x", "http"), ("hdfs://n/x", "hdfs"), ("ss3://b/x", "ss3")],
)
def test_an_unknown_scheme_is_refused_with_those_that_work(uri: str, scheme: str) -> None:
    for operation in (storage.is_remote, storage.absolute, storage.exists, storage.read_bytes, storage.local_directory):
        with pytest.raises(RequestError) as error:
            operation(uri)
        expected = f"storage address {uri!r}: scheme {scheme!r} is not supported; use a path, file:// or s3://"
        assert str(error.value) == expected


def test_addresses_of_this_machine_and_of_object_storage_are_told_apart() -> None:
    assert [storage.is_remote(u) for u in ("/a/b", "a/b", Path("/a/b").as_uri(), "s3://bucket/a")] == [False] * 3 + [
        True
    ]


def test_absolute_does_not_depend_on_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/someone")
    assert storage.absolute("runs/x/") == storage.absolute("./runs/../runs/x") == str(tmp_path.resolve() / "runs/x")
    assert storage.absolute("~/runs") == "/home/someone/runs"
    assert storage.absolute(Path("/data/x").as_uri()) == "/data/x"
    assert storage.absolute("s3://bucket/x/") == "s3://bucket/x"


@pytest.mark.parametrize("base", ["/a/b", "/a/b/", "s3://bucket/b", "s3://bucket/b/"])
def test_join_puts_one_slash_between_parts(base: str) -> None:
    assert storage.join(base, "c", "d.json") == f"{base.rstrip('/')}/c/d.json"


# --- single files


def test_a_file_is_on_the_disk_before_it_takes_its_name_and_its_name_before_the_next_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power cut may leave a marker whose data are gone."""
    done: list[str] = []
    sync, replace = os.fsync, os.replace

    def synced(handle: int) -> None:
        sync(handle)
        done.append(f"sync {os.path.basename(os.readlink(f'/proc/self/fd/{handle}')).partition('.')[0]}")

    def renamed(source: str, target: str) -> None:
        replace(source, target)
        done.append(f"name {os.path.basename(target)}")

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    for name in ("data", "marker"):
        storage.write_bytes(str(tmp_path / "folder" / name), b"content")
    assert done == ["sync data", "name data", "sync folder", "sync marker", "name marker", "sync folder"]
    assert (storage.size(str(tmp_path / "folder" / "data")), storage.size(str(tmp_path / "none"))) == (7, None)


@modest
@given(data=st.binary(max_size=200))
def test_bytes_come_back_as_written(tmp_path: Path, data: bytes) -> None:
    for uri in (str(tmp_path / "new" / "folders" / "x"), (tmp_path / "y").as_uri()):
        storage.write_bytes(uri, data)
        assert storage.exists(uri) and storage.read_bytes(uri) == data


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@modest
@given(value=json_values)
def test_json_comes_back_as_written(tmp_path: Path, value: object) -> None:
    storage.write_json(str(tmp_path / "x.json"), value)
    assert storage.read_json(str(tmp_path / "x.json")) == value


def test_json_is_the_same_for_any_order_of_keys_and_keeps_other_scripts_readable(tmp_path: Path) -> None:
    storage.write_json(str(tmp_path / "a"), {"b": "中文", "a": 1})
    storage.write_json(str(tmp_path / "b"), {"a": 1, "b": "中文"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert "中文" in (tmp_path / "a").read_text(encoding="utf-8")


def test_a_folder_is_not_a_file_that_exists(tmp_path: Path) -> None:
    assert not storage.exists(str(tmp_path)) and not storage.exists(str(tmp_path / "gone"))


def test_a_file_is_replaced_as_a_whole_and_not_written_over(tmp_path: Path) -> None:
    """Who has the old file open (here: a second name of it) keeps the old content."""
    file, old = tmp_path / "x", tmp_path / "old"
    file.write_bytes(b"old content")
    os.link(file, old)
    storage.write_bytes(str(file), b"new")
    assert (file.read_bytes(), old.read_bytes()) == (b"new", b"old content")
    assert sorted(f.name for f in tmp_path.iterdir()) == ["old", "x"]


def test_readers_see_one_whole_version_while_writers_replace_it(tmp_path: Path) -> None:
    uri, versions = str(tmp_path / "x"), [bytes([n]) * 300_000 for n in range(2)]
    storage.write_bytes(uri, versions[0])
    writers = [threading.Thread(target=lambda v=v: [storage.write_bytes(uri, v) for _ in range(30)]) for v in versions]
    for w in writers:
        w.start()
    seen = [storage.read_bytes(uri) for _ in range(60)]
    for w in writers:
        w.join()
    assert set(seen) <= set(versions)
    assert [f.name for f in tmp_path.iterdir()] == ["x"]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "x"
    target.mkdir()  # a rename over a folder fails
    (target / "kept").write_text("here")
    with pytest.raises(OSError):
        storage.write_bytes(str(target), b"new")
    assert content(tmp_path / "x") == {"kept": b"here"}


def test_a_failed_write_leaves_no_scratch_file(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(OSError):
        storage.write_bytes(str(tmp_path / "x"), b"new")
    assert [f.name for f in tmp_path.iterdir()] == ["x"]


# --- proof that an output can be written


def test_a_writable_place_is_made_and_nothing_is_left_in_it(tmp_path: Path) -> None:
    check_writable(str(tmp_path / "new" / "runs"), "output")
    assert list((tmp_path / "new" / "runs").iterdir()) == []


@pytest.mark.parametrize("below", ["file", "file/runs", "file/a/b"])
def test_a_place_below_a_file_is_refused_with_field_address_and_remedy(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("kept")
    uri = str(tmp_path / below)
    with pytest.raises(RequestError) as error:
        check_writable(uri, "output")
    assert str(error.value).startswith(f"output={uri!r} cannot be written: ")
    assert "choose a writable folder or bucket (credentials and endpoint come from AWS_*)" in str(error.value)
    assert content(tmp_path) == {"file": b"kept"}


def test_an_output_of_unknown_scheme_is_refused() -> None:
    with pytest.raises(RequestError, match=r"scheme 'gs' is not supported; use a path, file:// or s3://"):
        check_writable("gs://bucket/runs", "output")


# --- sealed directories


def test_the_marker_lists_all_files_and_carries_its_facts(sealed: Path) -> None:
    facts = verify_complete(sealed)
    assert (facts["kind"], facts["step"]) == ("test", 7)
    assert facts == json.loads((sealed / MARKER).read_text())
    assert set(facts["files"]) == {"deep/er/x.npy", "empty", "weights"}
    rows = {
        "bytes": 4,
        "sha256": "bc51e9e65d79e1c90ba544ab2eae1044ccdf8c1af7a559ba375cba4276f7d99e",
    }  # printf rows | sha256sum
    assert facts["files"]["deep/er/x.npy"] == rows


def test_sealing_again_lists_what_is_there_now(sealed: Path) -> None:
    (sealed / "weights").write_bytes(b"other")
    (sealed / "more").write_bytes(b"more")
    mark_complete(sealed, kind="again")
    facts = verify_complete(sealed)
    assert facts["kind"] == "again" and "step" not in facts
    assert set(facts["files"]) == {"deep/er/x.npy", "empty", "more", "weights"}


def change_a_byte(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


TAMPERINGS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "a byte changed": ("weights", change_a_byte),
    "cut short": ("weights", lambda f: f.write_bytes(f.read_bytes()[:-1])),
    "emptied": ("weights", lambda f: f.write_bytes(b"")),
    "grown": ("empty", lambda f: f.write_bytes(b"x")),
    "removed": ("deep/er/x.npy", lambda f: f.unlink()),
    "same length": ("deep/er/x.npy", lambda f: f.write_bytes(b"cols")),
    "a folder now": ("empty", lambda f: (f.unlink(), f.mkdir())),
}


@pytest.mark.parametrize(("name", "tamper"), TAMPERINGS.values(), ids=TAMPERINGS.keys())
def test_tampering_is_refused_and_the_file_named(sealed: Path, name: str, tamper: Callable[[Path], object]) -> None:
    tamper(sealed / name)
    expected = f"{sealed / name} is not the file named in {MARKER}: damaged or replaced; delete {sealed} and run again"
    assert refusal(sealed) == expected


def test_a_directory_without_marker_was_cut_short(sealed: Path) -> None:
    (sealed / MARKER).unlink()
    expected = f"{sealed} has no {MARKER}: it was cut short while being written; delete it or use another"
    assert refusal(sealed) == expected


@pytest.mark.parametrize("marker", [b"", b'{"files": {', b"[]", b"{}", b'{"files": 3}'])
def test_a_marker_that_cannot_be_read_is_refused(sealed: Path, marker: bytes) -> None:
    (sealed / MARKER).write_bytes(marker)
    message = refusal(sealed)
    assert str(sealed) in message and MARKER in message


def test_a_sealed_directory_inside_another_is_covered_too(sealed: Path) -> None:
    mark_complete(sealed / "deep", kind="inner")
    mark_complete(sealed, kind="outer")
    change_a_byte(sealed / "deep" / MARKER)
    assert str(sealed / "deep" / MARKER) in refusal(sealed)


def test_local_directory_of_a_local_address_is_the_place_itself(sealed: Path) -> None:
    assert storage.local_directory(sealed.as_uri()) == storage.local_directory(f"{sealed}/") == sealed


# --- upload


@pytest.mark.parametrize("form", [str, Path.as_uri])
def test_upload_copies_all_files(sealed: Path, tmp_path: Path, form: Callable[[Path], str]) -> None:
    target = tmp_path / "some" / "where"
    upload_directory(sealed, form(target))
    assert content(target) == content(sealed)
    assert verify_complete(target)["step"] == 7


def test_upload_replaces_a_sealed_directory_as_a_whole(sealed: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    (target / "deep").mkdir(parents=True)
    (target / "stale").write_text("old")
    (target / "deep" / "stale").write_text("old")
    mark_complete(target, kind="old")
    upload_directory(sealed, str(target))
    assert content(target) == content(sealed)
    assert sorted(f.name for f in tmp_path.iterdir()) == ["sealed", "target"]


def test_upload_into_an_empty_folder_fills_it(sealed: Path, tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    upload_directory(sealed, str(tmp_path / "target"))
    assert content(tmp_path / "target") == content(sealed)


@pytest.mark.parametrize("own", [False, True], ids=["no marker", "beside a sealed directory"])
def test_upload_does_not_replace_files_of_others(sealed: Path, tmp_path: Path, own: bool) -> None:
    target = tmp_path / "target"
    if own:
        upload_directory(sealed, str(target))
    (target / "notes").mkdir(parents=True)
    (target / "notes" / "mine").write_text("precious")
    before = content(target)
    with pytest.raises(RequestError) as error:
        upload_directory(sealed, str(target))
    assert str(error.value).startswith(f"{target} holds files that are not ours")
    assert "choose another output or remove them" in str(error.value)
    assert content(target) == before


def test_upload_does_not_replace_a_file(sealed: Path, tmp_path: Path) -> None:
    (tmp_path / "target").write_text("precious")
    with pytest.raises((RequestError, OSError)):
        upload_directory(sealed, str(tmp_path / "target"))
    assert (tmp_path / "target").read_text() == "precious"


def test_an_uploaded_directory_is_as_readable_as_a_new_one(sealed: Path, tmp_path: Path) -> None:
    """Jobs write into a temporary directory, which nobody else may enter; the result is for everyone on the cluster."""
    sealed.chmod(0o700)
    (tmp_path / "new").mkdir()
    upload_directory(sealed, str(tmp_path / "target"))
    assert (tmp_path / "target").stat().st_mode == (tmp_path / "new").stat().st_mode


@pytest.fixture
def failing_upload(sealed: Path, tmp_path: Path) -> Path:
    """A target to which one file of `sealed` cannot be copied: its path gets too long."""
    longest, parent = os.pathconf("/", "PC_PATH_MAX"), tmp_path
    while len(str(parent)) < longest - 400:
        parent /= "t" * 200
    upload_directory(sealed, str(parent / "old"))
    below = Path("z" * 200, "z" * 200)
    (sealed / below).mkdir(parents=True)
    (sealed / below / "file").write_text("last in the order of names")
    mark_complete(sealed, kind="test", step=8)
    return parent


def test_a_failed_upload_keeps_the_old_directory(sealed: Path, failing_upload: Path) -> None:
    with pytest.raises(OSError):
        upload_directory(sealed, str(failing_upload / "old"))
    assert verify_complete(failing_upload / "old")["step"] == 7


def test_a_failed_upload_leaves_no_marker_at_a_new_place(sealed: Path, failing_upload: Path) -> None:
    with pytest.raises(OSError):
        upload_directory(sealed, str(failing_upload / "new"))
    assert "was cut short" in refusal(failing_upload / "new")


def test_a_failed_upload_leaves_no_scratch_directory(sealed: Path, failing_upload: Path) -> None:
    with pytest.raises(OSError):
        upload_directory(sealed, str(failing_upload / "new"))
    assert [f.name for f in failing_upload.iterdir()] == ["old"]
