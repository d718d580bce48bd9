"""Two processes fill one store at the same time: every text is there afterwards, and is what one process would have written."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from embedding_helpers import exported_encoder
from stream_helpers import KINDS, TEXTS, a_config, computed, without_ray

from hybrid_core.embeddings.shards import committed, read_shard
from hybrid_core.embeddings.store import ModelStore, text_keys
from hybrid_core.model import encoder_settings, exported_model
from ray_jobs.embed import embed_texts

WRITER = """
import json, sys, time
from pathlib import Path
import numpy as np
from stream_helpers import KINDS, TEXTS, a_config, without_ray
from ray_jobs.embed import embed_texts

folder, model, name, start, end = Path(sys.argv[1]), *sys.argv[2:4], *map(int, sys.argv[4:])
with without_ray() as passes:
    embed_texts(["warm"], ["query"], model, a_config(folder / name))  # all is loaded before both begin
    (folder / f"ready-{name}").touch()
    while len(list(folder.glob("ready-*"))) < 2:
        time.sleep(0.001)
    began = time.time()
    passes.clear()
    found = [embed_texts(TEXTS[r : r + 6], KINDS[r : r + 6], model, a_config(folder / "store")) for r in range(start, end, 6)]
np.save(folder / f"{name}.npy", np.concatenate(found))
(folder / f"{name}.json").write_text(json.dumps({"span": [began, time.time()], "passes": sum(passes)}))
"""


def write_at_once(folder: Path, model: str, spans: dict[str, tuple[int, int]]) -> None:
    """One process for each span of the texts; they begin together."""
    program = [sys.executable, "-c", WRITER, str(folder), model]
    path = ":".join([str(Path(__file__).parent), *filter(None, sys.path)])
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": path, "HOME": str(folder), "OMP_NUM_THREADS": "1"}
    writers = [
        subprocess.Popen([*program, name, str(start), str(end)], env=env, stderr=subprocess.PIPE, text=True)
        for name, (start, end) in spans.items()
    ]
    for writer in writers:
        _, said = writer.communicate(timeout=300)
        assert writer.returncode == 0, said


@pytest.mark.parametrize(
    "spans", [{"a": (0, 72), "b": (0, 72)}, {"a": (0, 48), "b": (24, 72)}], ids=["same", "overlap"]
)
def test_every_text_is_there_and_equal(
    encoder_directory: Path, tmp_path: Path, spans: dict[str, tuple[int, int]]
) -> None:
    model = exported_encoder(encoder_directory, tmp_path / "exported")["uri"]
    write_at_once(tmp_path, model, spans)
    notes = [json.loads((tmp_path / f"{name}.json").read_text()) for name in spans]
    assert max(n["span"][0] for n in notes) < min(n["span"][1] for n in notes), "they did not run at the same time"
    assert all(n["passes"] for n in notes), "one found all that it needed: nothing is shown"
    expected = computed(model)
    for name, (start, end) in spans.items():
        assert np.allclose(np.load(tmp_path / f"{name}.npy"), expected[start:end], atol=1e-6)

    (folder,) = (tmp_path / "store").iterdir()
    assert not list(folder.glob("shards/*.part"))
    shards = committed(str(folder))
    assert len(list(folder.glob("shards/*.arrow"))) == len(shards)
    keys = text_keys(TEXTS, KINDS, encoder_settings(exported_model(a_config(tmp_path).model, model)))
    held = [id for shard in shards.values() for id in read_shard(str(folder), shard).ids.to_pylist()]
    assert set(held) == set(keys)
    with without_ray() as passes:
        found = embed_texts(TEXTS, KINDS, model, a_config(tmp_path / "store"))
        assert passes == []
    assert np.allclose(found, expected, atol=1e-6)
    assert np.array_equal(ModelStore(str(tmp_path / "store"), folder.name).vectors(keys), found)
