"""Which failures of a server may pass by themselves: one list, whoever speaks to it (boto3, Arrow, MLflow's client)."""

from __future__ import annotations

import re

TOO_MANY_REQUESTS = 429
# As S3 names them; a status of 500 or more may pass whatever its code says.
S3_CODES = frozenset(
    {
        "InternalError",
        "InternalFailure",
        "RequestTimeout",
        "RequestTimeTooSkewed",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
    }
)
# Arrow raises one kind of OSError: in its text, the AWS SDK's spelling of those codes, or an unknown one's status.
_IN_ARROW = "|".join(sorted(re.sub(r"(?<!^)(?=[A-Z])", "_", code).upper() for code in S3_CODES))
_ARROW = re.compile(
    rf"AWS Error (?:(?:{_IN_ARROW}|NETWORK_CONNECTION)\b|\w+ \(HTTP status (?:5\d\d|{TOO_MANY_REQUESTS})\))"
)


def status_may_pass(status: int) -> bool:
    """Whether the same request may succeed later after an answer of this HTTP status."""
    return status >= 500 or status == TOO_MANY_REQUESTS


def may_pass(error: BaseException) -> bool:
    """Whether the same request to S3, through boto3 or Arrow, may succeed later: the server is away or busy."""
    import botocore.exceptions as boto_errors  # local stores do without
    import urllib3.exceptions

    if isinstance(error, boto_errors.ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status_may_pass(status) or error.response["Error"]["Code"] in S3_CODES
    if isinstance(error, OSError) and _ARROW.search(str(error)):
        return True
    # Broken or refused connections, and answers cut short.
    broken = (boto_errors.ConnectionError, boto_errors.HTTPClientError, boto_errors.IncompleteReadError)
    return isinstance(error, (*broken, urllib3.exceptions.HTTPError, ConnectionError, TimeoutError))
