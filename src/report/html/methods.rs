//! What the numbers mean and how they come about, beside the numbers, and the command that makes them
//! again. `docs/methods.md` tells more.

use super::page::{Block, Prose, Section};
use crate::record::RunInfo;

const TERMS: [(&str, &str); 16] = [
    (
        "Cell, invocation, repetition",
        "A cell is one point of the matrix. An invocation is one process that measures one cell once. \
         A repetition is one timed pass within it. The unit of statistics is the invocation.",
    ),
    ("Estimate", "The geometric mean, over invocations, of the median of their repetitions."),
    (
        "95 % interval",
        "Student's t on logarithms over invocations. Below three invocations there is none: `*` marks \
         the smallest and the largest repetition, which say nothing about the next process.",
    ),
    (
        "Prefill, `pp`",
        "`n_prompt` tokens evaluated in one call: from its start until the logits of the last token \
         are available. No tokenising, no sampling.",
    ),
    (
        "Decode, `tg`",
        "`n_gen` tokens one by one after that. It stands at depth `n_depth + n_prompt`, and is \
         labelled with it: `tg64 @ d128`.",
    ),
    ("TTFT", "Prompt handed over until the first token is chosen; no tokenising."),
    ("TPOT", "(time of the last token − time of the first) ÷ `n_gen`."),
    (
        "ITL",
        "The gap between neighbouring tokens; every one is kept. Its quantiles are those of all \
         gaps of an invocation together, so that a stutter stays in the tail.",
    ),
    (
        "Effective bits per weight, `bpw`",
        "8 × bytes of all tensors ÷ unique parameters: what a quantisation's name hides.",
    ),
    (
        "Front",
        "A mix that no other beats: none of the same model, engine and settings keeps as many bits \
         per weight and decodes as fast. Bits stand for what a mix keeps of the model; how good its \
         answers are is not measured here.",
    ),
    (
        "Peak memory, unaccounted",
        "The largest resident set of the process, read from outside. Unaccounted is what of it \
         belongs to nothing that is known of; it is shown, never hidden, and may be below zero.",
    ),
    (
        "Of device, `mem`, `peak`",
        "Decode: bytes of weights and cache that a token has to read × tokens per second ÷ the \
         bandwidth that was probed on this device. Prefill: the least time that its operations take at \
         the probed peak ÷ the time they took. Above 100 % caches held part of what was read.",
    ),
    (
        "Throttled",
        "A clock, a flag, a counter or a cooling state says that heat or power held the machine \
         back. A slowdown without such a witness is called one of unknown cause.",
    ),
    ("Disturbed", "Other processes, the hypervisor or memory pressure took part of the machine."),
    (
        "Below machine",
        "The engine was built for less than the machine has; its figures are lower for it.",
    ),
    (
        "Verdicts",
        "`regressed` and `improved` where the interval of the ratio lies beyond the threshold, `same` \
         where it lies within, `unclear` where it does neither, `not_comparable` where the machine \
         or its state differs. Every measure is a cost: more is worse.",
    ),
];

/// The section.
pub fn section(run: &RunInfo, id: &str) -> Section {
    let terms = TERMS.iter().map(|(term, text)| ((*term).replace('`', ""), Prose::new(text)));
    Section {
        id: format!("{id}-methods"),
        title: "Methods".to_owned(),
        blocks: vec![
            Block::Text(Prose::new("The same again, with the same order and the same tokens:")),
            Block::Command(super::super::text::plain(&run.command)),
            Block::Terms(terms.collect()),
            Block::Text(Prose::new(
                "All numbers stand beside this page: `cells.csv` (a row per cell), `samples.csv` \
                 (per repetition), `tokens.csv` (per token), `records.jsonl` (everything). `slmbench \
                 report` makes tables, plots and this page anew from `records.jsonl`.",
            )),
        ],
    }
}
