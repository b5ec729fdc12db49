//! A row of llama-bench: one process, one test. Known fields have types, all others are kept as they
//! came, and so is the order of the keys: what was read is written back with nothing lost.
//!
//! Fields and their meaning are those of `tools/llama-bench` in llama.cpp, over the years;
//! `docs/exchange.md` lists them. A field that an era does not have is absent.

use std::collections::BTreeMap;

use serde_json::Value;

use super::error::ReadErrorKind;
use super::held::{Held, Spelling, SqlType, Switch, shown};

macro_rules! rows {
    (
        needed { $($(#[$ndoc:meta])* $needed:ident: $ntype:ty,)* }
        maybe { $($(#[$mdoc:meta])* $maybe:ident: $mtype:ty,)* }
    ) => {
        /// A row of llama-bench.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct Row {
            $($(#[$ndoc])* pub $needed: $ntype,)*
            $($(#[$mdoc])* pub $maybe: Option<$mtype>,)*
            /// Every other key with its value.
            pub other: BTreeMap<String, Value>,
            /// All keys in the order in which they are written.
            pub keys: Vec<String>,
        }

        /// Keys without which a row says nothing.
        pub(super) const NEEDED: &[&str] = &[$(stringify!($needed),)*];

        impl Row {
            /// Gives `key` a value and a place behind the keys before it.
            pub(super) fn put(
                &mut self,
                key: String,
                value: Value,
                spelling: Spelling,
            ) -> Result<(), ReadErrorKind> {
                let wrong = |wanted| ReadErrorKind::Value {
                    key: key.clone(),
                    found: shown(&value),
                    wanted,
                };
                match key.as_str() {
                    $(stringify!($needed) => {
                        self.$needed = <$ntype>::of(&value, spelling)
                            .ok_or_else(|| wrong(<$ntype>::WANTED))?;
                    })*
                    $(stringify!($maybe) => {
                        self.$maybe = if <$mtype>::is_none(&value, spelling) {
                            None
                        } else {
                            let held = <$mtype>::of(&value, spelling);
                            Some(held.ok_or_else(|| wrong(<$mtype>::WANTED))?)
                        };
                    })*
                    _ => { self.other.insert(key.clone(), value); }
                }
                self.keys.push(key);
                Ok(())
            }

            /// What `key` holds; `Null` where it holds nothing.
            pub fn value(&self, key: &str) -> Value {
                match key {
                    $(stringify!($needed) => Held::value(&self.$needed),)*
                    $(stringify!($maybe) => {
                        self.$maybe.as_ref().map_or(Value::Null, Held::value)
                    })*
                    _ => self.other.get(key).cloned().unwrap_or(Value::Null),
                }
            }
        }

        /// The type of a key's values.
        pub(super) fn sql_type(key: &str) -> SqlType {
            match key {
                $(stringify!($needed) => <$ntype>::SQL,)*
                $(stringify!($maybe) => <$mtype>::SQL,)*
                _ => SqlType::Text,
            }
        }
    };
}

rows! {
    needed {
        /// Architecture, size and file type: `llama 1B Q4_0`.
        model_type: String,
        /// Prompt tokens; 0 where none were evaluated in the timed region.
        n_prompt: u64,
        /// Generated tokens; 0 where none were.
        n_gen: u64,
        /// Mean time of a repetition.
        avg_ns: u64,
    }
    maybe {
        /// Commit of the program that measured.
        build_commit: String,
        /// Its number; 0 where it is not known.
        build_number: i64,
        /// CPUs.
        cpu_info: String,
        /// GPUs; empty where there are none.
        gpu_info: String,
        /// Backends: `CPU`, `CUDA`. Older eras have a truth value for each.
        backends: String,
        /// The model's file.
        model_filename: String,
        /// Bytes of its tensors.
        model_size: u64,
        /// Parameters, every element of every tensor.
        model_n_params: u64,
        /// Logical batch.
        n_batch: u64,
        /// Physical batch.
        n_ubatch: u64,
        /// Threads.
        n_threads: u64,
        /// CPUs that threads may use, as a hexadecimal mask; `0x0` is all.
        cpu_mask: String,
        /// Whether each thread has a CPU of its own.
        cpu_strict: Switch,
        /// How eagerly waiting threads look for work, 0 to 100.
        poll: i64,
        /// Element type of the cached keys.
        type_k: String,
        /// Element type of the cached values.
        type_v: String,
        /// Layers on the GPU; −1 is all.
        n_gpu_layers: i64,
        /// Layers whose experts stay on the CPU.
        n_cpu_moe: i64,
        /// How layers are spread over GPUs.
        split_mode: String,
        /// The main GPU.
        main_gpu: i64,
        /// Whether the KV cache stays off the GPU.
        no_kv_offload: Switch,
        /// Flash attention: a truth value until 2025, then off 0, on 1, auto −1.
        flash_attn: Switch,
        /// Devices asked for.
        devices: String,
        /// Shares of the GPUs.
        tensor_split: String,
        /// Tensors that are put elsewhere.
        tensor_buft_overrides: String,
        /// Whether the file is mapped; until mid-2026.
        use_mmap: Switch,
        /// Whether the file is read past the page cache; in the first half of 2026.
        use_direct_io: Switch,
        /// How the file is loaded; since mid-2026.
        load_mode: String,
        /// Whether a mapped file is read when its pages are first used; since late 2026.
        lazy_mode: String,
        /// Whether embeddings are computed.
        embeddings: Switch,
        /// Whether operations stay where their weights are.
        no_op_offload: Switch,
        /// Whether host buffers are passed by.
        no_host: Switch,
        /// Whether weights may be laid out anew for the CPU; since late 2026.
        repack: Switch,
        /// Memory that is to be left free on devices, MiB.
        fit_target: i64,
        /// The smallest context to fit in.
        fit_min_ctx: i64,
        /// Tokens in the cache when timing starts.
        n_depth: u64,
        /// When the test began, RFC 3339.
        test_time: String,
        /// Standard deviation of the repetitions' times.
        stddev_ns: u64,
        /// Mean of the repetitions' tokens per second.
        avg_ts: f64,
        /// Standard deviation of the repetitions' tokens per second.
        stddev_ts: f64,
        /// Time of every repetition; JSON and JSONL have it.
        samples_ns: Vec<u64>,
        /// Tokens per second of every repetition.
        samples_ts: Vec<f64>,
    }
}

impl Row {
    /// Tokens of one repetition.
    pub fn n_tokens(&self) -> u64 {
        self.n_prompt.saturating_add(self.n_gen)
    }

    /// The test in llama-bench's words: `pp512`, `tg128 @ d512`, `pp512+tg128`.
    pub fn test(&self) -> String {
        let test = match (self.n_prompt, self.n_gen) {
            (p, 0) => format!("pp{p}"),
            (0, g) => format!("tg{g}"),
            (p, g) => format!("pp{p}+tg{g}"),
        };
        match self.n_depth.unwrap_or(0) {
            0 => test,
            depth => format!("{test} @ d{depth}"),
        }
    }

    /// How the file was loaded, in the words of mid-2026 whatever the row's era.
    pub fn load_mode(&self) -> Option<&str> {
        let on = |switch: Option<Switch>| switch.and_then(Switch::is_on);
        match (&self.load_mode, on(self.use_direct_io), on(self.use_mmap)) {
            (Some(mode), ..) => Some(mode),
            (None, Some(true), _) => Some("dio"),
            (None, _, Some(true)) => Some("mmap"),
            (None, _, Some(false)) => Some("none"),
            (None, _, None) => None,
        }
    }
}
