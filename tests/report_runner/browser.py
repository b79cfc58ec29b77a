"""Headless Chromium over its debugging pipe, with a device width of its own, and axe-core."""

import base64
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from types import TracebackType
from typing import Any

CHROMIUM = next(
    (
        path
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (path := shutil.which(name))
    ),
    None,
)
AXE = "axe-core@4.14.1"
AXE_SHA512 = (
    "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
)
_FREE_DESCRIPTOR = 10


class Chromium:
    """One browser; `look` opens a page as a device of some width shows it."""

    def __init__(self, folder: Path) -> None:
        to_read, self._write = (
            fcntl.fcntl(fd, fcntl.F_DUPFD, _FREE_DESCRIPTOR) for fd in os.pipe()
        )
        self._read, to_write = (
            fcntl.fcntl(fd, fcntl.F_DUPFD, _FREE_DESCRIPTOR) for fd in os.pipe()
        )

        def connect() -> None:
            os.dup2(to_read, 3)
            os.dup2(to_write, 4)

        assert CHROMIUM is not None
        options = ["--headless", "--no-sandbox", "--hide-scrollbars", f"--user-data-dir={folder}"]
        self._process = subprocess.Popen(
            [CHROMIUM, *options, "--remote-debugging-pipe"],
            preexec_fn=connect,  # noqa: PLW1509  the pipe has to be descriptors 3 and 4
            pass_fds=(3, 4),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_read)
        os.close(to_write)
        self._number, self._rest = 0, b""
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> "Chromium":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._read)
        os.close(self._write)

    def look(self, path: Path, width: int, axe: str) -> dict[str, Any]:
        """Open a page; return axe's violations, the requests, console lines and the width used."""
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._ask(f"{domain}.enable", session)
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self._ask("Emulation.setDeviceMetricsOverride", session, **metrics)
        self.events.clear()
        self._ask("Page.navigate", session, url=path.as_uri())
        while not self._happened("Page.loadEventFired"):
            self._receive()
        self._evaluate(session, axe)
        result = self._evaluate(session, "axe.run(document, {resultTypes: ['violations']})")
        used = self._evaluate(
            session, "Promise.resolve([innerWidth, document.documentElement.scrollWidth])"
        )
        self._ask("Target.closeTarget", targetId=target)
        return {
            "violations": [
                f"{found['id']}: {found['nodes'][0]['html'][:120]}"
                for found in result["violations"]
            ],
            "requests": [
                event["request"]["url"] for event in self._happened("Network.requestWillBeSent")
            ],
            "console": self._happened("Runtime.consoleAPICalled")
            + self._happened("Runtime.exceptionThrown")
            + self._happened("Log.entryAdded"),
            "width": used,
        }

    def _happened(self, method: str) -> list[dict[str, Any]]:
        return [event["params"] for event in self.events if event["method"] == method]

    def _evaluate(self, session: str, expression: str) -> Any:
        answer = self._ask(
            "Runtime.evaluate",
            session,
            expression=expression,
            awaitPromise=expression.startswith(("axe.run", "Promise")),
            returnByValue=True,
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def _ask(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data) :]
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            data = os.read(self._read, 1 << 20)
            assert data, "Chromium went away"
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        if "method" in message:
            self.events.append(message)
        return message


def _moved(descriptor: int) -> int:
    """Move a descriptor out of the way of 3 and 4."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD, _FREE_DESCRIPTOR)
    os.close(descriptor)
    return moved


def fetch_axe(folder: Path) -> str | None:
    """Return the source of axe-core from npm, checked; None where npm or its registry is absent."""
    npm = shutil.which("npm")
    if npm is None:
        return None
    packed = subprocess.run(
        [npm, "pack", "--silent", AXE], cwd=folder, capture_output=True, check=False, timeout=60
    )
    if packed.returncode != 0:
        return None
    archive = folder / packed.stdout.decode().strip().splitlines()[-1]
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    assert digest == AXE_SHA512, digest
    with tarfile.open(archive) as files:
        member = files.extractfile("package/axe.min.js")
        assert member is not None
        return member.read().decode()
