from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from starlette.requests import Request
from starlette.responses import Response

from mtl_model import registry
from mtl_model.card import Card, write_card
from mtl_model.errors import PictureError
from mtl_model.tasks import TASKS
from mtl_model.ui import shell
from mtl_model.ui.models import Models
from mtl_model.ui.options import UiOptions
from tests.ui.conftest import FakePredictor


@pytest.fixture
def built(tmp_path: Path) -> tuple[gr.Blocks, shell.Shared]:
    write_card(tmp_path / "bknet", Card("bknet", {}, tuple(TASKS.values())))
    options = UiOptions(weights=tmp_path, runs=tmp_path / "runs")
    load: Any = FakePredictor
    return shell.build(options, Models(options, load))


def test_nothing_but_predict_can_be_called_by_name(built: tuple[gr.Blocks, shell.Shared]) -> None:
    blocks, _ = built
    info: Any = blocks.get_api_info()
    assert list(info["named_endpoints"]) == ["/predict"]
    assert info["unnamed_endpoints"] == {}
    assert [one["parameter_name"] for one in info["named_endpoints"]["/predict"]["parameters"]] == ["picture"]
    assert not info["named_endpoints"]["/predict"]["parameters"][0]["parameter_has_default"]
    in_python = [one for one in blocks.config.get("dependencies", []) if one["backend_fn"]]
    assert [one["api_name"] for one in in_python] == ["predict"]


def test_every_tab_offers_what_the_protocol_says() -> None:
    tabs = shell.load_tabs()
    assert len(tabs) == len(registry.names(shell.TABS)) >= 2
    assert [tab.ORDER for tab in tabs] == sorted({tab.ORDER for tab in tabs})
    assert all(isinstance(tab.TITLE, str) and callable(tab.build) for tab in tabs)
    assert tabs[0].TITLE == "Photo" and tabs[-1].TITLE == "About"


def test_own_routes_have_names_of_their_own(built: tuple[gr.Blocks, shell.Shared]) -> None:
    paths = [getattr(route, "path", "") for route in built[1].routes]
    assert {"/mtl/photo", "/mtl/photo/picture", "/mtl/sample", "/mtl/about"} <= set(paths)
    assert len(paths) == len(set(paths))


def test_the_notice_is_on_the_page(built: tuple[gr.Blocks, shell.Shared]) -> None:
    values = [str(getattr(block, "value", "")) for block in built[0].blocks.values()]
    assert any(shell.NOTICE in value for value in values)


def test_what_the_page_carries_asks_for_nothing_outside(built: tuple[gr.Blocks, shell.Shared]) -> None:
    text = shell.head(built[1].models).replace("http://www.w3.org/2000/svg", "").replace("http://127.0.0.1", "")
    assert "http://" not in text and "https://" not in text and "@import" not in text


def test_known_errors_are_said() -> None:
    assert shell.sentence_for(PictureError("The file '<b>' is cut off.")) == "The file '<b>' is cut off."


def test_unknown_errors_are_logged_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        assert shell.sentence_for(ValueError("secret path")) == shell.UNEXPECTED
    assert "secret path" in caplog.text


def answer(shared: shell.Shared, error: Exception) -> Response:
    async def endpoint(request: Request) -> Response:
        raise error

    request = Request({"type": "http", "headers": []})
    return asyncio.run(shell.guarded_route(shared, endpoint)(request))  # type: ignore[arg-type]


def test_routes_answer_errors_in_the_same_way(
    built: tuple[gr.Blocks, shell.Shared], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = built[1]
    known = answer(shared, PictureError("It is cut off."))
    assert (known.status_code, json.loads(bytes(known.body))) == (400, {"error": "It is cut off."})
    unknown = answer(shared, ValueError("secret"))
    assert (unknown.status_code, json.loads(bytes(unknown.body))) == (500, {"error": shell.UNEXPECTED})
    monkeypatch.setattr(shared.access, "user_of", lambda connection: None)
    assert answer(shared, ValueError("never reached")).status_code == 401


def test_where_a_person_opens_the_page() -> None:
    assert shell.address(UiOptions(host="0.0.0.0")) == "http://localhost:7860"
    assert shell.address(UiOptions(host="::1", ssl_certfile=Path("c"))) == "https://[::1]:7860"


def test_behind_a_prefix_the_address_gets_its_slash(built: tuple[gr.Blocks, shell.Shared]) -> None:
    models = built[1].models
    assert "location.replace(\"/faces\" + '/'" in shell.head(models, "/faces")
    assert "location.replace" not in shell.head(models)
    assert "</script><script>x" not in shell.head(models, "/</script><script>x")
