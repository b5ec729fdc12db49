//! A sustained run's passes as pieces of work in time, prefill and decode apart.

use super::{Record, Sample};
use crate::stats::soak::Piece;

/// One of the two things that a pass does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Work {
    /// The prompt's evaluation.
    Prefill,
    /// Decode calls.
    Decode,
}

impl Work {
    /// Both.
    pub const ALL: [Work; 2] = [Work::Prefill, Work::Decode];

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Work::Prefill => "prefill",
            Work::Decode => "decode",
        }
    }

    /// The pieces of this work in a pass, with times from `origin_ns` on. A prompt is one piece; decode
    /// calls are put together until they last for `grain_s`, so that a long pass fills many windows.
    pub fn pieces(
        self,
        sample: &Sample,
        n_prompt: u32,
        origin_ns: u64,
        grain_s: f64,
    ) -> Vec<Piece> {
        let Some((from_ns, to_ns)) = self.span_ns(sample) else { return Vec::new() };
        let piece = |end_ns: u64, ns: u64, tokens: f64| Piece {
            end_s: end_ns.saturating_sub(origin_ns) as f64 / 1e9,
            duration_s: ns as f64 / 1e9,
            tokens,
        };
        if self == Work::Prefill {
            return vec![piece(to_ns, to_ns - from_ns, n_prompt.into())];
        }
        let mut pieces = Vec::new();
        let (mut end_ns, mut ns, mut tokens) = (from_ns, 0, 0.0);
        for (i, gap) in sample.itl_ns.iter().enumerate() {
            end_ns += gap;
            ns += gap;
            tokens += 1.0;
            if ns as f64 >= grain_s * 1e9 || i + 1 == sample.itl_ns.len() {
                pieces.push(piece(end_ns, ns, tokens));
                (ns, tokens) = (0, 0.0);
            }
        }
        pieces
    }

    /// Tokens of this work in a pass.
    pub fn n_tokens(self, sample: &Sample, n_prompt: u32) -> f64 {
        match self {
            Work::Prefill => n_prompt.into(),
            Work::Decode => sample.itl_ns.len() as f64,
        }
    }

    /// Beginning and end of this work in a pass, on its clock.
    pub fn span_ns(self, sample: &Sample) -> Option<(u64, u64)> {
        match self {
            Work::Prefill => {
                let prefill = sample.prefill_ns?;
                Some((sample.start_ns, sample.start_ns.saturating_add(prefill)))
            }
            Work::Decode => {
                let decode = sample.decode_ns()?;
                let end = sample.end_ns();
                Some((end.saturating_sub(decode), end))
            }
        }
    }
}

impl Record {
    /// The beginning of its first pass, on the clock of the passes.
    pub fn origin_ns(&self) -> u64 {
        self.samples.first().map_or(0, |sample| sample.start_ns)
    }

    /// The pieces of one kind of work, from the beginning of the first pass on, none much longer than
    /// `grain_s` unless a single call is.
    pub fn pieces(&self, work: Work, grain_s: f64) -> Vec<Piece> {
        let origin = self.origin_ns();
        let pieces = |sample| work.pieces(sample, self.cell.n_prompt, origin, grain_s);
        self.samples.iter().flat_map(pieces).collect()
    }

    /// The same without the first pass, which pages in and allocates what the warm-up did not: what
    /// speeds are judged by.
    pub fn settled_pieces(&self, work: Work, grain_s: f64) -> Vec<Piece> {
        let origin = self.origin_ns();
        let pieces = |sample| work.pieces(sample, self.cell.n_prompt, origin, grain_s);
        self.samples.iter().skip(1).flat_map(pieces).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_pass_has_many_pieces_whose_times_and_tokens_add_up() {
        let sample = Sample {
            start_ns: 5_000_000_000,
            prefill_ns: Some(2_000_000_000),
            ttft_ns: Some(2_500_000_000),
            itl_ns: vec![400_000_000; 10],
        };
        let pieces = Work::Decode.pieces(&sample, 7, 5_000_000_000, 1.0);
        let ends: Vec<f64> = pieces.iter().map(|piece| piece.end_s).collect();
        let expected = [3.7, 4.9, 6.1, 6.5];
        assert!(ends.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9), "{ends:?}");
        assert_eq!(pieces.iter().map(|piece| piece.tokens).sum::<f64>(), 10.0);
        let seconds: f64 = pieces.iter().map(|piece| piece.duration_s).sum();
        assert!((seconds - 4.0).abs() < 1e-9);
        let prompt = Work::Prefill.pieces(&sample, 7, 5_000_000_000, 1.0);
        assert_eq!((prompt.len(), prompt[0].end_s, prompt[0].tokens), (1, 2.0, 7.0));
        let nothing = Sample::default();
        assert!(Work::Decode.pieces(&nothing, 7, 0, 1.0).is_empty());
    }
}
