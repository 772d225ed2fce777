"""Writing in one step: a reader meets the old file or the new one, never half of one."""

import csv
import io
import json
import os
from pathlib import Path


def write(path, text):
    """Replace a file by this text (UTF-8)."""
    path = Path(path)
    temporary = path.with_name(f"{path.name}.part")
    try:
        with open(temporary, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            file.write(text)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path, value):
    write(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def write_csv(path, columns, rows):
    """Replace a CSV file; `rows` are dicts."""
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write(path, text.getvalue())
