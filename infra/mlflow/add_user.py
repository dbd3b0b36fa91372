"""Add a user to an MLflow server: python infra/mlflow/add_user.py < mlflow-trainer.env

The server and its administrator come by MLFLOW_TRACKING_URI, MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD;
the new user by the same two names in lines NAME=value on standard input. A user that exists gets that password.
"""

from __future__ import annotations

import sys


def main() -> int:
    """Exit code 0: the user can log in; 2: bad input."""
    lines = (line.strip().partition("=") for line in sys.stdin)
    given = {name: value for name, _, value in lines}
    try:
        user, password = given["MLFLOW_TRACKING_USERNAME"], given["MLFLOW_TRACKING_PASSWORD"]
    except KeyError as missing:
        print(f"error: {missing.args[0]} is not on standard input", file=sys.stderr)
        return 2
    import mlflow
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode
    from mlflow.server import get_app_client

    client = get_app_client("basic-auth", tracking_uri=mlflow.get_tracking_uri())
    try:
        client.create_user(username=user, password=password)
        print(f"added {user}")
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise
        client.update_user_password(username=user, password=password)
        print(f"{user} was there: the password is set")
    return 0


if __name__ == "__main__":
    sys.exit(main())
