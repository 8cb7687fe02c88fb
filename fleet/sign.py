"""The city's signing keys, and the pushes signed with them: key pairs in the files of signify and usign, claims into a JWS.

Touches no network. A secret key or a passphrase never stands in an argument, a message or a log, and no key file is ever replaced.
"""

from __future__ import annotations

import argparse
import getpass
import hashlib
import hmac
import json
import os
import re
import stat
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import bcrypt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.wire import claims, jws, keyfile, topics
from agent.wire.claims import CommandClaims, ConfigClaims
from agent.wire.keyfile import PublicKey
from agent.wire.messages import Malformed, Payload, decode_strict
from fleet.errors import Refused
from fleet.who import login

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROUNDS, MOST_ROUNDS = 42, 10_000  # signify's; ten thousand take about a minute
SALT_BYTES, CHECKSUM_BYTES, SEED_BYTES = 16, 8, 32
SECRET_BYTES = SEED_BYTES + keyfile.PUBLIC_BYTES
KDF = b"BK"
BLOB_BYTES = 2 + 2 + 4 + SALT_BYTES + CHECKSUM_BYTES + keyfile.KEY_NUMBER_BYTES + SECRET_BYTES
LONGEST_PASSPHRASE = 1_023
MAX_FILE_BYTES = 1 << 20
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")

EPILOG = """examples:
  python -m fleet.sign key keys --name malang --passphrase-file pass.txt
  python -m fleet.sign sign --key keys/malang.sec --city malang --ap rw-0501 --revision 7 rw-0501.toml > push.jws
  python -m fleet.sign show push.jws
  mosquitto_pub … -q 1 -r -t wifi/v1/malang/rw-0501/config/desired -f push.jws

exit codes: 0 done, 1 it failed, 2 bad usage"""


class SecretKey(NamedTuple):
    """An Ed25519 key that signs; `kid` is its number. Its text shows no secret."""

    kid: str
    seed: bytes

    def __repr__(self) -> str:
        return f"SecretKey(kid={self.kid!r}, seed=***)"

    @property
    def public(self) -> PublicKey:
        """Give the key that checks what this one signs."""
        return PublicKey(self.kid, self._private().public_key().public_bytes_raw())

    def sign(self, message: bytes) -> bytes:
        """Sign bytes; the same bytes always give the same 64."""
        return self._private().sign(message)

    def _private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)


def make_key() -> SecretKey:
    """Make a new key with a random number."""
    return SecretKey(os.urandom(keyfile.KEY_NUMBER_BYTES).hex(), os.urandom(SEED_BYTES))


def secret_file(key: SecretKey, passphrase: bytes, comment: str, rounds: int = ROUNDS) -> bytes:
    """Make the file of a secret key; without a passphrase (b"") usign reads it too."""
    salt, secret = os.urandom(SALT_BYTES), key.seed + key.public.public
    rounds = rounds if passphrase else 0
    checksum = hashlib.sha512(secret).digest()[:CHECKSUM_BYTES]
    blob = keyfile.ALGORITHM + KDF + rounds.to_bytes(4, "big") + salt + checksum + bytes.fromhex(key.kid) + _masked(secret, salt, rounds, passphrase)
    return keyfile.wrap(comment, blob)


def is_locked(text: bytes) -> bool:
    """Say whether a secret key's file needs a passphrase; Malformed when it is none."""
    return keyfile.unwrap(text, BLOB_BYTES)[4:8] != bytes(4)


def parse_secret(text: bytes, passphrase: bytes) -> SecretKey:
    """Read a secret key's file of signify, usign or ours; Malformed when it is none, Refused when the passphrase is not its own."""
    blob = keyfile.unwrap(text, BLOB_BYTES)
    kdf, rounds = blob[2:4], int.from_bytes(blob[4:8], "big")
    salt, checksum, number, masked = blob[8:24], blob[24:32], blob[32:40], blob[40:]
    if kdf != KDF or rounds > MOST_ROUNDS:
        raise Malformed(f"locked in a way that is not known, expected bcrypt with at most {MOST_ROUNDS} rounds")
    if rounds and not passphrase:
        raise Refused("the key is locked: name the file with its passphrase (--passphrase-file)")
    secret = _masked(masked, salt, rounds, passphrase)
    if not hmac.compare_digest(hashlib.sha512(secret).digest()[:CHECKSUM_BYTES], checksum):
        raise Refused("the passphrase is not this key's" if rounds else "the key's checksum is wrong: the file is damaged")
    key = SecretKey(number.hex(), secret[:SEED_BYTES])
    if key.public.public != secret[SEED_BYTES:]:
        raise Malformed("its secret and its public half do not belong together")
    return key


def _masked(secret: bytes, salt: bytes, rounds: int, passphrase: bytes) -> bytes:
    """Lock or unlock, which are the same: a stream from the passphrase, xored (signify's kdf; no rounds: as it is)."""
    if not rounds:
        return secret
    stream = bcrypt.kdf(passphrase, salt, SECRET_BYTES, rounds, ignore_few_rounds=True)
    return bytes(a ^ b for a, b in zip(secret, stream, strict=True))


def write_pair(directory: str, name: str, key: SecretKey, passphrase: bytes) -> tuple[str, str]:
    """Write NAME.sec (mode 600) and NAME.pub into a directory, which is made when missing; Refused when either is there already."""
    if not NAME.fullmatch(name):
        raise Refused(f"the key's name is {name!r}, expected 1 to 64 of A-Z, a-z, 0-9, _ . and -")
    secret, public = (os.path.join(directory, f"{name}.{kind}") for kind in ("sec", "pub"))
    texts = (secret_file(key, passphrase, f"{name} secret key"), keyfile.public_key(key.public, f"{name} public key"))
    made: list[str] = []
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        for path, text, mode in ((secret, texts[0], 0o600), (public, texts[1], 0o644)):
            _write_new(path, text, mode, made)
        _sync_directory(directory)
    except OSError as error:
        for path in made:
            os.unlink(path)
        if isinstance(error, FileExistsError):
            raise Refused(f"{error.filename}: is there already, and a key is never replaced; choose another --name") from None
        raise Refused(f"{error.filename or directory}: cannot be written ({error.strerror})") from None
    return secret, public


def _write_new(path: str, text: bytes, mode: int, made: list[str]) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    made.append(path)
    with open(fd, "wb") as file:
        os.fchmod(fd, mode)
        file.write(text)
        file.flush()
        os.fsync(fd)


def _sync_directory(directory: str) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def push(key: SecretKey, said: ConfigClaims) -> bytes:
    """Sign a config's claims; Refused when an access point would not take their form or their length."""
    return _signed(key, claims.members(said), lambda payload: claims.parse(payload, said.city, said.ap, claims.KINDS))


def command(key: SecretKey, said: CommandClaims) -> bytes:
    """Sign a command's claims; Refused when an access point would not take their form or their length."""
    return _signed(key, claims.command_members(said), lambda payload: claims.parse_command(payload, said.city, said.ap, said.name))


def _signed(key: SecretKey, payload: Payload, parse: Callable[[Payload], object]) -> bytes:
    """Sign what an access point would `parse`; Refused when it would not."""
    signed = jws.signing_input(key.kid, payload)
    message = jws.compact(signed, key.sign(signed))
    try:
        # What is refused there is refused here, before it travels.
        parse(jws.parse(message).payload)
    except jws.Refused as error:
        raise Refused(str(error)) from None
    return message


def read_secret_file(path: str) -> bytes:
    """Read a file that is its owner's alone; Refused, with the chmod to run, when others may read it too."""
    text, mode = _read(path)
    if stat.S_ISREG(mode) and mode & 0o077:
        raise Refused(f"{path}: others may read it (mode {stat.S_IMODE(mode):o}); run: chmod 600 {path}")
    return text


def read_document(path: str) -> dict[str, Any]:
    """Read a desired config from a TOML or a JSON file."""
    text, _ = _read(path)
    if not path.endswith(".toml"):
        try:
            return decode_strict(text, MAX_FILE_BYTES)
        except Malformed as error:
            raise Refused(f"{path}: cannot be understood as JSON ({error}); name a TOML file FILE.toml") from None
    try:
        document: dict[str, Any] = tomllib.loads(text.decode())
    except (ValueError, RecursionError) as error:
        what = str(error) if isinstance(error, tomllib.TOMLDecodeError) else "not UTF-8, a number too long, or tables too deep"
        raise Refused(f"{path}: cannot be understood as TOML ({what})") from None
    return document


def _read(path: str) -> tuple[bytes, int]:
    try:
        with open(path, "rb") as file:
            text, mode = file.read(MAX_FILE_BYTES + 1), os.fstat(file.fileno()).st_mode
    except (OSError, ValueError) as error:
        raise Refused(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if len(text) > MAX_FILE_BYTES:
        raise Refused(f"{path}: more than {MAX_FILE_BYTES} bytes")
    return text, mode


def passphrase_of(path: str) -> bytes:
    """Read a passphrase: the first line of its file."""
    phrase = read_secret_file(path).partition(b"\n")[0]
    if not 0 < len(phrase) <= LONGEST_PASSPHRASE or b"\0" in phrase:
        raise Refused(f"{path}: its first line is no passphrase, expected 1 to {LONGEST_PASSPHRASE} bytes")
    return phrase


def unlocked(path: str, passphrase_file: str | None) -> SecretKey:
    """Read a secret key's file, with the passphrase of that file or, on a terminal, asked for; Refused when it does not open."""
    _refuse_public(path)
    text = read_secret_file(path)
    try:
        phrase = passphrase_of(passphrase_file) if passphrase_file else b""
        if not phrase and is_locked(text) and sys.stdin.isatty():
            phrase = getpass.getpass(f"passphrase of {path}: ").encode()
        return parse_secret(text, phrase)
    except Malformed as error:
        raise Refused(f"{path}: {error}") from None
    except Refused as error:
        raise Refused(f"{path}: {error}") from None


def _refuse_public(path: str) -> None:
    """Refuse a public key by its name's other half: that others may read it is as it should be."""
    try:
        keyfile.parse_public_key(_read(path)[0])
    except Malformed:
        return
    raise Refused(f"{path}: is a public key, which checks signatures; name the secret one: --key {path.removesuffix('.pub')}.sec")


def _key(options: argparse.Namespace) -> None:
    phrase = passphrase_of(options.passphrase_file) if options.passphrase_file else b""
    key = make_key()
    secret, public = write_pair(options.dir, options.name, key, phrase)
    how = "locked with the passphrase" if phrase else "without a passphrase: who has the file may sign"
    print(f"key {key.kid}\n  {secret}  keep it in the city ({how})\n  {public}  put it into keys_dir of the access points")


def _sign(options: argparse.Namespace) -> None:
    document = read_document(options.file)
    said = ConfigClaims(options.city, options.ap, options.revision, int(time.time()), options.author, document, options.confirm_within, options.below_contract)
    said = said._replace(kind=claims.PLAN_KIND if options.plan else claims.KIND)
    key = unlocked(options.key, options.passphrase_file)
    try:
        message = push(key, said)
    except (TypeError, ValueError, RecursionError):  # TOML has dates, NaN and tables of any depth
        raise Refused(f"{options.file}: holds what JSON has not, expected texts, numbers, true, false, lists and tables") from None
    # No line break where a program reads: a push with one is refused.
    sys.stdout.write(message.decode() + ("\n" if sys.stdout.isatty() else ""))


def _show(options: argparse.Namespace) -> None:
    text, _ = _read(options.file)
    try:
        read = jws.parse(text.rstrip(b"\r\n"))
    except jws.Refused as error:
        raise Refused(f"{options.file}: {error}") from None
    print(json.dumps({"kid": read.kid, "signature": "not checked here", "claims": claims.starred(read.payload)}, indent=2))


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m fleet.sign", description="Make signing keys, and sign configs for access points.", epilog=EPILOG, formatter_class=raw
    )
    words = parser.add_subparsers(required=True, metavar="COMMAND")
    key = words.add_parser("key", help="make a key pair, NAME.sec and NAME.pub, in the files of signify and usign")
    key.add_argument("dir", metavar="DIR", help="where to; made when missing")
    key.add_argument("--name", default="city", help="the files' name (default: city)")
    key.set_defaults(run=_key)
    sign = words.add_parser("sign", help="sign a config for one access point and print the JWS")
    sign.add_argument("file", metavar="FILE", help="the config, TOML (FILE.toml) or JSON")
    sign.add_argument("--key", required=True, metavar="FILE", help="the secret key, of signify, usign or `key`")
    sign.add_argument("--city", required=True, type=_name)
    sign.add_argument("--ap", required=True, type=_name, help="the access point")
    sign.add_argument("--revision", required=True, type=int, metavar="N", help="above every one before")
    sign.add_argument("--author", default=login(), help="who makes it (default: %(default)s)")
    sign.add_argument("--confirm-within", type=int, default=claims.CONFIRM_WITHIN_S, metavar="S", help="seconds until it is taken back (default: %(default)s)")
    sign.add_argument("--below-contract", action="store_true", help="an uplink cap below the contract is meant")
    sign.add_argument("--plan", action="store_true", help="for config/plan: an access point plans it and never applies it, whoever hands it on")
    sign.set_defaults(run=_sign)
    for word in (key, sign):
        word.add_argument("--passphrase-file", metavar="FILE", help="its first line locks the secret key; mode 600")
    show = words.add_parser("show", help="print what a JWS says, with stars for keys; checks no signature")
    show.add_argument("file", metavar="FILE")
    show.set_defaults(run=_show)
    return parser


def _name(text: str) -> str:
    if not topics.is_name(text):
        raise argparse.ArgumentTypeError(f"is {text!r}, expected 1 to {topics.LONGEST_NAME} of a-z, 0-9 and -")
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 done, 1 it failed, 2 wrong arguments."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except Refused as error:
        print(f"fleet.sign: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
