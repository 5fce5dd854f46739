#!/bin/sh
# Fill every row of the table of a GPU, in at most 8 minutes; the subjects are independent, and a
# line that fails says why.
#
#     sh bench/gpu.sh FOLDER            JSON files, logs, and the table FOLDER/table.md
#     sh bench/gpu.sh FOLDER --tiny     a trial of a few minutes on a CPU
#
# PYTHON names the interpreter, which needs the extra cuda13; lines in PyTorch need PyTorch with CUDA.
set -u
folder=$1
shift
python=${PYTHON:-python}
export XLA_PYTHON_CLIENT_PREALLOCATE=false # PyTorch needs memory too
mkdir -p "$folder"

subject() { # name, seconds
    name=$1 seconds=$2
    shift 2
    if ! timeout "$seconds" "$python" -m "bench.gpu_$name" --save="$folder/$name.json" "$@" \
        >"$folder/$name.log" 2>&1; then
        echo "$name ended early: see $folder/$name.log" >&2
    fi
}

XLA_FLAGS="${XLA_FLAGS:-} ${GPU_FLAGS---xla_gpu_deterministic_ops=true}" subject exact 60 "$@"
subject search 60 "$@"
subject networks 150 "$@"
subject recurrent 200 "$@"
"$python" -m bench.gpu_lines "$folder" >"$folder/table.md"
cat "$folder/table.md"
