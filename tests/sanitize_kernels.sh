#!/bin/sh
# Summary: the CPU kernels' tests under AddressSanitizer and UndefinedBehaviorSanitizer, on a copy of the package.
# Usage:   tests/sanitize_kernels.sh PYTHON
#          PYTHON has mlx and pytest. Linux, gcc. The checkout keeps the library it has.
set -eu
python=$1
root=$(cd "$(dirname "$0")/.." && pwd)
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -R "$root/runner" "$root/tests" "$root/examples" "$root/pyproject.toml" "$copy"
mlx=$("$python" -c 'import importlib.util as u; print(next(iter(u.find_spec("mlx").submodule_search_locations)))')

for source in vector.c switch.cpp pointwise.cpp norms.cpp rope.cpp attention.cpp; do
  case $source in
    *.c) set -- cc -std=c11 ;;
    *) set -- c++ -std=c++20 ;;
  esac
  # Optimised less than the product, so that a report names its line; vectors are still used (omp simd).
  "$@" -O2 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize=vptr -fno-sanitize-recover=undefined \
    -fopenmp-simd -fno-math-errno -fno-trapping-math -fPIC -isystem "$mlx/include" \
    -c "$root/native/kernels/$source" -o "$copy/$source.o"
done
c++ -shared -fsanitize=address,undefined -o "$copy/runner/_data/kernels/librunner_kernels.so" "$copy"/*.o \
  -L "$mlx/lib" -lmlx -ldl -lm -Wl,--allow-shlib-undefined

# Python was built without the runtime, so it is loaded first; what Python leaves at its end is no leak of ours.
cd "$copy"
LD_PRELOAD="$(cc -print-file-name=libasan.so) $(cc -print-file-name=libubsan.so) $(c++ -print-file-name=libstdc++.so)" \
  ASAN_OPTIONS=detect_leaks=0 PYTHONPATH="$copy" "$python" -m pytest -q -s -p no:cacheprovider -m "not torture" \
  tests/unit/engine/test_kernel_rows.py tests/unit/engine/test_kernels.py
