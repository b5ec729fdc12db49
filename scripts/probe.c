/* The loops of `slmbench probe` in plain C, to hold its figures against: docs/probe.md.
 *
 *     gcc -O3 -march=native -pthread -o probe scripts/probe.c
 *     ./probe BYTES TURNS THREADS...
 *
 * A line for each figure: its name, threads, best and median in units per second. What the machine
 * does not have is left out. Of two lines of one name the faster counts. scripts/probe-check builds and runs it.
 */
#define _GNU_SOURCE
#include <immintrin.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { STRETCHES = 3, MAX_TURNS = 100, MAX_THREADS = 64, MAX_FIGURES = 80 };
static const double STRETCH_NS = 5e6;

/* Has the compiler believe that a register changes here. */
#define OPAQUE(x) __asm__ volatile("" : "+v"(x))
#define UNROLL _Pragma("GCC unroll 16")

typedef void (*loop)(const void *from, size_t bytes, uint64_t times);
static atomic_ullong sink;

#if defined(__AVX512F__)
#define WIDE 64
static void read_all(const void *from, size_t bytes, uint64_t times) {
    __m512i sums[8];
    for (int i = 0; i < 8; i++) sums[i] = _mm512_setzero_si512();
    for (uint64_t pass = 0; pass < times; pass++) {
        const char *p = from, *end = p + bytes / 512 * 512;
        __asm__ volatile("" : "+r"(p) : : "memory");
        for (; p < end; p += 512) {
            UNROLL for (int i = 0; i < 8; i++)
                sums[i] = _mm512_add_epi64(sums[i], _mm512_loadu_si512(p + 64 * i));
        }
    }
    uint64_t all = 0;
    for (int i = 0; i < 8; i++) all += _mm512_reduce_add_epi64(sums[i]);
    sink += all;
}

static void f32(const void *from, size_t bytes, uint64_t times) {
    (void)from, (void)bytes;
    __m512 sums[12], a = _mm512_set1_ps(1), b = _mm512_set1_ps(1);
    UNROLL for (int i = 0; i < 12; i++) {
        sums[i] = _mm512_setzero_ps();
        OPAQUE(sums[i]);
    }
    for (uint64_t round = 0; round < times; round++)
        UNROLL for (int i = 0; i < 12; i++) sums[i] = _mm512_fmadd_ps(a, b, sums[i]);
    float all = 0;
    for (int i = 0; i < 12; i++) all += _mm512_reduce_add_ps(sums[i]);
    sink += (uint64_t)all;
}

static void f16(const void *from, size_t bytes, uint64_t times) {
    (void)from, (void)bytes;
    __m512 sums[12], b = _mm512_set1_ps(1);
    __m256i half = _mm256_set1_epi16(0x3c00);
    UNROLL for (int i = 0; i < 12; i++) {
        sums[i] = _mm512_setzero_ps();
        OPAQUE(sums[i]);
    }
    for (uint64_t round = 0; round < times; round++)
        UNROLL for (int j = 0; j < 12; j += 6) {
            OPAQUE(half);
            __m512 a = _mm512_cvtph_ps(half);
            UNROLL for (int i = 0; i < 6; i++) sums[j + i] = _mm512_fmadd_ps(a, b, sums[j + i]);
        }
    float all = 0;
    for (int i = 0; i < 12; i++) all += _mm512_reduce_add_ps(sums[i]);
    sink += (uint64_t)all;
}
#elif defined(__AVX2__)
#define WIDE 32
static void read_all(const void *from, size_t bytes, uint64_t times) {
    __m256i sums[8];
    for (int i = 0; i < 8; i++) sums[i] = _mm256_setzero_si256();
    for (uint64_t pass = 0; pass < times; pass++) {
        const char *p = from, *end = p + bytes / 256 * 256;
        __asm__ volatile("" : "+r"(p) : : "memory");
        for (; p < end; p += 256) {
            UNROLL for (int i = 0; i < 8; i++)
                sums[i] = _mm256_add_epi64(sums[i], _mm256_loadu_si256((const __m256i *)(p + 32 * i)));
        }
    }
    __m256i all = sums[0];
    for (int i = 1; i < 8; i++) all = _mm256_add_epi64(all, sums[i]);
    sink += (uint64_t)_mm256_extract_epi64(all, 0);
}

static void f32(const void *from, size_t bytes, uint64_t times) {
    (void)from, (void)bytes;
    __m256 sums[12], a = _mm256_set1_ps(1), b = _mm256_set1_ps(1);
    UNROLL for (int i = 0; i < 12; i++) {
        sums[i] = _mm256_setzero_ps();
        OPAQUE(sums[i]);
    }
    for (uint64_t round = 0; round < times; round++)
        UNROLL for (int i = 0; i < 12; i++) sums[i] = _mm256_fmadd_ps(a, b, sums[i]);
    for (int i = 0; i < 12; i++) OPAQUE(sums[i]);
}

static void f16(const void *from, size_t bytes, uint64_t times) {
    (void)from, (void)bytes;
    __m256 sums[12], b = _mm256_set1_ps(1);
    __m128i half = _mm_set1_epi16(0x3c00);
    UNROLL for (int i = 0; i < 12; i++) {
        sums[i] = _mm256_setzero_ps();
        OPAQUE(sums[i]);
    }
    for (uint64_t round = 0; round < times; round++)
        UNROLL for (int j = 0; j < 12; j += 6) {
            OPAQUE(half);
            __m256 a = _mm256_cvtph_ps(half);
            UNROLL for (int i = 0; i < 6; i++) sums[j + i] = _mm256_fmadd_ps(a, b, sums[j + i]);
        }
    for (int i = 0; i < 12; i++) OPAQUE(sums[i]);
}
#else
#error "this check knows AVX2 and AVX-512"
#endif

#if defined(__AVX512VNNI__)
#define INT8_OPS (2.0 * 12 * 64)
static void int8(const void *from, size_t bytes, uint64_t times) {
    (void)from, (void)bytes;
    __m512i sums[12], a = _mm512_set1_epi8(1), b = _mm512_set1_epi8(1);
    UNROLL for (int i = 0; i < 12; i++) {
        sums[i] = _mm512_setzero_si512();
        OPAQUE(sums[i]);
    }
    for (uint64_t round = 0; round < times; round++)
        UNROLL for (int i = 0; i < 12; i++) sums[i] = _mm512_dpbusd_epi32(sums[i], a, b);
    int all = 0;
    for (int i = 0; i < 12; i++) all += _mm512_reduce_add_epi32(sums[i]);
    sink += (uint64_t)all;
}
#elif defined(__AVXVNNI__)
#define INT8_OPS (2.0 * 12 * 32)
static void int8(const void *from, size_t bytes, uint64_t times) {
    (void)from, (void)bytes;
    __m256i sums[12], a = _mm256_set1_epi8(1), b = _mm256_set1_epi8(1);
    UNROLL for (int i = 0; i < 12; i++) {
        sums[i] = _mm256_setzero_si256();
        OPAQUE(sums[i]);
    }
    for (uint64_t round = 0; round < times; round++)
        UNROLL for (int i = 0; i < 12; i++) sums[i] = _mm256_dpbusd_avx_epi32(sums[i], a, b);
    for (int i = 0; i < 12; i++) OPAQUE(sums[i]);
}
#else
#define INT8_OPS (2.0 * 8 * 32)
static void int8(const void *from, size_t bytes, uint64_t times) {
    (void)from, (void)bytes;
    __m256i sums[8], a = _mm256_set1_epi8(1), b = _mm256_set1_epi8(1), ones = _mm256_set1_epi16(1);
    OPAQUE(b);
    OPAQUE(ones);
    for (int i = 0; i < 8; i++) sums[i] = _mm256_setzero_si256();
    for (uint64_t round = 0; round < times; round++)
        UNROLL for (int i = 0; i < 8; i++) {
            OPAQUE(a);
            __m256i pairs = _mm256_maddubs_epi16(a, b);
            sums[i] = _mm256_add_epi32(sums[i], _mm256_madd_epi16(pairs, ones));
        }
    for (int i = 0; i < 8; i++) OPAQUE(sums[i]);
}
#endif

#if defined(__AVX512BF16__)
#define HAS_BF16
static void bf16(const void *from, size_t bytes, uint64_t times) {
    (void)from, (void)bytes;
    __m512 sums[12], one = _mm512_set1_ps(1);
    __m512bh a = _mm512_cvtne2ps_pbh(one, one), b = a;
    UNROLL for (int i = 0; i < 12; i++) {
        sums[i] = _mm512_setzero_ps();
        OPAQUE(sums[i]);
    }
    for (uint64_t round = 0; round < times; round++)
        UNROLL for (int i = 0; i < 12; i++) sums[i] = _mm512_dpbf16_ps(sums[i], a, b);
    float all = 0;
    for (int i = 0; i < 12; i++) all += _mm512_reduce_add_ps(sums[i]);
    sink += (uint64_t)all;
}
#endif

#if defined(__AMX_INT8__) && defined(__AMX_BF16__)
#define HAS_TILES
/* Six sums and two factors of 16 rows of 64 bytes. */
static const struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tiles __attribute__((aligned(64))) = {
    .palette = 1,
    .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
    .rows = {16, 16, 16, 16, 16, 16, 16, 16},
};
static uint32_t int8_ones[256] __attribute__((aligned(64))), bf16_ones[256] __attribute__((aligned(64)));

/* The kernel gives threads no room for tiles until it is asked. */
static int may_use_tiles(void) {
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    for (int i = 0; i < 256; i++) int8_ones[i] = 0x01010101, bf16_ones[i] = 0x3f803f80;
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}

/* Not _tile_loadconfig: GCC 12.2 has it read 8 bytes, see shim/gcc_amx.h. */
static void begin_tiles(const uint32_t *ones) {
    __asm__ volatile("ldtilecfg %0" : : "m"(tiles) : "memory");
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
    _tile_loadd(6, ones, 64);
    _tile_loadd(7, ones, 64);
}

static void end_tiles(void) {
    uint32_t sums[6][256];
    _tile_stored(0, sums[0], 64);
    _tile_stored(1, sums[1], 64);
    _tile_stored(2, sums[2], 64);
    _tile_stored(3, sums[3], 64);
    _tile_stored(4, sums[4], 64);
    _tile_stored(5, sums[5], 64);
    _tile_release();
    uint64_t all = 0;
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < 256; j++) all += sums[i][j];
    sink += all;
}

static void int8_tiles(const void *from, size_t bytes, uint64_t times) {
    (void)from, (void)bytes;
    begin_tiles(int8_ones);
    for (uint64_t round = 0; round < times; round++) {
        _tile_dpbusd(0, 6, 7);
        _tile_dpbusd(1, 6, 7);
        _tile_dpbusd(2, 6, 7);
        _tile_dpbusd(3, 6, 7);
        _tile_dpbusd(4, 6, 7);
        _tile_dpbusd(5, 6, 7);
    }
    end_tiles();
}

static void bf16_tiles(const void *from, size_t bytes, uint64_t times) {
    (void)from, (void)bytes;
    begin_tiles(bf16_ones);
    for (uint64_t round = 0; round < times; round++) {
        _tile_dpbf16ps(0, 6, 7);
        _tile_dpbf16ps(1, 6, 7);
        _tile_dpbf16ps(2, 6, 7);
        _tile_dpbf16ps(3, 6, 7);
        _tile_dpbf16ps(4, 6, 7);
        _tile_dpbf16ps(5, 6, 7);
    }
    end_tiles();
}
#endif

#if WIDE == 64
static void bf16_converted(const void *from, size_t bytes, uint64_t times) {
    (void)from, (void)bytes;
    __m512 sums[12], b = _mm512_set1_ps(1);
    __m256i half = _mm256_set1_epi16(0x3f80);
    UNROLL for (int i = 0; i < 12; i++) {
        sums[i] = _mm512_setzero_ps();
        OPAQUE(sums[i]);
    }
    for (uint64_t round = 0; round < times; round++)
        UNROLL for (int j = 0; j < 12; j += 6) {
            OPAQUE(half);
            __m512 a = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
            UNROLL for (int i = 0; i < 6; i++) sums[j + i] = _mm512_fmadd_ps(a, b, sums[j + i]);
        }
    float all = 0;
    for (int i = 0; i < 12; i++) all += _mm512_reduce_add_ps(sums[i]);
    sink += (uint64_t)all;
}
#else
static void bf16_converted(const void *from, size_t bytes, uint64_t times) {
    (void)from, (void)bytes;
    __m256 sums[12], b = _mm256_set1_ps(1);
    __m128i half = _mm_set1_epi16(0x3f80);
    UNROLL for (int i = 0; i < 12; i++) {
        sums[i] = _mm256_setzero_ps();
        OPAQUE(sums[i]);
    }
    for (uint64_t round = 0; round < times; round++)
        UNROLL for (int j = 0; j < 12; j += 6) {
            OPAQUE(half);
            __m256 a = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
            UNROLL for (int i = 0; i < 6; i++) sums[j + i] = _mm256_fmadd_ps(a, b, sums[j + i]);
        }
    for (int i = 0; i < 12; i++) OPAQUE(sums[i]);
}
#endif

struct figure {
    const char *name;
    loop run;
    const char *from;       /* the first thread's piece; the others follow it */
    size_t bytes;           /* of each piece */
    double amount;          /* counted of one time on one thread */
    int n_threads;
    uint64_t times;
    int n;
    double found[MAX_TURNS * STRETCHES];
};

static struct figure figure(const char *name, loop run, const char *from, size_t bytes, double amount, int n_threads) {
    struct figure made;
    memset(&made, 0, sizeof made);
    made.name = name;
    made.run = run;
    made.from = from;
    made.bytes = bytes;
    made.amount = amount;
    made.n_threads = n_threads;
    return made;
}

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

/* Threads of a turn: they wait for a stretch by spinning, and end with the turn. */
static atomic_int epoch, busy, over;
static struct figure *current;

static void piece(int thread) {
    current->run(current->from + thread * current->bytes, current->bytes, current->times);
}

static void *follow(void *number) {
    for (int seen = 0;; seen++) {
        while (atomic_load(&epoch) == seen) _mm_pause();
        if (atomic_load(&over)) return NULL;
        piece((int)(intptr_t)number);
        atomic_fetch_sub(&busy, 1);
    }
}

static double stretch(void) {
    double start = now_ns();
    atomic_store(&busy, current->n_threads - 1);
    atomic_fetch_add(&epoch, 1);
    piece(0);
    while (atomic_load(&busy) > 0) _mm_pause();
    return now_ns() - start;
}

static void turn(struct figure *figure) {
    pthread_t threads[MAX_THREADS];
    current = figure;
    epoch = 0;
    over = 0;
    for (intptr_t i = 1; i < figure->n_threads; i++)
        if (pthread_create(&threads[i], NULL, follow, (void *)i)) exit(1);
    if (figure->times == 0) {
        uint64_t times = 1;
        for (;; times *= 4) {
            figure->times = times;
            double start = now_ns();
            piece(0);
            double took = now_ns() - start;
            if (took >= STRETCH_NS / 8) {
                double fitting = times * STRETCH_NS / took;
                figure->times = fitting < 1 ? 1 : (uint64_t)fitting;
                break;
            }
        }
    }
    stretch();
    for (int i = 0; i < STRETCHES; i++) {
        double took = stretch();
        figure->found[figure->n++] = figure->amount * figure->n_threads * figure->times / took * 1e9;
    }
    over = 1;
    atomic_fetch_add(&epoch, 1);
    for (int i = 1; i < figure->n_threads; i++) pthread_join(threads[i], NULL);
}

static char *buffer(size_t bytes, int advice) {
    const size_t align = 2 << 20;
    char *map = mmap(NULL, bytes + align, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) exit(1);
    madvise(map, bytes + align, advice);
    char *start = (char *)(((uintptr_t)map + align - 1) / align * align);
    memset(start, 1, bytes);
    return start;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    static struct figure figures[MAX_FIGURES];
    if (argc < 4) return 2;
    size_t bytes = strtoull(argv[1], NULL, 10);
    int turns = atoi(argv[2]), n = 0;
    if (turns < 1 || turns > MAX_TURNS || argc - 3 > 8) return 2;
#ifdef HAS_TILES
    int has_tiles = may_use_tiles();
#endif
    char *small = buffer(bytes, MADV_NOHUGEPAGE), *huge = buffer(bytes, MADV_HUGEPAGE);
    for (int i = 3; i < argc; i++) {
        int t = atoi(argv[i]);
        if (t < 1 || t > MAX_THREADS) return 2;
        size_t each = bytes / t / 512 * 512;
        figures[n++] = figure("memory_small", read_all, small, each, each, t);
        figures[n++] = figure("memory_huge", read_all, huge, each, each, t);
#ifdef HAS_TILES
        if (has_tiles) {
            figures[n++] = figure("int8_tiles", int8_tiles, NULL, 0, 2.0 * 6 * 16 * 16 * 64, t);
            figures[n++] = figure("bf16_tiles", bf16_tiles, NULL, 0, 2.0 * 6 * 16 * 16 * 32, t);
        }
#endif
        figures[n++] = figure("int8", int8, NULL, 0, INT8_OPS, t);
#ifdef HAS_BF16
        figures[n++] = figure("bf16", bf16, NULL, 0, 2.0 * 12 * 32, t);
#endif
        figures[n++] = figure("bf16", bf16_converted, NULL, 0, 2.0 * 12 * WIDE / 4, t);
        figures[n++] = figure("f16", f16, NULL, 0, 2.0 * 12 * WIDE / 4, t);
        figures[n++] = figure("f32", f32, NULL, 0, 2.0 * 12 * WIDE / 4, t);
    }
    for (int i = 0; i < turns; i++)
        for (int j = 0; j < n; j++) turn(&figures[j]);
    for (int j = 0; j < n; j++) {
        struct figure *f = &figures[j];
        qsort(f->found, f->n, sizeof(double), ascending);
        double median = (f->found[(f->n - 1) / 2] + f->found[f->n / 2]) / 2;
        printf("%s %d %.6g %.6g\n", f->name, f->n_threads, f->found[f->n - 1], median);
    }
    return 0;
}
