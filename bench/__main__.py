"""Measures sipflow: everything, or what is named, on this machine.

python -m bench [--quick] [--only NAME,NAME] [--runs 3] [--dir DIR] [--captures DIR]
python -m bench --table | --readme

Results go to bench/results/bench.json, each with commit, date and load; what is not measured again stays. `--table`
prints them as the README has them, `--readme` puts them there. Nothing is asserted: figures are for people to judge.
"""

import argparse
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from bench import (
    archive_upload,
    archived,
    bucket,
    capture,
    cluster,
    flatness,
    hep,
    ingest,
    load,
    message,
    packet,
    packing,
    pages,
    query,
    results,
    wav,
)
from bench.figures import Findings, NothingToMeasure, Scale

BENCHES: dict[str, Callable[[Scale], Findings]] = {
    "ingest": ingest.measure,
    "hep": hep.measure,
    "flatness": flatness.measure,
    "query": query.measure,
    "pages": pages.measure,
    "cluster": cluster.measure,
    "message": message.measure,
    "packet": packet.measure,
    "bucket": bucket.measure,
    "packing": packing.measure,
    "load": load.measure,
    "capture": capture.measure,
    "wav": wav.measure,
    "archive_upload": archive_upload.measure,
    "archived": archived.measure,
}


def main() -> int:
    """Measure, print, keep; 1 when a benchmark could not be run."""
    asked = _options()
    if asked.table or asked.readme:
        if not results.PATH.exists():
            print(f"{results.PATH}: nothing is measured yet; run python -m bench", file=sys.stderr)
            return 1
        block = results.markdown(results.read(results.PATH))
        if asked.readme:
            results.README.write_text(results.rewritten(results.README.read_text("utf-8"), block), "utf-8")
        else:
            print(block)
        return 0
    known = results.load(results.PATH)
    scale = Scale(asked.quick, asked.runs or (1 if asked.quick else 3), asked.dir, _captures(asked.captures))
    for name in asked.only:
        _measure(name, scale, known)
        results.save(known, results.PATH)
    print(results.markdown(known))
    print(f"({results.PATH})", file=sys.stderr)
    return 1 if known.failed.keys() & set(asked.only) else 0


def _measure(name: str, scale: Scale, known: results.Results) -> None:
    print(f"{name} ...", file=sys.stderr, flush=True)
    load_before, start = os.getloadavg()[0], time.monotonic()
    known.failed.pop(name, None)
    try:
        findings = BENCHES[name](scale)
    except NothingToMeasure as reason:
        print(f"{name}: left out: {reason}", file=sys.stderr)
        return
    except Exception as error:  # noqa: BLE001 - the others are measured all the same
        traceback.print_exc()
        known.failed[name] = f"{type(error).__name__}: {error}"
        return
    seconds = time.monotonic() - start
    found = results.measured(findings, quick=scale.quick, runs=scale.runs, seconds=seconds, load_before=load_before)
    known.benches = {one: known.benches.get(one, found) if one != name else found for one in BENCHES
                     if one == name or one in known.benches}  # fmt: skip
    print(results.printed(name, found), flush=True)


def _options() -> argparse.Namespace:
    options = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--quick", action="store_true", help="about two minutes, for trying")
    options.add_argument("--only", type=_names, default=list(BENCHES), help=f"of {', '.join(BENCHES)}")
    options.add_argument("--runs", type=int, help="of each figure; the median counts (3, quick 1)")
    options.add_argument("--dir", type=Path, help="where data roots are made; must be a disk, not memory")
    options.add_argument("--captures", type=Path, help="folder of real captures; also SIPFLOW_CAPTURES")
    options.add_argument("--table", action="store_true", help="print the last results in Markdown")
    options.add_argument("--readme", action="store_true", help="put the last results into the README")
    return options.parse_args()


def _names(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        raise argparse.ArgumentTypeError(f"found {', '.join(unknown)}; allowed: {', '.join(BENCHES)}")
    return names


def _captures(given: Path | None) -> Path | None:
    folder = Path(given or os.environ.get("SIPFLOW_CAPTURES") or results.README.parents[1] / "shared" / "captures")
    return folder if folder.is_dir() else None


if __name__ == "__main__":
    sys.exit(main())
