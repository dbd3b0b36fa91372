"""Signatures with real keys: what the holder of a key signed is taken, and nothing else."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from pipeline.errors import UserError
from pipeline.registry import sealed
from pipeline.registry.sealed import AlteredModelError
from pipeline.registry.signature import MAX_KEY_BYTES, PASSWORD_VARIABLE, sign_folder, verify_folder

Keys = Callable[..., tuple[Path, Path]]
Private = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
FILES = ("model.safetensors", "config.json", "task.json", "probe.safetensors", "code/a.py")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sealed folder."""
    root = tmp_path / "model"
    for number, name in enumerate(FILES):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(bytes([number]) * 9)
    sealed.write_digests(root)
    return root


def alter(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_what_was_signed_is_taken_here_and_by_model_signing_itself(
    folder: Path, keys: Keys, curve: ec.EllipticCurve
) -> None:
    private, public = keys(key=ec.generate_private_key(curve))
    name = sign_folder(folder, private)
    assert verify_folder(folder, public) == name
    assert sign_folder(folder, private) == name  # again: the signature signs itself not
    folder = folder.rename(folder.with_name("moved"))
    verify_folder(folder, public)
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(folder)]
    command += ["--signature", str(folder / "model.sig"), "--public_key", str(public)]
    assert "Verification succeeded" in subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("name", [*FILES, "digests.json"])
def test_an_altered_byte_or_a_file_that_is_gone_is_named(folder: Path, keys: Keys, name: str) -> None:
    private, public = keys()
    sign_folder(folder, private)
    alter(folder / name)
    with pytest.raises(AlteredModelError, match=f"not what was signed: {name} was altered$"):
        verify_folder(folder, public)
    (folder / name).unlink()
    with pytest.raises(AlteredModelError, match=f"not what was signed: {name} is missing$"):
        verify_folder(folder, public)


def test_digests_that_were_rewritten_with_the_file_pass_without_a_signature_only(folder: Path, keys: Keys) -> None:
    private, public = keys()
    sign_folder(folder, private)
    alter(folder / "model.safetensors")
    sealed.write_digests(folder)
    sealed.verify_digests(folder)
    with pytest.raises(AlteredModelError, match=r"digests\.json was altered, model\.safetensors was altered$"):
        verify_folder(folder, public)


@pytest.mark.parametrize("name", ["extra.txt", "code/__pycache__/a.pyc", ".gitattributes", ".git/config"])
def test_a_file_more_is_neither_taken_nor_signed(folder: Path, keys: Keys, name: str) -> None:
    private, public = keys()
    sign_folder(folder, private)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"")
    with pytest.raises(AlteredModelError, match=f"{name} was added$"):
        verify_folder(folder, public)
    with pytest.raises(AlteredModelError, match=rf"files that digests\.json does not list: {name}; remove"):
        sign_folder(folder, private)


def test_a_link_is_not_taken(folder: Path, keys: Keys, tmp_path: Path) -> None:
    private, public = keys()
    sign_folder(folder, private)
    (folder / "config.json").rename(tmp_path / "elsewhere")
    (folder / "config.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AlteredModelError, match=r"not what was signed: config\.json is a link$"):
        verify_folder(folder, public)
    with pytest.raises(AlteredModelError, match=r"not signed: config\.json is a link; put files there"):
        sign_folder(folder, private)


def test_a_link_to_the_whole_folder_is_a_name_of_it(folder: Path, keys: Keys, tmp_path: Path) -> None:
    private, public = keys()
    (tmp_path / "current").symlink_to(folder)
    name = sign_folder(tmp_path / "current", private)
    assert verify_folder(tmp_path / "current", public) == verify_folder(folder, public) == name
    alter(folder / "config.json")
    with pytest.raises(
        AlteredModelError, match=f"^{tmp_path / 'current'} is not what was signed: config.json was altered$"
    ):
        verify_folder(tmp_path / "current", public)


def test_what_does_not_match_its_digests_is_not_signed(folder: Path, keys: Keys) -> None:
    alter(folder / "model.safetensors")
    with pytest.raises(AlteredModelError, match=r"model\.safetensors was altered"):
        sign_folder(folder, keys()[0])
    assert not (folder / "model.sig").exists()


def test_no_signature_and_a_foreign_key_are_refused(folder: Path, keys: Keys) -> None:
    private, public = keys()
    with pytest.raises(UserError, match=r"is not signed: it has no model\.sig; `semanir models sign` makes one"):
        verify_folder(folder, public)
    ours = sign_folder(folder, private)
    other, foreign = keys("other")
    with pytest.raises(UserError, match=f"was signed by another key: {ours[:12]}, and {foreign} is "):
        verify_folder(folder, foreign)
    sign_folder(folder, other)
    with pytest.raises(UserError, match="was signed by another key"):
        verify_folder(folder, public)


def test_a_signature_that_only_claims_to_be_by_the_key_is_refused(folder: Path, keys: Keys) -> None:
    private, public = keys()
    name = sign_folder(folder, private)
    sign_folder(folder, keys("forger")[0])
    signature = json.loads((folder / "model.sig").read_text())
    signature["verificationMaterial"]["publicKey"]["hint"] = name
    (folder / "model.sig").write_text(json.dumps(signature))
    with pytest.raises(UserError, match=f"was not made by the key {public}: it is forged or damaged"):
        verify_folder(folder, public)


def test_a_signature_of_other_content_is_refused(folder: Path, keys: Keys) -> None:
    """The list of files rewritten inside the signature, the rest of it left as it was."""
    private, public = keys()
    sign_folder(folder, private)
    signature = json.loads((folder / "model.sig").read_text())
    envelope = signature["dsseEnvelope"]
    statement = json.loads(base64.b64decode(envelope["payload"]))
    statement["predicate"]["resources"][0]["digest"] = "0" * 64
    envelope["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    (folder / "model.sig").write_text(json.dumps(signature))
    with pytest.raises(UserError, match="it is forged or damaged"):
        verify_folder(folder, public)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", "null", '{"verificationMaterial": {"publicKey": {"hint": 3}}}', "[" * 100_000, "\udcff"]
)
def test_what_is_no_signature_is_refused_in_one_line(folder: Path, keys: Keys, content: str) -> None:
    (folder / "model.sig").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError, match=r"model\.sig is no signature by a key") as refused:
        verify_folder(folder, keys()[1])
    assert "\n" not in str(refused.value)


GONE = object()


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (["dsseEnvelope"], GONE, "it has no 'dsseEnvelope'"),
        (["mediaType"], GONE, "it has no 'mediaType'"),
        (["mediaType"], "application/json", "its mediaType is 'application/json', expected application/vnd"),
        (["dsseEnvelope", "payloadType"], "text/plain", "its payloadType is 'text/plain'"),
        (["dsseEnvelope", "payload"], "", "Expecting value"),
        (["dsseEnvelope", "payload"], "e30=\n~", ""),
        (["dsseEnvelope", "payload"], 3, ""),
        (["dsseEnvelope", "signatures"], [], "its list of signatures is empty"),
        (["dsseEnvelope", "signatures"], {}, "its list of signatures is empty"),
        (["dsseEnvelope", "signatures", 0, "sig"], GONE, "it has no 'sig'"),
        (["dsseEnvelope", "signatures", 0, "sig"], "?", ""),
        (["another"], 1, ""),
    ],
)
def test_a_broken_signature_says_nothing_of_the_model(
    folder: Path, keys: Keys, path: list[Any], value: Any, said: str
) -> None:
    private, public = keys()
    sign_folder(folder, private)
    signature = place = json.loads((folder / "model.sig").read_text())
    for key in path[:-1]:
        place = place[key]
    if value is GONE:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    (folder / "model.sig").write_text(json.dumps(signature))
    with pytest.raises(UserError, match=rf"model\.sig is broken, which says nothing of the model: .*{said}") as refused:
        verify_folder(folder, public)
    assert "\n" not in str(refused.value)
    assert "get it anew, or sign anew" in str(refused.value)


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (rsa.generate_private_key(65537, 2048), "RSA"),
        (ed25519.Ed25519PrivateKey.generate(), "Ed25519"),
        (ec.generate_private_key(ec.SECP256K1()), "of the curve secp256k1"),
    ],
    ids=["rsa", "ed25519", "secp256k1"],
)
def test_keys_of_the_wrong_kind(folder: Path, keys: Keys, key: Private, kind: str) -> None:
    private, public = keys("wrong", key)
    for call, file in ((sign_folder, private), (verify_folder, public)):
        with pytest.raises(UserError, match=f"{kind}.*expected an elliptic curve's, one of secp256r1, "):
            call(folder, file)


def test_files_that_are_no_such_keys(folder: Path, keys: Keys, tmp_path: Path) -> None:
    private, public = keys()
    public.chmod(0o600)
    with pytest.raises(UserError, match="is no private key in PEM form"):
        sign_folder(folder, public)
    with pytest.raises(UserError, match="is no public key in PEM form"):
        verify_folder(folder, private)
    private.write_bytes(b"x" * (MAX_KEY_BYTES + 1))
    for call in (sign_folder, verify_folder):
        for file in (private, tmp_path, tmp_path / "absent.pem"):
            with pytest.raises(UserError, match=f"key {file}: no file of at most 65536 bytes; give a PEM file"):
                call(folder, file)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o610, 0o666])
def test_a_private_key_that_others_reach_is_refused(folder: Path, keys: Keys, mode: int) -> None:
    private, _ = keys()
    private.chmod(mode)
    with pytest.raises(UserError, match=f"has mode {mode:o}: others can read the private key; chmod 600 {private}"):
        sign_folder(folder, private)
    private.chmod(0o400)
    sign_folder(folder, private)


def test_a_private_key_with_a_password(folder: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    private, public = keys(password=b"open sesame")
    with pytest.raises(UserError, match=f"has a password, and none is set in {PASSWORD_VARIABLE}"):
        sign_folder(folder, private)
    monkeypatch.setenv(PASSWORD_VARIABLE, "close sesame")
    with pytest.raises(UserError, match="no private key in PEM form, or the password is another"):
        sign_folder(folder, private)
    monkeypatch.setenv(PASSWORD_VARIABLE, "open sesame")
    assert sign_folder(folder, private) == verify_folder(folder, public)
    with pytest.raises(UserError, match="has no password, and one is set"):
        sign_folder(folder, keys("bare")[0])
