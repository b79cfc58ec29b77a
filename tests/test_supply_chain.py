"""No secret lies in the tree, and what a security scanner finds has a reason beside it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from detect_secrets import SecretsCollection
from detect_secrets.settings import default_settings

from tests.conftest import ROOT

SHIPPED = ("warehouse", "irt_service", "report_runner", "ops")
# What looks like a secret and is none: file, how it looks, and what it is.
NOT_SECRET = {
    ("README.md", "Basic Auth Credentials"): "an address with the words user and password",
    ("warehouse/database.py", "Basic Auth Credentials"): "the same in an error message",
    ("ops/cronjobs/base/retain-weekly.yaml", "Secret Keyword"): "the name of a secret to mount",
    ("ops/cronjobs/components/external-secrets/external-secrets.yaml", "Secret Keyword"): (
        "names of entries in the store"
    ),
    ("ops/cronjobs/components/s3-static-credentials/external-secret.yaml", "Secret Keyword"): (
        "names of entries in the store"
    ),
    ("tests/ops/test_database_tls.py", "Secret Keyword"): "looked for in what is printed",
    ("tests/report_runner/browser.py", "Base64 High Entropy String"): "the alphabet of an id",
    ("tests/report_runner/seaweed.py", "Secret Keyword"): "of a server that lives for a test",
    ("tests/warehouse/test_cli.py", "Basic Auth Credentials"): "looked for in what is printed",
    ("tests/warehouse/test_database_url.py", "Basic Auth Credentials"): "addresses to parse",
    ("tests/warehouse/test_database_url.py", "Secret Keyword"): "an address to parse",
}
# Hashes of packages look like keys; numbers and fonts like anything.
NOT_TEXT = (".lock", ".csv", ".gz", ".ttf", ".otf", ".png")
# Files that hold secrets by their nature.
HOLDS_SECRETS = re.compile(r"(^|/)(\.env(\..*)?|.*\.(pem|key|p12|pfx|jks)|id_(rsa|ed25519))$")
REASON = r"# noqa: [A-Z0-9, ]*\b{code}\b[A-Z0-9, ]*[ -]+[a-z`]"


def _tracked() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.drill
def test_no_file_holds_a_secret() -> None:
    secrets = SecretsCollection(root=str(ROOT))
    with default_settings():
        for name in _tracked():
            if not name.endswith(NOT_TEXT):
                secrets.scan_file(name)
    found = {(name, secret.type): secret.line_number for name, secret in secrets}
    assert {key: line for key, line in found.items() if key not in NOT_SECRET} == {}
    assert NOT_SECRET.keys() - found.keys() == set(), "these are gone: take them off the list"


def test_files_made_to_hold_secrets_are_not_in_the_tree() -> None:
    assert [name for name in _tracked() if HOLDS_SECRETS.search(name)] == []
    ignored = subprocess.run(["git", "check-ignore", "-q", ".env"], cwd=ROOT, check=False)
    assert ignored.returncode == 0


def test_what_bandit_finds_has_a_reason_beside_it() -> None:
    bandit = Path(sys.executable).parent / "bandit"
    done = subprocess.run(
        [
            bandit,
            "--quiet",
            "--recursive",
            "--format=json",
            "--configfile=pyproject.toml",
            *SHIPPED,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    report = json.loads(done.stdout)
    assert report["errors"] == []
    assert report["metrics"]["_totals"]["loc"] > 15_000
    silent = []
    for issue in report["results"]:
        # Ruff has the same rules under other names, and its exceptions stand in line.
        code = issue["test_id"].replace("B", "S", 1)
        lines = (ROOT / issue["filename"]).read_text().splitlines()
        first, last = min(issue["line_range"]), max(issue["line_range"])
        reason = re.compile(REASON.format(code=code))
        if not any(reason.search(line) for line in lines[first - 1 : last + 1]):
            silent.append(f"{issue['filename']}:{issue['line_number']} {issue['issue_text']}")
    assert not silent, "\n".join(silent)
