// Included before every C++ source of llama.cpp on machines with AMX (scripts/setup.sh).
//
// GCC 12.2's amxtileintrin.h tells the optimiser that `_tile_loadconfig` reads 8 bytes where it reads
// 64. The stores into the last 32 bytes of ggml's tile configuration are then left out, and the first
// product of quantised matrices ends with SIGSEGV. With this, all 64 are read. It does no harm where
// a compiler's own header is right.
#pragma once

#if defined(__AMX_TILE__) && defined(__GNUC__) && !defined(__clang__)
#include <immintrin.h>
#define _tile_loadconfig(config) \
    __asm__ volatile("ldtilecfg\t%X0" ::"m"(*(const char(*)[64])(config)))
#endif
