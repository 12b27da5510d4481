#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make small models for tests against real inference servers.

  tiny_gguf.py chat OUT.gguf [--layers N --embd N ...]   random weights, a chat model (llama.cpp, Ollama)
  tiny_gguf.py chat OUT-FOLDER --hf [...]                the same with safetensors (vLLM, transformers)
  tiny_gguf.py bert FOLDER OUT.gguf                      all-MiniLM-L6-v2, from safetensors

Needs the Python packages numpy and (but for --hf) gguf. The same arguments give the same bytes.

`chat` makes a llama-architecture model that any llama.cpp or Ollama loads. It knows nothing, but what a client
sees is real: tokens, usage counts, streaming, stop reasons, context limits, grammars, cancellation.

  * Its tokenizer turns each printable ASCII character, and each byte of anything else, into one token, so prompt
    lengths can be worked out by hand (see `prompt_tokens`). Words exist for output only.
  * What it says is whole words, some of them not ASCII. Temperature 0 goes on until the token limit
    (finish_reason "length"). Temperature 1 with top_p 1, min_p 0 and no top_k ends by itself ("stop") after
    about --mean tokens.
  * --raw-bytes lets it say single bytes too, which mostly are not UTF-8: what does a server make of them?
  * --tools makes one that calls a tool whenever llama.cpp lets it: ask with `tools`, `tool_choice` "required",
    temperature 0; llama.cpp's grammar makes the call a valid one, with the shortest arguments that the schema allows.
  * --think makes one that thinks first (`reasoning_content`), at temperature 1 for about 20 tokens.
  * Speed is set by --layers and --embd. For cancellation tests use a slow one, such as `--layers 24 --embd 768`.
"""
import argparse
import json
import math
import os
import struct
import sys

import numpy as np

NORMAL, UNKNOWN, CONTROL, DEFINED, BYTE = 1, 2, 3, 4, 6          # llama.cpp's token types

SPECIAL = ["<unk>", "<s>", "<|im_start|>", "<|im_end|>"]
UNK, BOS, IM_START, IM_END = range(4)

WORDS = """the of and a to in is that it was for on are as with his they at be this from have or by one had not but
what all were when we there can an your which their said if do will each about how up out them then she many some so
these would other into has more her two like him see time could no make than first been its who now people my made
over did down only way find use may water long little very after words called just where most know get through back
much before go good new write our used me man too any day same right look think also around another came come work
three word must because does part even place well such here take why things help put years different away again off
went old number great tell men say small every found still between name should home big give air line set own under
read last never us left end along while might next sound below saw something thought both few those always looked
show large often together asked house world going want school important until form food keep children feet land side
without boy once animals life enough took sometimes four head above kind began almost live page got earth need far
hand high year mother light parts country father let night following picture being study second eyes soon times story
naïve café über façade señor Ωmega привет мир 日本 語 中文 한국 שלום مرحبا नमस्ते 🙂 🚀""".split()

TEMPLATE = ("{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>'"
            " + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")

TOOLS_TEMPLATE = """\
{%- if tools %}{{- '<|im_start|>system\\n<tools>' }}
  {%- for tool in tools %}{{- '\\n' }}{{- tool | tojson }}{%- endfor %}
  {{- '\\n</tools><|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
  {%- if message.role == 'tool' %}
    {{- '<|im_start|>user\\n<tool_response>\\n' + message.content + '\\n</tool_response><|im_end|>\\n' }}
  {%- elif message.tool_calls %}
    {{- '<|im_start|>assistant' }}
    {%- if message.content %}{{- '\\n' + message.content }}{%- endif %}
    {%- for call in message.tool_calls %}
      {{- '\\n<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' }}
      {{- call.function.arguments | tojson }}
      {{- '}\\n</tool_call>' }}
    {%- endfor %}
    {{- '<|im_end|>\\n' }}
  {%- else %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
  {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"""

THINK_TEMPLATE = """\
{%- for message in messages %}
  {%- if message.role == 'assistant' and '</think>' in message.content %}
    {{- '<|im_start|>assistant\\n' + message.content.split('</think>')[-1] + '<|im_end|>\\n' }}
  {%- else %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
  {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n<think>\\n' }}{%- endif %}"""


def prompt_tokens(messages):
    """How many prompt tokens the template gives for [(role, text), ...]."""
    def n(text):
        return sum(1 if 32 <= ord(c) < 127 else len(c.encode()) for c in text)
    return 1 + sum(3 + n(role) + n(text) + 1 for role, text in messages) + 2 + len("assistant")


def vocabulary(more):
    tokens, kinds = list(SPECIAL), [UNKNOWN, CONTROL, CONTROL, CONTROL]
    tokens += more
    kinds += [NORMAL if "\n" in t else DEFINED for t in more]
    for b in range(256):
        tokens.append("<0x%02X>" % b)
        kinds.append(BYTE)
    for c in ["\u2581"] + [chr(c) for c in range(33, 127)]:
        tokens.append(c)
        kinds.append(NORMAL)
    first_word = len(tokens)
    for w in WORDS:                                   # a word always brings the space before it
        tokens.append("\u2581" + w)
        kinds.append(NORMAL)
    assert len(set(tokens)) == len(tokens)
    return tokens, kinds, first_word


def chat(a):
    rng = np.random.default_rng(a.seed)
    more = ["<tool_call>\n", "\n</tool_call>"] if a.tools else ["<think>", "</think>"] if a.think else []
    tokens, kinds, first_word = vocabulary(more)
    n, d, ff = len(tokens), a.embd, a.ff or (a.embd * 8 // 3 + 31) // 32 * 32
    dim = d // a.heads
    if d % a.heads or dim % 2 or a.heads % a.kv_heads:
        sys.exit("--embd must be an even multiple of --heads, --heads a multiple of --kv-heads")

    tensors = {}

    def put(name, m):
        tensors[name] = m

    def random(rows, cols, scale):
        return (rng.standard_normal((rows, cols), dtype=np.float32) * np.float32(scale)).astype(np.float32)

    # Column 0 of the residual stream is one large number everywhere (no layer reads or writes it), so after the last
    # norm it is a bias: column 0 of the output matrix says how likely a token is, whatever came before. The other
    # columns make each token prefer one next word (logit `favour`, all other words `spread` around 0).
    strong, rest = 16.0, 1.5                         # mean squares of column 0 (times 1/d), and about all others
    emb = random(n, d, 1.0)
    emb[:, 0] = math.sqrt(strong * d)
    level, scale = math.sqrt(d * strong / (strong + rest)), 1 / math.sqrt(strong + rest)
    favour, spread = 7.0, 1.5
    words = np.arange(first_word, n)
    follow = rng.integers(first_word, n, n)
    order = rng.permutation(words)
    follow[order] = np.roll(order, -1)               # the words themselves make one cycle
    out = np.zeros((n, d), np.float32)
    np.add.at(out, follow, emb * np.float32(favour / (scale * (d - 1))))
    noise = max(spread ** 2 - favour ** 2 / (d - 1), 0.0)
    out[first_word:] += random(len(words), d, math.sqrt(noise / (d - 1)) / scale)
    out[:, 0] = never = -30.0 / level
    out[first_word:, 0] = 0
    total = math.exp(favour) + len(words) * math.exp(spread ** 2 / 2)
    if a.mean > 0:
        out[IM_END, 0] = math.log(total / a.mean) / level
    if a.raw_bytes:
        out[kinds.index(BYTE):kinds.index(BYTE) + 256, 0] = 0
    if a.think:
        out[tokens.index("</think>"), 0] = math.log(total / 20) / level
    if a.tools:                                      # rather call than talk, rather close than go on
        for k, t in enumerate(["<|im_end|>", "<tool_call>\n", "\n</tool_call>", '"', "}", "]"]):
            out[tokens.index(t)] = 0
            out[tokens.index(t), 0] = (30 - k) / level
    ones, inner = np.ones(d), np.full(d, math.sqrt(strong))
    inner[0] = 0

    put("token_embd.weight", emb)
    for i in range(a.layers):
        p = "blk.%d." % i
        wo, down = random(d, d, a.context / math.sqrt(d * a.layers)), random(d, ff, 0.5 / math.sqrt(ff * a.layers))
        wo[0], down[0] = 0, 0
        put(p + "attn_norm.weight", inner)
        put(p + "attn_q.weight", random(d, d, 1 / math.sqrt(d)))
        put(p + "attn_k.weight", random(a.kv_heads * dim, d, 1 / math.sqrt(d)))
        put(p + "attn_v.weight", random(a.kv_heads * dim, d, 1 / math.sqrt(d)))
        put(p + "attn_output.weight", wo)
        put(p + "ffn_norm.weight", inner)
        put(p + "ffn_gate.weight", random(ff, d, 1 / math.sqrt(d)))
        put(p + "ffn_up.weight", random(ff, d, 1 / math.sqrt(d)))
        put(p + "ffn_down.weight", down)
    put("output_norm.weight", ones)
    put("output.weight", out)
    (write_hf if a.hf else write_gguf)(a, tokens, kinds, ff, tensors)


def template(a):
    return TOOLS_TEMPLATE if a.tools else THINK_TEMPLATE if a.think else TEMPLATE


def write_gguf(a, tokens, kinds, ff, tensors):
    import gguf
    w = gguf.GGUFWriter(a.out, "llama")
    w.add_name(a.name)
    w.add_description("random weights, seed %d: for tests only" % a.seed)
    w.add_size_label("tiny")
    w.add_license("CC0-1.0")
    w.add_file_type(gguf.LlamaFileType.MOSTLY_F16 if a.f16 else gguf.LlamaFileType.ALL_F32)
    w.add_context_length(a.ctx)
    w.add_embedding_length(a.embd)
    w.add_block_count(a.layers)
    w.add_feed_forward_length(ff)
    w.add_head_count(a.heads)
    w.add_head_count_kv(a.kv_heads)
    w.add_rope_dimension_count(a.embd // a.heads)
    w.add_rope_freq_base(10000.0)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_vocab_size(len(tokens))
    w.add_tokenizer_model("llama")
    w.add_tokenizer_pre("default")
    w.add_token_list(tokens)
    w.add_token_scores([0.0 if k != NORMAL else -float(i) for i, k in enumerate(kinds)])
    w.add_token_types(kinds)
    w.add_unk_token_id(UNK)
    w.add_bos_token_id(BOS)
    w.add_eos_token_id(IM_END)
    w.add_pad_token_id(UNK)
    w.add_add_bos_token(True)
    w.add_add_eos_token(False)
    w.add_add_space_prefix(False)
    w.add_chat_template(template(a))
    for name, m in tensors.items():
        w.add_tensor(name, m.astype(np.float16 if a.f16 and m.ndim == 2 else np.float32))
    finish(w, a.out)


def write_hf(a, tokens, kinds, ff, tensors):
    def save(name, what):
        with open(os.path.join(a.out, name), "w", encoding="utf-8") as f:
            json.dump(what, f, ensure_ascii=False, indent=1)
    os.makedirs(a.out, exist_ok=True)
    save("config.json", {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": a.embd,
        "intermediate_size": ff, "num_hidden_layers": a.layers, "num_attention_heads": a.heads,
        "num_key_value_heads": a.kv_heads, "head_dim": a.embd // a.heads, "max_position_embeddings": a.ctx,
        "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "vocab_size": len(tokens), "tie_word_embeddings": False,
        "bos_token_id": BOS, "eos_token_id": IM_END, "pad_token_id": UNK, "torch_dtype": "float32"})
    save("generation_config.json", {"bos_token_id": BOS, "eos_token_id": IM_END, "pad_token_id": UNK})
    save("tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "unk_token": tokens[UNK], "bos_token": tokens[BOS],
        "eos_token": tokens[IM_END], "pad_token": tokens[UNK], "model_max_length": a.ctx,
        "clean_up_tokenization_spaces": False, "chat_template": "{{ bos_token }}" + template(a)})
    save("tokenizer.json", {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False,
                          "normalized": False, "special": kinds[i] in (UNKNOWN, CONTROL)}
                         for i, t in enumerate(tokens) if kinds[i] in (UNKNOWN, CONTROL, DEFINED)],
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
        "pre_tokenizer": None, "post_processor": None,
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {"type": "BPE", "dropout": None, "unk_token": tokens[UNK], "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
                  "vocab": {t: i for i, t in enumerate(tokens)}, "merges": []}})
    parts = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head",
             "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
             "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm",
             "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
    head, at = {"__metadata__": {"format": "pt"}}, 0
    for name, m in tensors.items():
        p = name.split(".")
        new = ("model.layers.%s.%s" % (p[1], parts[p[2]]) if p[0] == "blk" else parts[p[0]]) + ".weight"
        head[new] = {"dtype": "F32", "shape": list(m.shape), "data_offsets": [at, at + 4 * m.size]}
        at += 4 * m.size
    head = json.dumps(head).encode()
    head += b" " * (-len(head) % 8)
    with open(os.path.join(a.out, "model.safetensors"), "wb") as f:
        f.write(struct.pack("<Q", len(head)) + head)
        for m in tensors.values():
            f.write(np.ascontiguousarray(m, dtype="<f4").tobytes())


def bert(a):
    """all-MiniLM-L6-v2 (or another BERT with mean pooling): config.json, tokenizer.json, model.safetensors."""
    def load(name):
        with open(os.path.join(a.folder, name), encoding="utf-8") as f:
            return json.load(f)
    import gguf
    c, vocab = load("config.json"), load("tokenizer.json")["model"]["vocab"]
    w = gguf.GGUFWriter(a.out, "bert")
    w.add_name(a.name)
    w.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    w.add_context_length(c["max_position_embeddings"])
    w.add_embedding_length(c["hidden_size"])
    w.add_feed_forward_length(c["intermediate_size"])
    w.add_block_count(c["num_hidden_layers"])
    w.add_head_count(c["num_attention_heads"])
    w.add_layer_norm_eps(c["layer_norm_eps"])
    w.add_causal_attention(False)
    w.add_pooling_type(gguf.PoolingType.MEAN)
    w.add_token_type_count(c["type_vocab_size"])
    w.add_vocab_size(len(vocab))
    tokens, kinds = [], []
    for t, _ in sorted(vocab.items(), key=lambda kv: kv[1]):
        special = t.startswith("[") and t.endswith("]") and len(t) > 2
        kinds.append(CONTROL if special else NORMAL)
        tokens.append(t if special else t[2:] if t.startswith("##") else "\u2581" + t)
    w.add_tokenizer_model("bert")
    w.add_tokenizer_pre("default")
    w.add_token_list(tokens)
    w.add_token_types(kinds)
    w.add_bos_token_id(vocab["[CLS]"])
    w.add_eos_token_id(vocab["[SEP]"])
    w.add_sep_token_id(vocab["[SEP]"])
    w.add_unk_token_id(vocab["[UNK]"])
    w.add_pad_token_id(vocab["[PAD]"])
    w.add_mask_token_id(vocab["[MASK]"])
    names = {"embeddings.word_embeddings.weight": "token_embd.weight",
             "embeddings.position_embeddings.weight": "position_embd.weight",
             "embeddings.token_type_embeddings.weight": "token_types.weight",
             "embeddings.LayerNorm.weight": "token_embd_norm.weight",
             "embeddings.LayerNorm.bias": "token_embd_norm.bias"}
    for i in range(c["num_hidden_layers"]):
        for old, new in (("attention.self.query", "attn_q"), ("attention.self.key", "attn_k"),
                         ("attention.self.value", "attn_v"), ("attention.output.dense", "attn_output"),
                         ("attention.output.LayerNorm", "attn_output_norm"), ("intermediate.dense", "ffn_up"),
                         ("output.dense", "ffn_down"), ("output.LayerNorm", "layer_output_norm")):
            for part in ("weight", "bias"):
                names["encoder.layer.%d.%s.%s" % (i, old, part)] = "blk.%d.%s.%s" % (i, new, part)
    for name, m in safetensors(os.path.join(a.folder, "model.safetensors")):
        name = name.removeprefix("bert.")
        if name in names:
            half = m.ndim == 2 and not names[name].startswith(("position", "token_types"))
            w.add_tensor(names.pop(name), m.astype(np.float16 if half else np.float32))
    if names:
        sys.exit("not in the model: " + ", ".join(sorted(names)))
    finish(w, a.out)


def safetensors(path):
    kinds = {"F32": np.float32, "F16": np.float16}
    with open(path, "rb") as f:
        head = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        start = f.tell()
        for name, t in head.items():
            if name != "__metadata__" and t["dtype"] in kinds:
                f.seek(start + t["data_offsets"][0])
                yield name, np.frombuffer(f.read(t["data_offsets"][1] - t["data_offsets"][0]),
                                          kinds[t["dtype"]]).reshape(t["shape"])


def finish(w, path):
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    print("%s: %.1f MB" % (path, os.path.getsize(path) / 1e6))


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    s = p.add_subparsers(dest="what", required=True)
    c = s.add_parser("chat", help="a chat model with random weights")
    c.add_argument("out")
    c.add_argument("--name", default="iicp-tiny")
    c.add_argument("--seed", type=int, default=1)
    c.add_argument("--layers", type=int, default=2)
    c.add_argument("--embd", type=int, default=64)
    c.add_argument("--heads", type=int, default=4)
    c.add_argument("--kv-heads", type=int, default=2)
    c.add_argument("--ff", type=int, default=0, help="default: 8/3 of --embd")
    c.add_argument("--ctx", type=int, default=32768, help="context length the model claims")
    c.add_argument("--mean", type=float, default=50, help="mean answer length at temperature 1; 0: never ends")
    c.add_argument("--context", type=float, default=1.0, help="how much the words before the last one matter")
    c.add_argument("--hf", action="store_true", help="write a folder with config.json, tokenizer.json, model.safetensors")
    c.add_argument("--f16", action="store_true", help="half the size")
    c.add_argument("--tools", action="store_true", help="calls tools")
    c.add_argument("--think", action="store_true", help="thinks first")
    c.add_argument("--raw-bytes", action="store_true", help="may say single bytes")
    b = s.add_parser("bert", help="all-MiniLM-L6-v2 as GGUF")
    b.add_argument("folder")
    b.add_argument("out")
    b.add_argument("--name", default="all-MiniLM-L6-v2")
    a = p.parse_args()
    {"chat": chat, "bert": bert}[a.what](a)


if __name__ == "__main__":
    main()
