#!/bin/sh
# Start the MLX API server in the foreground, as supervisord runs it.
# Settings are MLX_* variables or lines of .env (see docs/mlx-server.md); arguments are passed on.
set -eu

cd "$(dirname "$0")/.."

# The project's own environment if there is one, else the python on the path.
for python in "${KOS_PYTHON:-}" .venv/bin/python "$(command -v python3 || true)"; do
    [ -n "$python" ] && [ -x "$python" ] && break
done

if ! "$python" -c 'from importlib import util; raise SystemExit(not util.find_spec("mlx_lm"))'; then
    echo "start_mlx_api_server: mlx-lm is missing for $python; run: $python -m pip install -e '${PWD}[mlx]'" >&2
    exit 3
fi

exec "$python" -m console.services mlx-api "$@"
