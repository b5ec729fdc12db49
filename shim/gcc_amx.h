// Included before every C++ source of llama.cpp on machines with AMX (scripts/setup.sh).
//
// GCC before 11.5, 12.4 and 13.3 tells its optimiser that `_tile_loadconfig` reads 8 bytes where it
// reads 64 (PR target/114098). ggml's tile configuration then loses its last 32 bytes, and the first
// product of quantised matrices ends with SIGSEGV. With this, all 64 are read.
#pragma once

#if defined(__AMX_TILE__) && defined(__GNUC__) && !defined(__clang__)
#include <immintrin.h>
#define _tile_loadconfig(config) \
    __asm__ volatile("ldtilecfg\t%X0" ::"m"(*(const char(*)[64])(config)))
#endif
