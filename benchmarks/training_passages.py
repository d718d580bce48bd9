"""Passages of training sets as files that `ray_jobs.encode` reads.

    python benchmarks/training_passages.py --sets FOLDER/squad_parallel FOLDER/squad_parallel_pt FOLDER/mlqa_test_cross --target EMPTY

A set is a folder of SQuAD-format JSON, one file per language (every paragraph becomes a line), or one that holds a
`contexts.jsonl` (copied as it is). Lines have the fields `context_id`, `language` and `context`; encode them with
`encode.id_field=context_id` and `encode.text_fields=context`. Printed: lines of each file.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator
from pathlib import Path


def main() -> None:
    """Write one file per set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", required=True, nargs="+", type=Path, help="folders of training sets")
    parser.add_argument("--target", required=True, type=Path, help="folder of the files")
    args = parser.parse_args()
    args.target.mkdir(parents=True, exist_ok=True)
    for folder in args.sets:
        file = args.target / f"{folder.name}.jsonl"
        if (folder / "contexts.jsonl").exists():
            shutil.copyfile(folder / "contexts.jsonl", file)
        else:
            with file.open("w", encoding="utf-8") as lines:
                lines.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in paragraphs(folder))
        with file.open("rb") as written:
            print(f"{file}: {sum(1 for _ in written):,} passages")


def paragraphs(folder: Path) -> Iterator[dict[str, str]]:
    """Every paragraph of a folder of SQuAD-format JSON, in the order of files and paragraphs."""
    files = sorted(folder.glob("*.json"))
    if not files:
        raise SystemExit(f"{folder} holds neither contexts.jsonl nor <language>.json")
    for file in files:
        articles = json.loads(file.read_text(encoding="utf-8"))["data"]
        contexts = [paragraph["context"] for article in articles for paragraph in article["paragraphs"]]
        for number, context in enumerate(contexts):
            yield {"context_id": f"{folder.name}-{file.stem}-{number:05d}", "language": file.stem, "context": context}


if __name__ == "__main__":
    main()
