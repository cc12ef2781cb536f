"""The lines of a workdir's metrics.jsonl: read back, of one kind or all, and kept where a run is continued."""

from pathlib import Path

from bginv_jax import files

NAME = "metrics.jsonl"
VALIDATION = "validation_"  # what stands before the names of scores of images that are held out


def read(workdir: Path) -> list[dict]:
    """The lines of metrics.jsonl that have a step; none of a workdir that was copied without."""
    path = workdir / NAME
    return files.read_json_lines(path, fields={"step": int}) if path.is_file() else []


def is_validation(record: dict) -> bool:
    """Whether a line is about images that are held out."""
    return any(name.startswith(VALIDATION) for name in record)


def read_validation(workdir: Path) -> list[dict]:
    """The lines of metrics.jsonl about images that are held out: step, phase and scores, of several seeds each."""
    return [record for record in read(workdir) if is_validation(record)]


def keep_until(workdir: Path, step: int) -> list[dict]:
    """Drops the lines of metrics.jsonl that a resumed run will write again, and those that are no records."""
    path = workdir / NAME
    if not path.exists():
        return []
    records = [record for record in read(workdir) if record["step"] <= step]
    files.write_json_lines(path, records)
    return records
