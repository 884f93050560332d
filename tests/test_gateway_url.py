"""Where a key may be sent: what is taken, and why the rest is not."""

import httpx
import pytest

from raptchat.gateway_url import check_gateway_url, is_loopback, origin, without_user_info

# What is given; what is taken of it; where that is.
TAKEN = [
    ("https://openrouter.ai/api/v1", "https://openrouter.ai/api/v1", "https://openrouter.ai:443"),
    ("https://openrouter.ai/api/v1///", "https://openrouter.ai/api/v1", "https://openrouter.ai:443"),
    ("HTTPS://OpenRouter.AI/api/V1", "https://OpenRouter.AI/api/V1", "https://openrouter.ai:443"),
    ("https://a.example:8443/v1", "https://a.example:8443/v1", "https://a.example:8443"),
    ("https://a.example:1", "https://a.example:1", "https://a.example:1"),
    ("https://a.example:65535", "https://a.example:65535", "https://a.example:65535"),
    ("https://a.example:00443", "https://a.example:00443", "https://a.example:443"),
    ("https://a.example/!~%20é/", "https://a.example/!~%20é", "https://a.example:443"),
    ("https://x", "https://x", "https://x:443"),
    ("https://x/X/", "https://x/X", "https://x:443"),
    ("https://0-9.a1", "https://0-9.a1", "https://0-9.a1:443"),
    (f"https://{'a' * 63}.b/", f"https://{'a' * 63}.b", f"https://{'a' * 63}.b:443"),
    ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example", "https://xn--bcher-kva.example:443"),
    ("https://axn--b.example/", "https://axn--b.example", "https://axn--b.example:443"),
    ("https://192.0.2.7/v1", "https://192.0.2.7/v1", "https://192.0.2.7:443"),
    ("https://7.192.example", "https://7.192.example", "https://7.192.example:443"),
    ("https://[2001:db8::1]/v1", "https://[2001:db8::1]/v1", "https://[2001:db8::1]:443"),
    ("https://[2001:DB8::A]:8", "https://[2001:DB8::A]:8", "https://[2001:db8::a]:8"),
    ("http://localhost:1234/v1", "http://localhost:1234/v1", "http://localhost:1234"),
    ("http://LocalHost", "http://LocalHost", "http://localhost:80"),
    ("HtTp://127.0.0.1", "http://127.0.0.1", "http://127.0.0.1:80"),
    ("http://127.9.9.9:8/", "http://127.9.9.9:8", "http://127.9.9.9:8"),
    ("http://[::1]:8080/v1", "http://[::1]:8080/v1", "http://[::1]:8080"),
]


@pytest.mark.parametrize(("url", "checked", "place"), TAKEN)
def test_a_gateway_is_https_or_on_this_machine(url: str, checked: str, place: str) -> None:
    assert check_gateway_url(url) == checked
    assert origin(url) == origin(checked) == place
    assert check_gateway_url(place) == place
    assert httpx.URL(checked).host


NO_SCHEME = "is not an https:// URL"
NO_HOST = "has no valid host and port"
PLAIN = "must be https: plain http is for loopback addresses only"
REFUSED = {
    "holds white space, a control character or a backslash": [
        *("https://a.example/ v1", " https://a.example", "https://a.example/\n", "https://a.exam\tple/"),
        *(
            "https://a.example/\x00",
            "https://a.example/\x1f",
            "https://a.example/\x7f",
            "https://a.example/\x9b2J",
        ),
        *("https://a.example/\xa0", "https://a.example/\u200b", "https://a.example/\u2028"),
        *("https://a.example/\u202e", "https://a.example/\ud800", "https://a.example\\@evil.example/"),
    ],
    "is not a URL": [
        *("https://a.example:99999/", "https://a.example:65536/", "https://a.example:x/", "https://a.example:-1/"),
        *("https://[::1", "https://::1]/"),
    ],
    "holds a user name or a password": [
        *("https://user@a.example/", "https://user:password@a.example/", "https://@a.example/", "ftp://a@b/?c"),
    ],
    "holds a query or a fragment": [
        *(
            "https://a.example/?q=1",
            "https://a.example/#part",
            "https://a.example?",
            "https://a.example#",
            "?",
            "#",
        ),
    ],
    NO_SCHEME: [
        *("", "openrouter.ai", "//openrouter.ai", "localhost:1234", "ftp://a.example", "httpss://a.example"),
        *("https:", "https://", "https:///v1", "https:openrouter.ai", "http:/localhost"),
    ],
    NO_HOST: [
        *("https://:443", "https://a.example:", "https://a.example:0/", "https://a.example:000443"),
        *(
            "https://a..example",
            "https://.example",
            "https://a.example.",
            "http://localhost.",
            "https://a_b.example",
        ),
        *("https://-a.example/", "https://a-.example/", "https://a.-b", "https://a.b-", f"https://{'a' * 64}.b"),
        *("https://a%2eexample/", "https://b\u00fccher.example/", "https://\u212a.example/", "https://a\u3002b"),
        # The HTTP client cannot read these.
        *("https://xn--a0", "https://a.XN--A0", "https://xn--", "https://xn--ls8h.example", "https://1.2.3.999"),
        # Some programs take these for addresses, others for names.
        *(
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://1.2.3.0X4",
            "https://a.0x",
            "https://a.1",
        ),
        *("http://2130706433/", "http://127.1/", "http://127.0.0.01/", "http://127.0.0.1.1/"),
    ],
    PLAIN: [
        *("http://openrouter.ai/api/v1", "http://localhost.evil.example/", "http://127.0.0.1.evil.example/"),
        *("http://alocalhost", "http://0.0.0.0/", "http://126.255.255.255", "http://128.0.0.1", "http://[::]"),
        *("http://[::2]", "http://[::ffff:8.8.8.8]/", "http://192.168.0.1", "http://xn--bcher-kva.example"),
    ],
}


@pytest.mark.parametrize(("reason", "url"), [(reason, url) for reason, urls in REFUSED.items() for url in urls])
def test_what_two_programs_may_read_differently_is_no_gateway(reason: str, url: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        check_gateway_url(url)

    assert str(refused.value) == reason


@pytest.mark.parametrize(
    "host", ["[]", "[a]", "[:::]", "[1:2]", "[v1.x]", "[127.0.0.1]", "a[::1]", "[::1]a", "[::1%25eth0]"]
)
def test_nothing_but_an_address_of_ipv6_stands_in_brackets(host: str) -> None:
    # Which reason it gets depends on the version of Python.
    for scheme in ("http", "https"):
        with pytest.raises(ValueError, match=f"^({NO_HOST}|is not a URL)$"):
            check_gateway_url(f"{scheme}://{host}/")


def test_a_loopback_address_is_this_machine() -> None:
    for host in ("localhost", "127.0.0.1", "127.255.255.255", "[::1]"):
        assert is_loopback(f"https://{host}:8/v1")
    for host in ("a.example", "localhos", "126.255.255.255", "128.0.0.1", "[::2]"):
        assert not is_loopback(f"https://{host}:8/v1")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://a.example/v1", "https://a.example/v1"),
        ("https://user:word@a.example/v1", "https://***@a.example/v1"),
        ("https://a@b@c.example", "https://***@c.example"),
        ("HTTPS://user:wo//rd@a.example", "HTTPS://***@a.example"),
        ("https:/user:word@a.example/v1", "***@a.example/v1"),
        ("user:word@a.example", "***@a.example"),
        ("https://user:wo\nrd@a.example", "https://***@a.example"),
        ("https://a.example/sk-or-v1-0123456789abcdef", "https://a.example/***"),
    ],
)
def test_what_stands_before_a_host_is_not_shown(text: str, shown: str) -> None:
    assert without_user_info(text) == shown
