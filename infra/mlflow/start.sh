#!/bin/sh
# Start the MLflow server of a team. Secrets come by environment, and none gets into a command line:
#   MLFLOW_BACKEND_STORE_URI      postgresql://user:password@host:5432/mlflow
#   MLFLOW_AUTH_DATABASE_URI      postgresql://user:password@host:5432/mlflow_auth
#   MLFLOW_AUTH_ADMIN_USERNAME, MLFLOW_AUTH_ADMIN_PASSWORD   the first user, made on the first start
#   MLFLOW_FLASK_SERVER_SECRET_KEY                           the same for every replica
#   MLFLOW_ARTIFACTS_DESTINATION  s3://semanir/mlflow        with AWS_… and MLFLOW_S3_ENDPOINT_URL beside it
#   MLFLOW_SERVER_ALLOWED_HOSTS   the names that clients call it by, with ports
set -eu
: "${MLFLOW_BACKEND_STORE_URI:?}" "${MLFLOW_AUTH_DATABASE_URI:?}" "${MLFLOW_FLASK_SERVER_SECRET_KEY:?}"
: "${MLFLOW_ARTIFACTS_DESTINATION:?}" "${MLFLOW_SERVER_ALLOWED_HOSTS:?}"

umask 077
config=$(mktemp -d)/auth.ini
# The file is read by Python's configparser, to which a single % is the start of a reference.
# A password's check takes a tenth of a second by design, and every call has one: each worker remembers for a minute whom it let
# in, so a changed password counts a minute later.
cat > "$config" <<EOF
[mlflow]
default_permission = ${MLFLOW_AUTH_DEFAULT_PERMISSION:-READ}
database_uri = $(printf %s "$MLFLOW_AUTH_DATABASE_URI" | sed 's/%/%%/g')
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 60
EOF
export MLFLOW_AUTH_CONFIG_PATH="$config"

exec mlflow server --app-name=basic-auth --host="${MLFLOW_HOST:-0.0.0.0}" --port="${MLFLOW_PORT:-5000}" \
  --workers="${MLFLOW_WORKERS:-2}" --serve-artifacts "$@"
