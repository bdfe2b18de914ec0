"""The command line."""

import asyncio
import json
import shlex
import signal
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psutil
import pytest
from click.testing import CliRunner

from backend.auth.session_token import verify_session_token
from backend.cli import main
from backend.dev import signing
from backend.dev.transport import LoopbackShopify
from tests.commands import (
    COMPLETE_ENVIRONMENT,
    SECRET,
    assert_nothing_left,
    make_service_directory,
    running_dev,
    start_atelier,
)

service_directory = pytest.fixture(make_service_directory)


async def finish_command(process: asyncio.subprocess.Process) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    out, err = await asyncio.wait_for(process.communicate(), 100)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_help_lists_every_command() -> None:
    code, out, _ = await finish_command(await start_atelier("--help"))
    assert code == 0
    for command in ("demo", "dev", "serve", "worker", "migrate", "jobs"):
        assert f"  {command}" in out


@pytest.mark.parametrize("command", ["serve", "worker"])
@pytest.mark.parametrize("secret", ["", "secret", "atelier-demo-abc"])
async def test_a_server_refuses_to_start_without_a_real_secret(command: str, secret: str) -> None:
    code, _, err = await finish_command(
        await start_atelier(command, **{**COMPLETE_ENVIRONMENT, "SHOPIFY_API_SECRET": secret})
    )
    assert code == 1
    assert "Set" in err
    assert "SHOPIFY_API_SECRET" in err
    assert "Traceback" not in err


async def test_a_server_with_end_with_parent_prints_only_its_start_error() -> None:
    """Its thread waits for the end of standard input, which stays open, while Python ends."""
    process = await start_atelier(
        "serve",
        "--end-with-parent",
        stdin=asyncio.subprocess.PIPE,
        **COMPLETE_ENVIRONMENT | {"S3_BUCKET": ""},
    )
    assert process.stderr is not None
    err = (await asyncio.wait_for(process.stderr.read(), 100)).decode()
    assert await process.wait() == 1
    assert err == "Error: Set S3_BUCKET in the environment.\n"


async def test_a_server_refuses_a_previous_secret_without_an_end() -> None:
    environ = {**COMPLETE_ENVIRONMENT, "SHOPIFY_API_SECRET_PREVIOUS": "shpss_of-before"}
    code, _, err = await finish_command(await start_atelier("serve", **environ))
    assert code == 1
    assert "Set SHOPIFY_API_SECRET_PREVIOUS_NOT_AFTER" in err
    assert "of-before" not in err


async def test_sign_prints_a_curl_command_and_names_what_is_missing() -> None:
    arguments = ("sign", "GET", "https://a.example/v1/jobs?limit=2", "--shop", "n.myshopify.com")
    code, out, _ = await finish_command(await start_atelier(*arguments, **COMPLETE_ENVIRONMENT))
    assert code == 0
    words = shlex.split(out)
    assert words[:4] == ["curl", "-X", "GET", "-H"]
    assert words[4].startswith("X-Shopify-Hmac-Sha256: ")
    assert words[5].startswith("https://a.example/v1/jobs?limit=2&shop=n.myshopify.com&timestamp=")
    code, _, err = await finish_command(await start_atelier(*arguments))
    assert (code, "SHOPIFY_API_SECRET" in err) == (1, True)


def test_token_prints_a_session_token_that_our_api_accepts() -> None:
    arguments = ["token", "--shop", "North.myshopify.com", "--user", "7"]
    said = CliRunner().invoke(main, arguments, env=COMPLETE_ENVIRONMENT)
    assert (said.exit_code, said.stderr) == (0, "")
    key, secret = (COMPLETE_ENVIRONMENT[f"SHOPIFY_API_{name}"] for name in ("KEY", "SECRET"))
    session = verify_session_token(said.stdout.strip(), api_key=key, secrets=[secret.encode()])
    assert session is not None
    assert (session.shop, session.user_id) == ("north.myshopify.com", "7")
    assert session.expires_at - datetime.now(UTC) <= timedelta(seconds=60)
    missing = dict.fromkeys(COMPLETE_ENVIRONMENT, None)
    said = CliRunner().invoke(main, arguments, env=missing)
    assert (said.exit_code, said.stderr) == (1, "Error: Set SHOPIFY_API_KEY in the environment.\n")


def free_ports() -> list[str]:
    """The options of `atelier stand-in` for two ports on which nobody listens yet."""
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as other,
    ):
        port, provider_port = (str(each.getsockname()[1]) for each in (one, other))
        return ["--port", port, "--provider-port", provider_port]


async def test_the_stand_ins_serve_until_ctrl_c() -> None:
    ports = free_ports()
    process = await start_atelier("stand-in", *ports, "--shop", "north", **COMPLETE_ENVIRONMENT)
    assert process.stdout is not None
    ready = json.loads(await asyncio.wait_for(process.stdout.readline(), 60))
    settings = ready.pop("provider")
    assert ready == {"origin": f"http://127.0.0.1:{ports[1]}", "shops": ["north.myshopify.com"]}
    transport = LoopbackShopify(ready["origin"])
    async with httpx.AsyncClient(transport=transport) as http:
        answer = await http.get("https://north.myshopify.com/admin/api/2026-10/graphql.json")
        assert answer.status_code < 500
    key = {"Authorization": f"Bearer {settings['FASHN_API_KEY']}"}
    async with httpx.AsyncClient() as http:
        answer = await http.get(f"{settings['FASHN_BASE_URL']}/credits", headers=key)
        assert answer.status_code == 200
    process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(process.wait(), 30) == 0


@pytest.mark.slow
async def test_the_stand_in_says_that_the_app_does_not_answer(tmp_path: Path) -> None:
    (tmp_path / "a_tee.jpg").write_bytes(b"")
    arguments = ("stand-in", "--app-url", "http://127.0.0.1:1", "--product", tmp_path / "a_tee.jpg")
    code, _, err = await finish_command(
        await start_atelier(*map(str, arguments), *free_ports(), **COMPLETE_ENVIRONMENT)
    )
    assert code == 1
    assert err.endswith("http://127.0.0.1:1 does not answer. Start `atelier serve` first.\n")


async def test_sign_prints_a_head_request_that_does_not_wait_for_a_body() -> None:
    arguments = ("sign", "head", "https://a.example/v1/jobs", "--shop", "n.myshopify.com")
    _, out, _ = await finish_command(await start_atelier(*arguments, **COMPLETE_ENVIRONMENT))
    assert shlex.split(out)[:3] == ["curl", "--head", "-H"]


@pytest.mark.slow
async def test_the_demo_prints_the_job_detail_and_leaves_only_its_images(
    service_directory: Path, tmp_path: Path
) -> None:
    output = tmp_path / "pictures"
    process = await start_atelier(
        "demo", "--json", "--output", str(output), TMPDIR=str(service_directory)
    )
    code, out, err = await finish_command(process)
    assert code == 0, err
    detail = json.loads(out.splitlines()[-1])
    assert detail["status"] == "SUCCESS"
    assert sorted(path.name for path in output.iterdir()) == [
        "catalog_image_1024.webp",
        "catalog_image_2048.jpg",
        "on_model_render_1638.jpg",
        "on_model_render_819.webp",
    ]
    assert "made by a STAND-IN for FASHN" in " ".join(err.split())
    assert_nothing_left(service_directory, [])


@pytest.mark.slow
async def test_dev_serves_requests_and_leaves_nothing_behind(service_directory: Path) -> None:
    async with running_dev(service_directory) as (process, ready):
        assert ready["pid"] == process.pid
        token = signing.session_token(ready["shop"], api_key=ready["api_key"], secret=SECRET)
        async with httpx.AsyncClient(base_url=ready["base_url"]) as http:
            answer = await http.get(
                f"/v1/jobs/{ready['job_id']}", headers={"Authorization": f"Bearer {token}"}
            )
            assert answer.json()["status"] == "SUCCESS"
            opened = await http.get(ready["admin_url"])
            assert f'"launch": "{ready["base_url"]}/?embedded=1&' in opened.text
            number = int(ready["product_id"].removeprefix("gid://shopify/Product/"))
            body = json.dumps({"id": number}).encode()
            again = await http.post(
                "/webhooks",
                content=body,
                headers={
                    "X-Shopify-Topic": "products/update",
                    "X-Shopify-Shop-Domain": ready["shop"],
                    "X-Shopify-Webhook-Id": "outsider",
                    "X-Shopify-Hmac-Sha256": signing.webhook_signature(body, SECRET),
                },
            )
            assert again.status_code == 200
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), 30) == 0
        assert_nothing_left(service_directory, family)


@pytest.mark.slow
async def test_ctrl_c_while_dev_is_starting_leaves_nothing_behind(service_directory: Path) -> None:
    process = await start_atelier("dev", TMPDIR=str(service_directory))
    async with asyncio.timeout(20):
        while not list(service_directory.iterdir()):  # the first service makes its folder
            await asyncio.sleep(0.01)
    process.send_signal(signal.SIGINT)
    await asyncio.wait_for(process.wait(), 30)
    assert_nothing_left(service_directory, [])


@pytest.mark.slow
async def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, _, err = await finish_command(await start_atelier("dev", "--port", port))
    assert code == 1
    assert f"Port {port} is taken" in err


@pytest.mark.slow
async def test_dev_ends_with_the_log_of_a_process_that_died(service_directory: Path) -> None:
    async with running_dev(service_directory) as (process, _):
        family = psutil.Process(process.pid).children(recursive=True)
        worker = next(child for child in family if "worker" in child.cmdline())
        worker.kill()
        assert process.stderr is not None
        err = await asyncio.wait_for(process.stderr.read(), 30)
        assert await process.wait() == 1
        assert b"`atelier worker` ended early" in err
        assert_nothing_left(service_directory, family)
