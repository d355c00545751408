"""Run all measurements: ``python -m bench [--rounds N] [--count N]``."""

from __future__ import annotations

import argparse

from bench import bench_backends, bench_lab, bench_namespaces


def main() -> None:
    """Read the command line, measure and print."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--count", type=int, default=100, help="namespaces (default 100)")
    options = parser.parse_args()
    bench_namespaces.run(options.count, options.rounds)
    bench_lab.run(options.rounds)
    bench_backends.run(options.rounds)


if __name__ == "__main__":
    main()
