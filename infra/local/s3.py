"""SeaweedFS: a real object store in one process."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from infra.local.layout import BUCKET, Layout
from infra.local.part import Part
from infra.local.ports import Ports
from infra.local.secrets import Secrets


def part(layout: Layout, ports: Ports, secrets: Secrets, environ: Mapping[str, str]) -> Part:
    """The S3 server with its data in the stack's folder and one identity, that of `secrets`."""
    short = layout.short_path()
    # SeaweedFS remembers options of its last start here, former ports among them.
    (layout.s3_data / "mini.options").unlink(missing_ok=True)
    argv = [
        str(Path(sys.prefix) / "bin" / "weed"),
        "-logtostderr=true",
        "mini",
        f"-dir={layout.s3_data}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",  # it listens on every interface by default
        f"-s3.port={ports['s3']}",
        f"-s3.port.grpc={ports['s3_grpc']}",
        f"-master.port={ports['master']}",
        f"-master.port.grpc={ports['master_grpc']}",
        f"-volume.port={ports['volume']}",
        f"-volume.port.grpc={ports['volume_grpc']}",
        f"-filer.port={ports['filer']}",
        f"-filer.port.grpc={ports['filer_grpc']}",
        f"-admin.port={ports['admin']}",
        f"-admin.port.grpc={ports['admin_grpc']}",
        f"-s3.localSocket={short / 's3.sock'}",
        f"-filer.localSocket={short / 'filer.sock'}",
        f"-s3.config={layout.s3_identities}",
        "-s3.autoCreateBucket=false",  # a mistyped bucket is an error, as on AWS
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-volume.preStopSeconds=0",  # no other server takes over
        "-master.telemetry=false",
        "-webdav=false",
        "-admin.ui=false",
    ]

    def is_up() -> bool:
        import boto3  # here, since it takes half a second that `down` and `status` need not wait
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError

        # The bucket's existence proves the whole chain: gateway, credentials, filer.
        client = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{ports['s3']}",
            aws_access_key_id=secrets.s3_access_key,
            aws_secret_access_key=secrets.s3_secret_key,
            region_name="us-east-1",
            config=Config(connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 1}, proxies={}),
        )
        try:
            if BUCKET not in {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}:
                client.create_bucket(Bucket=BUCKET)
        except (BotoCoreError, ClientError):
            return False
        return True

    return Part(
        name="s3",
        title="S3 (SeaweedFS)",
        address=f"http://127.0.0.1:{ports['s3']}  bucket {BUCKET}",
        argv=argv,
        # The user's AWS variables are not for it: it would read identities from them.
        env={name: value for name, value in environ.items() if not name.startswith(("AWS_", "S3_"))},
        settings=(),
        is_up=is_up,
    )
