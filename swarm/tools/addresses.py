"""Which addresses of the web may be reached: a URL is read once, strictly, and every answer checked.

Whatever two readers of URLs could understand differently is refused rather than guessed: attacks on
the inside of a network live in such differences.
"""

import re
import unicodedata
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import quote, urljoin

from swarm.core.errors import ToolError

MAX_URL_SIGNS = 8_192
DEFAULT_PORTS = {"http": 80, "https": 443}

Address = IPv4Address | IPv6Address

_URL = re.compile(r"(https?)://([^/?#]*)([^#]*)(?:#.*)?", re.IGNORECASE | re.DOTALL)
_AUTHORITY = re.compile(r"(\[[^\]]*\]|[^:\[\]]+)(?::([0-9]{1,5}))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
# A host whose last label looks like a number is an IPv4 address to most readers, in some base
# (https://url.spec.whatwg.org/#ends-in-a-number-checker).
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_TARGET_SIGNS = "/?:@!$&'()*+,;=-._~%[]"

_INSIDE_NAMES = frozenset(
    {"localhost", "localdomain", "local", "internal", "intranet", "lan", "corp", "home", "private"}
    | {"home.arpa", "onion"}
)
"""Names that never lead to the public web, as whole hosts and as endings (RFC 6761, 6762, 8375)."""

# From the IANA special-purpose registries, read 2026-11. The address at the end looks public but is
# Azure's host agent, which a virtual machine reaches like metadata.
_CLOSED_V4 = tuple(
    (ip_network(network), words)
    for network, words in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "carrier-grade NAT"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "reserved"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("168.63.129.16/32", "cloud metadata"),
    )
)
_CLOSED_V6 = tuple(
    (ip_network(network), words)
    for network, words in (
        ("2001::/23", "reserved or Teredo"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4"),
        ("3fff::/20", "documentation"),
    )
)
_GLOBAL_V6 = ip_network("2000::/3")
_NAT64 = ip_network("64:ff9b::/96")
_METADATA = frozenset(
    ip_address(a) for a in ("100.100.100.200", "fd00:ec2::254", "fd20:ce::254", "fd00:42::42")
)
_OPENABLE = tuple(
    ip_network(network)
    for network in (
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "::1/128",
        "fc00::/7",
    )
)


@dataclass(frozen=True, slots=True)
class Url:
    """A URL in its one canonical form; it never holds a user, a password or a fragment."""

    scheme: str
    host: str
    """Lower-case ASCII name, or a canonical address; IPv6 without brackets."""
    port: int
    target: str
    """Path and query as they go over the wire, ASCII."""

    @property
    def netloc(self) -> str:
        """The host, and the port where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def endpoint(self) -> str:
        """`host:port`, always with the port, as an operator writes it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def origin(self) -> tuple[str, str, int]:
        """What credentials are bound to."""
        return (self.scheme, self.host, self.port)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}{self.target}"


def parse_url(text: str) -> Url:
    """Read a URL strictly; nothing is resolved and no address is judged.

    Raises:
        ToolError: Not a plain http or https URL; the text says what to write instead.
    """
    text = text.strip(" ")
    if len(text) > MAX_URL_SIGNS:
        raise ToolError(f"the URL has {len(text):,} signs, the limit is {MAX_URL_SIGNS:,}")
    if "\\" in text or any(unicodedata.category(sign) in _NEVER for sign in text):
        raise ToolError("the URL holds a backslash, a control sign or an invisible sign: remove it")
    match = _URL.fullmatch(text)
    if match is None:
        raise ToolError("the URL must start with http:// or https:// and name a host")
    scheme, authority, target = match[1].lower(), match[2], match[3]
    host, port = _authority(authority)
    target = quote(target, safe=_TARGET_SIGNS)
    return Url(
        scheme,
        host,
        DEFAULT_PORTS[scheme] if port is None else port,
        target if target.startswith("/") else f"/{target}",
    )


_NEVER = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


def canonical_host(url: str) -> str:
    """Return the host of a URL as allowlists compare it: lower-case ASCII, or a plain address.

    Two URLs that reach the same host by name give the same text. Nothing is resolved.

    Raises:
        ToolError: Not a plain http or https URL.
    """
    return parse_url(url).host


def join_url(base: Url, reference: str) -> Url:
    """Read where a redirect or a link leads, which may be relative to `base`.

    Raises:
        ToolError: It leads to no plain http or https URL.
    """
    # urljoin drops some control signs without a word, so they are looked for first.
    if "\\" in reference or any(unicodedata.category(sign) in _NEVER for sign in reference):
        raise ToolError("the URL holds a backslash, a control sign or an invisible sign")
    try:
        joined = urljoin(str(base), reference.strip(" "))
    except ValueError as error:
        raise ToolError("the URL is malformed") from error
    return parse_url(joined)


def name_refusal(host: str) -> str | None:
    """Say why a host must not be reached by its name alone, before anything is resolved."""
    if is_address(host):
        return None
    if "." not in host:
        return "a host of the public web has a dot in its name"
    labels = host.split(".")
    if any(".".join(labels[start:]) in _INSIDE_NAMES for start in range(len(labels))):
        return "this name never leads to the public web"
    return None


def address_refusal(address: Address) -> str | None:
    """Say what kind of closed address this is, or None for one of the public internet.

    An IPv4 address within an IPv6 one is judged where it is the way to reach it (mapped, NAT64,
    ISATAP); the forms nobody needs today (compatible, 6to4, Teredo) are closed as a whole.
    """
    if address in _METADATA:
        return "cloud metadata"
    if isinstance(address, IPv4Address):
        return next((words for network, words in _CLOSED_V4 if address in network), None)
    if address.scope_id is not None:
        return "scoped"
    inner = _inner(address)
    if inner is not None:
        return address_refusal(inner)
    if address not in _GLOBAL_V6:
        return "not of the public internet"
    isatap = int(address) >> 32 & 0xFDFF_FFFF == 0x0000_5EFE
    if isatap and address_refusal(IPv4Address(int(address) & 0xFFFF_FFFF)):
        return "ISATAP"
    return next((words for network, words in _CLOSED_V6 if address in network), None)


def is_openable(address: Address) -> bool:
    """Return whether an operator may open this closed address; metadata and link-local never."""
    inner = _inner(address) if isinstance(address, IPv6Address) else None
    if inner is not None:
        return is_openable(inner)
    return address not in _METADATA and any(address in network for network in _OPENABLE)


def is_address(host: str) -> bool:
    """Return whether a canonical host is an address and not a name."""
    return ":" in host or bool(_NUMBER.fullmatch(host.rpartition(".")[2]))


def _inner(address: IPv6Address) -> IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return IPv4Address(int(address) & 0xFFFF_FFFF) if address in _NAT64 else None


def _authority(authority: str) -> tuple[str, int | None]:
    """Split into canonical host and port."""
    if "@" in authority:
        raise ToolError("the URL holds a user name or an @ before the host: remove it")
    if "%" in authority:
        raise ToolError("the host of the URL holds a %: write the host plainly")
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise ToolError("the URL names no host, or a malformed host or port")
    port = None if match[2] is None else int(match[2])
    if port is not None and not 1 <= port <= 65_535:
        raise ToolError(f"port {port} does not exist")
    return _host(match[1]), port


def _host(written: str) -> str:
    if written.startswith("["):
        try:
            return str(IPv6Address(written[1:-1]))
        except ValueError as error:
            raise ToolError(f"{written} is not an IPv6 address") from error
    host = (written if written.isascii() else _ascii(written)).lower()
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in host.split(".")):
        raise ToolError("the host of the URL is malformed: letters, digits, dashes and dots only")
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        try:
            return str(IPv4Address(host))
        except ValueError as error:
            raise ToolError("an IPv4 address is written as four decimal numbers") from error
    return host


def _ascii(written: str) -> str:
    """Map an international name to the ASCII that is looked up (UTS 46), never to a plain name."""
    import idna

    try:
        host = idna.encode(written, uts46=True, std3_rules=True).decode("ascii")
    except (idna.IDNAError, UnicodeError) as error:
        raise ToolError("the host of the URL is not a valid international name") from error
    if not any(label.startswith("xn--") for label in host.lower().split(".")):
        raise ToolError("the host of the URL is a plain name in disguise: write it in ASCII")
    return host
