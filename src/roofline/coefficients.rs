//! How near engines come to a device's ceilings: coefficients as data, each set with where it is from.
//!
//! `coefficients.toml` holds them: priors, which say what is expected of an engine's kernels before
//! anything was measured, and fits, which `slmbench predict --fit` makes of runs. A class of machine
//! is named by the instructions with which bytes are multiplied, for by these an engine chooses its
//! kernels. `docs/predict.md` tells what each coefficient means.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::task::Phase;
use crate::ggml::GgmlType;
use crate::probe::{Number, Probe, Unit};

/// The coefficients that come with the program.
const BUILT_IN: &str = include_str!("coefficients.toml");

/// The class of machines with tile units for bytes.
pub const AMX: &str = "amx";
/// Stands for every class that has no entry of its own.
const ANY: &str = "any";

/// How near an engine comes to the ceilings of a class of machines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Coefficients {
    /// Share of the bandwidth at which weights and cache are read.
    pub memory: f64,
    /// Microseconds that a step of the graph takes beside its arithmetic, and beside handing it out.
    pub step_us: f64,
    /// Numbers touched between products, as a share of the single-precision peak.
    pub touched: f64,
    /// Of the prompt.
    pub prefill: PhaseCoefficients,
    /// Of one token after the other.
    pub decode: PhaseCoefficients,
}

/// Those of a phase. All are shares of a peak.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhaseCoefficients {
    /// Attention in one step, of the single-precision peak.
    pub attention: f64,
    /// Attention in several steps.
    pub attention_plain: f64,
    /// Attention with a quantised cache.
    pub attention_quantised: f64,
    /// Products with weights, by the weights' type, of the peak of the type's kind of number.
    pub weights: BTreeMap<GgmlType, f64>,
}

impl Coefficients {
    /// Those of a phase.
    pub fn phase(&self, phase: Phase) -> &PhaseCoefficients {
        match phase {
            Phase::Prefill => &self.prefill,
            Phase::Decode => &self.decode,
        }
    }

    /// With three digits of each.
    pub fn rounded(&self) -> Coefficients {
        let phase = |of: &PhaseCoefficients| PhaseCoefficients {
            attention: three_digits(of.attention),
            attention_plain: three_digits(of.attention_plain),
            attention_quantised: three_digits(of.attention_quantised),
            weights: of.weights.iter().map(|(ty, share)| (*ty, three_digits(*share))).collect(),
        };
        Coefficients {
            memory: three_digits(self.memory),
            step_us: three_digits(self.step_us),
            touched: three_digits(self.touched),
            prefill: phase(&self.prefill),
            decode: phase(&self.decode),
        }
    }
}

fn three_digits(value: f64) -> f64 {
    format!("{value:.2e}").parse().unwrap_or(value)
}

impl PhaseCoefficients {
    /// That of attention as it is computed.
    pub fn attention(&self, flash_attn: bool, quantised_cache: bool) -> f64 {
        match (quantised_cache, flash_attn) {
            (true, _) => self.attention_quantised,
            (false, true) => self.attention,
            (false, false) => self.attention_plain,
        }
    }

    /// That of products with weights of type `ty`; of a type that nobody has met the lowest of all.
    pub fn weights(&self, ty: GgmlType) -> f64 {
        let lowest = || self.weights.values().copied().fold(1.0, f64::min);
        self.weights.get(&ty).copied().unwrap_or_else(lowest)
    }
}

/// What is expected of an engine before it was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prior {
    /// The engine.
    pub engine: String,
    /// The class of machines; `any` for all others.
    pub class: String,
    /// Where it is from.
    pub basis: String,
    /// The coefficients.
    #[serde(flatten)]
    pub coefficients: Coefficients,
}

/// What measured cells say of an engine on a class of machines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// The engine.
    pub engine: String,
    /// The class of machines.
    pub class: String,
    /// Machines on which was measured.
    pub machines: Vec<String>,
    /// When, UTC.
    pub date: String,
    /// Models that were measured.
    pub models: Vec<String>,
    /// Their architectures.
    pub archs: BTreeSet<String>,
    /// How well a model is predicted by the others, prefill.
    pub prefill_error: Spread,
    /// The same, decode.
    pub decode_error: Spread,
    /// The coefficients.
    #[serde(flatten)]
    pub coefficients: Coefficients,
}

/// How far what was measured lies from what the other models let expect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    /// Cells.
    pub n_cells: usize,
    /// Types of the weights that were met.
    pub types: BTreeSet<GgmlType>,
    /// Median of |predicted ÷ measured − 1| of speeds.
    pub median: f64,
    /// Measured ÷ predicted time: a tenth lies below.
    pub q10: f64,
    /// Measured ÷ predicted time: a tenth lies above.
    pub q90: f64,
}

/// The interval of an engine that was never measured on a class of machines.
const UNMEASURED: (f64, f64) = (0.5, 2.0);
/// Intervals of an architecture or of types that were never measured are so much wider, in logarithms.
const UNSEEN: f64 = 1.5;
/// A tenth lies outside at either side, so with fewer cells than this there is no interval.
const FEWEST_CELLS: usize = 10;

/// All coefficients that there are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Book {
    /// What is expected.
    #[serde(default, rename = "prior")]
    pub priors: Vec<Prior>,
    /// What was found.
    #[serde(default, rename = "fit")]
    pub fits: Vec<Fit>,
}

/// Why there are no coefficients.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// The text is not what is expected.
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    /// A coefficient that cannot be.
    #[error("{place}: `{name}` is {value}, allowed is what is above 0 and finite")]
    Value {
        /// Engine and class.
        place: String,
        /// The coefficient.
        name: String,
        /// Its value.
        value: f64,
    },
    /// Nothing is known of an engine.
    #[error("nothing is known of how fast the engine `{engine}` is; known are {}", known.join(", "))]
    NoEngine {
        /// The engine.
        engine: String,
        /// Those of which something is.
        known: Vec<String>,
    },
}

/// What is known of an engine on a class of machines.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The coefficients.
    pub coefficients: &'a Coefficients,
    /// The fit that they are of; `None` where the class was never measured.
    pub fit: Option<&'a Fit>,
}

impl Book {
    /// What stands at the head of a file of coefficients.
    pub const HEAD: &str = "\
        # How near engines come to the ceilings that `slmbench probe` finds. docs/predict.md tells what\n\
        # each coefficient means; `slmbench predict --check DIR… --fit FILE.toml` writes this file.\n";

    /// Those that come with the program.
    pub fn built_in() -> Result<Book, BookError> {
        Book::parse(BUILT_IN)
    }

    /// Those of a text in TOML.
    pub fn parse(text: &str) -> Result<Book, BookError> {
        let book: Book = toml::from_str(text)?;
        let priors = book.priors.iter().map(|p| (&p.engine, &p.class, &p.coefficients));
        let fits = book.fits.iter().map(|f| (&f.engine, &f.class, &f.coefficients));
        for (engine, class, coefficients) in priors.chain(fits) {
            let wrong = named(coefficients).into_iter().find(|(_, v)| !(*v > 0.0 && v.is_finite()));
            if let Some((name, value)) = wrong {
                let place = format!("{engine} on {class}");
                return Err(BookError::Value { place, name, value });
            }
        }
        Ok(book)
    }

    /// What is known of `engine`, which may be a word such as `reference:avx2`, on `class`.
    pub fn find(&self, engine: &str, class: &str) -> Result<Known<'_>, BookError> {
        let engine = base_name(engine);
        if let Some(fit) = self.fits.iter().find(|f| f.engine == engine && f.class == class) {
            return Ok(Known { coefficients: &fit.coefficients, fit: Some(fit) });
        }
        Ok(Known { coefficients: &self.prior(engine, class)?.coefficients, fit: None })
    }

    /// What is expected of `engine` on `class`.
    pub fn prior(&self, engine: &str, class: &str) -> Result<&Prior, BookError> {
        let engine = base_name(engine);
        let of = |class: &str| self.priors.iter().find(|p| p.engine == engine && p.class == class);
        of(class).or_else(|| of(ANY)).ok_or_else(|| {
            let known: BTreeSet<&String> = self.priors.iter().map(|p| &p.engine).collect();
            BookError::NoEngine {
                engine: engine.to_owned(),
                known: known.into_iter().cloned().collect(),
            }
        })
    }
}

impl Known<'_> {
    /// By which factors a predicted time is multiplied for the two ends of its interval, in which
    /// four of five cells lie. `types` are those of the weights.
    pub fn interval(&self, phase: Phase, arch: &str, types: &BTreeSet<GgmlType>) -> (f64, f64) {
        let Some(fit) = self.fit else { return UNMEASURED };
        let spread = fit.error(phase);
        if spread.n_cells < FEWEST_CELLS {
            return UNMEASURED;
        }
        let unseen = !fit.archs.contains(arch) || !types.is_subset(&spread.types);
        let wider = |factor: f64| if unseen { factor.powf(UNSEEN) } else { factor };
        (wider(spread.q10.min(1.0)), wider(spread.q90.max(1.0)))
    }
}

impl Fit {
    /// How well a phase is predicted.
    pub fn error(&self, phase: Phase) -> &Spread {
        match phase {
            Phase::Prefill => &self.prefill_error,
            Phase::Decode => &self.decode_error,
        }
    }
}

/// Every coefficient with its name.
fn named(coefficients: &Coefficients) -> Vec<(String, f64)> {
    let Coefficients { memory, step_us, touched, .. } = coefficients;
    let mut all = vec![
        ("memory".to_owned(), *memory),
        ("step_us".to_owned(), *step_us),
        ("touched".to_owned(), *touched),
    ];
    for phase in Phase::BOTH {
        let of = coefficients.phase(phase);
        let word = phase.word();
        all.push((format!("{word}.attention"), of.attention));
        all.push((format!("{word}.attention_plain"), of.attention_plain));
        all.push((format!("{word}.attention_quantised"), of.attention_quantised));
        all.extend(of.weights.iter().map(|(ty, v)| (format!("{word}.weights.{ty}"), *v)));
    }
    all
}

/// An engine's name without the variant that is asked of it: `reference` of `reference:avx2`.
pub fn base_name(engine: &str) -> &str {
    engine.split_once(':').map_or(engine, |(name, _)| name)
}

/// The class of the machine that `probe` measured: the instruction set with which it multiplies bytes.
pub fn class_of(probe: &Probe) -> String {
    let mut int8 = probe.peaks.iter().filter(|peak| peak.number == Number::Int8);
    if int8.clone().any(|peak| peak.unit == Unit::Tiles) {
        return AMX.to_owned();
    }
    let set = int8.next().and_then(|peak| peak.instructions.split(' ').next());
    set.unwrap_or(ANY).to_owned()
}
