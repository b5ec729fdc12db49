//! Conditions on cells: `--filter 'quant=Q4_*,n_depth<4096'`, and the `exclude` tables of suites.

use std::fmt;

use wildmatch::WildMatchPattern;

use super::axes::{Point, is_pattern};
use super::nearest::nearest;
use super::range::{RangeError, parse_range};
use crate::settings::Auto;

/// What a condition can ask for, by its column in `cells.csv`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    CellId,
    Engine,
    Model,
    Quant,
    NThreads,
    Cpus,
    NPrompt,
    NGen,
    NDepth,
    NCtx,
    NBatch,
    NUbatch,
    TypeK,
    TypeV,
    FlashAttn,
    LoadMode,
    BackendDevice,
    NGpuLayers,
}

/// `cell_id` first, then the axes.
const KEYS: &[(&str, Key)] = &[
    ("cell_id", Key::CellId),
    ("engine", Key::Engine),
    ("model", Key::Model),
    ("quant", Key::Quant),
    ("n_threads", Key::NThreads),
    ("cpus", Key::Cpus),
    ("n_prompt", Key::NPrompt),
    ("n_gen", Key::NGen),
    ("n_depth", Key::NDepth),
    ("n_ctx", Key::NCtx),
    ("n_batch", Key::NBatch),
    ("n_ubatch", Key::NUbatch),
    ("type_k", Key::TypeK),
    ("type_v", Key::TypeV),
    ("flash_attn", Key::FlashAttn),
    ("load_mode", Key::LoadMode),
    ("backend_device", Key::BackendDevice),
    ("n_gpu_layers", Key::NGpuLayers),
];

/// Every axis that a condition can ask for, whether its values are numbers, and whether they may be
/// `auto`.
pub(super) fn axes() -> impl Iterator<Item = (&'static str, bool, bool)> {
    KEYS[1..].iter().map(|(name, key)| (*name, key.is_number(), key.may_be_auto()))
}

/// The value of a key at a point.
enum Value {
    Number(u32),
    Auto,
    Text(String),
}

impl From<Auto<u32>> for Value {
    fn from(auto: Auto<u32>) -> Value {
        match auto {
            Auto::Auto => Value::Auto,
            Auto::Fixed(n) => Value::Number(n),
        }
    }
}

impl Key {
    fn name(self) -> &'static str {
        KEYS.iter().find(|(_, k)| *k == self).map_or("", |(name, _)| name)
    }

    fn is_number(self) -> bool {
        use Key::*;
        matches!(self, NThreads | NPrompt | NGen | NDepth | NCtx | NBatch | NUbatch | NGpuLayers)
    }

    fn may_be_auto(self) -> bool {
        matches!(self, Key::NThreads | Key::NCtx | Key::NGpuLayers)
    }

    fn value(self, point: &Point, cell_id: &str) -> Value {
        let s = &point.settings;
        match self {
            Key::CellId => Value::Text(cell_id.to_owned()),
            Key::Engine => Value::Text(point.engine.clone()),
            Key::Model => Value::Text(point.model.clone()),
            Key::Quant => Value::Text(point.quant.clone()),
            Key::NThreads => s.n_threads.into(),
            Key::Cpus => Value::Text(point.cpus.clone()),
            Key::NPrompt => Value::Number(point.n_prompt),
            Key::NGen => Value::Number(point.n_gen),
            Key::NDepth => Value::Number(point.n_depth),
            Key::NCtx => s.n_ctx.into(),
            Key::NBatch => Value::Number(s.n_batch),
            Key::NUbatch => Value::Number(s.n_ubatch),
            Key::TypeK => Value::Text(s.type_k.to_string()),
            Key::TypeV => Value::Text(s.type_v.to_string()),
            Key::FlashAttn => Value::Text(s.flash_attn.to_string()),
            Key::LoadMode => Value::Text(s.load_mode.to_string()),
            Key::BackendDevice => Value::Text(s.backend_device.clone()),
            Key::NGpuLayers => s.n_gpu_layers.into(),
        }
    }
}

/// How a value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

/// Longer signs before those they begin with.
const OPS: &[(&str, Op)] =
    &[("<=", Op::Le), (">=", Op::Ge), ("!=", Op::Ne), ("=", Op::Eq), ("<", Op::Lt), (">", Op::Gt)];

/// What a value is compared with.
#[derive(Clone, Debug, PartialEq)]
enum Wanted {
    Number(u32),
    Auto,
    Pattern(WildMatchPattern<'*', '?'>),
}

/// Why a text is no condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// No such column.
    #[error(
        "unknown key `{found}`, allowed are {}{}",
        allowed.join(", "),
        nearest.map(|n| format!("\nhint: did you mean `{n}`?")).unwrap_or_default()
    )]
    UnknownKey {
        /// What stood there.
        found: String,
        /// What may stand there.
        allowed: Vec<&'static str>,
        /// The nearest of these.
        nearest: Option<&'static str>,
    },
    /// No comparison in it.
    #[error("found `{0}`, expected a condition such as `quant=Q4_*` or `n_depth<4096`")]
    NoComparison(String),
    /// Nothing between two commas, or behind the last.
    #[error("an empty condition; conditions stand between commas, none at the end")]
    Empty,
    /// More signs than one.
    #[error("found `{found}`, the comparisons are =, !=, <, <=, >, >=\nhint: `{meant}`")]
    Signs {
        /// What stood there.
        found: String,
        /// The same with one sign.
        meant: String,
    },
    /// A word where a number belongs.
    #[error("{key}: {error}")]
    NotANumber {
        /// The key.
        key: &'static str,
        /// What is wrong with its value.
        error: RangeError,
    },
    /// Words have no order, ranges neither.
    #[error("found `{key}{op}{value}`, allowed is {allowed}")]
    NoOrder {
        /// The key.
        key: &'static str,
        /// The comparison.
        op: &'static str,
        /// The value.
        value: String,
        /// What may stand there.
        allowed: &'static str,
    },
    /// Nothing to compare with.
    #[error("{key}: nothing to compare with\nhint: a value behind the sign, such as `{example}`")]
    NoValue {
        /// The key.
        key: &'static str,
        /// A condition on it.
        example: String,
    },
}

/// One condition: a key, a comparison, and values of which any may hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    key: Key,
    op: Op,
    wanted: Vec<Wanted>,
    text: String,
}

impl Condition {
    /// A condition on the axis `key`, which `cell_id` is not: `value` may begin with a comparison
    /// (`>=4096`), otherwise it is compared for equality. `|` separates alternatives.
    pub fn on_axis(key: &str, value: &str) -> Result<Condition, FilterError> {
        let value = value.trim();
        let (sign, op) =
            OPS.iter().copied().find(|(s, _)| value.starts_with(s)).unwrap_or(("", Op::Eq));
        Condition::compare(&KEYS[1..], key, op, value[sign.len()..].trim())
    }

    /// `key=value`, `key<value` and so on.
    pub fn parse(text: &str) -> Result<Condition, FilterError> {
        if text.trim().is_empty() {
            return Err(FilterError::Empty);
        }
        let start = text
            .find(['<', '>', '=', '!'])
            .ok_or_else(|| FilterError::NoComparison(text.trim().to_owned()))?;
        let (key, rest) = text.split_at(start);
        let (sign, op) = OPS
            .iter()
            .copied()
            .find(|(s, _)| rest.starts_with(s))
            .ok_or_else(|| FilterError::NoComparison(text.trim().to_owned()))?;
        let value = rest[sign.len()..].trim();
        if value.starts_with(['=', '<', '>', '!']) {
            let value = value.trim_start_matches(['=', '<', '>', '!', ' ']);
            let signs = &rest[..rest.len() - value.len()];
            let sign = match signs {
                signs if signs.contains('!') => "!=",
                signs if signs.contains('<') => "<=",
                signs if signs.contains('>') => ">=",
                _ => "=",
            };
            let (found, key) = (text.trim().to_owned(), key.trim());
            return Err(FilterError::Signs { found, meant: format!("{key}{sign}{value}") });
        }
        Condition::compare(KEYS, key.trim(), op, value)
    }

    fn compare(
        keys: &[(&'static str, Key)],
        key: &str,
        op: Op,
        value: &str,
    ) -> Result<Condition, FilterError> {
        let key = keys.iter().find(|(name, _)| *name == key).map(|(_, k)| *k).ok_or_else(|| {
            let allowed: Vec<&str> = keys.iter().map(|(name, _)| *name).collect();
            FilterError::UnknownKey {
                found: key.to_owned(),
                nearest: nearest(key, allowed.iter().copied()),
                allowed,
            }
        })?;
        if value.is_empty() {
            let value = match key {
                Key::Quant => "Q4_*",
                Key::Model => "Qwen3-*",
                Key::Engine => "reference",
                key if key.is_number() => "4",
                _ => "auto",
            };
            let example = format!("{}={value}", key.name());
            return Err(FilterError::NoValue { key: key.name(), example });
        }
        let sign = OPS.iter().find(|(_, o)| *o == op).map_or("", |(s, _)| s);
        let ordered = !matches!(op, Op::Eq | Op::Ne);
        let no_order = |allowed| FilterError::NoOrder {
            key: key.name(),
            op: sign,
            value: value.to_owned(),
            allowed,
        };
        let mut wanted = Vec::new();
        for part in value.split('|').map(str::trim) {
            if !key.is_number() {
                wanted.push(Wanted::Pattern(WildMatchPattern::new_case_insensitive(part)));
            } else if key.may_be_auto() && part == "auto" {
                wanted.push(Wanted::Auto);
            } else {
                let numbers = parse_range(part)
                    .map_err(|error| FilterError::NotANumber { key: key.name(), error })?;
                wanted.extend(numbers.into_iter().map(Wanted::Number));
            }
        }
        if ordered && !key.is_number() {
            return Err(no_order("= or !=, words have no order"));
        }
        // `2..02` is one number too, and no number after `<`.
        if ordered && (value.contains("..") || !matches!(wanted[..], [Wanted::Number(_)])) {
            return Err(no_order("one number after <, <=, > and >="));
        }
        Ok(Condition { key, op, wanted, text: format!("{}{sign}{value}", key.name()) })
    }

    /// Adds the values of `other`, a condition on the same key, as alternatives.
    pub(super) fn or(mut self, other: Condition) -> Condition {
        self.text = format!("{}|{}", self.text, &other.text[self.key.name().len() + 1..]);
        self.wanted.extend(other.wanted);
        self
    }

    /// Whether it compares for equality.
    pub(super) fn is_equality(&self) -> bool {
        self.op == Op::Eq
    }

    /// Whether the condition holds at a point whose cell has this id.
    pub fn holds(&self, point: &Point, cell_id: &str) -> bool {
        self.holds_for(&self.key.value(point, cell_id))
    }

    fn holds_for(&self, value: &Value) -> bool {
        let any_equal = || {
            self.wanted.iter().any(|wanted| match (wanted, value) {
                (Wanted::Number(w), Value::Number(v)) => w == v,
                (Wanted::Auto, Value::Auto) => true,
                (Wanted::Pattern(pattern), Value::Text(text)) => pattern.matches(text),
                _ => false,
            })
        };
        let ordered = |holds: fn(u32, u32) -> bool| match (value, &self.wanted[..]) {
            (Value::Number(v), [Wanted::Number(w)]) => holds(*v, *w),
            _ => false,
        };
        match self.op {
            Op::Eq => any_equal(),
            Op::Ne => !any_equal(),
            Op::Lt => ordered(|v, w| v < w),
            Op::Le => ordered(|v, w| v <= w),
            Op::Gt => ordered(|v, w| v > w),
            Op::Ge => ordered(|v, w| v >= w),
        }
    }
}

/// Conditions that must all hold. The empty filter lets everything pass.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter(pub Vec<Condition>);

impl Filter {
    /// Reads comma-separated conditions: `quant=Q4_*,n_depth<4096`. `*` and `?` are wildcards,
    /// case does not matter, `|` separates alternatives; numbers may be ranges. A value with a
    /// comma in it is matched by `?`.
    pub fn parse(text: &str) -> Result<Filter, FilterError> {
        if text.trim().is_empty() {
            return Ok(Filter::default());
        }
        Ok(Filter(text.split(',').map(Condition::parse).collect::<Result<_, _>>()?))
    }

    /// Whether every condition holds.
    pub fn matches(&self, point: &Point, cell_id: &str) -> bool {
        self.0.iter().all(|condition| condition.holds(point, cell_id))
    }

    /// Whether every condition holds, or may hold once it is known which models a pattern means
    /// and, where `any_threads`, how many CPUs there are.
    pub(super) fn may_match(&self, point: &Point, any_threads: bool) -> bool {
        let unknown = |condition: &Condition| match condition.key {
            Key::Model => is_pattern(&point.model),
            Key::NThreads => any_threads,
            _ => false,
        };
        self.0.iter().all(|condition| unknown(condition) || condition.holds(point, ""))
    }

    /// Whether it holds for every cell of this model.
    pub fn holds_for_model(&self, model: &str) -> bool {
        let value = Value::Text(model.to_owned());
        !self.0.is_empty() && self.0.iter().all(|c| c.key == Key::Model && c.holds_for(&value))
    }

    /// Whether it can hold for a cell of this model, whatever else that cell is.
    pub fn admits_model(&self, model: &str) -> bool {
        let value = Value::Text(model.to_owned());
        self.0.iter().filter(|c| c.key == Key::Model).all(|condition| condition.holds_for(&value))
    }

    /// Whether it lets everything pass.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, condition) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            f.write_str(&condition.text)?;
        }
        Ok(())
    }
}

impl std::str::FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Filter, FilterError> {
        Filter::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::Axes;

    fn point() -> Point {
        let axes = Axes {
            engine: vec!["fake:prefill_ms=40,decode_ms=10".into()],
            model: vec!["Llama-3.2-1B".into()],
            quant: vec!["Q4_0".into()],
            n_prompt: vec![512],
            n_depth: vec![1024],
            ..Axes::default()
        };
        axes.points(1).remove(0)
    }

    #[test]
    fn a_filter_holds_where_all_its_conditions_hold() {
        let holds = |text: &str| Filter::parse(text).unwrap().matches(&point(), "0123456789ab");
        for text in [
            "",
            "quant=Q4_*,n_depth<4096",
            "quant=q4_0|Q8_0",
            "quant!=F16",
            "n_depth>=1024,n_depth<=1024",
            "n_depth = 256..2048*2 , n_prompt = 512",
            "n_threads=auto",
            "engine=fake:prefill_ms=40?decode_ms=10",
            "model=*1b",
            "cell_id=0123*",
            "type_k=f16",
            "n_ctx!=4096",
        ] {
            assert!(holds(text), "{text}");
        }
        for text in
            ["quant=F16", "n_depth>1024", "n_threads<4", "n_prompt=512,n_gen>0", "cpus!=all"]
        {
            assert!(!holds(text), "{text}");
        }
    }

    #[test]
    fn what_is_no_condition_is_refused_with_what_is_allowed() {
        let said: Vec<String> = [
            "quants=F16",
            "Q4_0",
            "n_depth=deep",
            "n_prompt=auto",
            "quant<Q8_0",
            "n_depth<1|2",
            "n_threads<auto",
            "quant=",
            "n_gen!4",
            "quant==Q4_0",
            "n_depth=>4096",
            "quant=Q4_0,",
            "n_gen=1,,n_depth=2",
        ]
        .iter()
        .map(|t| Filter::parse(t).unwrap_err().to_string())
        .collect();
        insta::assert_snapshot!(said.join("\n"));
    }

    #[test]
    fn a_filter_is_shown_as_it_was_written() {
        let text = "quant=Q4_*,n_depth<4096,n_gen=1|2";
        assert_eq!(Filter::parse(text).unwrap().to_string(), text);
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_filter_parser_panic(text in "[a-z_=<>!|,*0-9. ]{0,24}") {
            if let Ok(filter) = Filter::parse(&text) {
                filter.matches(&point(), "0123456789ab");
            }
        }
    }
}
