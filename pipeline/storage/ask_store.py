"""Ask a store one question before anything starts, and answer in one clear line."""

from __future__ import annotations

import os

from pipeline.errors import UserError
from pipeline.storage.s3_address import describe_endpoint, split_s3_uri

ANSWER_S = 20.0  # a server that is up answers within a quarter of this


def check_access(uri: str) -> None:
    """Return when the address can be listed (or, for a local path, created); else say what to mend.

    Raises:
        UserError: endpoint unreachable, credentials missing or wrong, bucket missing, access denied, or
            a local path that cannot be written.
    """
    if uri.startswith("s3://"):
        _check_s3(uri)
        return
    path = os.path.abspath(os.path.expanduser(uri.removeprefix("file://")))
    if os.path.exists(path) and not os.path.isdir(path):
        raise UserError(f"{path} is a file; a folder is needed here")
    parent = path
    while not os.path.exists(parent):
        parent = os.path.dirname(parent)
    if os.statvfs(parent).f_flag & os.ST_RDONLY:
        raise UserError(f"{path} cannot be written: the file system of {parent} is read-only; choose another folder")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise UserError(
            f"{path} cannot be written: no permission in {parent}; choose another folder or change its mode"
        )


def _check_s3(uri: str) -> None:
    import botocore.exceptions as boto_errors

    from pipeline.storage.s3 import s3_client

    try:
        bucket, prefix = split_s3_uri(uri)
    except ValueError as error:
        raise UserError(str(error)) from error
    where = describe_endpoint()
    try:
        s3_client(ANSWER_S).list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)
    except (boto_errors.NoCredentialsError, boto_errors.PartialCredentialsError) as error:
        raise UserError(
            f"no S3 credentials for {uri}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            " (for the embedded stack: source .stack/env)"
        ) from error
    except (boto_errors.ConnectionError, boto_errors.HTTPClientError) as error:
        raise UserError(
            f"no S3 server answers at {where}: start it, or set AWS_ENDPOINT_URL_S3 to where it is"
        ) from error
    except ValueError as error:
        raise UserError(f"AWS_ENDPOINT_URL_S3={where!r} is no address; write http://host:port") from error
    except boto_errors.ClientError as error:
        code = error.response["Error"]["Code"]
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if code in ("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken"):
            raise UserError(
                f"{where} rejects the S3 credentials ({code}): check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            ) from error
        if code == "NoSuchBucket":
            raise UserError(
                f"bucket {bucket!r} does not exist at {where}: create it, or correct the address {uri}"
            ) from error
        if status in (401, 403):
            raise UserError(
                f"access to {uri} at {where} is denied ({code}): these credentials may not list that bucket"
            ) from error
        raise UserError(f"{where} answered {code} ({status}) when asked for {uri}") from error
