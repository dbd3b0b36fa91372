"""The embedded stack: an S3 server, an MLflow server and a Ray head, all on loopback, for one user.

    python -m infra.local up|down|status

Each part gives way to the user's own: see `infra.local.environment` for the rule.
"""
