"""What an image would be, without a container engine: installed from its lock, and locked up.

`Image.install` follows the Dockerfile's build stage: an environment without pip from the role's
lock, with every hash required, and the folders that the stage copies. `Image.start` runs a
command line the way a pod does: the paths of the image, a root that is read-only but for
/scratch, nothing of the caller's environment, a user without rights. The machine's own /usr
stands in for the base image. Only root may do that (mount namespaces).
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT
from tests.ops.dockerfiles import IMAGES, copied, stages

USER = 65532
# The machine's, read-only: libraries, R, certificates, name resolution.
_BORROWED = ("/usr", "/lib", "/lib64", "/bin", "/etc")
_PATH = "/usr/sbin:/sbin:/usr/bin:/bin"
_ENTER = """
set -eu
root=$1; shift
mount -t tmpfs -o mode=755 tmpfs "$root"
for folder in $BORROWED; do
    [ -e "$folder" ] || continue
    mkdir -p "$root$folder"; mount --bind "$folder" "$root$folder"
done
for folder in proc dev tmp app opt/venv scratch ca; do mkdir -p "$root/$folder"; done
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --bind "$IMAGE/app" "$root/app"
mount --bind "$IMAGE/venv" "$root/opt/venv"
mount --bind "$IMAGE/ca" "$root/ca"
for folder in $BORROWED /app /opt/venv /ca; do
    [ -e "$root$folder" ] && mount -o remount,bind,ro "$root$folder"
done
mount --bind "$IMAGE/scratch" "$root/scratch"
mount -o remount,ro "$root"
exec "$@"
"""


@dataclass(frozen=True)
class Image:
    """One role, installed in `folder`."""

    role: str
    folder: Path

    def install(self) -> "Image":
        """Install it; raise with what was said when that fails."""
        for name in ("app", "scratch", "ca", "root"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "scratch").chmod(0o777)
        venv = self.folder / "venv"
        _run([sys.executable, "-m", "venv", "--without-pip", str(venv)])
        lock = self._lock()
        command = [sys.executable, "-m", "pip", "--python", str(venv / "bin" / "python")]
        options = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--no-compile"]
        _run([*command, "install", "--quiet", *options, "--requirement", str(lock)])
        # Scripts name the interpreter by the path at which they were installed.
        for script in (venv / "bin").iterdir():
            if script.is_file() and not script.is_symlink():
                content = script.read_bytes()
                script.write_bytes(content.replace(os.fsencode(venv), b"/opt/venv"))
        for sources, target in copied(stages(self.role)["build"]):
            if target.startswith("./"):
                for source in sources:
                    self._copy(source, target)
        return self

    def _lock(self) -> Path:
        """Return the role's lock without what has no wheel: the way to R, which tests compile."""
        lock = self.folder / "role.lock"
        entries = (IMAGES / f"{self.role}.lock").read_text().split("\n")
        kept, is_kept = [], True
        for line in entries:
            if line and not line.startswith(" "):
                is_kept = not line.startswith("rpy2")
            if is_kept:
                kept.append(line)
        lock.write_text("\n".join(kept))
        return lock

    def _copy(self, source: str, target: str) -> None:
        to = self.folder / "app" / (target if target != "./" else source)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, to, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / source, to)

    def start(
        self, arguments: Sequence[str], environment: Mapping[str, str], log: Path
    ) -> "subprocess.Popen[bytes]":
        """Start the image's entry point with arguments; what it prints goes to `log`."""
        stage = stages(self.role)[self.role]
        # tini is the base system's; what it starts is what is tested.
        command = [*stage.command("ENTRYPOINT")[2:], *arguments]
        given = {**stage.environment(), "SEEDTEST_REVISION": "test", **environment}
        inside = ["env", "-i", *(f"{name}={value}" for name, value in given.items()), *command]
        user = [f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--no-new-privs"]
        root = str(self.folder / "root")
        # Below the root of a checkout's own interpreter lies what the environment links to.
        borrowed = " ".join([*_BORROWED, _base_of_the_interpreter()])
        enter = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _ENTER, "sh", root]
        change = ["chroot", root, "setpriv", *user, "--bounding-set=-all"]
        with log.open("wb") as output:
            return subprocess.Popen(
                [*enter, *change, "sh", "-c", 'cd /app && exec "$@"', "sh", *inside],
                env={"PATH": _PATH, "IMAGE": str(self.folder), "BORROWED": borrowed},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


def _base_of_the_interpreter() -> str:
    base = Path(sys.base_prefix).resolve()
    return "" if base.is_relative_to("/usr") else str(base)


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def is_possible() -> bool:
    """Say whether this process may make mount namespaces and change its user."""
    if os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("setpriv") is None:
        return False
    return subprocess.run(["unshare", "--mount", "true"], check=False).returncode == 0
