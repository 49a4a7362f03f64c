"""Holds a running `chandler serve` to its own contract with schemathesis: requests that the contract allows and forbids, by the thousand.

usage: python check.py PATH/TO/chandler [--seed NUMBER] [--examples NUMBER]

The service is started on a port and a data folder of its own, with an API key, so that who asks without one is tried as well. Ends with 1 if
there is a finding; the seed that is printed repeats a run.
"""

import argparse
import json
import os
import pathlib
import re
import secrets
import subprocess
import sys
import tempfile
import urllib.request

# A study that was just created has no model yet.
SETTINGS = """
[[operations]]
include-path-regex = "/model$"
checks.ensure_resource_availability.enabled = false
"""
EXAMPLES = pathlib.Path(__file__).parents[2] / "openapi" / "examples"


def studies():
    """Valid studies that need no file and are trained in a moment: generated from its schema, a study of valid shapes never comes, and cases never end."""
    for path in sorted(EXAMPLES.glob("*.json")):
        study = json.loads(path.read_text())
        if study["dataset"].get("source", "").startswith("builtin:"):
            if not isinstance(study["training"]["epochs"], dict):
                study["training"]["epochs"] = 1
            study["max_trials"] = 1
            yield study


def start(chandler, folder, key):
    """The service and where it listens."""
    keys = folder / "keys"
    keys.write_text(key + "\n")
    command = [chandler, "serve", "--listen", "127.0.0.1:0", "--slots", "1", "--data-dir", folder / "data", "--api-keys-file", keys]
    environment = {name: value for name, value in os.environ.items() if name != "REDIS_URL"}
    log = open(folder / "log", "w+")
    service = subprocess.Popen(command, stderr=log, env=environment)
    while service.poll() is None:
        found = re.search(r"Listening on (http://\S+)", (folder / "log").read_text())
        if found:
            return service, found[1]
    sys.exit((folder / "log").read_text())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("chandler")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    parser.add_argument("--examples", type=int, default=120, help="cases of each operation and kind; 120 make about 3,000 in all")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder, key = pathlib.Path(folder), secrets.token_urlsafe(32)
        service, url = start(given.chandler, folder, key)
        try:
            request = urllib.request.Request(url + "/openapi.json", headers={"Authorization": "Bearer " + key})
            contract = json.load(urllib.request.urlopen(request))
            body = contract["paths"]["/v1/studies"]["post"]["requestBody"]["content"]["application/json"]
            body["schema"] = {"enum": list(studies())}
            for item in contract["paths"].values():
                for operation in item.values():
                    # No schema can say which cursor a page has answered, nor which key was not used for another body.
                    named = operation.get("parameters", [])
                    operation["parameters"] = [one for one in named if one["name"] not in ("cursor", "Idempotency-Key")]
            (folder / "schemathesis.toml").write_text(SETTINGS)
            (folder / "contract.json").write_text(json.dumps(contract))
            print(f"{url}: seed {given.seed}, {given.examples} examples", flush=True)
            command = [sys.executable, "-m", "schemathesis.cli", "--config-file", folder / "schemathesis.toml", "run", folder / "contract.json", "--url", url, "--checks", "all"]
            command += ["--seed", str(given.seed), "--max-examples", str(given.examples), "--continue-on-failure", "--no-color"]
            command += ["--header", "Authorization: Bearer " + key, "--generation-database", "none", "--request-timeout", "30"]
            status = subprocess.run(command, cwd=folder).returncode
            alive = service.poll() is None
        finally:
            service.terminate()
            service.wait(30)
        log = (folder / "log").read_text()
        faults = [line for line in log.splitlines() if " ERROR " in line or "panicked" in line]
        print(*faults[:20], sep="\n")
        sys.exit(1 if status or faults or not alive else 0)


main()
