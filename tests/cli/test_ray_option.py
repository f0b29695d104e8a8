from __future__ import annotations

import pytest

from pixelwise.cli.ray_option import with_addresses


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("f --ray", "f --ray=local"),
        ("--ray f", "--ray=local f"),
        ("f --ray -o x", "f --ray=local -o x"),
        ("f --ray auto", "f --ray auto"),
        ("f --ray head-1.net:6379", "f --ray head-1.net:6379"),
        ("f --ray ray://10.0.0.1:10001", "f --ray ray://10.0.0.1:10001"),
        ("f --ray [::1]:6379", "f --ray [::1]:6379"),
        ("--ray s3://b/x.jpg", "--ray=local s3://b/x.jpg"),
        ("f --ray=head:1", "f --ray=head:1"),
        ("f -- --ray", "f -- --ray"),
        ("f", "f"),
    ],
)
def test_only_an_address_belongs_to_the_option(words, told):
    assert with_addresses(words.split()) == told.split()
