//! Warm-up and timed passes over a loaded session.

use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::{Stop, failed};
use crate::clock::Clock;
use crate::engine::Session;
use crate::plan::Cell;
use crate::record::{FailureKind, Sample};
use crate::settings::TokenFeed;

/// The passes of one invocation.
pub struct Passes<'a> {
    session: &'a mut dyn Session,
    clock: &'a dyn Clock,
    cell: &'a Cell,
    invocation: u32,
    tokens: Vec<u32>,
}

impl<'a> Passes<'a> {
    /// Passes of `cell` over `session`, timed by `clock`.
    pub fn new(
        session: &'a mut dyn Session,
        clock: &'a dyn Clock,
        cell: &'a Cell,
        invocation: u32,
    ) -> Passes<'a> {
        Passes { session, clock, cell, invocation, tokens: Vec::new() }
    }

    /// Puts `n_depth` tokens into the cache. They stay there: every pass goes back to them.
    pub fn fill_depth(&mut self) -> Result<(), Stop> {
        if self.cell.n_depth > 0 {
            self.draw(u64::MAX, self.cell.n_depth);
            self.session.prefill(&self.tokens)?;
        }
        Ok(())
    }

    /// A pass whose times nobody keeps. It also looks whether the model computes at all.
    pub fn warm_up(&mut self) -> Result<(), Stop> {
        self.pass(u64::MAX - 1, self.cell.n_warmup_gen())?;
        if !self.session.logits()?.iter().all(|logit| logit.is_finite()) {
            return Err(failed(
                FailureKind::Engine,
                "logits are not finite: the model computes nothing meaningful; `slmbench inspect FILE \
                 --values` looks for weights that are no numbers",
            ));
        }
        Ok(())
    }

    /// A pass whose every time is kept.
    pub fn timed(&mut self, repetition: u32) -> Result<Sample, Stop> {
        self.pass(u64::from(repetition), self.cell.n_gen)
    }

    fn pass(&mut self, stream: u64, n_gen: u32) -> Result<Sample, Stop> {
        let n_prompt = self.cell.n_prompt;
        // Prompt, then the token fed to each decode call. All are drawn before the clock starts.
        self.draw(stream, n_prompt + n_gen);
        self.session.rewind(self.cell.n_depth)?;
        let mut sample = Sample { itl_ns: Vec::with_capacity(n_gen as usize), ..Sample::default() };
        let mut next = self.tokens.get(n_prompt as usize).copied();

        let start = self.clock.now();
        let mut last = start;
        if n_prompt > 0 {
            self.session.prefill(&self.tokens[..n_prompt as usize])?;
            let evaluated = self.clock.now();
            next = self.choose(n_prompt)?;
            last = self.clock.now();
            sample.prefill_ns = Some(evaluated.since(start).0);
            sample.ttft_ns = Some(last.since(start).0);
        }
        for i in 0..n_gen {
            let token = next.expect("a token was drawn for every decode call");
            self.session.decode(token)?;
            next = self.choose(n_prompt + i + 1)?;
            let now = self.clock.now();
            sample.itl_ns.push(now.since(last).0);
            last = now;
        }
        sample.start_ns = start.0;
        Ok(sample)
    }

    /// The token fed next: the most probable one, or the one drawn for position `i`.
    fn choose(&mut self, i: u32) -> Result<Option<u32>, Stop> {
        match self.cell.feed {
            TokenFeed::Random => Ok(self.tokens.get(i as usize).copied()),
            TokenFeed::Greedy => {
                let logits = self.session.logits()?;
                let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
                Ok(best.map(|id| id as u32))
            }
        }
    }

    /// Draws `n` token ids: the same for the same seed, invocation and stream.
    fn draw(&mut self, stream: u64, n: u32) {
        let mut seed = [0u8; 32];
        seed[..8].copy_from_slice(&self.cell.token_seed.to_le_bytes());
        seed[8..12].copy_from_slice(&self.invocation.to_le_bytes());
        seed[16..24].copy_from_slice(&stream.to_le_bytes());
        seed[31] = 1;
        let mut random = Xoshiro256PlusPlus::from_seed(seed);
        // The generator starts close to its seed: let it leave.
        for _ in 0..16 {
            random.next_u64();
        }
        let n_vocab = u64::from(self.session.n_vocab().max(1));
        self.tokens.clear();
        self.tokens.extend((0..n).map(|_| (random.next_u64() % n_vocab) as u32));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Allocated, EngineError, Resolved, by_name};
    use crate::plan::{CellId, ModelSource};
    use crate::settings::Settings;
    use std::path::Path;

    fn cell(n_prompt: u32, n_gen: u32, n_depth: u32) -> Cell {
        Cell {
            id: CellId(String::new()),
            engine: "fake".into(),
            model: "m".into(),
            quant: "F16".into(),
            source: ModelSource::Synthetic { seed: 1, shape: String::new() },
            cpus: "all".into(),
            n_prompt,
            n_gen,
            n_depth,
            settings: Settings::default(),
            feed: TokenFeed::Random,
            soak: None,
            profile: false,
            repetitions: 1,
            warmup: 0,
            timeout_s: 60,
            token_seed: 5,
        }
    }

    fn sample(cell: &Cell) -> Sample {
        let script = "fake:prefill_ms=40,decode_ms=10,depth_token_us=1,clock=scripted";
        let engine = by_name(script).unwrap();
        let clock = engine.clock();
        let mut session = engine.load(Path::new(""), &Settings::default()).unwrap();
        let mut passes = Passes::new(session.as_mut(), clock.as_ref(), cell, 0);
        passes.fill_depth().ok().unwrap();
        passes.warm_up().ok().unwrap();
        passes.timed(0).ok().unwrap()
    }

    #[test]
    fn decode_starts_behind_depth_and_prompt_and_every_call_is_kept() {
        let sample = sample(&cell(3, 2, 100));
        assert_eq!(sample.prefill_ns, Some(40_100_000));
        assert_eq!(sample.ttft_ns, Some(40_100_000));
        assert_eq!(sample.itl_ns, [10_103_000, 10_104_000]);
    }

    /// A session that notes of every prefill behind how many tokens it began and how many there were.
    struct Noting {
        inner: Box<dyn Session>,
        n_past: u32,
        prefills: Vec<(u32, u32)>,
    }

    impl Session for Noting {
        fn resolved(&self) -> Resolved {
            self.inner.resolved()
        }

        fn allocated(&self) -> Option<Allocated> {
            self.inner.allocated()
        }

        fn n_vocab(&self) -> u32 {
            self.inner.n_vocab()
        }

        fn rewind(&mut self, n_past: u32) -> Result<(), EngineError> {
            self.n_past = n_past;
            self.inner.rewind(n_past)
        }

        fn prefill(&mut self, tokens: &[u32]) -> Result<(), EngineError> {
            self.prefills.push((self.n_past, tokens.len() as u32));
            self.n_past += tokens.len() as u32;
            self.inner.prefill(tokens)
        }

        fn decode(&mut self, token: u32) -> Result<(), EngineError> {
            self.n_past += 1;
            self.inner.decode(token)
        }

        fn logits(&mut self) -> Result<&[f32], EngineError> {
            self.inner.logits()
        }
    }

    #[test]
    fn the_depth_is_filled_once_and_every_pass_goes_back_to_it() {
        let engine = by_name("fake:clock=scripted").unwrap();
        let clock = engine.clock();
        let inner = engine.load(Path::new(""), &Settings::default()).unwrap();
        let mut session = Noting { inner, n_past: 0, prefills: Vec::new() };
        let cell = cell(3, 2, 100);
        let mut passes = Passes::new(&mut session, clock.as_ref(), &cell, 0);
        passes.fill_depth().ok().unwrap();
        passes.warm_up().ok().unwrap();
        for repetition in 0..3 {
            passes.timed(repetition).ok().unwrap();
        }
        assert_eq!(session.prefills, [(0, 100), (100, 3), (100, 3), (100, 3), (100, 3)]);
    }

    #[test]
    fn without_a_prompt_there_is_no_prefill_and_without_generation_no_decode() {
        let decode_only = sample(&cell(0, 2, 0));
        assert_eq!((decode_only.prefill_ns, decode_only.ttft_ns), (None, None));
        assert_eq!(decode_only.itl_ns, [10_000_000, 10_001_000]);
        let prefill_only = sample(&cell(4, 0, 0));
        assert_eq!(prefill_only.prefill_ns, Some(40_000_000));
        assert_eq!(prefill_only.decode_ns(), None);
    }

    #[test]
    fn tokens_depend_on_seed_invocation_and_repetition_and_on_nothing_else() {
        let engine = by_name("fake:clock=scripted").unwrap();
        let clock = engine.clock();
        let mut session = engine.load(Path::new(""), &Settings::default()).unwrap();
        let cell = cell(8, 0, 0);
        let mut drawn = |invocation, stream| {
            let mut passes = Passes::new(session.as_mut(), clock.as_ref(), &cell, invocation);
            passes.draw(stream, 8);
            passes.tokens.clone()
        };
        assert_eq!(drawn(0, 0), drawn(0, 0));
        assert_ne!(drawn(0, 0), drawn(0, 1));
        assert_ne!(drawn(0, 0), drawn(1, 0));
    }
}
