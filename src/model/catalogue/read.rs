//! Reading a catalogue: every field with its place, all problems at once.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fields::{self, Field};
use super::{CatalogueError, CatalogueModel, CatalogueProblem, Origin};
use crate::model::{Arch, ModelShape, PerLayer, RopeScaling};

/// Reads `text`; `origin` is the name of the file in messages.
pub(super) fn catalogue(text: &str, origin: &str) -> Result<Vec<CatalogueModel>, CatalogueError> {
    let mut reader = Reader { text, origin, problems: Vec::new() };
    let models = reader.catalogue();
    let mut problems = reader.problems;
    if problems.is_empty() {
        return Ok(models);
    }
    problems.sort_by_key(|p| p.line);
    problems.dedup();
    Err(CatalogueError(problems))
}

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

    fn catalogue(&mut self) -> Vec<CatalogueModel> {
        let (root, errors) = DeTable::parse_recoverable(self.text);
        for error in &errors {
            let span = error.span().unwrap_or_default();
            let message = match self.text.get(span.clone()) {
                Some(key) if error.message() == "duplicate key" => format!("`{key}` stands twice"),
                _ => error.message().to_owned(),
            };
            self.refuse(span.start, message);
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
        let mut models: Vec<CatalogueModel> = Vec::new();
        for item in array.iter() {
            let start = item.span().start;
            let Some(table) = item.get_ref().as_table() else {
                self.refuse(start, "a model must be a table: write [[model]]");
                continue;
            };
            let Some(model) = self.model(Table { table, start }) else { continue };
            let same = |known: &CatalogueModel| {
                let named = |name: &str| known.names().any(|n| n.eq_ignore_ascii_case(name));
                model.names().find(|name| named(name)).map(str::to_owned)
            };
            if let Some(name) = models.iter().find_map(same) {
                self.refuse(start, format!("model `{name}` stands twice"));
                continue;
            }
            models.push(model);
        }
        models
    }

    fn model(&mut self, t: Table<'_>) -> Option<CatalogueModel> {
        let before = self.problems.len();
        let (path, hf) = (t.table.contains_key("path"), t.table.contains_key("hf"));
        if path && hf {
            self.refuse(at(t, "hf"), "`path` and `hf` exclude each other");
            return None;
        }
        let origin = if path || hf { &[fields::PATH, fields::HF] } else { fields::SHAPE };
        self.refuse_unknown(t, &names(fields::NAMES.iter().chain(origin)));
        let name = self.required_string(t, "name");
        let origin = if path {
            Some(Origin::Path(self.required_string(t, "path").into()))
        } else if hf {
            self.hugging_face(t)
        } else {
            self.shape(t, &name).map(Origin::Shape)
        };
        let model = CatalogueModel {
            name,
            family: self.string(t, "family"),
            survey_name: self.string(t, "survey_name"),
            aliases: self.strings(t, "aliases"),
            source: self.string(t, "source"),
            published: self.string(t, "published"),
            origin: origin?,
        };
        (self.problems.len() == before).then_some(model)
    }

    fn hugging_face(&mut self, t: Table<'_>) -> Option<Origin> {
        let text = self.required_string(t, "hf");
        // None of these may lead out of the folder where such files are kept.
        let whole = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\\');
        let path = |path: &str| path.split('/').all(whole);
        if let Some((repo, file)) = text.split_once(':') {
            let (repo, revision) = match repo.split_once('@') {
                Some((repo, revision)) => (repo, Some(revision)),
                None => (repo, None),
            };
            let is_repo = path(repo) && repo.split('/').count() == 2;
            if is_repo && path(file) && revision.is_none_or(path) {
                return Some(Origin::HuggingFace {
                    repo: repo.to_owned(),
                    revision: revision.map(str::to_owned),
                    file: file.to_owned(),
                });
            }
        }
        if !text.is_empty() {
            let expected = "\"owner/repo:file.gguf\" or \"owner/repo@revision:file.gguf\"";
            self.refuse(at(t, "hf"), format!("hf is `{text}`, expected {expected}"));
        }
        None
    }

    fn shape(&mut self, t: Table<'_>, name: &str) -> Option<ModelShape> {
        let before = self.problems.len();
        let word = self.required_string(t, "arch");
        let arch = Arch::from_name(&word);
        if arch.is_none() && !word.is_empty() {
            let allowed = Arch::NAMES.join(", ");
            self.refuse(at(t, "arch"), format!("arch `{word}`, allowed are {allowed}"));
        }
        let arch = arch.unwrap_or(Arch::Llama);
        let n_embd = self.required(t, "n_embd");
        let n_head = self.required_per_layer(t, "n_head");
        let n_head_kv = self.per_layer(t, "n_head_kv").unwrap_or_else(|| n_head.clone());
        let even_share = n_embd.checked_div(n_head.max()).unwrap_or(0);
        let head_dim = self.u32(t, "head_dim").unwrap_or(even_share);
        let all = if arch.rotates() { head_dim } else { 0 };
        let shape = ModelShape {
            name: name.to_owned(),
            arch,
            n_layer: self.required(t, "n_layer"),
            n_embd,
            n_ff: self.required_per_layer(t, "n_ff"),
            n_head,
            n_head_kv,
            head_dim,
            value_dim: self.u32(t, "value_dim"),
            n_rot: self.u32(t, "n_rot").unwrap_or(all),
            n_vocab: self.required(t, "n_vocab"),
            n_ctx_train: self.required(t, "n_ctx_train"),
            tied_output: self.required_truth(t, "tied_output"),
            rope_freq_base: self.float(t, "rope_freq_base"),
            rope_scaling: self.rope_scaling(t),
            norm_eps: self.required_float(t, "norm_eps"),
            n_swa: self.u32(t, "n_swa"),
            q_lora_rank: self.u32(t, "q_lora_rank"),
            kv_lora_rank: self.u32(t, "kv_lora_rank"),
            n_embd_tok: self.u32(t, "n_embd_tok"),
            post_norm: self.truth(t, "post_norm"),
            qkv_bias: self.truth(t, "qkv_bias"),
            shared_ffn: self.truth(t, "shared_ffn"),
            copied_output_2024: self.truth(t, "copied_output_2024"),
            sharded: self.truth(t, "sharded"),
        };
        let stated = self.u64(t, "n_params");
        if stated.is_none() && !t.table.contains_key("n_params") {
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
        if stated != Some(computed) {
            let found = stated.unwrap_or_default();
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
        let kind = self.required_string(t, "kind");
        let Some((_, _, known)) = fields::SCALINGS.iter().find(|(word, _, _)| *word == kind) else {
            let kinds: Vec<&str> = fields::SCALINGS.iter().map(|(word, _, _)| *word).collect();
            let message = format!("kind `{kind}`, allowed are {}", kinds.join(", "));
            self.refuse(at(t, "kind"), message);
            return None;
        };
        self.refuse_unknown(t, &names(known.iter()));
        Some(match kind.as_str() {
            "llama3" => RopeScaling::Llama3 {
                factor: self.required_float(t, "factor"),
                low_freq_factor: self.required_float(t, "low_freq_factor"),
                high_freq_factor: self.required_float(t, "high_freq_factor"),
                n_ctx_orig: self.required(t, "n_ctx_orig"),
            },
            "linear" => RopeScaling::Linear { factor: self.required_float(t, "factor") },
            _ => RopeScaling::LongRope {
                n_ctx_orig: self.required(t, "n_ctx_orig"),
                attn_factor: self.required_float(t, "attn_factor"),
            },
        })
    }

    fn refuse_unknown(&mut self, t: Table<'_>, allowed: &[&str]) {
        for key in t.table.keys() {
            let name = key.get_ref().as_ref();
            if !allowed.contains(&name) {
                let message = match super::near(name, allowed).first() {
                    Some(near) => format!("unknown key `{name}`, did you mean `{near}`?"),
                    None => format!("unknown key `{name}`, allowed are {}", allowed.join(", ")),
                };
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

    fn per_layer(&mut self, t: Table<'_>, key: &str) -> Option<PerLayer> {
        let entry = t.table.get(key)?;
        let Some(list) = entry.get_ref().as_array() else {
            return self.u32(t, key).map(PerLayer::Same);
        };
        let number = |item: &Spanned<DeValue<'_>>| {
            let i = item.get_ref().as_integer()?;
            u32::from_str_radix(i.as_str(), i.radix()).ok()
        };
        let all: Option<Vec<u32>> = list.iter().map(number).collect();
        if all.is_none() {
            let message = format!("{key} must be a list of whole numbers, one of each layer");
            self.refuse(entry.span().start, message);
        }
        all.map(PerLayer::from_list)
    }

    fn required_per_layer(&mut self, t: Table<'_>, key: &str) -> PerLayer {
        if !t.table.contains_key(key) {
            self.missing(t, key);
        }
        self.per_layer(t, key).unwrap_or(PerLayer::Same(0))
    }

    fn float(&mut self, t: Table<'_>, key: &str) -> Option<f64> {
        let entry = t.table.get(key)?;
        let value = match entry.get_ref() {
            DeValue::Float(f) => f.as_str().parse().ok(),
            DeValue::Integer(i) if i.radix() == 10 => i.as_str().parse().ok(),
            _ => None,
        };
        if value.is_none() {
            self.refuse(entry.span().start, wrong_type(key, entry, "a number"));
        }
        value
    }

    fn required_float(&mut self, t: Table<'_>, key: &str) -> f64 {
        if !t.table.contains_key(key) {
            self.missing(t, key);
        }
        self.float(t, key).unwrap_or(0.0)
    }

    fn truth(&mut self, t: Table<'_>, key: &str) -> bool {
        let Some(entry) = t.table.get(key) else { return false };
        let value = entry.get_ref().as_bool();
        if value.is_none() {
            self.refuse(entry.span().start, wrong_type(key, entry, "true or false"));
        }
        value.unwrap_or(false)
    }

    fn required_truth(&mut self, t: Table<'_>, key: &str) -> bool {
        if !t.table.contains_key(key) {
            self.missing(t, key);
        }
        self.truth(t, key)
    }

    fn string(&mut self, t: Table<'_>, key: &str) -> Option<String> {
        let entry = t.table.get(key)?;
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

    fn required_string(&mut self, t: Table<'_>, key: &str) -> String {
        if !t.table.contains_key(key) {
            self.missing(t, key);
        }
        self.string(t, key).unwrap_or_default()
    }

    fn strings(&mut self, t: Table<'_>, key: &str) -> Vec<String> {
        let Some(entry) = t.table.get(key) else { return Vec::new() };
        let words = entry.get_ref().as_array().and_then(|list| {
            list.iter().map(|item| item.get_ref().as_str().map(str::to_owned)).collect()
        });
        words.unwrap_or_else(|| {
            self.refuse(entry.span().start, wrong_type(key, entry, "a list of strings"));
            Vec::new()
        })
    }
}

fn names<'a>(fields: impl Iterator<Item = &'a Field>) -> Vec<&'static str> {
    fields.map(|field| field.name).collect()
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
