"""Ways to write an address that leads to this machine, or to another that nobody outside may reach."""

from __future__ import annotations

import itertools

#: Metadata of clouds, private networks, special addresses.
INSIDE = (
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
    "169.254.169.254", "169.254.170.2", "100.64.0.1", "100.100.100.200", "192.0.0.192", "192.0.2.1", "198.18.0.1",
    "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "192.88.99.1",
    "[::]", "[::1]", "[0:0:0:0:0:0:0:1]", "[0000::0001]", "[::127.0.0.1]", "[::7f00:1]", "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]", "[::ffff:0:127.0.0.1]", "[0:0:0:0:0:ffff:127.0.0.1]", "[::ffff:169.254.169.254]",
    "[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::a9fe:a9fe]", "[2002:7f00:1::]", "[2002:a9fe:a9fe::]",
    "[2001:0:7f00:1::]", "[2001:0:4136:e378:8000:63bf:80ff:fffe]", "[fe80::1]", "[fe80::1%lo]", "[fe80::1%25lo]",
    "[fe80::1%25eth0]", "[::1%25lo]", "[::1%lo]", "[fc00::1]", "[fd00:ec2::254]", "[fec0::1]", "[ff02::1]",
    "[2001:db8::1]", "[3fff::1]", "[100::1]", "[5f00::1]", "[2001:2::1]", "[2001:10::1]",
)  # fmt: skip
#: Names: the resolver of the test leads all of them to this machine.
NAMES = (
    "localhost", "LOCALHOST", "localhost.", "localhost.localdomain", "ip6-localhost", "127.0.0.1.nip.example",
    "metadata.google.internal", "metadata", "rebound.example", "a.b.c.d.example", "xn--e1afmkfd.example", "intranet",
    "localtest.example.", "host.docker.internal", "kubernetes.default.svc", "public.example", "münchen.example",
    "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ", "ｌｏｃａｌｈｏｓｔ", "loc\u00adalhost", "local\u200bhost", "localho\u017ft", "localhost。",
    "127。0。0。1",
    "127．0．0．1", "127｡0｡0｡1", "１２７.0.0.1", "①②⑦.⓪.⓪.①", "𝟏𝟐𝟕.0.0.1", "١٢٧.0.0.1", "127.0.0.1。",
)  # fmt: skip
#: {p} is the canary's port.
WHOLE = (
    "http://public.example@127.0.0.1:{p}/", "http://public.example:80@127.0.0.1:{p}/",
    "http://127.0.0.1:{p}@public.example:{p}/", "http://user:password@127.0.0.1:{p}/", "http://@127.0.0.1:{p}/",
    "http://:@127.0.0.1:{p}/", "http://public.example%40127.0.0.1:{p}/", "http://127.0.0.1%3a{p}/",
    "http://public.example\\@127.0.0.1:{p}/", "http://127.0.0.1:{p}\\@public.example/", "http:\\\\127.0.0.1:{p}/",
    "http:/\\127.0.0.1:{p}/", "http:127.0.0.1:{p}/", "http:/127.0.0.1:{p}/", "http:///127.0.0.1:{p}/",
    "http:////127.0.0.1:{p}/", "//127.0.0.1:{p}/", "127.0.0.1:{p}/", "http://127.0.0.1:{p}#@public.example/",
    "http://127.0.0.1:{p}?@public.example/", "http://127.0.0.1:{p};@public.example/",
    "http://public.example #@127.0.0.1:{p}/", "http://127.0.0.1:{p}&@public.example/", "\thttp://127.0.0.1:{p}/",
    " http://127.0.0.1:{p}/", "ht\ttp://127.0.0.1:{p}/", "http://127.0.\t0.1:{p}/", "http://127.0.0.1:{p}\t/",
    "http://127.0.0.1\n:{p}/", "http://127.0.0.1\r\n:{p}/", "http://127.0.0.1:{p}/\r\nX: y", "http://127.0.0.1\x00:{p}/",
    "http://\u00a0127.0.0.1:{p}/", "http://127.0.0.1\u3000:{p}/", "http://\u202e127.0.0.1:{p}/",
    "http://127.0.0.1 public.example:{p}/", "http://%31%32%37.0.0.1:{p}/", "http://127%2e0%2e0%2e1:{p}/",
    "http://localhos%74:{p}/", "http://%6cocalhost:{p}/", "http://127.0.0.1%00.public.example:{p}/",
    "http://127.0.0.1%0a:{p}/", "http://127.0.0.1:0{p}/", "http://127.0.0.1:+{p}/", "http://127.0.0.1:{p}.0/",
    "http://127.0.0.1:６５/", "http://127.0.0.1.:{p}/", "http://127.0.0.1..:{p}/", "http://.127.0.0.1:{p}/",
    "http://127..0.0.1:{p}/", "http://-127.0.0.1:{p}/", "http://127.0.0.1,public.example:{p}/",
    "http://[127.0.0.1]:{p}/", "http://[localhost]:{p}/", "http://[::1:{p}/", "http://::1:{p}/", "http://[::1]]:{p}/",
    "http://[v1.127.0.0.1]:{p}/", "HTTP://127.0.0.1:{p}/", "hTTp://LocalHost:{p}/", "https://127.0.0.1:{p}/",
    "https://localhost:{p}/", "http://", "http://:{p}/", "http:///", "", "/etc/passwd", "file:///etc/passwd",
    "file://localhost/etc/passwd", "file:/etc/passwd", "FILE:///etc/passwd", "file://127.0.0.1:{p}/",
    "gopher://127.0.0.1:{p}/_GET%20/", "dict://127.0.0.1:{p}/x", "ftp://127.0.0.1:{p}/", "tftp://127.0.0.1:{p}/x",
    "ldap://127.0.0.1:{p}/", "ldaps://127.0.0.1:{p}/", "sftp://127.0.0.1:{p}/", "ssh://127.0.0.1:{p}/",
    "ws://127.0.0.1:{p}/", "wss://127.0.0.1:{p}/", "data:text/html,hello", "javascript:alert(1)",
    "jar:http://127.0.0.1:{p}!/", "netdoc:///etc/passwd", "view-source:http://127.0.0.1:{p}/",
    "blob:http://127.0.0.1:{p}/x", "about:blank", "unix:///var/run/docker.sock", "http+unix://%2fvar%2frun/x",
    "url:http://127.0.0.1:{p}/", "feed:http://127.0.0.1:{p}/", "phar://127.0.0.1:{p}", "php://filter/x",
    "smb://127.0.0.1/x",
    "\\\\127.0.0.1\\share", "http://127.0.0.1:22/", "http://127.0.0.1:25/", "http://public.example:6379/",
    "http://public.example:65536/", "http://public.example:-1/", "http://public.example:0/",
    "http://" + "a" * 5000 + "/",
)  # fmt: skip


def octets():
    """Yield 127.0.0.1 with each number decimal, octal or hexadecimal, padded or not, and shortened."""
    forms = [(str(n), f"0{n:o}", f"{n:#x}") for n in (127, 0, 0, 1)]
    for parts in itertools.product(*forms):
        yield ".".join(parts)
    yield from ("127.1", "127.0.1", "0x7f.1", "0177.1", "0x7f.0.1", "0177.0.01", "0x7f.0x1", "0", "0x0", "00")
    yield from ("2130706433", "0x7f000001", "017700000001", "0X7F000001", "0x00000000007f000001", "00000017700000001")
    yield from ("0000177.0.0.1", "127.000.000.001", "0x7f.0x000.0x0.0x01", "2852039166", "0xa9fea9fe", "025177524776")
    yield from ("425.510.425.510", "4294967297", "127.0.0.1e0", "127.0.0.0x1")


def spellings(port):
    """Yield more than two hundred addresses, none of which may be fetched: each once."""
    hosts = (*INSIDE, *NAMES, *octets())
    every = (*(f"http://{host}:{port}/" for host in hosts), *(url.replace("{p}", str(port)) for url in WHOLE))
    yield from dict.fromkeys(every)
