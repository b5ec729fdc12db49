//! The keys of a suite file: what each means, what may stand behind it, what counts without it.
//!
//! The readers take the names from here, the JSON Schema everything. Bounds stand here and where
//! they are read; `tests/it/schemas.rs` holds one against the other, and the names against
//! `docs/suites.md`.

use super::matrix::{ENGINES, KV_TYPES};
use super::parse::MAX_SEED;
use super::range::MAX_COUNT;
use crate::settings::{FlashAttn, LoadMode, ProbeWhen, SoakUntil, TokenFeed};

/// A key of a suite file.
#[derive(Clone, Copy)]
pub(super) struct Key {
    pub name: &'static str,
    /// What it means, with its unit, in Markdown.
    pub about: &'static str,
    pub values: Values,
    pub absent: Absent,
}

/// What may stand behind a key.
#[derive(Clone, Copy)]
pub(super) enum Values {
    /// One value.
    One(Value),
    /// One value or a list.
    Axis(Value),
    /// Tables of conditions, in a list.
    Exclusions,
    /// Blocks headed `[[matrix]]` or `[[soak]]`.
    Blocks(&'static Block),
    /// A table.
    Table(&'static [Key]),
}

/// A kind of block.
pub(super) struct Block {
    pub title: &'static str,
    pub about: &'static str,
    pub keys: &'static [Key],
}

/// What one value may be.
#[derive(Clone, Copy)]
pub(super) enum Value {
    /// Any text.
    Text,
    /// What names folders.
    Name,
    /// A text that is not blank; these words are worth offering.
    Free(&'static [&'static str]),
    /// One of these words.
    Word(&'static [&'static str]),
    /// `true` or `false`.
    Truth,
    /// A whole number within these bounds.
    Number(u64, u64),
    /// A whole number within these bounds, or a range.
    Count(u32, u32),
    /// A whole number within these bounds, a range, or `auto`.
    AutoCount(u32, u32),
    /// Threads: as before, and a range may go up to `all`.
    Threads(u32, u32),
    /// An engine with its parameters.
    Engine,
    /// A file mix.
    Quant,
    /// CPUs by number.
    Cpus,
    /// A type of the KV cache.
    KvType,
}

/// What counts where a key is absent.
#[derive(Clone, Copy)]
pub(super) enum Absent {
    /// The key must be there.
    Refused,
    Number(u64),
    Text(&'static str),
    /// What these words say.
    Said(&'static str),
}

const fn key(name: &'static str, values: Values, absent: Absent, about: &'static str) -> Key {
    Key { name, about, values, absent }
}

const REPETITIONS: Key = key(
    "repetitions",
    Values::One(Value::Number(1, 100_000)),
    Absent::Number(5),
    "Timed passes in an invocation.",
);

const WARMUP: Key = key(
    "warmup",
    Values::One(Value::Number(0, 1_000)),
    Absent::Number(1),
    "Passes in an invocation before the first timed one.",
);

const INVOCATIONS: Key = key(
    "invocations",
    Values::One(Value::Number(1, 10_000)),
    Absent::Number(1),
    "Child processes per cell. From 3 on there are intervals.",
);

const TIMEOUT_S: Key = key(
    "timeout_s",
    Values::One(Value::Number(1, MAX_COUNT as u64)),
    Absent::Number(600),
    "Wall time in seconds after which an invocation is ended.",
);

/// The same key in a block.
const fn for_a_block(key: Key) -> Key {
    Key { absent: Absent::Said("what stands at the top of the suite"), ..key }
}

/// Keys at the top of a suite.
pub(super) const TOP: [Key; 12] = [
    key(
        "name",
        Values::One(Value::Name),
        Absent::Said("the file's name without `.toml`"),
        "What the suite is called; the folders of its runs carry the name. Letters, digits, `-`, \
         `_` and `.`, at most 64.",
    ),
    key(
        "description",
        Values::One(Value::Text),
        Absent::Text(""),
        "What the suite answers, in a sentence. `slmbench list suites` shows it.",
    ),
    REPETITIONS,
    WARMUP,
    INVOCATIONS,
    TIMEOUT_S,
    key(
        "seed",
        Values::One(Value::Number(0, MAX_SEED)),
        Absent::Number(1),
        "Seed of the order and of the token ids, not of the weights.",
    ),
    key(
        "feed",
        Values::One(Value::Word(TokenFeed::WORDS)),
        Absent::Text("random"),
        "Tokens that decode is fed: `random` ids from the seed, or `greedy`, the likeliest token \
         of the step before.",
    ),
    key(
        "probe",
        Values::One(Value::Word(ProbeWhen::WORDS)),
        Absent::Text("run"),
        "When the device's ceilings are probed, against which speeds are held: `run`, once before the \
         first cell; `cells`, besides for a second right before each invocation; `off`. Where every \
         engine is `fake` nothing is.",
    ),
    key(
        "gate",
        Values::Table(&GATE),
        Absent::Said("as its keys say; no waiting where every engine is `fake`"),
        "How the machine comes to rest before an invocation, where it has sensors of temperature.",
    ),
    key(
        "matrix",
        Values::Blocks(&Block {
            title: "Matrix",
            about: "A matrix: each value of each axis with each value of the others.",
            keys: &MATRIX,
        }),
        Absent::Said("none, where there is a `[[soak]]`"),
        "A block that spans a matrix: each value of each axis with each value of all others, less \
         what `exclude` takes out. Blocks add up; a cell named by several is measured once, as \
         often as the block that wants most of it.",
    ),
    key(
        "soak",
        Values::Blocks(&Block {
            title: "Soak",
            about: "Sustained runs: a matrix whose cells run without a pause until they are \
                    steady or their time is up.",
            keys: &SOAK,
        }),
        Absent::Said("none"),
        "A block that spans a matrix of sustained runs: its cells make their passes without a \
         pause, the model loaded once, and every pass has its place in time.",
    ),
];

/// Keys of the table `[gate]`.
pub(super) const GATE: [Key; 4] = [
    key(
        "baseline_s",
        Values::One(Value::Number(0, 3600)),
        Absent::Number(60),
        "Seconds at the beginning of a run in which the idle machine is looked at: its \
         temperatures and its power are what later ones are held against. With 0 nobody waits.",
    ),
    key(
        "least_s",
        Values::One(Value::Number(0, 3600)),
        Absent::Number(5),
        "Seconds that are waited before each invocation at least.",
    ),
    key(
        "hold_s",
        Values::One(Value::Number(0, 3600)),
        Absent::Number(10),
        "Seconds in a row in which all temperatures must be within 3 °C of the baseline, no flag \
         set and no clock capped lower than at the beginning.",
    ),
    key(
        "limit_s",
        Values::One(Value::Number(0, 86_400)),
        Absent::Number(900),
        "Seconds after which nobody waits any longer: the invocation runs and is marked, or is \
         refused with `--strict`.",
    ),
];

/// Keys of a `[[matrix]]` block.
pub(super) const MATRIX: [Key; 24] = [
    key(
        "engine",
        Values::Axis(Value::Engine),
        Absent::Refused,
        "Engines that run the cells: `reference`, the built-in one, and `llama-cpp`. To try the \
         program itself: `fake`, with parameters as in `fake:decode_ms=10`, and \
         `delay:ENGINE?decode=5%`, which slows another engine down.",
    ),
    key(
        "model",
        Values::Axis(Value::Free(&[])),
        Absent::Refused,
        "Models by their names in `models.toml`, which `slmbench list models` shows. With `*` or \
         `?` in it, as in `Qwen3-*`: every model by shape of such a name.",
    ),
    key(
        "quant",
        Values::Axis(Value::Quant),
        Absent::Refused,
        "File mixes that hold the weights, as llama.cpp names them; case does not matter. With \
         `@2024` behind, as in `Q4_K_M@2024`: by the rules of mid-2024.",
    ),
    key(
        "n_threads",
        Values::Axis(Value::Threads(1, 4096)),
        Absent::Text("auto"),
        "Threads that compute. `auto` is the number of physical cores, of the fast ones where \
         they differ, within the CPUs of the cell; `all` is every CPU, and a range may end with \
         it: `1..all*2` is 1, 2, 4 and so on, and all.",
    ),
    key(
        "cpus",
        Values::Axis(Value::Cpus),
        Absent::Text("all"),
        "CPUs the child process may use: `all`, `big` (the fast ones where they differ), or \
         numbers and spans such as `0,2-3`.",
    ),
    key(
        "n_prompt",
        Values::Axis(Value::Count(0, MAX_COUNT)),
        Absent::Number(0),
        "Tokens of the timed prefill. llama-bench's `pp512` is 512 here without `n_gen`.",
    ),
    key(
        "n_gen",
        Values::Axis(Value::Count(0, MAX_COUNT)),
        Absent::Number(0),
        "Decode calls timed after the prefill, a token each. llama-bench's `tg128` is 128 here \
         without `n_prompt`.",
    ),
    key(
        "n_depth",
        Values::Axis(Value::Count(0, MAX_COUNT)),
        Absent::Number(0),
        "Tokens in the KV cache before timing starts.",
    ),
    key(
        "n_ctx",
        Values::Axis(Value::AutoCount(1, MAX_COUNT)),
        Absent::Text("auto"),
        "Capacity of the KV cache in tokens. `auto` is what the cell needs: `n_depth + n_prompt + \
         n_gen`.",
    ),
    key(
        "n_batch",
        Values::Axis(Value::Count(1, MAX_COUNT)),
        Absent::Number(2048),
        "Logical batch: tokens handed to the engine in one call.",
    ),
    key(
        "n_ubatch",
        Values::Axis(Value::Count(1, MAX_COUNT)),
        Absent::Number(512),
        "Physical batch: tokens that go through the graph together, at most `n_batch`.",
    ),
    key(
        "type_k",
        Values::Axis(Value::KvType),
        Absent::Text("F16"),
        "Element type of the keys in the KV cache; case does not matter. Every `type_k` meets \
         every `type_v`; `type_kv` sets both to the same.",
    ),
    key(
        "type_v",
        Values::Axis(Value::KvType),
        Absent::Text("F16"),
        "Element type of the values in the KV cache; case does not matter. Every `type_k` meets \
         every `type_v`; `type_kv` sets both to the same.",
    ),
    key(
        "type_kv",
        Values::Axis(Value::KvType),
        Absent::Said("what `type_k` and `type_v` say"),
        "Element type of both keys and values in the KV cache; case does not matter. Stands \
         instead of `type_k` and `type_v`.",
    ),
    key(
        "flash_attn",
        Values::Axis(Value::Word(FlashAttn::WORDS)),
        Absent::Text("auto"),
        "Flash attention, `on` or `off`. `auto` is as the engine sees fit for the model and the \
         device.",
    ),
    key(
        "load_mode",
        Values::Axis(Value::Word(LoadMode::WORDS)),
        Absent::Text("auto"),
        "How weights come into memory: `mmap`, mapped from the file; `none`, read into memory of \
         the engine's own; `mlock`, mapped and locked. `auto` is as the engine does by itself.",
    ),
    key(
        "backend_device",
        Values::Axis(Value::Free(&["auto", "cpu"])),
        Absent::Text("auto"),
        "Device that computes: a ggml device by its name, or `cpu`. `auto` leaves it to the \
         engine.",
    ),
    key(
        "n_gpu_layers",
        Values::Axis(Value::AutoCount(0, MAX_COUNT)),
        Absent::Text("auto"),
        "Layers on `backend_device`. `auto` is all of them unless the device is the CPU.",
    ),
    for_a_block(REPETITIONS),
    for_a_block(WARMUP),
    for_a_block(INVOCATIONS),
    for_a_block(TIMEOUT_S),
    key(
        "profile",
        Values::One(Value::Truth),
        Absent::Said("`false`"),
        "With `true` each cell is profiled as well, in an invocation of its own: where the time goes, \
         operation by operation.",
    ),
    key(
        "exclude",
        Values::Exclusions,
        Absent::Said("nothing is left out"),
        "Cells that are left out: those to which every condition of one of these tables applies.",
    ),
];

/// Keys of a `[[soak]]` block: those of a matrix, with passes counted by time.
pub(super) const SOAK: [Key; 24] = {
    const AXES: usize = 18;
    let mut keys = [MATRIX[0]; 24];
    let mut i = 0;
    while i < AXES {
        keys[i] = MATRIX[i];
        i += 1;
    }
    keys[N_PROMPT_AT] = Key { absent: Absent::Number(512), ..keys[N_PROMPT_AT] };
    keys[N_PROMPT_AT + 1] = Key { absent: Absent::Number(128), ..keys[N_PROMPT_AT + 1] };
    keys[AXES] = key(
        "limit_s",
        Values::One(Value::Number(1, 86_400)),
        Absent::Number(1200),
        "Seconds from the beginning of the first pass after which no other begins.",
    );
    keys[AXES + 1] = key(
        "window_s",
        Values::One(Value::Number(1, 600)),
        Absent::Number(10),
        "Seconds over which speeds are averaged.",
    );
    keys[AXES + 2] = key(
        "until",
        Values::One(Value::Word(SoakUntil::WORDS)),
        Absent::Text("steady"),
        "`steady` ends earlier, when the speed has become steady; `limit` does not.",
    );
    keys[AXES + 3] = for_a_block(WARMUP);
    keys[AXES + 4] = for_a_block(INVOCATIONS);
    keys[AXES + 5] = MATRIX[MATRIX.len() - 1];
    keys
};

/// Where `n_prompt` stands among the keys of a matrix; `n_gen` is behind it.
const N_PROMPT_AT: usize = 5;

/// The names of these keys.
pub(super) const fn names<const N: usize>(keys: &[Key; N]) -> [&'static str; N] {
    let mut names = [""; N];
    let mut i = 0;
    while i < N {
        names[i] = keys[i].name;
        i += 1;
    }
    names
}

/// Engines that a word may begin with and end: all but `delay`, which wraps another.
pub(super) fn whole_engines() -> Vec<&'static str> {
    ENGINES.iter().copied().filter(|engine| *engine != "delay").collect()
}

/// Names of the types that a KV cache can have.
pub(super) fn kv_type_names() -> Vec<&'static str> {
    KV_TYPES.iter().map(|t| t.name()).collect()
}
