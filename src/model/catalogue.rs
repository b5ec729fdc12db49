//! The catalogue of models: `models.toml`, read and checked. Whatever is wrong with it is said at
//! once, each with its line.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Arch, ModelShape, RopeScaling};

/// One thing that is wrong with a catalogue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{origin}:{line}: {message}")]
pub struct CatalogueProblem {
    /// The file.
    pub origin: String,
    /// Line, from 1.
    pub line: usize,
    /// What is wrong, and what is allowed.
    pub message: String,
}

/// All that is wrong with a catalogue.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct CatalogueError(pub Vec<CatalogueProblem>);

/// A name that is not in the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no model `{name}`{}; known are {}", did_you_mean(near), known.join(", "))]
pub struct UnknownModel {
    /// What was asked for.
    pub name: String,
    /// Names like it, the nearest first.
    pub near: Vec<String>,
    /// All names.
    pub known: Vec<String>,
}

fn did_you_mean(near: &[String]) -> String {
    match near {
        [] => String::new(),
        near => format!(", did you mean `{}`?", near.join("` or `")),
    }
}

/// Models by name.
#[derive(Clone, Debug, PartialEq)]
pub struct Catalogue {
    models: Vec<ModelShape>,
}

/// The catalogue this program was built with.
const BUILT_IN: &str = include_str!("../../models.toml");

impl Catalogue {
    /// The catalogue built into the program.
    pub fn built_in() -> Result<Catalogue, CatalogueError> {
        Catalogue::parse(BUILT_IN, "models.toml")
    }

    /// Reads `text`; `origin` is the name of the file in messages.
    pub fn parse(text: &str, origin: &str) -> Result<Catalogue, CatalogueError> {
        let mut reader = Reader { text, origin, problems: Vec::new() };
        let models = reader.catalogue();
        let mut problems = reader.problems;
        if problems.is_empty() {
            return Ok(Catalogue { models });
        }
        problems.sort_by_key(|p| p.line);
        problems.dedup();
        Err(CatalogueError(problems))
    }

    /// All models, in the order of the file.
    pub fn models(&self) -> &[ModelShape] {
        &self.models
    }

    /// The model called `name`; case does not matter.
    pub fn get(&self, name: &str) -> Result<&ModelShape, UnknownModel> {
        self.models.iter().find(|m| m.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
            let known: Vec<String> = self.models.iter().map(|m| m.name.clone()).collect();
            UnknownModel { name: name.to_owned(), near: near(name, &known), known }
        })
    }
}

/// Up to three of `known` that differ from `name` in little, the nearest first.
fn near(name: &str, known: &[String]) -> Vec<String> {
    let name = name.to_lowercase();
    let mut ranked: Vec<(usize, &String)> = known
        .iter()
        .map(|k| (distance(&name, &k.to_lowercase()), k))
        .filter(|&(d, k)| {
            d <= 1 + k.len() / 4 || (name.len() > 2 && k.to_lowercase().starts_with(&name))
        })
        .collect();
    ranked.sort();
    ranked.into_iter().take(3).map(|(_, k)| k.clone()).collect()
}

/// Letters to insert, remove or replace to get from `a` to `b`.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &cb) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(ca != cb);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

const FIELDS: &[&str] = &[
    "name",
    "arch",
    "n_layer",
    "n_embd",
    "n_ff",
    "n_head",
    "n_head_kv",
    "head_dim",
    "n_rot",
    "n_vocab",
    "n_ctx_train",
    "tied_output",
    "rope_freq_base",
    "rope_scaling",
    "norm_eps",
    "n_params",
];

const SCALING_FIELDS: &[&str] =
    &["kind", "factor", "low_freq_factor", "high_freq_factor", "n_ctx_orig"];

/// A table of the file and the byte where it starts.
#[derive(Clone, Copy)]
struct Table<'a> {
    table: &'a DeTable<'a>,
    start: usize,
}

struct Reader<'a> {
    text: &'a str,
    origin: &'a str,
    problems: Vec<CatalogueProblem>,
}

impl Reader<'_> {
    fn refuse(&mut self, at: usize, message: impl Into<String>) {
        let before = &self.text.as_bytes()[..at.min(self.text.len())];
        let line = 1 + before.iter().filter(|&&b| b == b'\n').count();
        let origin = self.origin.to_owned();
        self.problems.push(CatalogueProblem { origin, line, message: message.into() });
    }

    fn catalogue(&mut self) -> Vec<ModelShape> {
        let (root, errors) = DeTable::parse_recoverable(self.text);
        for error in &errors {
            self.refuse(error.span().map_or(0, |s| s.start), error.message());
        }
        if !errors.is_empty() {
            return Vec::new();
        }
        let root = Table { table: root.get_ref(), start: 0 };
        self.refuse_unknown(root, &["model"]);
        let Some(entry) = root.table.get("model") else {
            self.refuse(0, "no models: a catalogue is a list of [[model]]");
            return Vec::new();
        };
        let Some(array) = entry.get_ref().as_array() else {
            self.refuse(entry.span().start, "`model` must be a list: write [[model]]");
            return Vec::new();
        };
        let mut models: Vec<ModelShape> = Vec::new();
        for item in array.iter() {
            let start = item.span().start;
            let Some(table) = item.get_ref().as_table() else {
                self.refuse(start, "a model must be a table: write [[model]]");
                continue;
            };
            let Some(model) = self.model(Table { table, start }) else { continue };
            if models.iter().any(|m| m.name.eq_ignore_ascii_case(&model.name)) {
                self.refuse(start, format!("model `{}` stands twice", model.name));
                continue;
            }
            models.push(model);
        }
        models
    }

    fn model(&mut self, t: Table<'_>) -> Option<ModelShape> {
        let before = self.problems.len();
        self.refuse_unknown(t, FIELDS);
        let name = self.string(t, "name").unwrap_or_default();
        let arch = self.string(t, "arch").and_then(|word| {
            let arch = Arch::from_name(&word);
            if arch.is_none() {
                let allowed = Arch::NAMES.join(", ");
                self.refuse(at(t, "arch"), format!("arch `{word}`, allowed are {allowed}"));
            }
            arch
        });
        let n_embd = self.required(t, "n_embd");
        let n_head = self.required(t, "n_head");
        let n_head_kv = self.u32(t, "n_head_kv").unwrap_or(n_head);
        let even_share = n_embd.checked_div(n_head).unwrap_or(0);
        let head_dim = self.u32(t, "head_dim").unwrap_or(even_share);
        let shape = ModelShape {
            name,
            arch: arch.unwrap_or(Arch::Llama),
            n_layer: self.required(t, "n_layer"),
            n_embd,
            n_ff: self.required(t, "n_ff"),
            n_head,
            n_head_kv,
            head_dim,
            n_rot: self.u32(t, "n_rot").unwrap_or(head_dim),
            n_vocab: self.required(t, "n_vocab"),
            n_ctx_train: self.required(t, "n_ctx_train"),
            tied_output: self.truth(t, "tied_output"),
            rope_freq_base: self.float(t, "rope_freq_base"),
            rope_scaling: self.rope_scaling(t),
            norm_eps: self.float(t, "norm_eps"),
        };
        let published = self.u64(t, "n_params");
        if published.is_none() && !t.table.contains_key("n_params") {
            self.missing(t, "n_params");
        }
        if self.problems.len() > before {
            return None;
        }
        for problem in shape.problems() {
            self.refuse(at(t, problem.field), problem.to_string());
        }
        if self.problems.len() > before {
            return None;
        }
        let computed = shape.n_params();
        if published != Some(computed) {
            let found = published.unwrap_or_default();
            let message = format!(
                "n_params is {found}, but the shape of `{}` has {computed} parameters\n\
                 hint: one of the fields is not that of the published model",
                shape.name
            );
            self.refuse(at(t, "n_params"), message);
            return None;
        }
        Some(shape)
    }

    fn rope_scaling(&mut self, t: Table<'_>) -> Option<RopeScaling> {
        let entry = t.table.get("rope_scaling")?;
        let start = entry.span().start;
        let Some(table) = entry.get_ref().as_table() else {
            self.refuse(start, wrong_type("rope_scaling", entry, "a table"));
            return None;
        };
        let t = Table { table, start };
        self.refuse_unknown(t, SCALING_FIELDS);
        let kind = self.string(t, "kind")?;
        if kind != "llama3" {
            self.refuse(at(t, "kind"), format!("kind `{kind}`, allowed is llama3"));
            return None;
        }
        Some(RopeScaling::Llama3 {
            factor: self.float(t, "factor"),
            low_freq_factor: self.float(t, "low_freq_factor"),
            high_freq_factor: self.float(t, "high_freq_factor"),
            n_ctx_orig: self.required(t, "n_ctx_orig"),
        })
    }

    fn refuse_unknown(&mut self, t: Table<'_>, allowed: &[&str]) {
        for key in t.table.keys() {
            let name = key.get_ref().as_ref();
            if !allowed.contains(&name) {
                let message = format!("unknown key `{name}`, allowed are {}", allowed.join(", "));
                self.refuse(key.span().start, message);
            }
        }
    }

    fn missing(&mut self, t: Table<'_>, key: &str) {
        self.refuse(t.start, format!("`{key}` is missing"));
    }

    /// Stands in for a field that is missing or wrong; what is wrong has been noted.
    fn required(&mut self, t: Table<'_>, key: &str) -> u32 {
        if !t.table.contains_key(key) {
            self.missing(t, key);
        }
        self.u32(t, key).unwrap_or(0)
    }

    fn u32(&mut self, t: Table<'_>, key: &str) -> Option<u32> {
        let value = self.u64(t, key)?;
        let small = u32::try_from(value).ok();
        if small.is_none() {
            self.refuse(at(t, key), format!("{key} is {value}, allowed are 0 to {}", u32::MAX));
        }
        small
    }

    fn u64(&mut self, t: Table<'_>, key: &str) -> Option<u64> {
        let entry = t.table.get(key)?;
        let value = entry
            .get_ref()
            .as_integer()
            .and_then(|i| u64::from_str_radix(i.as_str(), i.radix()).ok());
        if value.is_none() {
            self.refuse(entry.span().start, wrong_type(key, entry, "a whole number of 0 or more"));
        }
        value
    }

    fn float(&mut self, t: Table<'_>, key: &str) -> f64 {
        let Some(entry) = t.table.get(key) else {
            self.missing(t, key);
            return 0.0;
        };
        let value = match entry.get_ref() {
            DeValue::Float(f) => f.as_str().parse().ok(),
            DeValue::Integer(i) if i.radix() == 10 => i.as_str().parse().ok(),
            _ => None,
        };
        if value.is_none() {
            self.refuse(entry.span().start, wrong_type(key, entry, "a number"));
        }
        value.unwrap_or(0.0)
    }

    fn truth(&mut self, t: Table<'_>, key: &str) -> bool {
        let Some(entry) = t.table.get(key) else {
            self.missing(t, key);
            return false;
        };
        let value = entry.get_ref().as_bool();
        if value.is_none() {
            self.refuse(entry.span().start, wrong_type(key, entry, "true or false"));
        }
        value.unwrap_or(false)
    }

    fn string(&mut self, t: Table<'_>, key: &str) -> Option<String> {
        let Some(entry) = t.table.get(key) else {
            self.missing(t, key);
            return None;
        };
        match entry.get_ref().as_str() {
            Some(text) if !text.trim().is_empty() => Some(text.to_owned()),
            Some(_) => {
                self.refuse(entry.span().start, format!("{key} is empty"));
                None
            }
            None => {
                self.refuse(entry.span().start, wrong_type(key, entry, "a string"));
                None
            }
        }
    }
}

/// Where the value of `key` starts; where the table starts when it has none.
fn at(t: Table<'_>, key: &str) -> usize {
    t.table.get(key).map_or(t.start, |entry| entry.span().start)
}

fn wrong_type(key: &str, found: &Spanned<DeValue<'_>>, expected: &str) -> String {
    match found.get_ref() {
        DeValue::Integer(i) => format!("{key} is {i}, expected {expected}"),
        DeValue::Float(f) => format!("{key} is {f}, expected {expected}"),
        other => format!("{key} is of type {}, expected {expected}", other.type_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_catalogue_is_sound() {
        let catalogue = Catalogue::built_in().unwrap_or_else(|e| panic!("{e}"));
        let names: Vec<&str> = catalogue.models().iter().map(|m| m.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "SmolLM-135M",
                "SmolLM2-135M",
                "SmolLM2-360M",
                "Qwen2-0.5B",
                "Qwen2.5-0.5B",
                "Qwen1.5-0.5B",
                "TinyLlama-1.1B",
                "Llama-3.2-1B",
                "tiny-llama",
                "tiny-qwen2",
            ]
        );
        let llama = catalogue.get("llama-3.2-1b").unwrap();
        assert!(llama.tied_output && llama.rope_scaling.is_some());
        assert_eq!((llama.head_dim, llama.n_rot), (64, 64));
    }

    #[test]
    fn a_name_nearly_right_is_answered_with_the_right_one() {
        let catalogue = Catalogue::built_in().unwrap();
        let error = catalogue.get("SmolLM-2-135M").unwrap_err();
        assert_eq!(error.near[0], "SmolLM2-135M");
        assert!(
            error.to_string().starts_with(
                "no model `SmolLM-2-135M`, did you mean `SmolLM2-135M` or `SmolLM-135M`"
            )
        );
        let error = catalogue.get("gpt-5").unwrap_err();
        assert!(error.to_string().starts_with("no model `gpt-5`; known are SmolLM-135M, "));
        assert_eq!(catalogue.get("tiny").unwrap_err().near[..2], ["tiny-llama", "tiny-qwen2"]);
    }

    #[test]
    fn everything_wrong_is_said_at_once_with_its_line() {
        let text = r#"[[model]]
name = "a"
arch = "mamba"
n_layers = 2
n_embd = "wide"
n_ff = -1
n_head = 4
n_vocab = 512
n_ctx_train = 99999999999
tied_output = 1
rope_freq_base = 1e4
rope_scaling = { kind = "yarn" }
norm_eps = 1e-5
n_params = 1

[[model]]
name = "b"
arch = "llama"
n_layer = 2
n_embd = 64
n_ff = 96
n_head = 6
n_head_kv = 4
n_vocab = 512
n_ctx_train = 64
tied_output = true
rope_freq_base = 1e4
norm_eps = 2.0
n_params = 1
"#;
        let said = Catalogue::parse(text, "m.toml").unwrap_err().to_string();
        let said: Vec<&str> = said.lines().collect();
        let allowed = FIELDS.join(", ");
        assert_eq!(
            said,
            [
                "m.toml:1: `n_layer` is missing",
                "m.toml:3: arch `mamba`, allowed are llama, qwen2",
                &format!("m.toml:4: unknown key `n_layers`, allowed are {allowed}"),
                "m.toml:5: n_embd is of type string, expected a whole number of 0 or more",
                "m.toml:6: n_ff is -1, expected a whole number of 0 or more",
                "m.toml:9: n_ctx_train is 99999999999, allowed are 0 to 4294967295",
                "m.toml:10: tied_output is 1, expected true or false",
                "m.toml:12: kind `yarn`, allowed is llama3",
                "m.toml:23: n_head_kv: 6 query heads cannot share 4 evenly",
                "m.toml:28: norm_eps: found 2, must lie between 0 and 1",
            ]
        );
    }

    #[test]
    fn a_parameter_count_that_does_not_follow_from_the_shape_is_refused() {
        let text = BUILT_IN.replacen("n_params = 134515008", "n_params = 135000000", 1);
        let error = Catalogue::parse(&text, "m.toml").unwrap_err().to_string();
        assert!(
            error.contains("n_params is 135000000, but the shape of `SmolLM-135M` has 134515008"),
            "{error}"
        );
    }

    #[test]
    fn broken_toml_and_doubled_names_are_refused() {
        let error = Catalogue::parse("[[model]]\nname = \n", "m.toml").unwrap_err().to_string();
        assert!(error.starts_with("m.toml:2: "), "{error}");
        let text = format!("{BUILT_IN}\n{}", BUILT_IN.replace("# ", "## "));
        let error = Catalogue::parse(&text, "m.toml").unwrap_err();
        assert_eq!(error.0.len(), 10);
        assert!(error.to_string().contains("model `SmolLM-135M` stands twice"));
        assert!(Catalogue::parse("", "m.toml").unwrap_err().to_string().contains("no models"));
    }
}
