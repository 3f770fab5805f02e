#!/usr/bin/env bash
# Installs what medley needs to be built and tested on Debian 12, and only what is missing:
#
#   Debian packages           tools/debian-packages.txt, by apt-get (as root or through sudo)
#   npm packages              tools/npm/package-lock.json, into tools/npm/node_modules
#   libllama and its headers  from npm, into .deps/llama
#
# Asks nothing, says what it does, and is quiet when there is nothing to do.
set -Eeuo pipefail
trap 'echo "setup: failed at line $LINENO of tools/setup.sh" >&2' ERR
cd "$(dirname "$0")/.."

# The release of node-llama-cpp whose llama.cpp headers fit the prebuilt library in tools/npm.
llama_version=3.22.1
llama_sha512=bltIipuWmc123H7tMIgDGKSsSrhmhlQYeVUC48XTjVW7XGJJiJJyCdlTMzQ/LiWoPkGDpcL4FviDpgw7qfTiDw==

say() { printf 'setup: %s\n' "$*"; }
die() {
  printf 'setup: %s\n' "$*" >&2
  exit 1
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "needs root to run '$*': run it as root, or install sudo"
  fi
}

installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

debian_packages() {
  local missing=() package command
  while IFS='|' read -r package command; do
    if [ -n "$command" ] && command -v "$command" >/dev/null; then continue; fi
    installed "$package" || missing+=("$package")
  done < <(grep -v '^#' tools/debian-packages.txt)
  [ ${#missing[@]} -eq 0 ] && return

  command -v apt-get >/dev/null || die "no apt-get here; please install: ${missing[*]}"
  local conflicting
  conflicting=$({ dpkg-query -W -f='${db:Status-Status} ${Package}\n' 'libboost*1.74-dev' 2>/dev/null || true; } |
    sed -n 's/^installed //p' | tr '\n' ' ')
  if [ -n "$conflicting" ]; then
    die "medley needs Boost 1.81, which Debian does not install beside these 1.74 packages: $conflicting
       Remove them first: apt-get remove $conflicting"
  fi

  say "installing Debian packages: ${missing[*]}"
  as_root apt-get -qq -o Acquire::Retries=3 update
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 \
    install -y --no-install-recommends "${missing[@]}" >.deps/apt.log 2>&1 || {
    tail -n 30 .deps/apt.log >&2
    die "apt-get failed (whole log: .deps/apt.log)"
  }
}

npm_packages() {
  local stamp=tools/npm/node_modules/.medley-lockfile lockfile=tools/npm/package-lock.json
  cmp -s "$lockfile" "$stamp" && return
  say "installing npm packages into tools/npm/node_modules"
  (cd tools/npm && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null)
  cp "$lockfile" "$stamp"
}

llama() {
  local target=.deps/llama prebuilt=tools/npm/node_modules/@node-llama-cpp/linux-x64
  [ "$(cat $target/version.txt 2>/dev/null)" = "$llama_version" ] && return
  [ "$(node -p "require('./$prebuilt/package.json').version")" = "$llama_version" ] ||
    die "tools/npm pins another @node-llama-cpp/linux-x64 than the $llama_version of tools/setup.sh"

  say "fetching the headers of llama.cpp (npm node-llama-cpp $llama_version, 36 MB)"
  local work=.deps/llama.new # one name will do: the lock lets one setup in here
  trap 'rm -rf .deps/llama.new' EXIT
  rm -rf "$work"
  mkdir "$work"
  (cd "$work" && npm pack "node-llama-cpp@$llama_version" --loglevel=error >/dev/null)
  local archive=$work/node-llama-cpp-$llama_version.tgz
  [ "$(node -p "require('crypto').createHash('sha512')
      .update(require('fs').readFileSync('$archive')).digest('base64')")" = "$llama_sha512" ] ||
    die "node-llama-cpp $llama_version has not the checksum pinned in tools/setup.sh"
  tar -xzf "$archive" -C "$work" package/llama/gitRelease.bundle
  git clone --quiet --bare "$work/package/llama/gitRelease.bundle" "$work/git"
  mkdir "$work/tree" "$work/new"
  git --git-dir="$work/git" archive HEAD include ggml/include | tar -x -C "$work/tree"
  mkdir "$work/new/include" "$work/new/lib"
  cp "$work"/tree/include/* "$work"/tree/ggml/include/* "$work/new/include/"
  cp -a "$prebuilt"/bins/linux-x64/*.so* "$work/new/lib/"
  echo "$llama_version" >"$work/new/version.txt"
  rm -rf "$target"
  mv "$work/new" "$target"
}

[ "$(uname -m)" = x86_64 ] || die "medley's prebuilt libllama is for x86_64, this is $(uname -m)"
mkdir -p .deps
exec 9>.deps/lock
flock 9  # two makes at once take turns
debian_packages
npm_packages
llama
