//! A row of llama-bench: one process, one test. Known fields have types, all others are kept as they
//! came, and so is the order of the keys: what was read is written back with nothing lost.
//!
//! Fields and their meaning are those of `tools/llama-bench` in llama.cpp, over the years;
//! `docs/exchange.md` lists them. A field that an era does not have is absent.

use std::collections::BTreeMap;

use serde_json::{Number, Value};

use super::error::ReadErrorKind;

/// How a value is spelled: CSV knows only text, JSON has types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    Text,
    Json,
}

/// What SQL calls a field's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SqlType {
    Text,
    Integer,
    Real,
    /// A list: JSON and JSONL have it, the others do not.
    List,
}

/// A setting that some eras write as a truth value and some as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// `true` or `false`.
    Bool(bool),
    /// 0, 1, or another number that has a meaning: −1 is `auto` of `flash_attn`.
    Number(i64),
}

impl Switch {
    /// Whether it is on; `None` where that was left to the program.
    pub fn is_on(self) -> Option<bool> {
        match self {
            Switch::Bool(on) => Some(on),
            Switch::Number(n) if n < 0 => None,
            Switch::Number(n) => Some(n != 0),
        }
    }
}

/// A value that a field can hold.
trait Held: Sized {
    const SQL: SqlType;
    const WANTED: &'static str;

    fn of(value: &Value, spelling: Spelling) -> Option<Self>;

    fn value(&self) -> Value;

    /// Whether `value` says that there is none.
    fn is_none(value: &Value, spelling: Spelling) -> bool {
        value.is_null() || (spelling == Spelling::Text && value.as_str() == Some(""))
    }
}

fn parsed<T: std::str::FromStr>(value: &Value, spelling: Spelling) -> Option<T> {
    match (spelling, value) {
        (Spelling::Text, Value::String(text)) => text.trim().parse().ok(),
        _ => None,
    }
}

impl Held for String {
    const SQL: SqlType = SqlType::Text;
    const WANTED: &'static str = "a text";

    fn of(value: &Value, _: Spelling) -> Option<String> {
        value.as_str().map(str::to_owned)
    }

    fn value(&self) -> Value {
        Value::String(self.clone())
    }

    fn is_none(value: &Value, _: Spelling) -> bool {
        value.is_null()
    }
}

impl Held for u64 {
    const SQL: SqlType = SqlType::Integer;
    const WANTED: &'static str = "a whole number from 0 on";

    fn of(value: &Value, spelling: Spelling) -> Option<u64> {
        value.as_u64().or_else(|| parsed(value, spelling))
    }

    fn value(&self) -> Value {
        Value::from(*self)
    }
}

impl Held for i64 {
    const SQL: SqlType = SqlType::Integer;
    const WANTED: &'static str = "a whole number";

    fn of(value: &Value, spelling: Spelling) -> Option<i64> {
        value.as_i64().or_else(|| parsed(value, spelling))
    }

    fn value(&self) -> Value {
        Value::from(*self)
    }
}

impl Held for f64 {
    const SQL: SqlType = SqlType::Real;
    const WANTED: &'static str = "a finite number";

    fn of(value: &Value, spelling: Spelling) -> Option<f64> {
        value.as_f64().or_else(|| parsed(value, spelling)).filter(|v| v.is_finite())
    }

    fn value(&self) -> Value {
        Number::from_f64(*self).map_or(Value::Null, Value::Number)
    }
}

impl Held for Switch {
    const SQL: SqlType = SqlType::Integer;
    const WANTED: &'static str = "true, false or a whole number";

    fn of(value: &Value, spelling: Spelling) -> Option<Switch> {
        if let Value::Bool(on) = value {
            return Some(Switch::Bool(*on));
        }
        match parsed::<bool>(value, spelling) {
            Some(on) => Some(Switch::Number(on.into())),
            None => i64::of(value, spelling).map(Switch::Number),
        }
    }

    fn value(&self) -> Value {
        match *self {
            Switch::Bool(on) => Value::Bool(on),
            Switch::Number(n) => Value::from(n),
        }
    }
}

impl<T: Held> Held for Vec<T> {
    const SQL: SqlType = SqlType::List;
    const WANTED: &'static str = "a list of numbers";

    fn of(value: &Value, spelling: Spelling) -> Option<Vec<T>> {
        value.as_array()?.iter().map(|v| T::of(v, spelling)).collect()
    }

    fn value(&self) -> Value {
        Value::Array(self.iter().map(T::value).collect())
    }
}

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

/// A value in a message, cut where it is long.
fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => format!("`{text}`"),
        other => other.to_string(),
    };
    if text.chars().count() > 60 { text.chars().take(60).chain(['…']).collect() } else { text }
}
