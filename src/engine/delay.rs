//! A real engine made slower by a known share, so that a regression of known size can be staged.

use std::path::Path;
use std::sync::Arc;

use super::spec::{pairs, share};
use super::{Allocated, Engine, EngineError, EngineInfo, Planned, Resolved, Session};
use crate::clock::Clock;
use crate::settings::{Capabilities, Settings};
use crate::units::Nanos;

/// The wrapped engine and by how much its calls take longer.
pub struct Delay {
    inner: Box<dyn Engine>,
    prefill: f64,
    decode: f64,
}

impl Delay {
    /// Reads the parameters behind `?`: `prefill=5%`, `decode=5%`.
    pub fn parse(inner: Box<dyn Engine>, parameters: &str) -> Result<Delay, String> {
        let mut delay = Delay { inner, prefill: 0.0, decode: 0.0 };
        for pair in pairs(parameters) {
            let (key, value) = pair?;
            match key {
                "prefill" => delay.prefill = share(key, value)?,
                "decode" => delay.decode = share(key, value)?,
                _ => return Err(format!("unknown parameter `{key}`; there are prefill, decode")),
            }
        }
        Ok(delay)
    }
}

impl Engine for Delay {
    fn info(&self) -> EngineInfo {
        let mut info = self.inner.info();
        info.build = format!(
            "{}; slowed down on purpose: prefill {:.1} %, decode {:.1} %",
            info.build,
            100.0 * self.prefill,
            100.0 * self.decode
        );
        info
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.inner.clock()
    }

    fn load(&self, model: &Path, settings: &Settings) -> Result<Box<dyn Session>, EngineError> {
        Ok(Box::new(DelayedSession {
            inner: self.inner.load(model, settings)?,
            clock: self.inner.clock(),
            prefill: self.prefill,
            decode: self.decode,
        }))
    }

    fn plan(&self, model: &Path, settings: &Settings) -> Result<Option<Planned>, EngineError> {
        self.inner.plan(model, settings)
    }
}

struct DelayedSession {
    inner: Box<dyn Session>,
    clock: Arc<dyn Clock>,
    prefill: f64,
    decode: f64,
}

impl DelayedSession {
    fn stretched(
        &mut self,
        by: f64,
        call: impl FnOnce(&mut dyn Session) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let start = self.clock.now();
        call(self.inner.as_mut())?;
        let end = self.clock.now();
        self.clock.pass(Nanos((end.since(start).0 as f64 * by) as u64));
        Ok(())
    }
}

impl Session for DelayedSession {
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
        self.inner.rewind(n_past)
    }

    fn prefill(&mut self, tokens: &[u32]) -> Result<(), EngineError> {
        self.stretched(self.prefill, |inner| inner.prefill(tokens))
    }

    fn decode(&mut self, token: u32) -> Result<(), EngineError> {
        self.stretched(self.decode, |inner| inner.decode(token))
    }

    fn logits(&mut self) -> Result<&[f32], EngineError> {
        self.inner.logits()
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::by_name;
    use crate::settings::Settings;
    use std::path::Path;

    #[test]
    fn decode_takes_longer_by_the_share_asked_for_and_prefill_does_not() {
        let engine =
            by_name("delay:fake:prefill_ms=40,decode_ms=10,clock=scripted?decode=5%").unwrap();
        let clock = engine.clock();
        let mut session = engine.load(Path::new(""), &Settings::default()).unwrap();
        session.prefill(&[1]).unwrap();
        assert_eq!(clock.now().0, 40_000_000);
        session.decode(1).unwrap();
        assert_eq!(clock.now().0, 50_500_000);
        assert!(
            engine.info().build.contains("slowed down on purpose: prefill 0.0 %, decode 5.0 %")
        );
    }
}
