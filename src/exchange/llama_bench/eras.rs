//! Files of every era, for tests. They are reconstructed: made here from the lists of fields in
//! llama.cpp's sources and README, none is a file that llama-bench wrote.

use serde_json::{Value, json};

/// Keys of an era in their order, without samples.
pub struct Era {
    pub name: &'static str,
    pub keys: &'static str,
    /// `flash_attn` as a truth value.
    pub truth: bool,
}

pub const ERAS: [Era; 6] = [
    Era {
        name: "reconstructed, 2024: a truth value per backend, f16_kv, no depth",
        keys: "build_commit build_number cuda vulkan kompute metal sycl rpc gpu_blas blas cpu_info \
               gpu_info model_filename model_type model_size model_n_params n_batch n_ubatch \
               n_threads f16_kv n_gpu_layers split_mode main_gpu no_kv_offload flash_attn \
               tensor_split use_mmap embeddings n_prompt n_gen test_time avg_ns stddev_ns avg_ts \
               stddev_ts",
        truth: true,
    },
    Era {
        name: "reconstructed, April 2025: 33 fields",
        keys: "build_commit build_number cpu_info gpu_info backends model_filename model_type \
               model_size model_n_params n_batch n_ubatch n_threads cpu_mask cpu_strict poll type_k \
               type_v n_gpu_layers split_mode main_gpu no_kv_offload flash_attn tensor_split \
               use_mmap embeddings n_prompt n_gen n_depth test_time avg_ns stddev_ns avg_ts \
               stddev_ts",
        truth: true,
    },
    Era {
        name: "reconstructed, late 2025: devices, experts, overrides",
        keys: "build_commit build_number cpu_info gpu_info backends model_filename model_type \
               model_size model_n_params n_batch n_ubatch n_threads cpu_mask cpu_strict poll type_k \
               type_v n_gpu_layers n_cpu_moe split_mode main_gpu no_kv_offload flash_attn devices \
               tensor_split tensor_buft_overrides use_mmap embeddings no_op_offload no_host n_prompt \
               n_gen n_depth test_time avg_ns stddev_ns avg_ts stddev_ts",
        truth: true,
    },
    Era {
        name: "reconstructed, first half of 2026: direct I/O, fit",
        keys: "build_commit build_number cpu_info gpu_info backends model_filename model_type \
               model_size model_n_params n_batch n_ubatch n_threads cpu_mask cpu_strict poll type_k \
               type_v n_gpu_layers n_cpu_moe split_mode main_gpu no_kv_offload flash_attn devices \
               tensor_split tensor_buft_overrides use_mmap use_direct_io embeddings no_op_offload \
               no_host fit_target fit_min_ctx n_prompt n_gen n_depth test_time avg_ns stddev_ns \
               avg_ts stddev_ts",
        truth: true,
    },
    Era {
        name: "reconstructed, mid-2026: load_mode, flash_attn as a number, 40 fields",
        keys: "build_commit build_number cpu_info gpu_info backends model_filename model_type \
               model_size model_n_params n_batch n_ubatch n_threads cpu_mask cpu_strict poll type_k \
               type_v n_gpu_layers n_cpu_moe split_mode main_gpu no_kv_offload flash_attn devices \
               tensor_split tensor_buft_overrides load_mode embeddings no_op_offload no_host \
               fit_target fit_min_ctx n_prompt n_gen n_depth test_time avg_ns stddev_ns avg_ts \
               stddev_ts",
        truth: false,
    },
    Era {
        name: "reconstructed, late 2026: lazy_mode, repack, 42 fields",
        keys: "build_commit build_number cpu_info gpu_info backends model_filename model_type \
               model_size model_n_params n_batch n_ubatch n_threads cpu_mask cpu_strict poll type_k \
               type_v n_gpu_layers n_cpu_moe split_mode main_gpu no_kv_offload flash_attn devices \
               tensor_split tensor_buft_overrides load_mode lazy_mode embeddings no_op_offload \
               no_host repack fit_target fit_min_ctx n_prompt n_gen n_depth test_time avg_ns \
               stddev_ns avg_ts stddev_ts",
        truth: false,
    },
];

/// What stands under a key in the row of a prompt (0) or of a generation (1).
fn value(era: &Era, key: &str, row: usize) -> Value {
    match key {
        "build_commit" => json!("0123abcd"),
        "cpu_info" => json!("Cortex-A76, \"quoted\""),
        "gpu_info" => json!(""),
        "backends" => json!("CPU"),
        "model_filename" => json!("models/it's here, 1b.gguf"),
        "model_type" => json!("llama 1B Q4_K - Medium"),
        "cpu_mask" => json!("0x0"),
        "type_k" | "type_v" => json!("f16"),
        "split_mode" => json!("layer"),
        "devices" | "lazy_mode" => json!("auto"),
        "tensor_split" => json!("0.00"),
        "tensor_buft_overrides" => json!("none"),
        "load_mode" => json!("mmap"),
        "test_time" => json!("2026-11-26T09:26:17Z"),
        "flash_attn" if era.truth => json!(false),
        "flash_attn" | "n_gpu_layers" => json!(-1),
        "cuda" | "vulkan" | "kompute" | "metal" | "sycl" | "rpc" | "gpu_blas" | "blas"
        | "f16_kv" | "cpu_strict" | "no_kv_offload" | "use_direct_io" | "embeddings"
        | "no_host" => json!(false),
        "use_mmap" | "repack" => json!(true),
        "n_prompt" => json!([512, 0][row]),
        "n_gen" => json!([0, 128][row]),
        "model_size" => json!(807_690_240_u64),
        "model_n_params" => json!(1_235_814_432_u64),
        "avg_ns" => json!(1_234_567_891_u64),
        "stddev_ns" => json!(2_345_678),
        "avg_ts" => json!(414.723_456),
        "stddev_ts" => json!(0.75),
        _ => json!(0),
    }
}

/// Six decimals where the key is a speed.
fn number(key: &str, value: &Value) -> String {
    match value.as_f64() {
        Some(v) if key.ends_with("_ts") => format!("{v:.6}"),
        _ => value.to_string(),
    }
}

const SAMPLES: [(&str, &str); 2] =
    [("samples_ns", "[ 1233000000, 1236135782 ]"), ("samples_ts", "[ 415.247, 414.194 ]")];

/// The era's JSON, laid out as its printer does.
pub fn as_json(era: &Era) -> String {
    let row = |row| {
        let mut lines: Vec<String> = era
            .keys
            .split_whitespace()
            .map(|key| format!("    \"{key}\": {}", number(key, &value(era, key, row))))
            .collect();
        lines.extend(SAMPLES.map(|(key, list)| format!("    \"{key}\": {list}")));
        format!("  {{\n{}\n  }}", lines.join(",\n"))
    };
    format!("[\n{},\n{}\n]\n", row(0), row(1))
}

/// The same as JSONL, whose printer has no space before the last key.
pub fn as_jsonl(era: &Era) -> String {
    let row = |row| {
        let entries = era.keys.split_whitespace();
        let entry = |key| format!("\"{key}\": {}, ", number(key, &value(era, key, row)));
        let entries: String = entries.map(entry).collect();
        let [(ns, ns_list), (ts, ts_list)] = SAMPLES;
        format!("{{{entries}\"{ns}\": {ns_list},\"{ts}\": {ts_list}}}\n")
    };
    row(0) + &row(1)
}

/// The same as CSV: everything within quotes but the header, truth values as 0 and 1.
pub fn as_csv(era: &Era) -> String {
    let keys: Vec<&str> = era.keys.split_whitespace().collect();
    let row = |row| {
        let field = |key: &&str| {
            let text = match value(era, key, row) {
                Value::Bool(on) => u8::from(on).to_string(),
                Value::String(text) => text.replace('"', "\"\""),
                other => number(key, &other),
            };
            format!("\"{text}\"")
        };
        keys.iter().map(field).collect::<Vec<_>>().join(",")
    };
    format!("{}\n{}\n{}\n", keys.join(","), row(0), row(1))
}
