"""SeaweedFS: a real object store in one process.

Its S3 port asks for keys. Its inner ones would take reads, writes and deletes from any user of the machine, so they
speak only to who shows a certificate whose key lies in the stack's folder: mutual TLS, on HTTP and on gRPC.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from infra.local import certificates
from infra.local.folders import BUCKET, Layout
from infra.local.part import Part
from infra.local.ports import Ports
from infra.local.secrets import Secrets

# SeaweedFS reads its TLS settings from security.toml or from variables: WEED_GRPC_FILER_CERT is `cert` of [grpc.filer].
# These are the components of that file that the one process runs.
_GRPC = ("MASTER", "VOLUME", "FILER", "S3", "ADMIN", "WORKER", "MQ", "MSG_BROKER", "MSG_AGENT", "CLIENT")
_HTTPS = ("MASTER", "VOLUME", "FILER", "ADMIN", "CLIENT")
# Written once and read to see whether the server can read again: after a kill it lists buckets before it can.
READY_KEY = ".semanir-ready"
READY = b"An object that is read back each time the stack starts.\n"


def _mutual_tls(layout: Layout) -> dict[str, str]:
    folder = layout.certificates
    certificates.ensure(folder)
    ca, cert, key = (str(folder / f"{name}.pem") for name in ("ca", "cert", "key"))
    settings = {"WEED_GRPC_CA": ca, "WEED_HTTPS_CLIENT_ENABLED": "true"}
    for kind, components in (("GRPC", _GRPC), ("HTTPS", _HTTPS)):
        for name in components:
            settings |= {f"WEED_{kind}_{name}_CERT": cert, f"WEED_{kind}_{name}_KEY": key}
    return settings | {f"WEED_HTTPS_{name}_CA": ca for name in _HTTPS}


def part(layout: Layout, ports: Ports, secrets: Secrets, environ: Mapping[str, str]) -> Part:
    """The S3 server with its data in the stack's folder and one identity, that of `secrets`."""
    short, tls = layout.short_path(), _mutual_tls(layout)
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

        # An object that is read proves the whole chain: gateway, credentials, filer, volumes.
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
            try:
                return bool(client.get_object(Bucket=BUCKET, Key=READY_KEY)["Body"].read() == READY)
            except client.exceptions.NoSuchKey:
                client.put_object(Bucket=BUCKET, Key=READY_KEY, Body=READY)
        except (BotoCoreError, ClientError):
            return False
        return False  # it was written now: reading it back is the next question

    return Part(
        name="s3",
        title="S3 (SeaweedFS)",
        address=f"http://127.0.0.1:{ports['s3']}  bucket {BUCKET}",
        argv=argv,
        # The user's AWS variables are not for it: it would read identities from them.
        env={n: v for n, v in environ.items() if not n.startswith(("AWS_", "S3_", "WEED_"))} | tls,
        settings=tuple(tls),
        is_up=is_up,
    )
