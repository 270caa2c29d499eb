"""
``xpcnn train`` as in a hardened container: ``python tests/faults/container.py FOLDER`` inside of what `run` sets up.

User 1000, a root that is read-only, no network, no home, nowhere to put temporary files. FOLDER is all there is.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
TRAIN = ("train", "--batch-size", "512", "--device", "cpu", "--checkpoint-every", "3", "--quiet")

# the folder becomes a disk of its own, so that it can be written to where the root cannot
READ_ONLY = 'mount --make-rprivate / && mount --bind "$0" "$0" && mount -o remount,ro,bind / && cd "$0" && exec "$@"'


def isolated() -> bool:
    """Whether this user may take the network and a writable root away."""
    try:
        test = ["unshare", "-n", "-m", "sh", "-c", "mount --make-rprivate / && mount -o remount,ro,bind /"]
        return os.geteuid() == 0 and subprocess.run(test, capture_output=True).returncode == 0
    except OSError:
        return False


def run() -> str:
    """Train, and go on, and look at what was written; says how much could be taken away."""
    with tempfile.TemporaryDirectory(prefix="xpcnn-") as name:  # pytest's folders are closed to others
        return _run(Path(name).resolve())


def _run(folder: Path) -> str:
    folder.chmod(0o755)
    out = folder / "out"
    out.mkdir()
    if os.geteuid() == 0:
        os.chown(out, 1000, 1000)
    bare = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TMPDIR": "/nowhere", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", str(ROOT / "tests" / "faults" / "container.py"), str(out)]
    alone = isolated()
    if alone:
        command = ["unshare", "-n", "-m", "sh", "-c", READ_ONLY, str(folder), *command]
    done = subprocess.run(command, env=bare, cwd="/", capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["out"]
    assert sorted(path.name for path in out.iterdir()) == ["cut", "straight"]
    names = ["checkpoints", "history.csv", "model.safetensors"]
    for name in ("cut", "straight"):
        assert sorted(path.name for path in (out / name).iterdir()) == names
    for name in names[1:]:
        assert (out / "cut" / name).read_bytes() == (out / "straight" / name).read_bytes()
    return "root read-only, no network, user 1000" if alone else "no home, no temporary folder"


def inside(out: Path) -> None:
    sys.path.insert(0, str(ROOT))
    import numpy as np

    import xpcnn
    from xpcnn.cli import main
    from xpcnn.training import ModelCheckpoint

    # all modules, which another user may not be allowed to read where root installed Python
    data = xpcnn.datasets.load("mnist-mini")
    model = xpcnn.models.deepnotes()
    model.fit(data.x_train[:8], data.y_train[:8], callbacks=[ModelCheckpoint(out / "warm")], verbose=0)
    assert main([*TRAIN, "--epochs", "1", "--out", str(out / "warm" / "run")]) == 0
    shutil.rmtree(out / "warm")
    assert np.isfinite(model.predict(data.x_train[:8])).all()
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(1000, 1000, 1000)
        os.setresuid(1000, 1000, 1000)
    os.chdir("/")
    assert "HOME" not in os.environ
    assert main([*TRAIN, "--epochs", "1", "--out", str(out / "straight")]) == 0
    real = xpcnn.Trainer.save

    def save(self, path):
        real(self, path)
        if path.name == "step-00000006.safetensors":
            signal.raise_signal(signal.SIGTERM)

    xpcnn.Trainer.save = save
    assert main([*TRAIN, "--epochs", "1", "--out", str(out / "cut")]) == 143
    xpcnn.Trainer.save = real
    assert main([*TRAIN, "--epochs", "1", "--resume", str(out / "cut")]) == 0


if __name__ == "__main__":
    inside(Path(sys.argv[1]))
