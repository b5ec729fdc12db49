//! A small tokenizer that any engine accepts: byte-level BPE as GPT-2 has it, with a few merges of
//! common English, filled up to the vocabulary's size.

use std::collections::HashSet;

/// Tokens that must fit: all bytes and the control tokens.
pub(super) const MIN_VOCAB: u32 = 256 + CONTROL_TOKENS.len() as u32;

/// The end of text first. The others are there because llama.cpp looks for them in a file whose
/// name says Phi-3.
const CONTROL_TOKENS: [&str; 4] = ["<|endoftext|>", "<s>", "</s>", "<unk>"];

/// Values of `tokenizer.ggml.token_type`.
const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const UNUSED: i32 = 5;

/// Words whose pieces become merges.
const WORDS: &str = "the of and to in is that it for was on are with as be this have from or one \
    had by but not what all were when we there can an your which their said if will each about \
    how up out them then she many some so these would other into has more her two like him see \
    time could no make than first been its who now people my made over did down only way find use \
    may water long little very after words called just where most know";

pub(super) struct Tokenizer {
    pub tokens: Vec<String>,
    pub types: Vec<i32>,
    pub merges: Vec<String>,
    /// Begins and ends a text.
    pub end_of_text: u32,
}

/// The letter that stands for a byte in GPT-2's vocabulary: itself where printable, else one from
/// U+0100 on.
fn letter(byte: u8) -> char {
    let printable = |b: u8| matches!(b, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    if printable(byte) {
        char::from(byte)
    } else {
        let rank = (0..byte).filter(|&b| !printable(b)).count() as u32;
        char::from_u32(0x100 + rank).unwrap_or(char::REPLACEMENT_CHARACTER)
    }
}

/// A tokenizer of `n_vocab` tokens, at least [`MIN_VOCAB`].
pub(super) fn tokenizer(n_vocab: u32) -> Tokenizer {
    let n_vocab = n_vocab as usize;
    let mut tokens: Vec<String> = (0..=255).map(|b| letter(b).to_string()).collect();
    let end_of_text = tokens.len() as u32;
    tokens.extend(CONTROL_TOKENS.map(str::to_owned));

    let mut known: HashSet<String> = tokens.iter().cloned().collect();
    let mut merges = Vec::new();
    let space = letter(b' ');
    'words: for word in WORDS.split_whitespace() {
        let mut piece = space.to_string();
        for next in word.chars() {
            let joined = format!("{piece}{next}");
            if !known.contains(&joined) {
                if tokens.len() == n_vocab {
                    break 'words;
                }
                merges.push(format!("{piece} {next}"));
                known.insert(joined.clone());
                tokens.push(joined.clone());
            }
            piece = joined;
        }
    }
    let mut types = vec![NORMAL; tokens.len()];
    types[256..256 + CONTROL_TOKENS.len()].fill(CONTROL);
    for id in tokens.len()..n_vocab {
        tokens.push(format!("[PAD{id}]"));
        types.push(UNUSED);
    }
    Tokenizer { tokens, types, merges, end_of_text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_distinct_and_merges_lead_to_tokens() {
        for n_vocab in [MIN_VOCAB, 300, 512, 49_152] {
            let t = tokenizer(n_vocab);
            assert_eq!((t.tokens.len(), t.types.len()), (n_vocab as usize, n_vocab as usize));
            let known: HashSet<&str> = t.tokens.iter().map(String::as_str).collect();
            assert_eq!(known.len(), t.tokens.len());
            for merge in &t.merges {
                let (a, b) = merge.split_once(' ').unwrap();
                assert!(known.contains(a) && known.contains(b), "{merge}");
                assert!(known.contains(format!("{a}{b}").as_str()), "{merge}");
            }
        }
        assert!(tokenizer(512).tokens.contains(&"Ġthe".to_owned()));
        assert_eq!(tokenizer(512).tokens[b'\n' as usize], "Ċ");
    }
}
