"""A real S3 server for tests: SeaweedFS in one process, on ports of its own."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import boto3  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

ACCESS_KEY, SECRET_KEY = "reports", "a-secret-of-the-tests"
BUCKET = "reports"
_START_SECONDS = 60
# The kernel (Linux's, where setpriv is) ends the server with whoever started it, even by a kill.
_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()


class Seaweed:
    """The server; `stop` and `start` again keep its data and its ports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = _free_ports(4)
        self.endpoint = f"http://127.0.0.1:{self.ports[3]}"
        self.process: subprocess.Popen[bytes] | None = None
        identity = {
            "name": "reports",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))

    @property
    def env(self) -> dict[str, str]:
        """The settings with which reports go into the bucket."""
        return {
            "S3_BUCKET": BUCKET,
            "S3_PREFIX": "school",
            "S3_ENDPOINT_URL": self.endpoint,
            "S3_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self) -> "boto3.client":
        """A client with the right key."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
        )

    def start(self, *options: str) -> None:
        """Start the server and wait until the bucket is there."""
        master, volume, filer, s3 = self.ports
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *_WITH_PARENT,
                    Path(sys.executable).with_name("weed"),
                    "server",
                    f"-dir={self.folder}",
                    "-ip=127.0.0.1",
                    "-ip.bind=127.0.0.1",
                    f"-master.port={master}",
                    f"-volume.port={volume}",
                    "-master.volumeSizeLimitMB=64",
                    "-volume.max=8",
                    "-filer",
                    f"-filer.port={filer}",
                    "-s3",
                    f"-s3.port={s3}",
                    # Their ports are fixed, and two servers of two tests would both take them.
                    "-s3.port.iceberg=0",
                    "-s3.port.lance=0",
                    f"-s3.config={self.folder / 's3.json'}",
                    *options,
                ],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "HOME": str(self.folder)},
            )
        deadline = time.monotonic() + _START_SECONDS
        client = self.client()
        while True:
            try:
                if BUCKET not in {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}:
                    client.create_bucket(Bucket=BUCKET)
                client.put_object(Bucket=BUCKET, Key="ready", Body=b"")
            except (BotoCoreError, ClientError):
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                client.delete_object(Bucket=BUCKET, Key="ready")
                return

    def stop(self) -> None:
        """Kill the server."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None


def _free_ports(count: int) -> list[int]:
    # SeaweedFS also takes each port plus 10,000 for its own calls, so those are of another range;
    # both lie below the ports that the system gives to clients.
    ports: list[int] = []
    while len(ports) < count:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1] % 10000 + 10000
            try:
                second.bind(("127.0.0.1", port))
                with socket.socket() as third:
                    third.bind(("127.0.0.1", port + 10000))
            except OSError:
                continue
            ports.append(port)
    return ports
