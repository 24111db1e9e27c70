"""What does a log collection say about the host it was taken on?"""

import re

from rancher_ext.bundle.bundle import Bundle
from rancher_ext.bundle.facts import NodeFacts, Place

_OS_NAME = re.compile(r"^PRETTY_NAME=\"?(?P<name>[^\"\n]{1,200}?)\"?\s*$", re.MULTILINE)
# `uname -a`: Linux w1 6.12.0-55.el10.x86_64 #1 SMP …
_UNAME = re.compile(r"^Linux \S{1,253} (?P<kernel>\d\S{1,120}) ")
_READ = 64 << 10


def read_host(bundle: Bundle, root: str, name: str) -> NodeFacts | None:
    """Operating system and kernel of the host whose collection lies below `root`; None when neither is told."""
    release, uname = (_text(bundle, f"{root}systeminfo/{file}") for file in ("osrelease", "uname"))
    os_name, kernel = _OS_NAME.search(release), _UNAME.match(uname)
    if os_name is None and kernel is None:
        return None
    info = {}
    if os_name is not None:
        info["osImage"] = os_name["name"]
    if kernel is not None:
        info["kernelVersion"] = kernel["kernel"]
    source = "osrelease" if os_name is not None else "uname"
    line = release.count("\n", 0, os_name.start()) + 1 if os_name is not None else 1
    return NodeFacts(
        name=name,
        os="linux",
        os_image=info.get("osImage"),
        kernel=info.get("kernelVersion"),
        object={"metadata": {"name": name}, "status": {"nodeInfo": {**info, "operatingSystem": "linux"}}},
        at=Place(f"{root}systeminfo/{source}", line, f"host {name}: {', '.join(info.values())}"),
    )


def _text(bundle: Bundle, path: str) -> str:
    file = bundle.files.get(path)
    return file.read_bytes(_READ).decode("utf-8", "replace") if file is not None else ""
