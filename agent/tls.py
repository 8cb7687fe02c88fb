"""TLS contexts for the broker's peer check, and what a failed handshake means in words.

Promises that no context made here speaks less than TLS 1.2 or leaves the host name or the signature
unchecked; the one thing ever left out, while the clock is not good, is the validity dates.
"""

from __future__ import annotations

import os
import sys

from agent.errors import Unavailable
from agent.lean import Without

# For certificates as text, of which none is asked for.
with Without(base64=None):
    import ssl

# X509_V_FLAG_NO_CHECK_TIME, openssl/x509_vfy.h; the ssl module has no name for it.
NO_CHECK_TIME = 0x200000

# X509_V_ERR_*, openssl/x509_vfy.h.
_NOT_YET_VALID, _EXPIRED, _WRONG_HOST, _WRONG_ADDRESS = 9, 10, 62, 64
_NOT_SIGNED = frozenset({2, 7, 18, 19, 20, 21, 24})

# OpenSSL's words for a peer that answers something else than TLS.
_NOT_TLS = frozenset({"WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE", "UNEXPECTED_MESSAGE"})


class Contexts:
    """One context for each trust state, kept: reading the CA file is the dear part of a connection."""

    def __init__(self, ca_file: str | None, cert_file: str | None, key_file: str | None) -> None:
        self._ca_file = ca_file or None
        self._cert_file = cert_file or None
        self._key_file = key_file or None
        self._kept: dict[bool, tuple[tuple[tuple[int, int], ...], ssl.SSLContext]] = {}

    def context(self, *, are_dates_checked: bool) -> ssl.SSLContext:
        """Give the context for one trust state, made anew when a file has been replaced; Unavailable says which file is wrong."""
        stamps = tuple(_stamp(file) for file in (self._ca_file, self._cert_file, self._key_file) if file)
        kept = self._kept.get(are_dates_checked)
        if kept is not None and kept[0] == stamps:
            return kept[1]
        context = self._make(are_dates_checked)
        self._kept[are_dates_checked] = (stamps, context)
        return context

    def _make(self, are_dates_checked: bool) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # A client certificate has a CN and no host names: it must not pass for a broker whose name is the same.
        context.hostname_checks_common_name = False
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # Renegotiation would make a read wait for a write, which paho's loop does not know.
        context.options |= ssl.OP_NO_RENEGOTIATION
        if sys.version_info >= (3, 13):
            # What ssl.create_default_context does from 3.13 on; that function itself would also obey SSLKEYLOGFILE.
            context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
        if not are_dates_checked:
            context.verify_flags = ssl.VerifyFlags(int(context.verify_flags) | NO_CHECK_TIME)
        self._load(context)
        return context

    def _load(self, context: ssl.SSLContext) -> None:
        try:
            # The city's one authority, never the system's: any of a hundred others could vouch for a false broker.
            context.load_verify_locations(cafile=self._ca_file)
        except (OSError, ValueError, TypeError) as error:
            raise Unavailable(f"TLS: the CA file {self._ca_file} cannot be used ({_why(error)})") from None
        if not self._cert_file:
            return
        try:
            # The password callback keeps OpenSSL from asking a terminal, and waiting for ever.
            context.load_cert_chain(self._cert_file, self._key_file, password=lambda: "")
        except (OSError, ValueError) as error:
            raise Unavailable(f"TLS: {self._cert_file} with {self._key_file or self._cert_file} cannot be used ({_why(error)})") from None


def explain(error: OSError, host: str, port: int, ca_file: str | None) -> str:
    """Say what a failed handshake, or a session that TLS ended, means to whoever has to mend it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "TLS: " + _explain_verification(error, host, ca_file or "the system's CA certificates")
    if isinstance(error, TimeoutError):
        return f"TLS: {host}:{port} does not answer the handshake; is it a plain port?"
    reason = getattr(error, "reason", None)
    if reason in _NOT_TLS:
        return f"TLS: {host}:{port} does not speak TLS ({_words(reason)}); is it a plain port?"
    if is_fault(error) and "ALERT" in str(reason):
        return explain_session(error)
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError)):
        return f"TLS: {host}:{port} closed the connection during the handshake; is it a plain port?"
    return f"TLS: {host}:{port}: {_why(error)}"


def is_fault(error: OSError | None) -> bool:
    """Say whether TLS itself, and not the path below it, ended a session."""
    return isinstance(error, ssl.SSLError) and not isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError))


def explain_session(error: OSError) -> str:
    """Say why TLS ended a session: with TLS 1.3 a broker refuses our certificate only after the handshake."""
    reason = getattr(error, "reason", None)
    if "ALERT" in str(reason):
        return f"TLS: the broker refused us ({_words(str(reason))}); is our certificate there, valid, and signed by the city's CA?"
    return f"TLS: {_why(error)}"


def _explain_verification(error: ssl.SSLCertVerificationError, host: str, authority: str) -> str:
    code, message = error.verify_code, error.verify_message
    if code == _EXPIRED:
        return "the broker's certificate expired"
    if code == _NOT_YET_VALID:
        return "the broker's certificate is not valid yet; is this clock right?"
    if code in (_WRONG_HOST, _WRONG_ADDRESS):
        return f"the certificate is for another host name than {host} ({message.rstrip('.')})"
    if code in _NOT_SIGNED:
        return f"the broker's certificate is not signed by {authority} ({message})"
    return f"the broker's certificate is refused ({message})"


def _words(reason: str) -> str:
    return reason.lower().replace("_", " ")


def _why(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    if isinstance(reason, str) and reason:
        return _words(reason)
    return (getattr(error, "strerror", None) or str(error)).rstrip(".")


def _stamp(file: str) -> tuple[int, int]:
    try:
        facts = os.stat(file)
    except OSError:
        return (0, 0)
    return (facts.st_mtime_ns, facts.st_ino)
