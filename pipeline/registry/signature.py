"""A signature over the files of a sealed model, by a key of the team's own: whoever has the public key can verify it.

The digests in a folder prove that no file was damaged, and nothing against somebody who rewrites file and digest. The
signature does. Its format is OpenSSF Model Signing's, so that others verify it with `model_signing verify key`, without
this project. No server is asked, and no key leaves the machine.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import UserError, first_line
from pipeline.registry import sealed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec
    from model_signing import hashing

SIGNATURE_FILE = "model.sig"  # the name that Model Signing's own command gives it
PASSWORD_VARIABLE = "SEMANIR_SIGNING_PASSWORD"
CURVES = ("secp256r1", "secp384r1", "secp521r1")  # those that Model Signing takes
MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"  # of the file, and of what is signed in it
PAYLOAD_TYPE = "application/vnd.in-toto+json"
SHOWN = 12  # hexadecimal digits of a key's name

MAX_KEY_BYTES = 64 << 10
MAX_SIGNATURE_BYTES = 16 << 20  # it lists every file of the folder
MAX_SHOWN = 200  # characters of what a stranger wrote

# What reading something else than a signature raises, here or in Model Signing, which checks no types.
_MALFORMED = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError)


def sign_folder(folder: Path, private_key: Path) -> str:
    """Write ``model.sig`` into a sealed folder, over all its files; returns the name of the key.

    private_key: a PEM file that its owner alone can read, of an elliptic curve; of one with a password, that is in
    the environment's ``SEMANIR_SIGNING_PASSWORD``.

    Raises:
        AlteredModelError: a file is not what its digest says, is a link, or lies there unlisted: that is signed by
            nobody.
        UserError: the key is no such key, can be read by others, or the package is not installed.
    """
    _check_installed()
    from model_signing import signing

    key = _private_key(private_key)
    folder = folder.resolve()  # a link to the folder is a name of it; one inside is no file of the model
    if odd := _no_files(folder):
        raise sealed.AlteredModelError(f"{folder} holds what is not signed: {_few(odd)}; put files there, then sign")
    listed = {*sealed.verify_digests(folder), sealed.DIGESTS_FILE, SIGNATURE_FILE}
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    if unlisted := sorted(found - listed):
        raise sealed.AlteredModelError(
            f"{folder} holds files that {sealed.DIGESTS_FILE} does not list: {_few(unlisted)}; remove them, then sign"
        )
    signer = signing.Config().set_hashing_config(_hashing())
    password: Any = _password()  # declared as text, given on to a function that takes bytes
    signer.use_elliptic_key_signer(private_key=private_key, password=password).sign(folder, folder / SIGNATURE_FILE)
    return _name(key.public_key())


def verify_folder(folder: Path, public_key: Path, model: str = "") -> str:
    """Prove that the holder of the key signed exactly the files in ``folder``; returns the name of the key.

    model: what to call the folder in messages.

    Raises:
        AlteredModelError: the files are not those that were signed.
        UserError: there is no signature, or one of another key, or ``public_key`` is no such key.
    """
    _check_installed()
    from cryptography.exceptions import InvalidSignature
    from model_signing import verifying

    model, folder = model or str(folder), folder.resolve()
    name = _name(_public_key(public_key))
    signature = folder / SIGNATURE_FILE
    if not signature.is_file():
        raise UserError(f"{model} is not signed: it has no {SIGNATURE_FILE}; `semanir models sign` makes one")
    signer = _signer(signature)
    if signer != name:
        raise UserError(
            f"{model} was signed by another key: {signer[:SHOWN]}, and {public_key} is {name[:SHOWN]}; "
            "verify with the key of whoever signed it, if you trust them"
        )
    _check_form(signature)
    verifier = verifying.Config().set_hashing_config(_hashing())
    try:
        verifier.use_elliptic_key_verifier(public_key=public_key).verify(folder, signature)
    except InvalidSignature:
        raise UserError(
            f"{model}: {SIGNATURE_FILE} was not made by the key {public_key}: it is forged or damaged"
        ) from None
    except _MALFORMED as error:
        if differing := _differing(folder, signature):
            raise sealed.AlteredModelError(f"{model} is not what was signed: {_few(differing)}") from None
        raise _broken(signature, error) from None
    return name


def _no_files(folder: Path) -> list[str]:
    """What in a folder is neither a file nor a folder, links above all: nobody signs what it leads to."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    links = [f"{name} is a link" for name, path in sorted(found.items()) if path.is_symlink()]
    return links or [
        f"{name} is no file" for name, path in sorted(found.items()) if not (path.is_file() or path.is_dir())
    ]


def _check_form(signature: Path) -> None:
    """Raises UserError for what no signature looks like, whoever made it: nothing is said then of the model."""
    try:
        bundle = json.loads(signature.read_text(encoding="utf-8"))
        envelope = bundle["dsseEnvelope"]
        for kind, found, wanted in (
            ("mediaType", bundle["mediaType"], MEDIA_TYPE),
            ("payloadType", envelope["payloadType"], PAYLOAD_TYPE),
        ):
            if found != wanted:
                raise ValueError(f"its {kind} is {found!r:.80}, expected {wanted}")
        signatures = envelope["signatures"]
        if not isinstance(signatures, list) or not signatures:
            raise ValueError("its list of signatures is empty")
        base64.b64decode(signatures[0]["sig"], validate=True)
        json.loads(base64.b64decode(envelope["payload"], validate=True))
    except _MALFORMED as error:
        raise _broken(signature, error) from None


def _broken(signature: Path, error: Exception) -> UserError:
    said = f"it has no {error}" if isinstance(error, KeyError) else first_line(error)
    return UserError(
        f"{signature} is broken, which says nothing of the model: {said[:MAX_SHOWN]}; get it anew, or sign anew"
    )


def _differing(folder: Path, signature: Path) -> list[str]:
    """The files, by what became of them, that are not as the signature lists them."""
    try:
        payload = json.loads(signature.read_text(encoding="utf-8"))["dsseEnvelope"]["payload"]
        resources = json.loads(base64.b64decode(payload))["predicate"]["resources"]
        signed = {str(resource["name"]): resource["digest"] for resource in resources}
    except _MALFORMED:
        return []
    if odd := _no_files(folder):
        return odd
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    del found[SIGNATURE_FILE]

    def altered(name: str) -> bool:
        return sealed.file_digest(found[name]) != signed[name]

    return [
        *(f"{name} is missing" for name in sorted(signed.keys() - found.keys())),
        *(f"{name} was added" for name in sorted(found.keys() - signed.keys())),
        *(f"{name} was altered" for name in sorted(signed.keys() & found.keys()) if altered(name)),
    ]


def _hashing() -> hashing.Config:
    """Every file but the signature, by SHA-256; links are refused, and so is a file more than were signed."""
    from model_signing import hashing

    config = hashing.Config().use_file_serialization(hashing_algorithm="sha256")
    return config.set_ignored_paths(paths=[SIGNATURE_FILE], ignore_git_paths=False)


def _check_installed() -> None:
    try:
        import model_signing  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"signatures need a package that is not installed ({first_line(error)}); pip install 'semanir-on-ray[sign]'"
        ) from None


def _private_key(path: Path) -> ec.EllipticCurvePrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    content = _read_key(path)
    if (mode := path.stat().st_mode & 0o777) & 0o077:
        raise UserError(f"{path} has mode {mode:o}: others can read the private key; chmod 600 {path}")
    password = _password()
    try:
        key = load_pem_private_key(content, password)
    except TypeError:  # a password is missing, or one is given that the key does not have
        needs = "has no password, and one is set" if password else "has a password, and none is set"
        raise UserError(f"the private key {path} {needs} in {PASSWORD_VARIABLE}") from None
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UserError(
            f"{path} is no private key in PEM form, or the password is another: {first_line(error)}"
        ) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise UserError(f"{path} is a key of the wrong kind ({type(key).__name__}); {_wanted()}")
    _check_curve(path, key.curve)
    return key


def _public_key(path: Path) -> ec.EllipticCurvePublicKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    content = _read_key(path)
    try:
        key = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UserError(f"{path} is no public key in PEM form: {first_line(error)}") from None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise UserError(f"{path} is a key of the wrong kind ({type(key).__name__}); {_wanted()}")
    _check_curve(path, key.curve)
    return key


def _read_key(path: Path) -> bytes:
    try:
        if not path.is_file() or path.stat().st_size > MAX_KEY_BYTES:
            raise UserError(f"key {path}: no file of at most {MAX_KEY_BYTES} bytes; give a PEM file")
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"key {path} cannot be read: {error.strerror}") from None


def _check_curve(path: Path, curve: ec.EllipticCurve) -> None:
    if curve.name not in CURVES:
        raise UserError(f"{path} is a key of the curve {curve.name}; {_wanted()}")


def _wanted() -> str:
    return f"expected an elliptic curve's, one of {', '.join(CURVES)}"


def _password() -> bytes | None:
    return os.environ[PASSWORD_VARIABLE].encode() if os.environ.get(PASSWORD_VARIABLE) else None


def _name(key: ec.EllipticCurvePublicKey) -> str:
    """SHA-256 of the public key's PEM form: what a signature names its key by."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _signer(signature: Path) -> str:
    """The name of the key that a signature says it is of."""
    try:
        if signature.stat().st_size > MAX_SIGNATURE_BYTES:
            raise ValueError(f"larger than {MAX_SIGNATURE_BYTES} bytes")
        material = json.loads(signature.read_text(encoding="utf-8"))["verificationMaterial"]
        name = material["publicKey"]["hint"]
        if not isinstance(name, str) or not name.isalnum():
            raise ValueError("it names no key")
    except _MALFORMED as error:
        raise UserError(f"{signature} is no signature by a key: {first_line(error)[:MAX_SHOWN]}") from None
    return name


def _few(names: list[str]) -> str:
    return ", ".join(name[:MAX_SHOWN] for name in names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
