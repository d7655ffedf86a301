"""Fill the tables and numbers of README.md and docs/ from results/*.json.

python scripts/render.py               what a mark stands for; seq2seq/results.py says how
python scripts/render.py --check       exit code 1 if a page and its files differ; writes nothing
"""

import sys
from pathlib import Path

from seq2seq import results
from seq2seq.command import command
from seq2seq.files import write_atomically


def main(*pages: Path, check: bool = False) -> int:
    """Render them, and print those that change.

    Args:
        pages: Markdown files; README.md and all below docs/ if none is named
        check: only tell
    """
    every = [results.ROOT / "README.md", *sorted((results.ROOT / "docs").rglob("*.md"))]
    changed = 0
    for page in pages or every:
        old = page.read_text(encoding="utf-8")
        new = results.render(old)
        if new != old:
            changed += 1
            print(f"{page}{' differs from its results' if check else ''}")
            if not check:
                write_atomically(page, new.encode())
    return int(check and changed > 0)


if __name__ == "__main__":
    sys.exit(command(main, sys.argv[1:], "render.py"))
