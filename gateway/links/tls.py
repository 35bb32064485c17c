"""TLS under SMPP: contexts from an account's settings, and what is wrong in words that say what to do.

There is no STARTTLS in SMPP: a port speaks TLS or it does not. Certificates are read anew for each connection that
we make, so a renewed one needs no restart.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from gateway.settings import AccountSettings
from vas.errors import ConfigError

# X509_V_ERR_… of OpenSSL's x509_vfy.h.
_UNTRUSTED = {
    9: "the SMSC's certificate is not valid yet: compare the clocks",
    10: "the SMSC's certificate has expired",
    18: "the SMSC's certificate is signed by itself: name it, or who signs it, in tls_ca",
    19: "who signs the SMSC's certificate is not known: name its authority in tls_ca",
    20: "who signs the SMSC's certificate is not known: name its authority in tls_ca",
    21: "who signs the SMSC's certificate is not known: name its authority in tls_ca",
    23: "the SMSC's certificate was revoked",
    62: "the SMSC's certificate is for another name: set tls_server_name",
    64: "the SMSC's certificate is for another address: set tls_server_name",
}
_ALERTS = {
    "WRONG_VERSION_NUMBER": "the other side does not speak TLS at this port",
    "HTTP_REQUEST": "the other side does not speak TLS at this port",
    "UNSUPPORTED_PROTOCOL": "the other side does not speak TLS 1.2 or later",
    "TLSV1_ALERT_PROTOCOL_VERSION": "the other side does not speak TLS 1.2 or later",
    "NO_SHARED_CIPHER": "there is no cipher that both sides speak",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "the SMSC refuses the handshake: it may ask for tls_certificate and tls_key",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the SMSC asks for a certificate of ours: set tls_certificate and tls_key",
    "TLSV1_ALERT_UNKNOWN_CA": "the SMSC does not know who signs our tls_certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the SMSC refuses our tls_certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "our tls_certificate has expired",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "our tls_certificate was revoked",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "the SMSC refuses our tls_certificate",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the SMSC showed no certificate",
}


def client_context(settings: AccountSettings) -> ssl.SSLContext:
    """TLS 1.2 or later towards an SMSC whose certificate is checked. Raises ConfigError."""
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=_file(settings.tls_ca, "tls_ca"))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.tls_certificate is not None:
        _show(context, settings)
    return context


def server_context(settings: AccountSettings) -> ssl.SSLContext:
    """The same for SMSCs that connect to us; with `tls_ca` they must show a certificate too. Raises ConfigError."""
    if settings.tls_certificate is None:
        raise ConfigError("outbind over TLS needs tls_certificate and tls_key")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=_file(settings.tls_ca, "tls_ca"))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.tls_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    _show(context, settings)
    return context


def explain(error: BaseException) -> str:
    """A failure of a connection in plain words; what is not of TLS as it spells itself."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _UNTRUSTED.get(error.verify_code, f"the SMSC's certificate: {error.verify_message}")
    if isinstance(error, ssl.SSLError):
        return _ALERTS.get(error.reason or "", f"TLS: {error.reason or error}")
    return str(error)


def _file(path: Path | None, setting: str) -> Path | None:
    """The file, if it is there and reads as PEM."""
    if path is None:
        return None
    try:
        readable = b"-----BEGIN " in path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{setting}: {path}: {error.strerror}") from None
    if not readable:
        raise ConfigError(f"{setting}: {path} is not a PEM file")
    return path


def _show(context: ssl.SSLContext, settings: AccountSettings) -> None:
    """Our own certificate, and its key from its own file or from the same."""
    certificate = _file(settings.tls_certificate, "tls_certificate")
    assert certificate is not None
    key = _file(settings.tls_key, "tls_key")
    try:
        context.load_cert_chain(certificate, key, password="")  # without one OpenSSL asks at the terminal
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ConfigError(f"tls_key: {key or certificate} is not the key of {certificate}") from None
        raise ConfigError(
            f"tls_certificate, tls_key: {certificate} with {key or 'the key in it'} cannot be used"
            f" ({error.reason or error}); a key with a pass phrase is not supported"
        ) from None
