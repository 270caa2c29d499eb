"""
Ask pip-audit whether any of some packages has a known hole.

python tools/audit.py PIP_AUDIT REQUIREMENTS

Exits 1 if one has. Where nobody answers, or a package is unknown to who answers, it says SKIPPED and exits 0: that is
no fault of the packages, and must be seen.
"""

import json
import subprocess
import sys


def audit(program: str, requirements: str) -> tuple[int, str]:
    """Exit code, and what to print."""
    call = [program, "--no-deps", "--disable-pip", "--requirement", requirements, "--format", "json"]
    done = subprocess.run([*call, "--progress-spinner", "off"], capture_output=True, text=True)
    try:
        found = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        line = next(iter(done.stderr.strip().splitlines()[-1:]), f"exit status {done.returncode}")
        return 0, f"SKIPPED: pip-audit gives no answer ({line[:200]})"
    holes = [f"{one['name']} {one['version']}: {hole['id']}" for one in found for hole in one.get("vulns", [])]
    if holes:
        return 1, "\n".join(["packages with known holes:", *holes])
    unknown = [one["name"] for one in found if "skip_reason" in one]
    if unknown or not found:
        return 0, f"SKIPPED: the index knows nothing of the holes of {', '.join(unknown) or 'no packages'}"
    return 0, f"{len(found)} packages, none with a known hole"


if __name__ == "__main__":
    code, text = audit(*sys.argv[1:])
    print(text)
    sys.exit(code)
