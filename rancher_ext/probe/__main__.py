"""`python -m rancher_ext.probe`: the node-side collector without the rest of the command line."""

import os
import sys

from rancher_ext.catalogue.redaction import load_redaction
from rancher_ext.probe.node import NotConfigured, run, settings_from


def main() -> int:
    try:
        settings = settings_from(os.environ)
    except NotConfigured as error:
        print(f"drover probe: {error}", file=sys.stderr)
        return 2
    stay = os.environ.get("PROBE_ONCE", "") != "yes"
    return run(settings, load_redaction(), lambda text: print(text, flush=True), stay=stay)


if __name__ == "__main__":
    sys.exit(main())
