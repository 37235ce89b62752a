#!/usr/bin/env python3
"""Speed and memory of `dmdx-import convert` and `inspect` beside `cp` of the same bytes to the same disk.

    measure_convert.py DMDX_IMPORT FOLDER SCRATCH [--rounds N] [--cold]

Rounds alternate cp and convert; each writes to SCRATCH and ends with a sync of the file system, since a copy that is not
on the disk is not finished. Memory is the largest RssAnon of /proc/PID/status, sampled every 20 ms: what the program
allocated, without the pages of mapped files. With --cold the page cache is dropped before each run (needs root).
"""
import argparse
import os
import shutil
import subprocess
import time
from pathlib import Path


def anonymous(pid):
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    lines = [line for line in status.splitlines() if line.startswith("RssAnon")]
    return int(lines[0].split()[1]) if lines else 0


def run(command, cold, sync):
    os.sync()
    if cold:
        Path("/proc/sys/vm/drop_caches").write_text("3")
    began, peak = time.time(), 0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        peak = max(peak, anonymous(process.pid))
        time.sleep(0.02)
    if process.returncode:
        raise SystemExit(f"{command[0]} failed with {process.returncode}")
    if sync:
        os.sync()
    return time.time() - began, peak / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dmdx_import", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("scratch", type=Path)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--cold", action="store_true")
    options = parser.parse_args()
    files = sorted(options.folder.iterdir())
    size = sum(file.stat().st_size for file in files) / 1e9
    program, folder, copy = str(options.dmdx_import), str(options.folder), options.scratch / "copy"
    seconds, peak = run([program, "inspect", folder], options.cold, False)
    print(f"{folder}: {size:.2f} GB; inspect {seconds:.2f} s, {peak:.0f} MiB")
    for _ in range(options.rounds):
        copy.mkdir(parents=True)
        seconds, peak = run(["cp", *map(str, files), str(copy)], options.cold, True)
        print(f"cp       {seconds:6.1f} s  {size / seconds:5.2f} GB/s  {peak:4.0f} MiB")
        shutil.rmtree(copy)
        copy.mkdir()
        target = str(copy / "converted.safetensors")
        seconds, peak = run([program, "convert", folder, "--output", target], options.cold, True)
        print(f"convert  {seconds:6.1f} s  {size / seconds:5.2f} GB/s  {peak:4.0f} MiB")
        shutil.rmtree(copy)


if __name__ == "__main__":
    main()
