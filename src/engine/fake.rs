//! A scripted engine inside the real binary, so that everything above it is tested exactly: times,
//! noise, failures, hangs, crashes, rubbish on the pipe, memory use.
//!
//! | parameter | meaning |
//! |---|---|
//! | `load_ms` `prefill_ms` `decode_ms` | time of loading, of a prefill, of a decode call |
//! | `prefill_token_us` `depth_token_us` | added per prompt token; per token in the cache, to each call |
//! | `noise=2%` `seed=7` | standard deviation of every time, seeded; the tokens fed are mixed in |
//! | `clock=scripted` | time jumps instead of passing, and every number is exact |
//! | `memory_mb` | memory touched when loading |
//! | `fail=STAGE` `refuse=STAGE` `hang=STAGE` `crash=STAGE` `exit=STAGE` | at `load`, `prefill`, `decode`: an error, out of memory, no end, SIGSEGV, exit status 3 |
//! | `oom=STAGE` | the kernel's kill for memory: its counter rises, SIGKILL |
//! | `rubbish=STAGE` `half=STAGE` | a line that is no event; half a line, then the end |
//! | `protocol=N` | speaks this version of the protocol |
//! | `follow=wander` | each process is slower by the next number in the file `wander` of the folder that stands for the machine |
//! | `follow=clock` | as slow as the clock of the folder that stands for the machine; tells it in a file `busy` that it works |

use std::cell::RefCell;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::spec::{pairs, share};
use super::{
    Allocated, Engine, EngineError, EngineInfo, Op, OpCost, OpKind, OpSpan, ProfiledSession,
    Resolved, Session, Spans,
};
use crate::clock::{self, Clock, ScriptedClock};
use crate::ggml::GgmlType;
use crate::model::TensorGroup;
use crate::settings::{Capabilities, FlashAttn, LoadMode, MemoryRule, Settings};
use crate::units::Nanos;

const N_VOCAB: u32 = 256;

/// The descriptor of the child on which it speaks to its parent, beside the standard ones.
pub const EVENT_FD: i32 = 10;

/// The scripted engine.
#[derive(Clone)]
pub struct Fake {
    script: Script,
    clock: Arc<dyn Clock>,
}

#[derive(Clone, Debug, Default)]
struct Script {
    load_ns: u64,
    prefill_ns: u64,
    decode_ns: u64,
    prefill_token_ns: u64,
    depth_token_ns: u64,
    noise: f64,
    seed: u64,
    memory_bytes: usize,
    mishap: Option<(Mishap, Moment)>,
    protocol: Option<u32>,
    follows_clock: bool,
    wanders: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mishap {
    Fail,
    Refuse,
    Hang,
    Crash,
    Exit,
    Oom,
    Rubbish,
    Half,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Moment {
    Load,
    Prefill,
    Decode,
}

impl Fake {
    /// Reads the parameters behind `fake:`.
    pub fn parse(parameters: &str) -> Result<Fake, String> {
        let mut script =
            Script { prefill_ns: 40_000_000, decode_ns: 10_000_000, ..Script::default() };
        let mut clock = clock::monotonic();
        for pair in pairs(parameters) {
            let (key, value) = pair?;
            let ns = |unit: f64| -> Result<u64, String> {
                let number = value.parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0);
                number
                    .map(|n| (n * unit).round() as u64)
                    .ok_or_else(|| format!("{key} = `{value}`: expected a time such as 2.5"))
            };
            let whole = || {
                value
                    .parse::<u64>()
                    .map_err(|_| format!("{key} = `{value}`: expected a whole number"))
            };
            let mut mishap = |mishap| -> Result<(), String> {
                let moment = match value {
                    "load" => Moment::Load,
                    "prefill" => Moment::Prefill,
                    "decode" => Moment::Decode,
                    _ => {
                        return Err(format!(
                            "{key} = `{value}`: allowed are load, prefill, decode"
                        ));
                    }
                };
                script.mishap = Some((mishap, moment));
                Ok(())
            };
            match key {
                "load_ms" => script.load_ns = ns(1e6)?,
                "prefill_ms" => script.prefill_ns = ns(1e6)?,
                "decode_ms" => script.decode_ns = ns(1e6)?,
                "prefill_token_us" => script.prefill_token_ns = ns(1e3)?,
                "depth_token_us" => script.depth_token_ns = ns(1e3)?,
                "noise" => script.noise = share(key, value)?,
                "seed" => script.seed = whole()?,
                "memory_mb" => script.memory_bytes = (whole()?.min(1 << 20) as usize) << 20,
                "protocol" => script.protocol = Some(whole()? as u32),
                "follow" if value == "clock" => script.follows_clock = true,
                "follow" if value == "wander" => script.wanders = true,
                "follow" => {
                    return Err(format!("follow = `{value}`: allowed are clock, wander"));
                }
                "clock" if value == "scripted" => clock = Arc::new(ScriptedClock::default()),
                "clock" if value == "monotonic" => clock = clock::monotonic(),
                "clock" => {
                    return Err(format!("clock = `{value}`: allowed are scripted, monotonic"));
                }
                "fail" => mishap(Mishap::Fail)?,
                "refuse" => mishap(Mishap::Refuse)?,
                "hang" => mishap(Mishap::Hang)?,
                "crash" => mishap(Mishap::Crash)?,
                "exit" => mishap(Mishap::Exit)?,
                "oom" => mishap(Mishap::Oom)?,
                "rubbish" => mishap(Mishap::Rubbish)?,
                "half" => mishap(Mishap::Half)?,
                _ => {
                    return Err(format!(
                        "unknown parameter `{key}`; there are load_ms, prefill_ms, decode_ms, \
                         prefill_token_us, depth_token_us, noise, seed, clock, memory_mb, protocol, \
                         follow, \
                         fail, refuse, hang, crash, exit, oom, rubbish, half"
                    ));
                }
            }
        }
        Ok(Fake { script, clock })
    }
}

impl Engine for Fake {
    fn info(&self) -> EngineInfo {
        EngineInfo {
            name: "fake".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            build: "scripted".to_owned(),
            system: String::new(),
            below_machine: None,
        }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            archs: None,
            not_archs: Vec::new(),
            weight_types: None,
            kv_types: GgmlType::ALL.to_vec(),
            flash_attn: vec![FlashAttn::On, FlashAttn::Off, FlashAttn::Auto],
            flash_attn_for_values: false,
            load_modes: vec![LoadMode::Auto, LoadMode::Mmap, LoadMode::None, LoadMode::Mlock],
            devices: vec!["auto".to_owned(), "cpu".to_owned()],
            n_ctx_padding: 1,
            memory_rule: MemoryRule::default(),
            needs_model_file: false,
        }
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    fn load(&self, model: &Path, settings: &Settings) -> Result<Box<dyn Session>, EngineError> {
        Ok(self.load_profiled(model, settings)?)
    }

    fn load_profiled(
        &self,
        _model: &Path,
        settings: &Settings,
    ) -> Result<Box<dyn ProfiledSession>, EngineError> {
        let session = FakeSession {
            fake: self.clone(),
            random: RefCell::new(Xoshiro256PlusPlus::seed_from_u64(self.script.seed)),
            settings: settings.clone(),
            n_past: 0,
            slower: if self.script.wanders { next_of_wander() } else { 1.0 },
            // Written, so that it is resident and not only promised.
            memory: vec![1; self.script.memory_bytes],
            logits: (0..N_VOCAB).map(|id| -(id as f32)).collect(),
            takes_spans: false,
            spans: Vec::new(),
        };
        if let Some(protocol) = self.script.protocol {
            let info = serde_json::to_string(&self.info()).expect("plain data");
            write_to_pipe(&format!(
                "{{\"event\":\"hello\",\"protocol\":{protocol},\"engine\":{info}}}\n"
            ));
        }
        session.reach(Moment::Load)?;
        session.pass(self.script.load_ns);
        Ok(Box::new(session))
    }
}

struct FakeSession {
    fake: Fake,
    random: RefCell<Xoshiro256PlusPlus>,
    settings: Settings,
    n_past: u32,
    /// By how much this process is slower than the script.
    slower: f64,
    memory: Vec<u8>,
    logits: Vec<f32>,
    takes_spans: bool,
    spans: Vec<Spans>,
}

/// What a call is made of, in per cent of its time; the rest is nobody's.
const SCRIPTED_OPS: [(&str, OpKind, TensorGroup, Option<u32>, u64); 8] = [
    ("token_embd", OpKind::Lookup, TensorGroup::Embedding, None, 1),
    ("attn_norm", OpKind::Norm, TensorGroup::Norm, Some(0), 2),
    ("attn_qkv", OpKind::Matmul, TensorGroup::Attention, Some(0), 20),
    ("attn_scores", OpKind::Attention, TensorGroup::Attention, Some(0), 10),
    ("ffn_up", OpKind::Matmul, TensorGroup::Ffn, Some(0), 25),
    ("ffn_act", OpKind::Activation, TensorGroup::Ffn, Some(0), 4),
    ("ffn_down", OpKind::Matmul, TensorGroup::Ffn, Some(0), 15),
    ("output", OpKind::Matmul, TensorGroup::Output, None, 20),
];

/// What a scripted reading of the clock takes.
const STAMP_NS: u64 = 1000;

impl FakeSession {
    /// Lets a scripted time pass, with its noise.
    fn pass(&self, ns: u64) {
        let noise = self.fake.script.noise;
        let factor = if noise > 0.0 { (1.0 + noise * self.normal()).max(0.1) } else { 1.0 };
        let clock = if self.fake.script.follows_clock { slower_than_rated() } else { 1.0 };
        let ns = (ns as f64 * factor * clock * self.slower) as u64;
        if ns > 0 {
            self.fake.clock.pass(Nanos(ns));
        }
    }

    /// A standard normal number (Box-Muller).
    fn normal(&self) -> f64 {
        let mut random = self.random.borrow_mut();
        let mut uniform = || ((random.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        (-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos()
    }

    /// Does the mishap that is scripted for this moment.
    fn reach(&self, moment: Moment) -> Result<(), EngineError> {
        let Some((mishap, _)) = self.fake.script.mishap.filter(|&(_, when)| when == moment) else {
            return Ok(());
        };
        match mishap {
            Mishap::Fail => return Err(EngineError::Failed("scripted failure".to_owned())),
            Mishap::Refuse => return Err(EngineError::OutOfMemory("scripted refusal".to_owned())),
            Mishap::Hang => loop {
                std::thread::sleep(std::time::Duration::from_secs(3600));
            },
            Mishap::Crash => end_by(rustix::process::Signal::SEGV),
            Mishap::Exit => std::process::exit(3),
            Mishap::Oom => {
                pretend_oom_kill();
                end_by(rustix::process::Signal::KILL);
            }
            Mishap::Rubbish => write_to_pipe("just some chatter\n"),
            Mishap::Half => {
                write_to_pipe(r#"{"event":"sampled","sam"#);
                std::process::exit(0);
            }
        }
        Ok(())
    }
}

/// By how much the machine that a folder stands for is slower than its clock's maximum. Tells it that
/// somebody works.
fn slower_than_rated() -> f64 {
    let Some(root) = std::env::var_os("SLMBENCH_ROOT") else { return 1.0 };
    let root = Path::new(&root);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let _ = std::fs::write(root.join("busy"), now.unwrap_or_default().as_nanos().to_string());
    let policy = root.join("sys/devices/system/cpu/cpufreq/policy0");
    let khz = |file: &str| -> Option<f64> {
        std::fs::read_to_string(policy.join(file)).ok()?.trim().parse().ok()
    };
    match (khz("cpuinfo_max_freq"), khz("scaling_cur_freq")) {
        (Some(most), Some(now)) if now > 0.0 => most / now,
        _ => 1.0,
    }
}

/// The next number of the file `wander`, whose place is kept beside it: noise and drift between
/// processes, in the order in which they run.
fn next_of_wander() -> f64 {
    let Some(root) = std::env::var_os("SLMBENCH_ROOT") else { return 1.0 };
    let (file, place) = (Path::new(&root).join("wander"), Path::new(&root).join("wander-at"));
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let at = std::fs::read_to_string(&place).ok().and_then(|text| text.trim().parse().ok());
    let at: usize = at.unwrap_or(0);
    let _ = std::fs::write(place, (at + 1).to_string());
    text.lines().nth(at).and_then(|line| line.trim().parse().ok()).unwrap_or(1.0)
}

/// Writes past the protocol, straight to the parent.
fn write_to_pipe(text: &str) {
    let pipe = std::fs::OpenOptions::new().write(true).open(format!("/proc/self/fd/{EVENT_FD}"));
    if let Ok(mut pipe) = pipe {
        let _ = pipe.write_all(text.as_bytes());
    }
}

/// Ends this very process by a signal. The runtime's own handler of SIGSEGV lets the first one
/// pass, so it is sent until it has its way.
fn end_by(signal: rustix::process::Signal) -> ! {
    loop {
        let _ = rustix::process::kill_process(rustix::process::getpid(), signal);
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// Raises the kernel's counter of kills for memory, in the folder that stands for the machine.
fn pretend_oom_kill() {
    if let Some(root) = std::env::var_os("SLMBENCH_ROOT") {
        let file = Path::new(&root).join("proc/vmstat");
        if let Ok(mut file) = std::fs::OpenOptions::new().write(true).truncate(true).open(file) {
            let _ = file.write_all(b"oom_kill 1\n");
        }
    }
}

impl FakeSession {
    /// Notes the scripted parts of a call that began at `start`, and lets the time of that pass.
    fn tell_spans(&mut self, start: u64, n_tokens: u64) {
        if !self.takes_spans {
            return;
        }
        let ns = self.fake.clock.now().0 - start;
        let mut spans = Spans { n_stamps: 2 * SCRIPTED_OPS.len() as u64, ..Spans::default() };
        let mut at = start;
        for (i, (name, kind, part, layer, percent)) in SCRIPTED_OPS.into_iter().enumerate() {
            let ty = (kind == OpKind::Matmul).then_some(GgmlType::Q8_0);
            let op =
                Op { name: name.to_owned(), kind, part: Some(part), layer, ty, is_alone: false };
            let (ns, weights) = (ns * percent / 100, if ty.is_some() { 1 << 20 } else { 0 });
            let cost = OpCost {
                ns,
                calls: 1,
                ops: 2 * weights * n_tokens,
                bytes: weights + 4096 * n_tokens,
                memory_bytes: weights,
            };
            let span =
                OpSpan { op: i as u32, thread: 0, start_ns: at, end_ns: at + ns, busy_ns: ns };
            at += ns;
            spans.ops.push((op, cost));
            spans.spans.push(span);
        }
        self.fake.clock.pass(Nanos(STAMP_NS * spans.n_stamps));
        self.spans.push(spans);
    }
}

impl ProfiledSession for FakeSession {
    fn take_spans(&mut self, on: bool) {
        self.takes_spans = on;
        self.spans.clear();
    }

    fn stamp_ns(&self) -> Option<f64> {
        Some(STAMP_NS as f64)
    }

    fn spans(&mut self) -> Vec<Spans> {
        std::mem::take(&mut self.spans)
    }
}

impl Session for FakeSession {
    fn resolved(&self) -> Resolved {
        Resolved {
            n_threads: self.settings.n_threads.unwrap_or(1),
            n_ctx: self.settings.n_ctx.unwrap_or(0),
            n_batch: self.settings.n_batch,
            n_ubatch: self.settings.n_ubatch,
            flash_attn: self.settings.flash_attn != FlashAttn::Off,
            backend_device: "cpu".to_owned(),
            load_mode: "none".to_owned(),
        }
    }

    fn allocated(&self) -> Option<Allocated> {
        Some(Allocated { weight_bytes: self.memory.len() as u64, ..Allocated::default() })
    }

    fn n_vocab(&self) -> u32 {
        N_VOCAB
    }

    fn rewind(&mut self, n_past: u32) -> Result<(), EngineError> {
        self.n_past = n_past;
        Ok(())
    }

    fn prefill(&mut self, tokens: &[u32]) -> Result<(), EngineError> {
        self.reach(Moment::Prefill)?;
        if self.n_past == 0 && self.fake.script.noise > 0.0 {
            // Other tokens, other noise: invocations differ although the seed is one.
            let mixed = tokens.iter().fold(self.fake.script.seed, |h, &t| {
                (h ^ u64::from(t)).wrapping_mul(0x0000_0100_0000_01b3)
            });
            *self.random.borrow_mut() = Xoshiro256PlusPlus::seed_from_u64(mixed);
        }
        let script = &self.fake.script;
        let start = self.fake.clock.now().0;
        self.pass(
            script.prefill_ns
                + script.prefill_token_ns * tokens.len() as u64
                + script.depth_token_ns * u64::from(self.n_past),
        );
        self.n_past += tokens.len() as u32;
        self.tell_spans(start, tokens.len() as u64);
        Ok(())
    }

    fn decode(&mut self, _token: u32) -> Result<(), EngineError> {
        self.reach(Moment::Decode)?;
        let script = &self.fake.script;
        let start = self.fake.clock.now().0;
        self.pass(script.decode_ns + script.depth_token_ns * u64::from(self.n_past));
        self.n_past += 1;
        self.tell_spans(start, 1);
        Ok(())
    }

    fn logits(&mut self) -> Result<&[f32], EngineError> {
        Ok(&self.logits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(parameters: &str, tokens: &[u32]) -> Vec<u64> {
        let fake = Fake::parse(parameters).unwrap();
        let clock = fake.clock();
        let mut session = fake.load(Path::new(""), &Settings::default()).unwrap();
        let mut last = clock.now();
        let mut lap = || {
            let now = clock.now();
            let ns = now.since(last).0;
            last = now;
            ns
        };
        session.prefill(tokens).unwrap();
        let mut times = vec![lap()];
        for _ in 0..3 {
            session.decode(1).unwrap();
            times.push(lap());
        }
        times
    }

    #[test]
    fn the_script_is_kept_to_the_nanosecond() {
        let script =
            "prefill_ms=40,decode_ms=10,prefill_token_us=1,depth_token_us=2,clock=scripted";
        assert_eq!(times(script, &[1, 2, 3]), [40_003_000, 10_006_000, 10_008_000, 10_010_000]);
    }

    #[test]
    fn noise_is_the_same_for_the_same_tokens_and_differs_for_others() {
        let script = "noise=5%,seed=3,clock=scripted";
        assert_eq!(times(script, &[1, 2]), times(script, &[1, 2]));
        assert_ne!(times(script, &[1, 2]), times(script, &[1, 3]));
    }

    #[test]
    fn a_scripted_failure_is_an_error_at_its_moment() {
        let fake = Fake::parse("fail=decode,clock=scripted").unwrap();
        let mut session = fake.load(Path::new(""), &Settings::default()).unwrap();
        session.prefill(&[1]).unwrap();
        assert!(matches!(session.decode(1), Err(EngineError::Failed(_))));
    }
}
