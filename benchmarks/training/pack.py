"""Write what is shipped: the differences that a training made, rounded to 8 bits, and the new words.

python benchmarks/training/pack.py encoder ENCODER [--rank 64]
python benchmarks/training/pack.py reader READER [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from safetensors.torch import load_file, save_file

from app.reading import WEIGHTS as READER
from benchmarks.training import bert
from indexing import french
from indexing.deltas import packed


def main() -> None:
    """Write the files beside the modules that read them, and print their sizes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("encoder", "reader"))
    parser.add_argument("folder", type=Path, help="what the training wrote")
    parser.add_argument("--rank", type=int, help="of the products that stand for the differences; none: not reduced")
    parser.add_argument("--checkpoint", default="reader", help="of a reader: name of the file without its ending")
    parser.add_argument("--out", type=Path, default=READER, help="of a reader")
    arguments = parser.parse_args()
    if arguments.what == "encoder":
        trained = load_file(arguments.folder / "encoder.safetensors")
        new = trained.pop("new_words")
        before, target = bert.base_parameters(), french.WEIGHTS
        words = json.loads((arguments.folder / "words.json").read_text(encoding="utf-8"))
        french.WORDS.write_text("\n".join(words) + "\n", encoding="utf-8")
    else:
        trained, new = load_file(arguments.folder / f"{arguments.checkpoint}.safetensors"), None
        before, target = french.taught(bert.base_parameters()), arguments.out
    deltas = {name: value - before[name] if name in before else value for name, value in trained.items()}
    stored = packed(deltas, arguments.rank)
    if new is not None:
        stored |= packed({"new_words": new})
    target.parent.mkdir(exist_ok=True)
    save_file(stored, target)
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
