"""Add a user to an MLflow server: python infra/mlflow/add_user.py < mlflow-trainer.env

The server and its administrator come by MLFLOW_TRACKING_URI, MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD;
the new user by the last two names in lines NAME=value on standard input. A user that exists gets that password.
Standard library only.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from base64 import b64encode

USER, PASSWORD = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"


def ask(method: str, path: str, body: dict[str, str]) -> None:
    """Call the server as its administrator. Raises urllib.error.HTTPError for a refusal."""
    login = b64encode(f"{os.environ[USER]}:{os.environ[PASSWORD]}".encode()).decode()
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {login}"}
    url = f"{os.environ['MLFLOW_TRACKING_URI'].rstrip('/')}/api/2.0/mlflow/users/{path}"
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers, method=method)):
        pass


def main() -> int:
    """Exit code 0: the user can log in; 2: bad input, or the server refuses."""
    lines = (line.strip().partition("=") for line in sys.stdin)
    given = {name: value for name, _, value in lines}
    try:
        user, password = given[USER], given[PASSWORD]
        try:
            ask("POST", "create", {"username": user, "password": password})
            print(f"added {user}")
        except urllib.error.HTTPError as error:
            if "RESOURCE_ALREADY_EXISTS" not in error.read().decode(errors="replace"):
                raise
            ask("PATCH", "update-password", {"username": user, "password": password})
            print(f"{user} was there: the password is set")
    except KeyError as missing:
        print(f"error: {missing.args[0]} is missing, in the environment or on standard input", file=sys.stderr)
        return 2
    except (OSError, ValueError) as error:  # urllib's errors are OSErrors
        print(f"error: the MLflow server did not take it: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
