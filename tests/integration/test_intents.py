# SPDX-License-Identifier: Apache-2.0
"""Intents beyond chat: audio, moderation, vendor and extended ones, the operator's own list."""

import base64
import json

import pytest

from conftest import wait_until
from test_directory import asked
from test_operate import check
from test_task import CHAT, EMBEDDING, refused, task

TRANSCRIBE = "urn:iicp:intent:audio:transcribe:v1"
SPEECH = "urn:iicp:intent:audio:speech:v1"
MODERATE = "urn:iicp:intent:safety:moderate:v1"
TRANSLATE = "urn:iicp:intent:translate:v1"
CLASSIFY = "urn:iicp:intent:llm:classify:v1"
RERANK = "urn:iicp:intent:llm:rerank:v1"
VENDOR = "urn:iicp:intent:x.acme:talk:v1"
AUDIO = base64.b64encode(b"some sound").decode()


def ask(node, intent, payload, **changes):
    return node.post("/v1/task", task(intent=intent, payload=payload, **changes))


def with_models(node):
    """The first list of the backend is there."""
    wait_until(lambda: node.get("/iicp/health").json()["models"], what="models", process=node.popen)
    return node


def result(answer):
    assert answer.status == 200, answer
    return answer.json()["result"]


def posted(backend):
    return [r for r in backend.get("/_requests").json()["requests"] if r["method"] == "POST"]


@pytest.fixture
def whisper(node_factory, backend):
    return with_models(node_factory(backend=backend, intents__default=TRANSCRIBE))


def test_IICPD_02_58_transcription_is_a_form(whisper):
    heard = result(ask(whisper, TRANSCRIBE, {"audio": AUDIO, "filename": "a/b.ogg", "language": "de", "temperature": 0.5,
                                             "prompt": "names: Ada", "unknown": 1}))
    assert heard["text"] == "hallo"
    assert heard["heard"] == {"response_format": "json", "model": "tiny", "language": "de", "temperature": "0.5",
                              "prompt": "names: Ada", "filename": "b.ogg", "bytes": 10}


def test_IICPD_02_58_text_of_a_transcription_becomes_an_object(whisper):
    assert result(ask(whisper, TRANSCRIBE, {"audio_b64": AUDIO, "response_format": "text"})) == {"text": "hallo wält"}
    refused(ask(whisper, TRANSCRIBE, {"audio": "no base64"}), 422, "validation_error", field="payload.audio")


def test_IICPD_02_58_speech_is_base64(node_factory, backend):
    node = with_models(node_factory(backend=backend, intents__default=SPEECH))
    answer = ask(node, SPEECH, {"input": "hi", "speed": 2, "instructions": "is not known there", "response_format": "flac"})
    assert result(answer) == {"audio": base64.b64encode(b"RIFF\0\xffhi").decode(), "content_type": "audio/wav",
                              "format": "flac"}
    assert answer.json()["model_used"] == "tiny" and "usage" not in answer.json()
    assert result(ask(node, SPEECH, {"input": "hi"}))["format"] == "wav"
    backend.post("/_control", {"rules": [{"path": "/v1/audio/speech", "json": {"error": {"message": "no voice"}}}]})
    refused(ask(node, SPEECH, {"input": "hi"}), 502, "backend_error", reason="backend_failed")


def test_IICPD_02_58_moderation_has_results(node_factory, backend):
    node = with_models(node_factory(backend=backend, intents__default=MODERATE))
    assert [r["flagged"] for r in result(ask(node, MODERATE, {"input": ["good", "bad"]}))["results"]] == [False, True]
    backend.post("/_control", {"rules": [{"path": "/v1/moderations", "json": {"results": []}}]})
    refused(ask(node, MODERATE, {"input": "x"}), 502, "backend_error", reason="backend_invalid_response")


def test_IICPD_02_63_extended_intents_are_off_by_default(node_factory, backend):
    node = with_models(node_factory(backend=backend))
    refused(ask(node, TRANSLATE, {"text": "a", "target_language": "de"}), 422, "unknown_intent")


def test_IICPD_02_63_extended_intents_run_as_chats(node_factory, backend):
    node = with_models(node_factory(backend=backend, intents__extended="yes"))
    backend.post("/_control", {"text": "Hallo."})
    answer = ask(node, TRANSLATE, {"text": "Hello.", "target_language": "de"})
    assert result(answer) == {"text": "Hallo.", "model": "tiny", "usage": answer.json()["usage"]}
    assert answer.json()["metrics"]["tokens_used"] == 9
    sent = json.loads(posted(backend)[-1]["body"])
    assert sent["messages"][-1] == {"role": "user", "content": "Hello."}
    refused(ask(node, TRANSLATE, {"text": "Hello.", "target_language": "de", "surplus": 1}), 422, "validation_error")
    refused(ask(node, CLASSIFY, {"text": "x", "categories": ["red"]}), 502, "backend_error",
            reason="backend_invalid_response")
    backend.post("/_control", {"text": '{"categories":["red","pink"]}'})
    assert result(ask(node, CLASSIFY, {"text": "x", "categories": ["red", "blue"]}))["categories"] == ["red"]
    # no model here ranks or embeds
    refused(ask(node, RERANK, {"query": "q", "candidates": ["a"]}), 422, "unknown_intent")


def test_IICPD_02_63_rerank_and_multimodal_need_their_models(node_factory, backend_factory):
    backend = backend_factory("--models", "tiny,my-reranker,my-embed")
    node = with_models(node_factory(backend=backend, intents__extended="yes"))
    ranked = result(ask(node, RERANK, {"query": "q", "candidates": ["a", "ccc", "bb"], "top_k": 2}))
    assert [(r["index"], r["text"]) for r in ranked["results"]] == [(1, "ccc"), (2, "bb")]
    assert ranked["model"] == "my-reranker"
    multimodal = "urn:iicp:intent:embedding:multimodal:v1"
    made = result(ask(node, multimodal, {"inputs": [{"type": "text", "content": "a"}]}))
    assert len(made["data"]) == 1
    refused(ask(node, multimodal, {"inputs": [{"type": "image_url", "content": "data:image/png;base64,AA=="}]}), 422,
            "validation_error", field="payload.inputs")


def test_IICPD_02_63_vendor_intents_by_mapping(node_factory, lab, backend):
    node = with_models(node_factory(lab=lab, backend=backend, intents__custom=f"{VENDOR}={CHAT}"))
    assert result(ask(node, VENDOR, {"messages": [{"role": "user", "content": "x"}]}))["choices"]
    refused(ask(node, VENDOR.replace("talk", "other"), {}), 422, "unknown_intent")
    assert VENDOR in node.get("/iicp/health").json()["intents"]
    first, second = asked(lab, "register")[0]["body"]["capabilities"]
    assert first["models"] == ["tiny"] and second["intent"] == VENDOR and "models" not in second


@pytest.mark.parametrize("intent, why", [
    ("urn:iicp:intent:mcp:tools:v1", "executes no tools"),
    ("urn:iicp:intent:x.acme:social-scoring:v1", "prohibited"),
    ("urn:iicp:intent:x.acme:credit-scoring:v1", "policy.allow_high_risk"),
])
def test_IICPD_02_56_a_configuration_that_registers_refused_intents_does_not_start(tmp_path, intent, why):
    checked, _ = check(tmp_path, f"[intents]\ncustom = {intent}={CHAT}\n")
    assert checked.returncode == 78
    assert why in checked.stdout and "intents.custom" in checked.stdout


def test_IICPD_05_43_an_own_list_is_what_is_registered_and_served(node_factory, lab, backend_factory, tmp_path):
    backend = backend_factory("--models", "tiny,small")
    listed = [{"intent": CHAT, "models": ["tiny"], "max_tokens": 7, "input_modalities": ["text"], "version": "2"},
              {"intent": EMBEDDING}]
    file = tmp_path / "capabilities.json"
    file.write_text(json.dumps(listed))
    node = with_models(node_factory(lab=lab, backend=backend, intents__capabilities=file))
    wait_until(lambda: node.status()["directory"]["state"] == "registered", what="registered", process=node.popen)
    seen = asked(lab, "register")[-1]["body"]["capabilities"]
    assert [{k: v for k, v in c.items() if k != "supported_profiles"} for c in seen] == listed
    long = ask(node, CHAT, {"messages": [{"role": "user", "content": "x"}], "max_tokens": 100})
    assert long.json()["metrics"]["max_tokens_applied"] == 7
    refused(ask(node, CHAT, {"model": "small", "messages": [{"role": "user", "content": "x"}]}), 404, "model_not_found")
    assert result(ask(node, EMBEDDING, {"input": "x", "model": "tiny"}))["data"]


def test_IICPD_05_43_no_list_may_claim_tools(tmp_path):
    capabilities = tmp_path / "capabilities.json"
    for wrong, why in (([{"intent": CHAT, "execution_capabilities": ["tool_execution"]}], "execute tools"),
                       ([{"intent": CHAT, "features": ["mcp_tools"]}], "execute tools"),
                       ([{"intent": "urn:iicp:intent:tool:shell:v1"}], "executes no tools"),
                       ([{"intent": CHAT, "models": ["a"]}, {"intent": EMBEDDING, "models": ["a"]}], "two objects"),
                       ([], "no JSON array"), ({}, "no JSON array")):
        capabilities.write_text(json.dumps(wrong))
        checked, _ = check(tmp_path, f"[intents]\ncapabilities = {capabilities}\n")
        assert checked.returncode == 78 and why in checked.stdout, checked.stdout


def test_IICPD_05_43_tool_definitions_pass_and_nothing_is_executed(node_factory, lab, backend):
    node = with_models(node_factory(lab=lab, backend=backend))
    tools = [{"type": "function", "function": {"name": "rm", "parameters": {"type": "object"}}}]
    call = {"id": "c1", "type": "function", "function": {"name": "rm", "arguments": "{}"}}
    backend.post("/_control", {"rules": [{"path": "/v1/chat/completions", "json": {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": None, "tool_calls": [call]},
                     "finish_reason": "tool_calls"}]}}]})
    answer = ask(node, CHAT, {"messages": [{"role": "user", "content": "x"}], "tools": tools})
    message = result(answer)["choices"][0]["message"]
    assert message["tool_calls"] == [call] and message["content"] == ""
    posts = posted(backend)
    assert len(posts) == 1 and json.loads(posts[0]["body"])["tools"] == tools
    wait_until(lambda: node.status()["directory"]["state"] == "registered", what="registered", process=node.popen)
    body = asked(lab, "register")[-1]["body"]
    assert not [c for c in body["capabilities"] if c["intent"].split(":")[3] in ("tool", "mcp")]
    assert "tool" not in json.dumps(body["capabilities"]) and "policy" not in body


def test_IICPD_02_60_media_of_other_hosts_is_refused_unless_allowed(node_factory, backend):
    def picture(url):
        return {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]}
    node = with_models(node_factory(backend=backend))
    refused(ask(node, CHAT, picture("http://127.0.0.1:1/a.png")), 422, "validation_error", field="payload.messages")
    assert result(ask(node, CHAT, picture("data:image/png;base64,AA==")))
    allowing = with_models(node_factory(backend=backend, backend__test__allow_remote_media="yes"))
    assert result(ask(allowing, CHAT, picture("http://127.0.0.1:1/a.png")))


def test_IICPD_02_86_tokens_are_the_backends_count(node_factory, backend):
    node = with_models(node_factory(backend=backend))
    chat = {"messages": [{"role": "user", "content": "x"}]}
    assert ask(node, CHAT, chat).json()["metrics"]["tokens_used"] == 9
    plain = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "a b c"}, "finish_reason": "stop"}]}
    backend.post("/_control", {"rules": [{"path": "/v1/chat/completions", "json": plain}]})
    assert "tokens_used" not in ask(node, CHAT, chat).json()["metrics"]
