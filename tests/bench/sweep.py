"""How much does a sweep over a large fleet cost? Seconds, requests, memory; and is it right about every cluster?

    python -m tests.bench.sweep [clusters] [nodes]

The simulator runs in a process of its own, so that its memory is not counted. Figures depend on the machine; the shares do not.
"""

import json
import os
import resource
import subprocess
import sys
import time
import urllib.request


def main() -> int:
    clusters, nodes = (int(sys.argv[1]) if len(sys.argv) > 1 else 500), (int(sys.argv[2]) if len(sys.argv) > 2 else 3)
    command = [sys.executable, "-c", "from bot.cli.main import main; main()"]
    simulator = subprocess.Popen(
        [*command, "simulate", "--clusters", str(clusters), "--nodes", str(nodes), "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert simulator.stdout is not None
        exported = dict(simulator.stdout.readline().removeprefix("export ").strip().split("=", 1) for _ in range(2))
        environment = os.environ | exported | {"DROVER_HOME": "/nonexistent"}
        started = time.monotonic()
        swept = subprocess.run(
            [*command, "sweep", "--format", "json"], env=environment, capture_output=True, text=True, check=False
        )
        seconds = time.monotonic() - started
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        if swept.returncode not in {0, 10}:
            print(swept.stderr, file=sys.stderr)
            return 2
        report = json.loads(swept.stdout)
        with urllib.request.urlopen(f"{exported['DROVER_RANCHER_URL']}/simulator/truth") as answer:
            truth = json.load(answer)["clusters"]
        wrong = [
            f"{cluster['name']} ({truth[cluster['id']]['scenario']}): {cluster['verdict']}, in truth {truth[cluster['id']]['verdict']}"
            for cluster in report["clusters"]
            if cluster["verdict"] != truth[cluster["id"]]["verdict"]
        ]
        (server,) = report["servers"]
        print(
            f"{server['clusters']} clusters of {nodes} nodes: {len(truth) - len(wrong)} of {len(truth)} verdicts right"
        )
        print(
            f"{server['seconds']} s for the sweep ({seconds:.1f} s with the start of the program), {server['requests']} requests, {memory:.0f} MB at the peak"
        )
        for line in wrong:
            print(f"  wrong: {line}")
        return 1 if wrong else 0
    finally:
        simulator.kill()
        simulator.wait()


if __name__ == "__main__":
    sys.exit(main())
