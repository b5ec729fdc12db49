//! What the survey's figures are called: its number of each, the name of its files, and what it shows.
//! The one list of them: a file is a figure's only if its name stands here.

/// A figure's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    /// The survey's number of it: `8a`.
    pub number: &'static str,
    /// Name of its files without their endings.
    pub stem: &'static str,
    /// What it shows.
    pub title: &'static str,
}

const fn name(number: &'static str, stem: &'static str, title: &'static str) -> Name {
    Name { number, stem, title }
}

/// Time of the first token.
pub const FIG_8A: Name = name("8a", "fig08a-first-token", "First-token time against parameters");
/// Time per token after it.
pub const FIG_8B: Name = name("8b", "fig08b-decode", "Decode latency against parameters");
/// Memory.
pub const FIG_8C: Name = name("8c", "fig08c-memory", "Memory against parameters");
/// Formats, prefill.
pub const FIG_9A: Name = name(
    "9a",
    "fig09a-quantisation-prefill",
    "First-token time against the prompt, by quantisation",
);
/// Formats, decode.
pub const FIG_9B: Name =
    name("9b", "fig09b-quantisation-decode", "Decode latency against tokens, by quantisation");
/// Devices, prefill.
pub const FIG_10A: Name =
    name("10a", "fig10a-devices-prefill", "First-token time against the prompt, by device");
/// Devices, decode.
pub const FIG_10B: Name =
    name("10b", "fig10b-devices-decode", "Decode latency against tokens, by device");
/// Phones, prefill.
pub const FIG_11A: Name = name(
    "11a",
    "fig11a-qwen-prefill",
    "First-token time of Qwen1.5-1.8B against the prompt, by device",
);
/// Phones, decode.
pub const FIG_11B: Name =
    name("11b", "fig11b-qwen-decode", "Decode latency of Qwen1.5-1.8B against tokens, by device");
/// Parts of the model.
pub const FIG_12A: Name = name("12a", "fig12a-layers", "Share of the time by part of the model");
/// Kinds of operation.
pub const FIG_12B: Name =
    name("12b", "fig12b-operations", "Share of the time by kind of operation");
/// A context of 2048.
pub const FIG_13A: Name = name("13a", "fig13a-memory-2048", "Memory by model at a context of 2048");
/// The longest context.
pub const FIG_13B: Name =
    name("13b", "fig13b-memory-max", "Memory by model at its longest context");

/// All of them in the survey's order.
pub const ALL: [Name; 13] = [
    FIG_8A, FIG_8B, FIG_8C, FIG_9A, FIG_9B, FIG_10A, FIG_10B, FIG_11A, FIG_11B, FIG_12A, FIG_12B,
    FIG_13A, FIG_13B,
];

/// Whether a file of this name is one of theirs.
pub fn is_figure(file: &str) -> bool {
    let stem = file.strip_suffix(".svg").or_else(|| file.strip_suffix(".csv"));
    ALL.iter().any(|name| stem == Some(name.stem))
}
