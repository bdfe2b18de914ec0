"""URLs and addresses that lead inside, in every spelling that some parser or resolver knows."""

# After IANA's special-purpose registries and the CVEs of those who forgot one.
NOT_PUBLIC = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200",
    "127.0.0.1", "127.255.255.254", "168.63.129.16", "169.254.0.1", "169.254.169.254",
    "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.9", "192.0.0.170", "192.0.2.1",
    "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.9",
    "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1",
    "64:ff9b:1::1", "100::1", "2001::1", "2001:2::1", "2001:10::1", "2001:20::1", "2001:db8::1",
    "2002:7f00:1::", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%lo",
    "fec0::1", "ff02::1", "4000::1",
]  # fmt: skip

PUBLIC = ["1.1.1.1", "8.8.8.8", "23.227.38.33", "172.32.0.1", "192.0.1.1", "223.255.255.255",
          "2606:4700::6810:1", "2620:127:f00f:5::", "2a00:1450:4001::1"]  # fmt: skip

# Spellings of inner addresses, for a client that knows of no allow-list.
INSIDE = [
    f"https://{host}/"
    for host in (
        "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1",
        "0177.1", "017700000001", "0", "0.0.0.0", "localhost", "LOCALHOST", "10.0.0.1", "10.1",
        "169.254.169.254", "169.16689662", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376",
        "100.100.100.200", "172.16.0.1", "192.168.1.1", "192.88.99.1", "198.18.0.1", "224.0.0.1",
        "255.255.255.255", "[::]", "[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b::a9fe:a9fe]",
        "[2002:7f00:1::]", "[2001:0:7f00:1::]", "[fd00:ec2::254]", "[fe80::1]", "[fec0::1]",
        "[ff02::1]", "①②⑦.⓪.⓪.①", "127。0。0。1", "１２７.0.0.1",
        "user@127.0.0.1", "cdn.shopify.com@127.0.0.1",
    )
]  # fmt: skip
INSIDE += [
    "http://127.0.0.1/",
    "https://127.0.0.1:8080/",
    "https://23.227.38.33:8443/",
    "http://23.227.38.33/",
    "ftp://127.0.0.1/",
    "file:///etc/passwd",
]


def not_the_cdns() -> list[str]:
    """URLs that are not of Shopify's CDN, though some of them look like it."""
    look_alikes = [
        "", "https://", "cdn.shopify.com/x", "//cdn.shopify.com/x", "http://cdn.shopify.com/x",
        "https:cdn.shopify.com/x", "https:/cdn.shopify.com/x", "https://cdn.shopify.com:443/x",
        "https://cdn.shopify.com:8443/x", "https://cdn.shopify.com:/x",
        "https://cdn.shopify.com./x", "https://CDN.shopify.com./x",
        "https://cdn.shopify.com.evil.example/x", "https://evil-cdn.shopify.com/x",
        "https://evil.cdn.shopify.com/x", "https://cdn.shopify.com@evil.example/x",
        "https://evil.example@cdn.shopify.com/x", "https://u:p@cdn.shopify.com/x",
        "https://evil.example#@cdn.shopify.com/x", "https://evil.example?cdn.shopify.com",
        "https://evil.example\\@cdn.shopify.com/x", "https://cdn.shopify.com\\@evil.example/x",
        "https://cdn.shopify.com%2eevil.example/x", "https://cdn.shopify.com%00.evil.example/",
        "https://cdn.shopify.com\0.evil.example/", "https://cdn.shopify.com\t/x",
        "https://cdn.shopify.com\n/x", "https://cdn.shop\nify.com/x", "https://cdn.shopify.com /x",
        "https://cdn.shopify.com/\0", "https://cdn.shopify.com/\x7f", "https://[cdn.shopify.com]/x",
        "https://[bad", "https://cdn。shopify。com/x", "https://cdn.ſhopify.com/x",
        "https://cdn.shopify.com/" + "a" * 70_000, "gopher://cdn.shopify.com/x",
        "data:image/png;base64,AAAA", "javascript:alert(1)", "\\\\cdn.shopify.com\\x",
    ]  # fmt: skip
    return look_alikes + INSIDE
