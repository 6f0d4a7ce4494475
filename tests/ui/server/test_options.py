from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mtl_model.errors import UsageError
from mtl_model.options import add_options
from mtl_model.ui.server.options import HUB_NETWORK, UiOptions, read_options


def parse(*arguments: str) -> UiOptions:
    parser = argparse.ArgumentParser()
    add_options(parser, UiOptions)
    return read_options(parser.parse_args(arguments))


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GRADIO_SERVER_NAME", "GRADIO_SERVER_PORT", "SPACE_HOST"):
        monkeypatch.delenv(name, raising=False)


def test_defaults() -> None:
    options = parse()
    assert (options.host, options.port, options.checkpoint, options.allow_host) == ("127.0.0.1", 7860, None, ())


def test_hosts_of_gradio_apps_set_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_SERVER_NAME", "0.0.0.0")
    monkeypatch.setenv("GRADIO_SERVER_PORT", "8123")
    assert (parse().host, parse().port) == ("0.0.0.0", 8123)
    assert (parse("--host", "localhost").host, parse("--port", "9000").port) == ("localhost", 9000)


def test_all_options() -> None:
    options = parse(
        *"--host ::1 --port 1 --weights w --runs r --checkpoint c --device cpu --runtime onnx --root-path /f".split(),
        *"--allow-host a --allow-host b".split(),
    )
    assert options == UiOptions("::1", 1, Path("w"), Path("r"), "c", "cpu", "onnx", "/f", None, None, ("a", "b"))
    assert parse("--auth", "f").auth == Path("f") and parse("--read-only").read_only
    assert parse("--add-user", "ann", "f").add_user == ("ann", Path("f"))


def test_a_path_of_a_proxy_may_end_with_a_slash() -> None:
    assert [parse("--root-path", path).root_path for path in ("/faces/", "/", "")] == ["/faces", "", ""]


def test_proxies_are_named_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse().proxy == ()
    assert parse("--proxy", "127.0.0.1", "--proxy", "2001:db8::/32").proxy == ("127.0.0.1", "2001:db8::/32")
    monkeypatch.setenv("SPACE_HOST", "me.hub.example")
    assert parse().proxy == (HUB_NETWORK,) and parse("--proxy", "::1").proxy == ("::1",)


def make_certificate(folder: Path, name: str, *more: str) -> tuple[str, str]:
    certificate, key = folder / f"{name}.pem", folder / f"{name}-key.pem"
    words = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-subj",
        "/CN=localhost",
        "-keyout",
        str(key),
        "-out",
        str(certificate),
    ]
    subprocess.run([*words, *(more or ("-nodes",))], check=True, capture_output=True)
    return str(certificate), str(key)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make certificates with")
def test_a_certificate_is_tried_with_its_key(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, "a")
    _, other = make_certificate(tmp_path, "b")
    _, secret = make_certificate(tmp_path, "c", "-passout", "pass:word")
    assert parse("--ssl-certfile", certificate, "--ssl-keyfile", key).ssl_certfile == Path(certificate)
    for wrong in ((certificate, other), (certificate, secret), (key, certificate), (certificate, certificate)):
        with pytest.raises(UsageError, match="cannot be used for https"):
            parse("--ssl-certfile", wrong[0], "--ssl-keyfile", wrong[1])


def test_where_a_hub_hosts_the_page_strangers_only_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACE_HOST", "me.hub.example")
    assert parse().read_only
    assert not parse("--auth", "f").read_only


@pytest.mark.parametrize(
    "arguments",
    [("--port", "70000"), ("--port", "-1"), ("--ssl-certfile", "nowhere.pem"), ("--ssl-keyfile", __file__)]
    + [("--ssl-certfile", __file__, "--ssl-keyfile", __file__), ("--root-path", "faces"), ("--root-path", "/a b")]
    + [("--root-path", "https://faces.example/x"), ("--root-path", "//x"), ("--root-path", "/x?y")]
    + [("--proxy", "localhost"), ("--proxy", "127.0.0.1", "--proxy", "10.0.0.0/99"), ("--proxy", "")],
)
def test_wrong_options_are_said(arguments: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="Expected|both"):
        parse(*arguments)


def test_auth_and_read_only_exclude_each_other() -> None:
    with pytest.raises(UsageError, match="leave one out"):
        parse("--auth", "f", "--read-only")


def test_a_wrong_variable_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_SERVER_PORT", "many")
    with pytest.raises(UsageError, match="GRADIO_SERVER_PORT"):
        parse()


def test_help_loads_neither_torch_nor_gradio(root: Path) -> None:
    script = (
        "import runpy, sys\nsys.argv = ['app.py', '--help']\n"
        "try:\n runpy.run_path('app.py', run_name='__main__')\nexcept SystemExit as end:\n assert not end.code\n"
        "assert not {'torch', 'gradio', 'numpy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--ssl-keyfile" in done.stdout
