// What llama.cpp allocated, per buffer type, handed over the C ABI; and decoding behind a net for
// what C++ throws, which must not reach Rust.
//
// llama.cpp tells these bytes only through a C++ function whose header is not installed
// (`llama_get_memory_breakdown`, src/llama-ext.h). The bindings are pinned to one version, so the
// declaration is repeated here: no include path of another crate has to be guessed, and a renamed
// function or another parameter fails at link time. The Rust side compares the sums with what
// llama.cpp says elsewhere (see its tests), which is what would notice a changed record.

#include <cstddef>
#include <cstdint>
#include <map>
#include <new>

struct llama_context;
struct ggml_backend_buffer_type;

struct llama_memory_breakdown_data {
    size_t model;
    size_t context;
    size_t compute;
};

std::map<ggml_backend_buffer_type *, llama_memory_breakdown_data>
llama_get_memory_breakdown(const llama_context * ctx);

extern "C" {

// As in llama.h. The Rust side holds size and place of every field against its own bindings when
// it is compiled.
struct llama_batch {
    int32_t    n_tokens;
    int32_t  * token;
    float    * embd;
    int32_t  * pos;
    int32_t  * n_seq_id;
    int32_t ** seq_id;
    int8_t   * logits;
};

int32_t llama_decode(llama_context * ctx, llama_batch batch);
void    llama_synchronize(llama_context * ctx);

// Codes that llama_decode has not.
constexpr int32_t SLMBENCH_OUT_OF_MEMORY = INT32_MIN;
constexpr int32_t SLMBENCH_THREW = INT32_MIN + 1;

// Runs the batch and waits for the device. Answers the code of llama_decode, or one of the two.
int32_t slmbench_decode(llama_context * ctx, const llama_batch * batch) noexcept {
    try {
        const int32_t code = llama_decode(ctx, *batch);
        llama_synchronize(ctx);
        return code;
    } catch (const std::bad_alloc &) {
        return SLMBENCH_OUT_OF_MEMORY;
    } catch (...) {
        return SLMBENCH_THREW;
    }
}

struct slmbench_memory_row {
    ggml_backend_buffer_type * buft;
    uint64_t model;
    uint64_t context;
    uint64_t compute;
};

// Writes up to `capacity` rows and returns how many there are in all; SIZE_MAX when C++ threw.
size_t slmbench_memory_breakdown(const llama_context * ctx, slmbench_memory_row * rows,
                                 size_t capacity) noexcept {
    try {
        size_t n = 0;
        for (const auto & entry : llama_get_memory_breakdown(ctx)) {
            if (n < capacity) {
                const llama_memory_breakdown_data & data = entry.second;
                rows[n] = { entry.first, data.model, data.context, data.compute };
            }
            n++;
        }
        return n;
    } catch (...) {
        return SIZE_MAX;
    }
}

}
