"""Which files are a source, and who is to blame when one cannot be read: the storage, which is asked again, or the file."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import datasets
import huggingface_hub
import huggingface_hub.utils._http
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest
from hub_helpers import DATASET, Hub, serving

from hybrid_core.config import Config, EncodeConfig
from hybrid_core.embeddings.files import StoredFile
from hybrid_core.embeddings.rows import read_file
from hybrid_core.embeddings.sources import check_apart, check_unchanged, list_parts, read_part
from hybrid_core.errors import RequestError
from hybrid_core.settings import build
from ray_jobs._parts import EncodeTask, patiently

ROWS = [{"id": f"d{i}", "language": "de", "text": f"Satz {i} von {i * i}."} for i in range(400)]


def a_config(source: Path | str, **encode: object) -> Config:
    return build(Config, {"encode": {"source": str(source)} | encode})


def ids_of(config: Config) -> list[str]:
    parts = list_parts(config)
    return [id for part in parts for table, _ in read_part(part, config) for id in table["id"].to_pylist()]


@pytest.fixture(autouse=True)
def no_progress_bars() -> Iterator[None]:
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


def test_what_datasets_leaves_beside_a_dataset_is_not_read(tmp_path: Path) -> None:
    rows = datasets.Dataset.from_list(ROWS[:5])
    rows.save_to_disk(tmp_path / "d", num_shards=1)
    saved = datasets.load_from_disk(tmp_path / "d")
    saved.map(lambda row: {"text": row["text"] + "!"})
    rows.save_to_disk(tmp_path / "d", num_shards=2)  # beside the one file of before
    names = sorted(f.name.partition("-")[0] for f in (tmp_path / "d").glob("*.arrow"))
    assert names == ["cache", "data", "data", "data"]
    assert ids_of(a_config(tmp_path)) == [f"d{i}" for i in range(5)]
    (tmp_path / "d" / "data-00001-of-00002.arrow").unlink()
    with pytest.raises(RequestError, match=r"d/state\.json names 'data-00001-of-00002\.arrow', which is not there"):
        list_parts(a_config(tmp_path))


@pytest.mark.parametrize("state", ["{}", "[1]", "no json", '{"_data_files": null}'])
def test_a_state_of_another_program_hides_nothing(tmp_path: Path, state: str) -> None:
    with pa.ipc.new_file(tmp_path / "cache-of-mine.arrow", pa.Table.from_pylist(ROWS).schema) as writer:
        writer.write_table(pa.Table.from_pylist(ROWS))
    (tmp_path / "state.json").write_text(state)
    assert [part.name for part in list_parts(a_config(tmp_path))] == ["cache-of-mine.arrow"]


@pytest.mark.parametrize(
    ("source", "target", "apart"),
    [
        ("d", "d/emb", False),
        ("d", "d", False),
        (".", "runs/encoded", False),
        ("d/shards/old", "d", False),
        ("d", "emb", True),
        ("d", "d-emb", True),
        ("d/texts", "d", True),
        ("d/a.jsonl", "d", True),
        ("s3://b/c", "s3://b/c/emb", False),
        ("s3://b/c/", "s3://b/c2", True),
        ("suites", "suites/emb", True),
        ("hf://datasets/a/b", "hf", True),
    ],
)
def test_a_target_inside_its_source_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, target: str, apart: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    place = target if target.startswith("s3://") else str(tmp_path / target)
    if apart:
        check_apart(source, place)
        return
    with pytest.raises(RequestError, match=r"lie in each other: .* choose a target outside the source"):
        check_apart(source, place)


@pytest.mark.parametrize(
    ("folder", "language"),
    [
        ("miracl-corpus-v1.0-sw", "sw"),
        ("language=sw", "sw"),
        ("20231101.sw", "sw"),
        ("mine-v2-yo", "yo"),
        ("corpus-as-is", None),
        ("wiki-so", None),
        ("my", None),
        ("language=xx", None),
        ("corpus-v1.0-xx", None),
        ("language=sw-old", None),
        ("v1.0-sw.old", None),
    ],
)
def test_only_names_that_can_mean_nothing_else_say_a_language(
    tmp_path: Path, folder: str, language: str | None
) -> None:
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "a.jsonl").write_text('{"id": "1", "text": "x"}\n')
    (part,) = list_parts(a_config(tmp_path))
    assert part.language == language
    (alone,) = list_parts(a_config(tmp_path / folder / "a.jsonl"))
    assert alone.language == language


def write_gzip(file: Path) -> Path:
    file = file.with_suffix(".jsonl.gz")
    file.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in ROWS).encode()))
    return file


def write_parquet(file: Path) -> Path:
    pq.write_table(pa.Table.from_pylist(ROWS), file.with_suffix(".parquet"), row_group_size=100)
    return file.with_suffix(".parquet")


def write_stream(file: Path) -> Path:
    table = pa.Table.from_pylist(ROWS)
    with pa.ipc.new_stream(file.with_suffix(".arrow"), table.schema) as writer:
        writer.write_table(table, max_chunksize=100)
    return file.with_suffix(".arrow")


@pytest.mark.parametrize("write", [write_gzip, write_parquet, write_stream])
@pytest.mark.parametrize("kept", [0.5, 0.98])
def test_a_file_that_is_cut_short_is_refused_at_once_also_in_object_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], Path], kept: float
) -> None:
    file = write(tmp_path / "a")
    whole = file.read_bytes()
    file.write_bytes(whole[: int(kept * len(whole))])
    config = a_config(tmp_path, patience=10_000)
    monkeypatch.setattr("ray_jobs._parts.is_remote", lambda place: True)
    monkeypatch.setattr("ray_jobs._parts.time.sleep", lambda seconds: pytest.fail("it is read again"))
    task = EncodeTask(config, str(tmp_path / "target"), "model", "identity", tuple(list_parts(config)))
    with pytest.raises(RequestError, match=r"a\.\S+ cannot be read: .*damaged or cut short"):
        list(patiently(task, task.parts[0]))


class Unreliable:
    """Files of this machine that fail behind a byte, or give less than they have."""

    def __init__(self, works: int, raises: bool) -> None:
        self.works, self.raises = works, raises

    def open_input_file(self, path: str) -> Unreliable:
        self._bytes = io.BytesIO(Path(path).read_bytes())
        self.seek, self.tell, self.close = self._bytes.seek, self._bytes.tell, self._bytes.close
        return self

    @property
    def closed(self) -> bool:
        return self._bytes.closed

    def size(self) -> int:
        return len(self._bytes.getvalue())

    def read(self, size: int) -> bytes:
        given = self._bytes.read(size)
        if self.tell() <= self.works:
            return given
        if self.raises:
            raise RuntimeError("connection lost")
        return given[:-1]


@pytest.mark.parametrize("write", [write_gzip, write_parquet, write_stream])
@pytest.mark.parametrize("raises", [True, False])
def test_a_storage_that_fails_is_not_the_fault_of_the_file(
    tmp_path: Path, write: Callable[[Path], Path], raises: bool
) -> None:
    file = write(tmp_path / "a")
    failing = Unreliable(file.stat().st_size // 2, raises)
    with pytest.raises(OSError, match="RuntimeError: connection lost" if raises else "the storage gave"):
        list(read_file(failing, str(file), "shown", EncodeConfig(), None))
    assert len(list(read_file(pafs.LocalFileSystem(), str(file), "shown", EncodeConfig(), None))) > 0


def test_a_stored_file_reads_as_a_file_does(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"0123456789")
    with StoredFile(pafs.LocalFileSystem(), str(tmp_path / "a")) as file:
        assert (file.read(3), file.tell(), file.read(), file.read(5), file.size) == (b"012", 3, b"3456789", b"", 10)
        assert (file.seek(-2, 2), file.read(9), file.error, file.closed) == (8, b"89", None, False)
    assert file.closed
    with pytest.raises(FileNotFoundError):
        StoredFile(pafs.LocalFileSystem(), str(tmp_path / "b"))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    lines = "".join(json.dumps({"docid": row["id"], "text": row["text"]}) + "\n" for row in ROWS)
    with serving({"made-up-v1.0-de/docs-0.jsonl": lines.encode(), "README.md": b"no rows"}) as hub:
        template = huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE
        here = hub.address + template.removeprefix(huggingface_hub.constants.ENDPOINT)
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", here)
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.address)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        yield hub
    huggingface_hub.utils._http.close_session()


def test_the_hub_is_a_source_and_is_asked_again_when_it_fails(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(
        "ray_jobs._parts.time.sleep", pauses.append
    )  # also of the client, which tries several times itself
    config = a_config(f"hf://datasets/{DATASET}", rows_per_shard=150, patience=20)
    (part,) = list_parts(config)
    assert (part.name, part.language) == ("made-up-v1.0-de/docs-0.jsonl", "de")
    task = EncodeTask(config, "target", "model", "identity", (part,))
    hub.failing = 8
    found = [id for table, _ in patiently(task, part) for id in table["id"].to_pylist()]
    assert found == [row["id"] for row in ROWS] and hub.cut == 8 and 2.0 in pauses
    name, content = next(iter(hub.files.items()))
    hub.files[name] = content.replace(b"Satz", b"Wort")  # as long as before
    with pytest.raises(RequestError, match="has changed while it was read"):
        check_unchanged(part)


def test_a_hub_out_of_reach_is_refused_with_the_reason(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RequestError, match=r"encode\.source='hf://datasets/one' cannot be read: .*namespace/name"):
        list_parts(a_config("hf://datasets/one"))
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        RequestError, match=r"cannot be read: ConnectError: .*refused; check the address, the network and"
    ):
        list_parts(a_config(f"hf://datasets/{DATASET}"))
